//! The keys that are derived from the secret of a library, one per purpose.

use std::fmt;

use data_encoding::HEXLOWER;
use ring::hkdf;
use zeroize::Zeroize;
use zeroize::ZeroizeOnDrop;
use zeroize::Zeroizing;

use super::LibrarySecret;

// The labels are frozen: another label is another key.
macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $label:literal) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            fn derive(secret: &hkdf::Prk) -> Self {
                let mut key = Self([0; 32]);
                secret
                    .expand(&[$label], hkdf::HKDF_SHA256)
                    .and_then(|okm| okm.fill(&mut key.0))
                    .expect("HKDF-SHA256 gives up to 8160 bytes");
                key
            }

            /// Returns the 32 bytes.
            #[must_use]
            pub const fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

key! {
    /// From which the rendezvous slots are derived.
    RendezvousKey, b"can-sync v1 rendezvous"
}
key! {
    /// Names the gossip topic of the library.
    TopicKey, b"can-sync v1 gossip topic"
}
key! {
    /// Proves membership on a connection.
    ProofKey, b"can-sync v1 connection proof"
}
key! {
    /// Seals what leaves the connections between members.
    EnvelopeKey, b"can-sync v1 envelope"
}

/// Every key of a library.
#[derive(Debug, Clone)]
pub struct Keys {
    /// For rendezvous.
    pub rendezvous: RendezvousKey,
    /// For the gossip topic.
    pub topic: TopicKey,
    /// For the connection proof.
    pub proof: ProofKey,
    /// For envelopes.
    pub envelope: EnvelopeKey,
}

impl Keys {
    /// Derives the keys from the secret by HKDF-SHA256 without salt: the secret is uniformly random already.
    #[must_use]
    pub fn derive(secret: &LibrarySecret) -> Self {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secret.expose());
        Self {
            rendezvous: RendezvousKey::derive(&secret),
            topic: TopicKey::derive(&secret),
            proof: ProofKey::derive(&secret),
            envelope: EnvelopeKey::derive(&secret),
        }
    }
}

impl RendezvousKey {
    /// Returns the key in hex, as the slots are derived from it.
    #[must_use]
    pub fn hex(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER.encode(&self.0))
    }

    /// Returns the Ed25519 seed of a rendezvous slot.
    #[must_use]
    pub fn slot_seed(&self, slot: u8) -> Zeroizing<[u8; 32]> {
        slot_seed(&self.hex(), slot)
    }
}

/// The derivation of a slot's seed, from the text that stands for the secret in it.
fn slot_seed(secret: &str, slot: u8) -> Zeroizing<[u8; 32]> {
    let text = Zeroizing::new(format!("can-sync-rendezvous:{secret}:{slot}"));
    Zeroizing::new(blake3::hash(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use ring::signature::Ed25519KeyPair;
    use ring::signature::KeyPair;

    use super::*;

    #[test]
    fn derived_keys_are_frozen() {
        let keys = Keys::derive(&LibrarySecret::from_bytes([1; 32]));
        let hex = |key: &[u8; 32]| HEXLOWER.encode(key);
        assert_eq!(hex(keys.rendezvous.expose()), "59a9fb9dd675cf71d58252974f47edc548823542fb46402ecaefc805d23ab829");
        assert_eq!(hex(keys.topic.expose()), "88fed5cf3d1345a5908f3bdf9813fd6e9548d9a6728109c3f948369783b5af35");
        assert_eq!(hex(keys.proof.expose()), "c425894170592c2b9a0c7f0ce25b408e7560d519b2b1a082dfb3d6a9fd747832");
        assert_eq!(hex(keys.envelope.expose()), "c4ff89931909b30aa8fd43492fb05662df4bdd49a250e170b25ce241a014bd45");
        assert_eq!(
            hex(&keys.rendezvous.slot_seed(3)),
            "3ec4147bbe4bd399aa0d9c851578eddda1e1e3df635d7232acd8c9bb41ebf342"
        );
    }

    #[test]
    fn slots_are_derived_as_published() {
        let z_base_32 = {
            let mut specification = data_encoding::Specification::new();
            specification.symbols.push_str("ybndrfg8ejkmcpqxot1uwisza345h769");
            specification.encoding().unwrap()
        };
        for (slot, public) in [
            (0, "tic7sa569tzhisnh6i89adxyjejjxa59ps7f8p39owc3811iirwy"),
            (7, "1jwsqiasoezzp3bwp1k64yoq1p3757qyjkh9b1ojj57pkcxmtydo"),
        ] {
            let pair = Ed25519KeyPair::from_seed_unchecked(slot_seed("my-secret-phrase", slot).as_slice()).unwrap();
            assert_eq!(z_base_32.encode(pair.public_key().as_ref()), public);
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", Keys::derive(&LibrarySecret::from_bytes([1; 32])));
        assert!(shown.contains("ProofKey(…)"), "{shown}");
        assert!(!shown.contains(char::is_numeric), "{shown}");
    }
}
