//! Envelopes: what leaves the connections between members, sealed so that only members can read and make it.
//!
//! The encoding, frozen: `u8 version = 1`, 24 bytes nonce, then XChaCha20-Poly1305 of the content with its tag of 16
//! bytes. What the content is for is bound to it: an envelope that is carried to another place does not open there.

use chacha20poly1305::KeyInit;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::Aead;
use chacha20poly1305::aead::Payload;

use super::EnvelopeKey;

/// The first byte of an envelope.
const VERSION: u8 = 1;

/// Random bytes that sealing takes. So many may be drawn anew for every envelope without ever meeting twice.
pub const ENVELOPE_NONCE_BYTES: usize = 24;

/// Bytes by which an envelope is longer than its content.
pub const ENVELOPE_OVERHEAD_BYTES: usize = 1 + ENVELOPE_NONCE_BYTES + 16;

/// Bytes that are no envelope of this key and purpose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenEnvelopeError {
    /// Another version, or too short for one.
    #[error("this is no envelope of a known version; another program or a newer can-sync made it")]
    Version,
    /// Sealed with another key or for another place, or changed on its way.
    #[error("the envelope was not sealed by a member for this place")]
    Sealed,
}

impl EnvelopeKey {
    /// Seals a content for one purpose; the nonce is fresh random bytes.
    #[must_use]
    pub fn seal(&self, nonce: [u8; ENVELOPE_NONCE_BYTES], purpose: &[u8], content: &[u8]) -> Vec<u8> {
        let sealed = self.cipher().encrypt(&nonce.into(), Payload { msg: content, aad: purpose });
        let sealed = sealed.expect("no content is as long as the cipher's limit of 256 GiB");
        [&[VERSION], nonce.as_slice(), &sealed].concat()
    }

    /// Opens an envelope that was sealed for this purpose.
    ///
    /// # Errors
    /// [`OpenEnvelopeError`] when no member sealed it for this purpose.
    pub fn open(&self, purpose: &[u8], envelope: &[u8]) -> Result<Vec<u8>, OpenEnvelopeError> {
        let [VERSION, rest @ ..] = envelope else { return Err(OpenEnvelopeError::Version) };
        let (nonce, sealed) = rest.split_first_chunk::<ENVELOPE_NONCE_BYTES>().ok_or(OpenEnvelopeError::Version)?;
        let opened = self.cipher().decrypt(&(*nonce).into(), Payload { msg: sealed, aad: purpose });
        opened.map_err(|_| OpenEnvelopeError::Sealed)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.expose()).into())
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::auth::Keys;
    use crate::auth::LibrarySecret;

    fn key(secret: u8) -> EnvelopeKey {
        Keys::derive(&LibrarySecret::from_bytes([secret; 32])).envelope
    }

    #[test]
    fn the_encoding_is_frozen() {
        let envelope = key(1).seal([7; 24], b"place", b"content");
        assert_eq!(
            HEXLOWER.encode(&envelope),
            "01070707070707070707070707070707070707070707070707bf25b55195cf036516aee315fcaa4b2e198a1aeadfa9a0"
        );
        assert_eq!(envelope.len(), "content".len() + ENVELOPE_OVERHEAD_BYTES);
        assert_eq!(key(1).open(b"place", &envelope).unwrap(), b"content");
    }

    #[test]
    fn an_envelope_opens_only_with_its_key_in_its_place_and_unchanged() {
        let envelope = key(1).seal([7; 24], b"place", b"content");
        assert_eq!(key(2).open(b"place", &envelope), Err(OpenEnvelopeError::Sealed));
        assert_eq!(key(1).open(b"other", &envelope), Err(OpenEnvelopeError::Sealed));
        for at in 0..envelope.len() {
            let mut changed = envelope.clone();
            changed[at] ^= 1;
            assert!(key(1).open(b"place", &changed).is_err(), "{at}");
            assert!(key(1).open(b"place", &envelope[..at]).is_err(), "{at}");
        }
    }
}
