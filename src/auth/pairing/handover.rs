//! What a device that was let in is given: all it needs to be a member.
//!
//! Sealed on the way. Frozen, integers little-endian; `text` and `bytes` have their length in front, in two bytes:
//!
//! ```text
//! text  name of the inviting device
//! text  name of the library
//!  8    epoch
//! 32    secret
//!  2    how many statements, and bytes for each, the birth first
//! ```

use zeroize::Zeroizing;

use super::super::LibrarySecret;
use super::super::members::Statement;
use super::PairingFailure;
use crate::limits;
use crate::limits::membership::LIBRARY_NAME_BYTES;
use crate::limits::membership::STATEMENTS;
use crate::limits::membership::WELCOME_BYTES;

/// What a device that was let in is given. The statements are not judged here: the first one begins a
/// [`Roster`](super::super::members::Roster), and the others are merged into it.
#[derive(Debug, Clone)]
pub struct Handover {
    /// What the inviting device is called.
    pub device: String,
    /// Name of the library.
    pub library: String,
    /// Epoch of its secret.
    pub epoch: u64,
    /// The secret.
    pub secret: LibrarySecret,
    /// Its history, the birth first.
    pub statements: Vec<Statement>,
}

impl Handover {
    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, PairingFailure> {
        let device = name(self.device.as_bytes(), limits::DEVICE_NAME_BYTES)?;
        let library = name(self.library.as_bytes(), LIBRARY_NAME_BYTES)?;
        let statements = self.statements.iter().map(|statement| statement.as_bytes().len() + 2).sum::<usize>();
        // Large enough from the start, so that growing leaves no copy of the secret behind; the tag of the seal too.
        let length = 2 + device.len() + 2 + library.len() + 8 + 32 + 2 + statements;
        if length > WELCOME_BYTES - 1024 || self.statements.len() > STATEMENTS {
            return Err(PairingFailure::TooLarge);
        }
        let mut out = Zeroizing::new(Vec::with_capacity(length + 64));
        put(&mut out, device.as_bytes());
        put(&mut out, library.as_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(self.secret.expose());
        out.extend_from_slice(&u16::try_from(self.statements.len()).expect("at most 1024").to_le_bytes());
        for statement in &self.statements {
            put(&mut out, statement.as_bytes());
        }
        Ok(out)
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self, PairingFailure> {
        let rest = &mut bytes;
        let device = name(get(rest)?, limits::DEVICE_NAME_BYTES)?.to_owned();
        let library = name(get(rest)?, LIBRARY_NAME_BYTES)?.to_owned();
        let epoch = u64::from_le_bytes(take(rest)?);
        let secret = LibrarySecret::from_bytes(take(rest)?);
        let count = u16::from_le_bytes(take(rest)?);
        let mut statements = Vec::new();
        for _ in 0..count {
            let statement = Statement::decode(get(rest)?);
            statements.push(statement.map_err(|_| PairingFailure::Malformed("statements"))?);
        }
        let whole = rest.is_empty() && statements.len() <= STATEMENTS;
        whole
            .then_some(Self { device, library, epoch, secret, statements })
            .ok_or(PairingFailure::Malformed("handover"))
    }
}

/// Checks a name that will be shown: some text, not too much, on one line.
pub(super) fn name(bytes: &[u8], most: usize) -> Result<&str, PairingFailure> {
    let name = std::str::from_utf8(bytes).ok();
    name.filter(|name| !name.trim().is_empty() && name.len() <= most && !name.contains(char::is_control))
        .ok_or(PairingFailure::Malformed("name"))
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u16::try_from(bytes.len()).expect("names and statements are shorter").to_le_bytes());
    out.extend_from_slice(bytes);
}

fn get<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], PairingFailure> {
    let length = u16::from_le_bytes(take(bytes)?);
    let (taken, rest) = bytes.split_at_checked(usize::from(length)).ok_or(PairingFailure::Malformed("handover"))?;
    *bytes = rest;
    Ok(taken)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], PairingFailure> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(PairingFailure::Malformed("handover"))?;
    *bytes = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::super::super::HostKey;
    use super::super::super::members::Roster;
    use super::*;

    fn handover() -> Handover {
        let secret = LibrarySecret::from_bytes([1; 32]);
        let key = HostKey::from_seed(&[2; 32]);
        let mut roster = Roster::found(&key, "mirror", 3, &secret, [4; 16]);
        roster.accept(&key, HostKey::from_seed(&[3; 32]).id(), false).unwrap();
        let statements = roster.statements().cloned().collect();
        Handover { device: "desk".to_owned(), library: "mirror".to_owned(), epoch: 3, secret, statements }
    }

    #[test]
    fn a_handover_reads_back_whole_and_only_whole() {
        let bytes = handover().encode().unwrap();
        let head = format!("04006465736b06006d6972726f720300000000000000{}0200", "01".repeat(32));
        assert!(HEXLOWER.encode(&bytes).starts_with(&head), "frozen");
        let read = Handover::decode(&bytes).unwrap();
        assert_eq!((read.device, read.library, read.epoch), ("desk".to_owned(), "mirror".to_owned(), 3));
        assert_eq!(read.secret.expose(), &[1; 32]);
        assert_eq!(read.statements, handover().statements);
        for end in 0..bytes.len() {
            assert!(Handover::decode(&bytes[..end]).is_err(), "{end}");
        }
        assert!(Handover::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn names_that_would_spoil_a_screen_are_refused() {
        for name in ["", "  ", "a\nb", "\u{1b}[2J", &"x".repeat(65)] {
            let spoilt = Handover { device: name.to_owned(), ..handover() };
            assert_eq!(spoilt.encode().unwrap_err(), PairingFailure::Malformed("name"), "{name}");
        }
    }

    #[test]
    fn a_full_history_is_handed_over() {
        let full = Handover { statements: vec![handover().statements[1].clone(); STATEMENTS], ..handover() };
        assert!(full.encode().unwrap().len() < WELCOME_BYTES);
        const { assert!(STATEMENTS * (crate::limits::membership::STATEMENT_BYTES + 2) + 2048 <= WELCOME_BYTES) }
        let mut more = full;
        more.statements.push(handover().statements[1].clone());
        assert_eq!(more.encode().unwrap_err(), PairingFailure::TooLarge);
    }
}
