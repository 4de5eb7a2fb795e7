//! One signed statement about the members of a library, and its frozen encoding.
//!
//! Version 1, integers little-endian:
//!
//! ```text
//! 16  "can-sync member1"
//! 32  BLAKE3 of the name of the library
//! 32  id of the birth; zeros in the birth itself
//!  8  epoch the signer was in
//! 32  signer
//!  1  action: 1 birth, 2 accept, 3 remove, 4 listed, 5 rekey
//!     birth: 16 random bytes, 32 hash of the secret    accept: 32 host, 1 admin (0 or 1)    remove: 32 host
//!     listed: nothing                                  rekey: 8 epoch, 32 hash of the secret
//!  1  how many forerunners, and 32 for the id of each, ascending
//! 64  Ed25519 signature of all before
//! ```
//!
//! The id of a statement is the BLAKE3 of all but the signature.

use std::fmt;

use super::super::HostKey;
use super::super::host_key::is_signed_by;
use super::SecretHash;
use crate::asset::HostId;
use crate::limits::membership as limits;

const MAGIC: &[u8; 16] = b"can-sync member1";
const SIGNATURE: usize = 64;

/// What a statement is known by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementId([u8; 32]);

impl StatementId {
    /// What stands for the birth in the birth itself.
    const NONE: Self = Self([0; 32]);

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatementId({})", HostId::from_bytes(self.0).fmt_short())
    }
}

/// What is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The library begins; the signer is its first admin.
    Birth {
        /// Random, so that no two libraries are the same.
        nonce: [u8; 16],
        /// Of the secret it begins with.
        secret: SecretHash,
    },
    /// A host is a member; said once more with `admin`, it becomes an admin too.
    Accept {
        /// Which host.
        host: HostId,
        /// Whether it may sign.
        admin: bool,
    },
    /// A host is no member any more, for ever.
    Remove {
        /// Which host.
        host: HostId,
    },
    /// From now on only accepted hosts are members.
    Listed,
    /// The library has a new secret.
    Rekey {
        /// Of which epoch the secret is.
        epoch: u64,
        /// Which secret it is.
        secret: SecretHash,
    },
}

/// A statement whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    id: StatementId,
    bytes: Vec<u8>,
    pub(super) body: Body,
}

/// What a statement says, as it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    /// BLAKE3 of the name of the library.
    pub(super) library: [u8; 32],
    /// `None` in the birth itself.
    pub(super) birth: Option<StatementId>,
    pub(super) epoch: u64,
    pub(super) signer: HostId,
    pub(super) action: Action,
    /// The latest statements the signer had seen, ascending; with all that those had seen, they are what it knew.
    pub(super) seen: Vec<StatementId>,
}

/// Bytes that are no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// More bytes than a statement has.
    #[error("a statement about members has {0} bytes, more than the limit of {limit}", limit = limits::STATEMENT_BYTES)]
    TooLong(usize),
    /// Not the frozen encoding, or one of a later version.
    #[error("a statement about members does not read; update this host if another runs a later version")]
    Malformed,
    /// Not signed by whom it names.
    #[error("a statement about members is not signed by {signer}, whom it names")]
    Signature {
        /// Whom it names.
        signer: HostId,
    },
}

impl Statement {
    pub(super) fn sign(key: &HostKey, body: Body) -> Self {
        let mut bytes = encode(&body);
        let id = StatementId(blake3::hash(&bytes).into());
        bytes.extend_from_slice(&key.sign(&bytes));
        Self { id, bytes, body }
    }

    /// Reads a statement and checks its signature.
    ///
    /// # Errors
    /// [`StatementError`] when it is none, or was signed by somebody else.
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > limits::STATEMENT_BYTES {
            return Err(StatementError::TooLong(bytes.len()));
        }
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or(StatementError::Malformed)?;
        let body = decode(signed).ok_or(StatementError::Malformed)?;
        // One content has one encoding: what would be written differently is not read.
        if encode(&body) != signed {
            return Err(StatementError::Malformed);
        }
        if !is_signed_by(body.signer, signed, signature) {
            return Err(StatementError::Signature { signer: body.signer });
        }
        Ok(Self { id: StatementId(blake3::hash(signed).into()), bytes: bytes.to_vec(), body })
    }

    /// Returns the encoding, as it travels and as it is kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns what the statement is known by.
    #[must_use]
    pub const fn id(&self) -> StatementId {
        self.id
    }

    /// Returns who signed it.
    #[must_use]
    pub const fn signer(&self) -> HostId {
        self.body.signer
    }

    /// Returns what is stated.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.body.action
    }
}

fn encode(body: &Body) -> Vec<u8> {
    let mut out = Vec::with_capacity(limits::STATEMENT_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&body.library);
    out.extend_from_slice(&body.birth.unwrap_or(StatementId::NONE).0);
    out.extend_from_slice(&body.epoch.to_le_bytes());
    out.extend_from_slice(body.signer.as_bytes());
    match &body.action {
        Action::Birth { nonce, secret } => {
            out.push(1);
            out.extend_from_slice(nonce);
            out.extend_from_slice(secret.as_bytes());
        }
        Action::Accept { host, admin } => {
            out.push(2);
            out.extend_from_slice(host.as_bytes());
            out.push(u8::from(*admin));
        }
        Action::Remove { host } => {
            out.push(3);
            out.extend_from_slice(host.as_bytes());
        }
        Action::Listed => out.push(4),
        Action::Rekey { epoch, secret } => {
            out.push(5);
            out.extend_from_slice(&epoch.to_le_bytes());
            out.extend_from_slice(secret.as_bytes());
        }
    }
    out.push(u8::try_from(body.seen.len()).expect("at most 16 forerunners"));
    for id in &body.seen {
        out.extend_from_slice(&id.0);
    }
    out
}

fn decode(mut bytes: &[u8]) -> Option<Body> {
    let rest = &mut bytes;
    if take::<16>(rest)? != *MAGIC {
        return None;
    }
    let library = take(rest)?;
    let birth = Some(StatementId(take(rest)?)).filter(|id| *id != StatementId::NONE);
    let epoch = u64::from_le_bytes(take(rest)?);
    let signer = HostId::from_bytes(take(rest)?);
    let action = match take(rest)? {
        [1] => Action::Birth { nonce: take(rest)?, secret: SecretHash::from_bytes(take(rest)?) },
        [2] => Action::Accept { host: HostId::from_bytes(take(rest)?), admin: take(rest)? == [1] },
        [3] => Action::Remove { host: HostId::from_bytes(take(rest)?) },
        [4] => Action::Listed,
        [5] => Action::Rekey { epoch: u64::from_le_bytes(take(rest)?), secret: SecretHash::from_bytes(take(rest)?) },
        _ => return None,
    };
    let [count] = take(rest)?;
    if usize::from(count) > limits::STATEMENT_FORERUNNERS {
        return None;
    }
    let seen: Vec<_> = (0..count).map(|_| take(rest).map(StatementId)).collect::<Option<_>>()?;
    // Only the birth has nothing before it.
    let is_birth = matches!(action, Action::Birth { .. });
    let fits = is_birth == birth.is_none() && is_birth == seen.is_empty() && seen.is_sorted_by(|a, b| a < b);
    (fits && rest.is_empty()).then_some(Body { library, birth, epoch, signer, action, seen })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    fn key() -> HostKey {
        HostKey::from_seed(&[1; 32])
    }

    fn hosts() -> impl Strategy<Value = HostId> {
        any::<[u8; 32]>().prop_map(HostId::from_bytes)
    }

    fn secrets() -> impl Strategy<Value = SecretHash> {
        any::<[u8; 32]>().prop_map(SecretHash::from_bytes)
    }

    fn bodies() -> impl Strategy<Value = Body> {
        let actions = prop_oneof![
            (any::<[u8; 16]>(), secrets()).prop_map(|(nonce, secret)| Action::Birth { nonce, secret }),
            (hosts(), any::<bool>()).prop_map(|(host, admin)| Action::Accept { host, admin }),
            hosts().prop_map(|host| Action::Remove { host }),
            Just(Action::Listed),
            (any::<u64>(), secrets()).prop_map(|(epoch, secret)| Action::Rekey { epoch, secret }),
        ];
        let seen = proptest::collection::btree_set(any::<[u8; 32]>(), 1..=limits::STATEMENT_FORERUNNERS);
        (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u64>(), actions, seen).prop_map(
            |(library, birth, epoch, action, seen)| {
                let is_birth = matches!(action, Action::Birth { .. });
                Body {
                    library,
                    birth: (!is_birth).then_some(StatementId(birth)),
                    epoch,
                    signer: key().id(),
                    action,
                    seen: if is_birth { Vec::new() } else { seen.into_iter().map(StatementId).collect() },
                }
            },
        )
    }

    #[test]
    fn the_encoding_is_frozen() {
        let body = |action, seen| Body {
            library: [2; 32],
            birth: Some(StatementId([3; 32])),
            epoch: 7,
            signer: key().id(),
            action,
            seen,
        };
        let host = HostId::from_bytes([4; 32]);
        let secret = SecretHash::from_bytes([5; 32]);
        let head = concat!(
            "63616e2d73796e63206d656d62657231",
            "0202020202020202020202020202020202020202020202020202020202020202",
            "0303030303030303030303030303030303030303030303030303030303030303",
            "0700000000000000",
            "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        );
        let [four, five, six] = [4_u8, 5, 6].map(|byte| HEXLOWER.encode(&[byte; 32]));
        for (action, tail) in [
            (Action::Accept { host, admin: true }, format!("02{four}01")),
            (Action::Accept { host, admin: false }, format!("02{four}00")),
            (Action::Remove { host }, format!("03{four}")),
            (Action::Listed, "04".to_owned()),
            (Action::Rekey { epoch: 8, secret }, format!("050800000000000000{five}")),
        ] {
            let seen = vec![StatementId([5; 32]), StatementId([6; 32])];
            let encoded = HEXLOWER.encode(&encode(&body(action, seen)));
            assert_eq!(encoded, format!("{head}{tail}02{five}{six}"));
        }
        let birth = Body { birth: None, ..body(Action::Birth { nonce: [9; 16], secret }, Vec::new()) };
        let encoded = HEXLOWER.encode(&encode(&birth));
        let head = head.replace(&"03".repeat(32), &"00".repeat(32));
        assert_eq!(encoded, format!("{head}01{nines}{five}00", nines = "09".repeat(16)));
        let statement = Statement::sign(&key(), birth);
        assert_eq!(
            HEXLOWER.encode(statement.id().as_bytes()),
            "efa2846fe78a0781f09befe8a100337a10ff3ba21325b28b5dde157fcb51d016"
        );
        assert_eq!(HEXLOWER.encode(&blake3::hash(statement.as_bytes()).as_bytes()[..8]), "0c543bd6f69396b1");
    }

    proptest! {
        #[test]
        fn statements_read_back(body in bodies()) {
            let statement = Statement::sign(&key(), body);
            prop_assert!(statement.as_bytes().len() <= limits::STATEMENT_BYTES);
            prop_assert_eq!(Statement::decode(statement.as_bytes()).unwrap(), statement);
        }

        #[test]
        fn a_flipped_bit_is_noticed(body in bodies(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let mut bytes = Statement::sign(&key(), body).as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Statement::decode(&bytes).is_err());
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..900)) {
            prop_assert!(Statement::decode(&bytes).is_err());
        }
    }

    #[test]
    fn what_is_signed_but_not_in_its_one_spelling_is_refused() {
        let signed = |mut bytes: Vec<u8>| {
            bytes.extend_from_slice(&key().sign(&bytes));
            Statement::decode(&bytes)
        };
        let body = |seen: &[u8]| Body {
            library: [2; 32],
            birth: Some(StatementId([3; 32])),
            epoch: 0,
            signer: key().id(),
            action: Action::Accept { host: HostId::from_bytes([4; 32]), admin: true },
            seen: seen.iter().map(|byte| StatementId([*byte; 32])).collect(),
        };
        assert!(signed(encode(&body(&[1, 2]))).is_ok());
        let mut odd_flag = encode(&body(&[1]));
        odd_flag[16 + 32 + 32 + 8 + 32 + 1 + 32] = 2;
        let longer = [encode(&body(&[1])), vec![0]].concat();
        let second_birth = Body { birth: None, ..body(&[1]) };
        for bytes in [
            encode(&body(&[2, 1])),
            encode(&body(&[1, 1])),
            encode(&body(&[])),
            encode(&second_birth),
            odd_flag,
            longer,
        ] {
            assert_eq!(signed(bytes), Err(StatementError::Malformed));
        }
        let too_long = Statement::decode(&[0; limits::STATEMENT_BYTES + 1]);
        assert_eq!(too_long, Err(StatementError::TooLong(limits::STATEMENT_BYTES + 1)));
    }

    #[test]
    fn nobody_signs_for_another() {
        let body = Body {
            library: [2; 32],
            birth: Some(StatementId([3; 32])),
            epoch: 0,
            signer: HostKey::from_seed(&[2; 32]).id(),
            action: Action::Listed,
            seen: vec![StatementId([1; 32])],
        };
        let signer = body.signer;
        let forged = Statement::sign(&key(), body);
        assert_eq!(Statement::decode(forged.as_bytes()), Err(StatementError::Signature { signer }));
    }
}
