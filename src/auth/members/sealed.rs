//! A secret sealed to a host: only the key of that id opens it.
//!
//! ```text
//! 32  X25519 key made for this one secret
//! 48  ChaCha20-Poly1305 of the secret, under HKDF-SHA256(shared key; key of this secret, recipient, library, epoch)
//! ```
//!
//! The key encrypts once, so its nonce is zero. Who sealed it is not proved here: that the secret is the one an admin
//! has stated is checked against the hash in the history ([`Roster::is_secret_of`](super::Roster::is_secret_of)).

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::montgomery::MontgomeryPoint;
use zeroize::Zeroizing;

use super::super::HostKey;
use super::super::LibrarySecret;
use super::super::one_time;
use crate::asset::HostId;

const LABEL: &[u8] = b"can-sync v1 sealed secret";

/// Bytes of a sealed secret.
pub const SEALED_SECRET_BYTES: usize = 32 + 32 + one_time::TAG;

/// A secret that only one host can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedSecret([u8; SEALED_SECRET_BYTES]);

/// An id to which nothing can be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the id {0} is no key, so the new secret cannot be sealed to it; remove it and pair that device again")]
pub struct NoKey(pub HostId);

/// A sealed secret that does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret for epoch {epoch} of {library} does not open: sealed to another host, for another library, or damaged"
)]
pub struct OpenError {
    /// For which library.
    pub library: String,
    /// For which epoch.
    pub epoch: u64,
}

impl SealedSecret {
    /// Seals the secret of an epoch to a host.
    ///
    /// # Errors
    /// [`NoKey`] when the id is no Ed25519 key, or one that gives the secret away.
    pub fn seal(
        secret: &LibrarySecret,
        library: &str,
        epoch: u64,
        recipient: HostId,
        random: [u8; 32],
    ) -> Result<Self, NoKey> {
        let random = Zeroizing::new(random);
        let point = CompressedEdwardsY(*recipient.as_bytes()).decompress().ok_or(NoKey(recipient))?;
        let made = MontgomeryPoint::mul_base_clamped(*random).to_bytes();
        let shared = Zeroizing::new(point.to_montgomery().mul_clamped(*random).to_bytes());
        let key = key(&shared, &made, library, epoch, recipient).ok_or(NoKey(recipient))?;
        let mut sealed = secret.expose().to_vec();
        key.seal(&mut sealed);
        let bytes = [&made[..], &sealed].concat();
        Ok(Self(bytes.try_into().expect("a key, a secret and a tag")))
    }

    /// Opens what was sealed to this host.
    ///
    /// # Errors
    /// [`OpenError`] when it was sealed to another host, for another library or epoch, or changed on the way.
    pub fn open(&self, key: &HostKey, library: &str, epoch: u64) -> Result<LibrarySecret, OpenError> {
        let error = || OpenError { library: library.to_owned(), epoch };
        let (made, sealed) = self.0.split_first_chunk().expect("a key, a secret and a tag");
        let shared = Zeroizing::new(MontgomeryPoint(*made).mul_clamped(*key.x25519()).to_bytes());
        let key = self::key(&shared, made, library, epoch, key.id()).ok_or_else(error)?;
        let opened = key.open(sealed).ok_or_else(error)?;
        Ok(LibrarySecret::from_bytes(opened.as_slice().try_into().map_err(|_| error())?))
    }

    /// Takes the bytes as they were sent or kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SEALED_SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SEALED_SECRET_BYTES] {
        &self.0
    }
}

/// Returns the key of one sealed secret; `None` when the shared key is zero, as a key of small order makes it.
fn key(shared: &[u8; 32], made: &[u8; 32], library: &str, epoch: u64, recipient: HostId) -> Option<one_time::Key> {
    if *shared == [0; 32] {
        return None;
    }
    let library = blake3::hash(library.as_bytes());
    let context: [&[u8]; 5] = [LABEL, made, recipient.as_bytes(), library.as_bytes(), &epoch.to_le_bytes()];
    Some(one_time::Key::derive(shared, &[], &context))
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    fn secret() -> LibrarySecret {
        LibrarySecret::from_bytes([1; 32])
    }

    #[test]
    fn the_sealed_form_is_frozen() {
        let key = HostKey::from_seed(&[2; 32]);
        let sealed = SealedSecret::seal(&secret(), "mirror", 3, key.id(), [4; 32]).unwrap();
        assert_eq!(
            HEXLOWER.encode(sealed.as_bytes()),
            concat!(
                "ac01b2209e86354fb853237b5de0f4fab13c7fcbf433a61c019369617fecf10b",
                "dfb7b2ca00238e1b8c2b0059b9849ab5364c13517957c6621239e12d64d63422",
                "d186f5aa1affed05e8f075ccb8f8a31e",
            )
        );
    }

    proptest! {
        #[test]
        fn only_the_recipient_opens_it_for_that_library_and_epoch(
            seed: [u8; 32], other: [u8; 32], random: [u8; 32], epoch: u64, at in 0..SEALED_SECRET_BYTES, bit in 0..8_u32
        ) {
            prop_assume!(seed != other);
            let (key, other) = (HostKey::from_seed(&seed), HostKey::from_seed(&other));
            let sealed = SealedSecret::seal(&secret(), "mirror", epoch, key.id(), random).unwrap();
            let opened = SealedSecret::from_bytes(*sealed.as_bytes()).open(&key, "mirror", epoch).unwrap();
            prop_assert_eq!(opened.expose(), &[1; 32]);
            prop_assert!(sealed.open(&other, "mirror", epoch).is_err());
            prop_assert!(sealed.open(&key, "mirror", epoch ^ 1).is_err());
            prop_assert!(sealed.open(&key, "mirrors", epoch).is_err());
            let mut flipped = *sealed.as_bytes();
            flipped[at] ^= 1 << bit;
            prop_assert!(SealedSecret(flipped).open(&key, "mirror", epoch).is_err());
        }
    }

    #[test]
    fn nothing_is_sealed_to_what_is_no_key() {
        // The neutral element, whose shared key everybody knows; and no point at all.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        for id in [neutral, [2; 32]] {
            let id = HostId::from_bytes(id);
            assert_eq!(SealedSecret::seal(&secret(), "mirror", 0, id, [4; 32]), Err(NoKey(id)));
        }
        let error = SealedSecret([0; SEALED_SECRET_BYTES]).open(&HostKey::from_seed(&[2; 32]), "mirror", 5);
        assert_eq!(error.unwrap_err(), OpenError { library: "mirror".to_owned(), epoch: 5 });
    }
}
