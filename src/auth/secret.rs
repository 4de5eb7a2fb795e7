//! The secret of a library: 32 bytes that are never shown.

use std::fmt;

use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;
use zeroize::Zeroize;
use zeroize::ZeroizeOnDrop;

use super::Phrase;
use crate::limits;

/// The secret of a library (K). It cannot be printed or serialised, and is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LibrarySecret([u8; 32]);

/// By which a start sees, in microseconds, that a secret came from the configured phrase: BLAKE3 of the phrase, keyed
/// with the secret. It may lie beside the secret, and tells nothing without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhraseCheck([u8; 32]);

impl LibrarySecret {
    /// Makes the secret from a phrase by Argon2id (64 MiB, 3 passes, 4 lanes), salted with the name of the library.
    ///
    /// It takes most of a second and 64 MiB: run it on a blocking thread, once, and keep the result.
    ///
    /// # Panics
    /// Never: all lengths are fixed or checked before. Without 64 MiB of memory the process ends, as on any allocation.
    #[must_use]
    pub fn stretch(phrase: &Phrase, library: &str) -> Self {
        let params = Params::new(limits::STRETCH_KIB, limits::STRETCH_PASSES, limits::STRETCH_LANES, Some(32))
            .expect("in range");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut secret = Self([0; 32]);
        argon2
            .hash_password_into(phrase.expose().as_bytes(), &salt(library), &mut secret.0)
            .expect("salt and output have lengths that Argon2 takes");
        secret
    }

    /// Takes the 32 bytes of a secret as they were kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes; for the file in the data folder, and for deriving keys.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Makes the check that goes with a phrase.
    #[must_use]
    pub fn check(&self, phrase: &Phrase) -> PhraseCheck {
        PhraseCheck(blake3::keyed_hash(&self.0, phrase.expose().as_bytes()).into())
    }

    /// Tells, in constant time, whether this secret was stretched from the phrase.
    #[must_use]
    pub fn is_from(&self, phrase: &Phrase, check: &PhraseCheck) -> bool {
        blake3::keyed_hash(&self.0, phrase.expose().as_bytes()) == blake3::Hash::from_bytes(check.0)
    }
}

impl fmt::Debug for LibrarySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LibrarySecret(…)")
    }
}

impl PhraseCheck {
    /// Takes the 32 bytes of a check as they were kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Returns the first 16 bytes of BLAKE3 of `can-sync v1 ` and the name of the library.
fn salt(library: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"can-sync v1 ");
    hasher.update(library.as_bytes());
    let mut salt = [0; 16];
    hasher.finalize_xof().fill(&mut salt);
    salt
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn stretching_is_frozen_and_depends_on_phrase_and_library() {
        let phrase = Phrase::parse("my-secret-phrase").unwrap();
        let secret = LibrarySecret::stretch(&phrase, "mirror");
        assert_eq!(
            HEXLOWER.encode(secret.expose()),
            "9becdc3afe1a16a6a7c512868011b297042b85f0c42c4835309357bd719eeffd"
        );
        let other_library = LibrarySecret::stretch(&phrase, "photos");
        let other_phrase = LibrarySecret::stretch(&Phrase::parse("my-secret-phrasf").unwrap(), "mirror");
        assert_ne!(other_library.expose(), secret.expose());
        assert_ne!(other_phrase.expose(), secret.expose());
    }

    #[test]
    fn the_check_knows_the_phrase_of_a_secret() {
        let secret = LibrarySecret::from_bytes([5; 32]);
        let (phrase, other) = (Phrase::parse("first phrase").unwrap(), Phrase::parse("other phrase").unwrap());
        let check = PhraseCheck::from_bytes(*secret.check(&phrase).as_bytes());
        assert!(secret.is_from(&phrase, &check));
        assert!(!secret.is_from(&other, &check));
        assert!(!LibrarySecret::from_bytes([6; 32]).is_from(&phrase, &check));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", LibrarySecret::from_bytes([7; 32])), "LibrarySecret(…)");
    }
}
