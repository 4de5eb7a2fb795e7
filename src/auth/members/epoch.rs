//! How a secret is named where secrets are spoken of in the open.

use std::fmt;

use data_encoding::HEXLOWER;

use super::super::LibrarySecret;

/// By which a secret is named in signed statements: BLAKE3 keyed with the secret. It tells nothing of a random secret;
/// of a weak phrase it is one more thing to test guesses on, so it stays among those who held that secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Returns the hash of a secret.
    #[must_use]
    pub fn of(secret: &LibrarySecret) -> Self {
        Self(blake3::keyed_hash(secret.expose(), b"can-sync v1 secret hash").into())
    }

    /// Takes the 32 bytes as they were sent or kept.
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

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({})", HEXLOWER.encode(&self.0[..5]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_secret_is_frozen() {
        let hash = SecretHash::of(&LibrarySecret::from_bytes([1; 32]));
        assert_eq!(
            HEXLOWER.encode(hash.as_bytes()),
            "ce4f442d2ed922558fd1c467142092d82bda77d636a56e2775cfde7f6f085546"
        );
        assert_ne!(hash, SecretHash::of(&LibrarySecret::from_bytes([2; 32])));
    }
}
