//! Encryption under keys that are derived for one text and never used again.

use ring::aead;
use ring::hkdf;
use zeroize::Zeroizing;

/// Bytes that sealing adds.
pub(super) const TAG: usize = 16;

/// A key of ChaCha20-Poly1305 for one text: the nonce is zero, and sealing consumes the key.
pub(super) struct Key(aead::LessSafeKey);

impl Key {
    /// Derives the key by HKDF-SHA256. All parts of the context but one at most have fixed lengths.
    pub(super) fn derive(secret: &[u8], salt: &[u8], context: &[&[u8]]) -> Self {
        let key = derive(secret, salt, context);
        let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key.as_slice()).expect("a key of 32 bytes");
        Self(aead::LessSafeKey::new(key))
    }

    /// Turns a text into its sealed form, which is [`TAG`] bytes longer.
    pub(super) fn seal(self, text: &mut Vec<u8>) {
        self.0.seal_in_place_append_tag(nonce(), aead::Aad::empty(), text).expect("a text is far below 256 GiB");
    }

    /// Returns the text of a sealed form; `None` when it was sealed with another key, or changed.
    pub(super) fn open(self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut text = Zeroizing::new(sealed.to_vec());
        let length = self.0.open_in_place(nonce(), aead::Aad::empty(), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// Derives 32 bytes by HKDF-SHA256.
pub(super) fn derive(secret: &[u8], salt: &[u8], context: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(context, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .expect("HKDF-SHA256 gives up to 8160 bytes");
    key
}

fn nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}
