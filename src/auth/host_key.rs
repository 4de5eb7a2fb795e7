//! The key of this host: what its id is the public half of.

use std::fmt;

use ed25519_dalek::Signature;
use ed25519_dalek::Signer;
use ed25519_dalek::SigningKey;
use ed25519_dalek::VerifyingKey;
use zeroize::Zeroizing;

use crate::asset::HostId;

/// The Ed25519 key of a host. It signs statements and opens what is sealed to the host's id; it cannot be printed, and
/// is wiped when dropped.
#[derive(Clone)]
pub struct HostKey(SigningKey);

impl HostKey {
    /// Takes the 32 secret bytes as the endpoint has them.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Returns the id that goes with the key.
    #[must_use]
    pub fn id(&self) -> HostId {
        HostId::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs a content for one purpose; no signature for another purpose is one for this.
    #[must_use]
    pub fn sign_for(&self, purpose: Purpose, content: &[u8]) -> [u8; 64] {
        self.sign(&purpose.covers(content))
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Returns the X25519 secret that belongs to the same id.
    pub(super) fn x25519(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({}, …)", self.id().fmt_short())
    }
}

/// What a host signs beside statements about members, which have a beginning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Where the host is, and what it does, in gossip.
    Announcement,
}

impl Purpose {
    /// Returns what a signature is over: 32 bytes that begin every content of this purpose, and the content.
    fn covers(self, content: &[u8]) -> Vec<u8> {
        let label: &[u8; 32] = match self {
            Self::Announcement => b"can-sync gossip announcement 1 :",
        };
        [label, content].concat()
    }

    /// Tells whether the host signed the content for this purpose.
    #[must_use]
    pub fn is_signed_by(self, host: HostId, content: &[u8], signature: &[u8; 64]) -> bool {
        is_signed_by(host, &self.covers(content), signature)
    }
}

/// Tells whether the host signed the message. Strict: keys of small order and second spellings of a signature are out.
pub(super) fn is_signed_by(host: HostId, message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(host.as_bytes())
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_host_its_purpose_and_its_content() {
        let (key, other) = (HostKey::from_seed(&[1; 32]), HostKey::from_seed(&[2; 32]));
        let signature = key.sign_for(Purpose::Announcement, b"content");
        assert!(Purpose::Announcement.is_signed_by(key.id(), b"content", &signature));
        assert!(!Purpose::Announcement.is_signed_by(other.id(), b"content", &signature));
        assert!(!Purpose::Announcement.is_signed_by(key.id(), b"contents", &signature));
        assert!(!is_signed_by(key.id(), b"content", &signature));
        assert!(!Purpose::Announcement.is_signed_by(key.id(), b"content", &key.sign(b"content")));
    }
}
