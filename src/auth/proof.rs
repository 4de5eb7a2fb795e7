//! The proof of membership that every connection begins with.

use std::fmt;

use super::ProofKey;
use crate::asset::HostId;

/// What the tag begins with; sixteen bytes.
const CONTEXT: &[u8; 16] = b"can-sync proof 1";

/// Which side of the QUIC connection makes a proof. A tag of one side is never one of the other, so it cannot be sent
/// back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The side that dialled. It proves first.
    Dialler,
    /// The side that was dialled. It answers only a right proof.
    Acceptor,
}

/// What a proof covers: one connection between two hosts, in one epoch of one library.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// The key derived for it.
    pub key: &'a ProofKey,
    /// Name of the library.
    pub library: &'a str,
    /// Epoch of the library's secret.
    pub epoch: u64,
    /// Keying material exported from the TLS session: the same on both ends, another for every connection.
    pub exporter: &'a [u8; 32],
    /// Id of the host that dialled, as the connection has proved it.
    pub dialler: HostId,
    /// Id of the host that was dialled, as the connection has proved it.
    pub acceptor: HostId,
}

impl Proof<'_> {
    /// Makes the tag that the side of this role sends.
    #[must_use]
    pub fn tag(&self, role: Role) -> [u8; 32] {
        self.hash(role).into()
    }

    /// Tells, in constant time, whether a tag is the one that the side of this role sends.
    #[must_use]
    pub fn is_proved_by(&self, role: Role, tag: &[u8; 32]) -> bool {
        self.hash(role) == blake3::Hash::from_bytes(*tag)
    }

    /// Every part has a fixed length, so no two proofs share an input.
    fn hash(&self, role: Role) -> blake3::Hash {
        let role = match role {
            Role::Dialler => 1_u8,
            Role::Acceptor => 2,
        };
        let mut hasher = blake3::Hasher::new_keyed(self.key.expose());
        hasher.update(CONTEXT);
        hasher.update(&[role]);
        hasher.update(blake3::hash(self.library.as_bytes()).as_bytes());
        hasher.update(&self.epoch.to_le_bytes());
        hasher.update(self.exporter);
        hasher.update(self.dialler.as_bytes());
        hasher.update(self.acceptor.as_bytes());
        hasher.finalize()
    }
}

impl fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("library", &self.library)
            .field("epoch", &self.epoch)
            .field("dialler", &self.dialler)
            .field("acceptor", &self.acceptor)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::super::Keys;
    use super::super::LibrarySecret;
    use super::*;

    const DIALLER: HostId = HostId::from_bytes([2; 32]);
    const ACCEPTOR: HostId = HostId::from_bytes([3; 32]);

    fn key(secret: u8) -> ProofKey {
        Keys::derive(&LibrarySecret::from_bytes([secret; 32])).proof
    }

    fn proof(key: &ProofKey) -> Proof<'_> {
        Proof { key, library: "mirror", epoch: 0, exporter: &[4; 32], dialler: DIALLER, acceptor: ACCEPTOR }
    }

    #[test]
    fn tags_are_frozen() {
        let key = key(1);
        assert_eq!(
            HEXLOWER.encode(&proof(&key).tag(Role::Dialler)),
            "1f5d54769c62457584f88328a49523ab014c559cfebcb90c5416f53c1270fbff"
        );
        assert_eq!(
            HEXLOWER.encode(&proof(&key).tag(Role::Acceptor)),
            "997dbb5214f1d5ed25dbee5b1af0409ca5d7052447ff584b1147c546fb62946b"
        );
    }

    #[test]
    fn only_the_same_secret_connection_role_and_ids_prove() {
        let (key, other_key) = (key(1), key(9));
        let right = proof(&key);
        let tag = right.tag(Role::Dialler);
        assert!(right.is_proved_by(Role::Dialler, &tag));
        assert!(!right.is_proved_by(Role::Acceptor, &tag), "reflection");
        let wrong = [
            ("secret", Proof { key: &other_key, ..right }),
            ("library", Proof { library: "mirror2", ..right }),
            ("epoch", Proof { epoch: 1, ..right }),
            ("connection", Proof { exporter: &[5; 32], ..right }),
            ("dialler", Proof { dialler: HostId::from_bytes([8; 32]), ..right }),
            ("acceptor", Proof { acceptor: HostId::from_bytes([8; 32]), ..right }),
            ("direction", Proof { dialler: ACCEPTOR, acceptor: DIALLER, ..right }),
        ];
        for (what, wrong) in wrong {
            assert!(!wrong.is_proved_by(Role::Dialler, &tag), "other {what}");
            assert!(!wrong.is_proved_by(Role::Acceptor, &tag), "other {what}, reflected");
        }
        for bit in 0..256 {
            let mut flipped = tag;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!right.is_proved_by(Role::Dialler, &flipped));
        }
    }
}
