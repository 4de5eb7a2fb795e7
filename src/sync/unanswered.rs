//! What a peer has offered and was not answered about: a window that the peer has to keep to.

use std::collections::BTreeMap;

use super::Offer;
use crate::asset::AssetId;
use crate::asset::Digest;
use crate::limits;

/// The versions a peer has offered, with the bytes of their documents.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    versions: BTreeMap<AssetId, (Digest, usize)>,
    bytes: usize,
}

impl Unanswered {
    pub(super) fn len(&self) -> usize {
        self.versions.len()
    }

    /// Tells whether a version was offered and not answered about.
    pub(super) fn has(&self, asset: &AssetId, version: &Digest) -> bool {
        self.versions.get(asset).is_some_and(|(offered, _)| offered == version)
    }

    /// Tells whether another version of an asset than this was offered and not answered about.
    pub(super) fn has_other(&self, asset: &AssetId, version: &Digest) -> bool {
        self.versions.get(asset).is_some_and(|(offered, _)| offered != version)
    }

    /// Takes in an offer; the error says what the peer does not keep to. It may be as much again ahead of what it has
    /// heard as it may offer at all.
    pub(super) fn take(&mut self, offer: &Offer) -> Result<(), String> {
        let bytes = offer.bytes();
        self.bytes += bytes;
        let again = self.versions.insert(offer.key.id, (offer.version(), bytes)).is_some();
        let (most, most_bytes) = (2 * limits::OFFERS_OPEN, 2 * limits::OFFERS_OPEN_BYTES);
        if again {
            return Err("an asset is offered again before it was answered about".to_owned());
        }
        if self.versions.len() > most {
            return Err(format!("more than {most} offers without an answer"));
        }
        if self.bytes > most_bytes {
            return Err(format!("offers of more than {most_bytes} bytes without an answer"));
        }
        Ok(())
    }

    /// Takes away what is answered about.
    pub(super) fn answered(&mut self, asset: &AssetId, version: &Digest) {
        if self.has(asset, version)
            && let Some((_, bytes)) = self.versions.remove(asset)
        {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::asset::AssetKey;
    use crate::asset::Changes;
    use crate::asset::HostId;
    use crate::asset::LocalDocument;
    use crate::asset::Timestamp;
    use crate::asset::names;

    fn offer(number: u32, text: &str) -> Offer {
        let mut document = LocalDocument::default();
        document.change(&Changes::new().set(names::DESCRIPTION, text), 1_800_000_000_000, HostId::from_bytes([1; 32]));
        let id = AssetId::from_bytes(blake3::hash(&number.to_le_bytes()).into());
        let key = AssetKey { id, timestamp: Timestamp::new(1_800_000_000_000).unwrap(), size: 1 };
        Offer::new(key, document.into_shared())
    }

    #[test]
    fn a_peer_waits_for_answers() {
        let mut unanswered = Unanswered::default();
        let (first, second) = (offer(1, "one"), offer(1, "another"));
        unanswered.take(&first).unwrap();
        unanswered.answered(&first.key.id, &first.version());
        assert_eq!((unanswered.len(), unanswered.bytes), (0, 0));
        unanswered.take(&second).unwrap();
        // The answer about another version says nothing about this one.
        unanswered.answered(&first.key.id, &first.version());
        assert!(unanswered.has(&second.key.id, &second.version()));
        assert!(unanswered.has_other(&first.key.id, &first.version()));
        assert!(!unanswered.has_other(&second.key.id, &second.version()));
        assert!(unanswered.take(&first).unwrap_err().contains("again"));
    }

    #[test]
    fn neither_many_nor_large_documents_gather() {
        let mut unanswered = Unanswered::default();
        let most = u32::try_from(2 * limits::OFFERS_OPEN).unwrap();
        (0..most).for_each(|number| unanswered.take(&offer(number, "small")).unwrap());
        assert!(unanswered.take(&offer(most, "small")).unwrap_err().contains("offers without"));
        let (mut unanswered, large) = (Unanswered::default(), "x".repeat(60_000));
        let refused = (0..most).find_map(|number| unanswered.take(&offer(number, &large)).err()).unwrap();
        assert!(refused.contains("bytes") && unanswered.bytes < 2 * limits::OFFERS_OPEN_BYTES + 70_000, "{refused}");
    }
}
