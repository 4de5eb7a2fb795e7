//! The one home of the id rule: SHA-256 over the 13 digits of the timestamp, then the content.

use std::fmt;

use ring::digest;

use super::AssetId;
use super::AssetKey;
use super::Timestamp;
use super::bytes32;

/// BLAKE3 of a content, kept from the first hashing on; thirteen times cheaper to check than the id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest([u8; 32]);

bytes32!(ContentDigest);

impl ContentDigest {
    /// Computes the digest of a content that is in memory.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(blake3::hash(content).into())
    }
}

/// Content that does not belong to the id it came under.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("content does not match its id: expected {expected}, found {found} over {size} bytes")]
pub struct Mismatch {
    /// The id the content was expected to have.
    pub expected: AssetId,
    /// The id it has.
    pub found: AssetId,
    /// How many bytes were hashed.
    pub size: u64,
}

/// Proof that a content was hashed whole and belongs to its id.
///
/// No store takes bytes without one. It cannot be copied, read from a file or built by hand: the only maker is
/// [`Verifier::finish`].
#[derive(Debug)]
pub struct Verified {
    key: AssetKey,
    content: ContentDigest,
}

impl Verified {
    /// Returns id, timestamp and size of the content that was hashed.
    #[must_use]
    pub const fn key(&self) -> AssetKey {
        self.key
    }

    /// Returns the BLAKE3 of the content.
    #[must_use]
    pub const fn content(&self) -> ContentDigest {
        self.content
    }
}

/// Hashes a content as it passes, in order, once.
#[derive(Clone)]
pub struct Verifier {
    timestamp: Timestamp,
    sha256: digest::Context,
    blake3: blake3::Hasher,
    size: u64,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("timestamp", &self.timestamp).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Starts with the timestamp, whose 13 digits come before the content.
    #[must_use]
    pub fn new(timestamp: Timestamp) -> Self {
        let mut sha256 = digest::Context::new(&digest::SHA256);
        sha256.update(timestamp.to_string().as_bytes());
        Self { timestamp, sha256, blake3: blake3::Hasher::new(), size: 0 }
    }

    /// Hashes the next piece of content.
    pub fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.blake3.update(piece);
        self.size += piece.len() as u64;
    }

    /// Returns how many bytes of content were hashed.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the id of what was hashed up to here.
    #[must_use]
    pub fn id(&self) -> AssetId {
        let digest = self.sha256.clone().finish();
        AssetId::try_from(digest.as_ref()).expect("SHA-256 has 32 bytes")
    }

    /// Checks what was hashed against the id it must have.
    ///
    /// # Errors
    /// [`Mismatch`] names both ids when they differ; the content must then be discarded.
    pub fn finish(self, expected: &AssetId) -> Result<Verified, Mismatch> {
        let found = self.id();
        if found != *expected {
            return Err(Mismatch { expected: *expected, found, size: self.size });
        }
        Ok(Verified {
            key: AssetKey { id: found, timestamp: self.timestamp, size: self.size },
            content: ContentDigest(self.blake3.finalize().into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp() -> Timestamp {
        Timestamp::new(1_700_000_000_000).unwrap()
    }

    #[test]
    fn the_id_covers_thirteen_digits_and_the_content() {
        // printf 1700000000000hello | sha256sum
        let known = "52de5498a48a578f4742539651a91a9248655c2273d49a42782c5bb668481c01";
        let mut verifier = Verifier::new(timestamp());
        verifier.update(b"hel");
        verifier.update(b"lo");
        assert_eq!(verifier.id().to_string(), known);
    }

    #[test]
    fn only_the_right_id_verifies() {
        let mut verifier = Verifier::new(timestamp());
        verifier.update(b"hello");
        let id = verifier.id();
        let verified = verifier.clone().finish(&id).unwrap();
        assert_eq!(verified.key(), AssetKey { id, timestamp: timestamp(), size: 5 });
        assert_eq!(verified.content(), ContentDigest::of(b"hello"));
        let other = AssetId::from_bytes([7; 32]);
        assert_eq!(verifier.finish(&other).unwrap_err().found, id);
    }
}
