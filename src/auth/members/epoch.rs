//! How a secret is named where secrets are spoken of in the open.

use super::super::LibrarySecret;
use crate::asset::bytes32;

/// By which a secret is named in signed statements: BLAKE3 keyed with the secret. It tells nothing of a random secret;
/// of a weak phrase it is one more thing to test guesses on, so it stays among those who held that secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; 32]);

bytes32!(SecretHash);

impl SecretHash {
    /// Returns the hash of a secret.
    #[must_use]
    pub fn of(secret: &LibrarySecret) -> Self {
        Self(blake3::keyed_hash(secret.expose(), b"can-sync v1 secret hash").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_secret_is_frozen() {
        let hash = SecretHash::of(&LibrarySecret::from_bytes([1; 32]));
        assert_eq!(
            data_encoding::HEXLOWER.encode(hash.as_bytes()),
            "ce4f442d2ed922558fd1c467142092d82bda77d636a56e2775cfde7f6f085546"
        );
        assert_ne!(hash, SecretHash::of(&LibrarySecret::from_bytes([2; 32])));
    }
}
