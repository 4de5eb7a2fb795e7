//! The local document: the shared one with local values laid over it.

use std::collections::BTreeMap;

use super::Changes;
use super::DecodeError;
use super::Document;
use super::Field;
use super::HostId;
use super::Metadata;
use super::Stamp;
use super::Value;
use super::document::is_tag;
use super::encoding;

/// A value that stays on this host and hides the shared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalValue {
    /// What is seen here.
    pub value: Value,
    /// The stamp of the shared field it lies over. A higher one ends it.
    pub over: Stamp,
}

/// What one host holds about an asset: the shared document and the values seen only here.
///
/// A local value was withheld by a before-push edit or set by an after-receive edit. It stays until the shared field
/// gets a higher stamp, by whomever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalDocument {
    shared: Document,
    values: BTreeMap<String, LocalValue>,
}

impl LocalDocument {
    /// Puts a document together from its parts; values that lie over an older field are left out.
    #[must_use]
    pub fn from_parts(shared: Document, values: impl IntoIterator<Item = (String, LocalValue)>) -> Self {
        let mut document = Self { shared, values: values.into_iter().collect() };
        document.drop_ended();
        document
    }

    /// Returns the document as it travels.
    #[must_use]
    pub const fn shared(&self) -> &Document {
        &self.shared
    }

    /// Takes the shared document out.
    #[must_use]
    pub fn into_shared(self) -> Document {
        self.shared
    }

    /// Goes through the local values in the order of field names.
    pub fn values(&self) -> impl Iterator<Item = (&str, &LocalValue)> {
        self.values.iter().map(|(name, local)| (name.as_str(), local))
    }

    /// Tells whether nothing is known about the asset.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.values.is_empty()
    }

    /// Returns what a field holds as seen on this host.
    #[must_use]
    pub fn value(&self, name: &str) -> &Value {
        let shared = self.shared.get(name).map_or(&Value::Absent, |field| &field.value);
        self.values.get(name).map_or(shared, |local| &local.value)
    }

    /// Returns the flat view as seen on this host.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        let hidden = |name: &str| self.values.contains_key(name);
        let shared = self.shared.iter().filter(|(name, _)| !hidden(name)).map(|(name, field)| (name, &field.value));
        Metadata::of(shared.chain(self.values().map(|(name, local)| (name, &local.value))))
    }

    /// Takes in what is seen for the first time: fields that have no value yet get the zero stamp.
    pub fn see(&mut self, seen: &Changes) {
        for (name, value) in seen.iter() {
            if self.shared.get(name).is_none() {
                self.shared.insert(name, Field { value: value.clone(), stamp: Stamp::ZERO });
            }
        }
    }

    /// Makes changes by hand: every field that is seen to differ gets a new stamp, which ends a local value there. A tag
    /// that is only here just goes: a removal that is shared would name it.
    pub fn change(&mut self, changes: &Changes, now_ms: u64, host: HostId) {
        for (name, value) in changes.iter() {
            if self.value(name) != value {
                if *value == Value::Absent && is_tag(name) && self.shared.get(name).is_none() {
                    self.values.remove(name);
                    continue;
                }
                let over = self.values.get(name).map_or(Stamp::ZERO, |local| local.over);
                let stamp = Stamp::above(self.shared.stamp(name).max(over), now_ms, host);
                self.shared.merge(&[(name.to_owned(), Field { value: value.clone(), stamp })].into_iter().collect());
            }
        }
        self.drop_ended();
    }

    /// Merges a document that came from a peer.
    pub fn merge(&mut self, other: &Document) {
        self.shared.merge(other);
        self.drop_ended();
    }

    /// Lays values over the shared fields, on this host alone (an after-receive edit).
    pub fn lay(&mut self, edits: &Changes) {
        for (name, value) in edits.iter() {
            if self.value(name) != value {
                let over = self.shared.stamp(name);
                self.values.insert(name.to_owned(), LocalValue { value: value.clone(), over });
            }
        }
    }

    /// Changes what is shared and keeps what was there as local values (a before-push edit).
    ///
    /// Only fields for which `ours` holds are changed: what came from a peer is passed on as it came. A changed field
    /// keeps its stamp, since the value before was never shared under it; a field that was not there gets the zero
    /// stamp. A tag that is dropped leaves no field behind, since its name is what is to be kept back; but for one that
    /// came back from others, who know it then.
    pub fn withhold(&mut self, edits: &Changes, ours: impl Fn(&str, &Field) -> bool) {
        for (name, value) in edits.iter() {
            match self.shared.get(name) {
                Some(field) if field.value == *value || !ours(name, field) => {}
                Some(field) => {
                    let stamp = field.stamp;
                    let kept = LocalValue { value: self.value(name).clone(), over: stamp };
                    let came_back = self.values.insert(name.to_owned(), kept).is_some();
                    if *value == Value::Absent && is_tag(name) && !came_back {
                        self.shared.remove(name);
                    } else {
                        self.shared.insert(name, Field { value: value.clone(), stamp });
                    }
                }
                None if *value == Value::Absent => {}
                None => self.shared.insert(name, Field { value: value.clone(), stamp: Stamp::ZERO }),
            }
        }
    }

    /// Returns the stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode_local(self)
    }

    /// Returns the stored form of the local values alone.
    #[must_use]
    pub fn encode_values(&self) -> Vec<u8> {
        encoding::encode_values(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no local document.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        encoding::decode_local(bytes)
    }

    fn drop_ended(&mut self) {
        let shared = &self.shared;
        self.values.retain(|name, local| shared.stamp(name) <= local.over);
    }
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn host(n: u8) -> HostId {
        HostId::from_bytes([n; 32])
    }

    fn ours(_: &str, _: &Field) -> bool {
        true
    }

    #[test]
    fn what_is_seen_first_loses_to_any_change() {
        let mut a = LocalDocument::default();
        a.see(&Changes::new().set(names::PATH, "first"));
        let mut b = LocalDocument::default();
        b.change(&Changes::new().set(names::PATH, "changed"), 0, host(1));
        a.merge(b.shared());
        assert_eq!(a.metadata().path.as_deref(), Some("changed"));
    }

    #[test]
    fn a_withheld_value_is_seen_here_and_not_shared_until_the_field_changes() {
        let mut document = LocalDocument::default();
        document.see(&Changes::new().set(names::PATH, "secret"));
        document.withhold(&Changes::new().clear(names::PATH).add_tag("redacted"), ours);
        assert_eq!(document.metadata().path.as_deref(), Some("secret"));
        assert_eq!(document.shared().metadata().path, None);
        assert!(document.metadata().tags.contains("redacted"));
        assert_eq!(LocalDocument::decode(&document.encode()).unwrap(), document);

        // The peer's copy of the same stamp does not end it, a change does.
        document.merge(&document.shared().clone());
        assert_eq!(document.metadata().path.as_deref(), Some("secret"));
        let mut peer = LocalDocument::from_parts(document.shared().clone(), []);
        peer.change(&Changes::new().set(names::PATH, "open"), NOW, host(2));
        document.merge(peer.shared());
        assert_eq!(document.metadata().path.as_deref(), Some("open"));
        assert_eq!(document.values().count(), 0);
    }

    #[test]
    fn a_tag_that_is_withheld_is_not_even_named_to_others() {
        let named = |document: &LocalDocument| document.shared().get("tag/client-x").is_some();
        let drop = Changes::new().remove_tag("client-x");
        let mut document = LocalDocument::default();
        document.see(&Changes::new().add_tag("client-x").add_tag("open"));
        document.change(&Changes::new().add_tag("client-x").set(names::USER, "ann"), NOW, host(1));
        document.withhold(&drop, ours);
        assert!(document.metadata().tags.contains("client-x") && !named(&document));
        assert_eq!(LocalDocument::decode(&document.encode()).unwrap(), document);
        let before = document.clone();
        document.withhold(&drop, ours);
        document.merge(&before.shared().clone());
        assert_eq!(document, before);

        // Nor when it is removed by hand; added again, it is withheld again.
        document.change(&drop, NOW + 1, host(1));
        assert!(!document.metadata().tags.contains("client-x") && !named(&document));
        assert_eq!(document.shared(), before.shared());
        document.change(&Changes::new().add_tag("client-x"), NOW + 2, host(1));
        assert!(named(&document));
        document.withhold(&drop, ours);
        assert!(document.metadata().tags.contains("client-x") && !named(&document));
    }

    #[test]
    fn a_tag_that_others_know_is_removed_everywhere_by_hand_though_it_was_withheld() {
        let drop = Changes::new().remove_tag("draft");
        let mut document = LocalDocument::default();
        document.see(&Changes::new().add_tag("draft"));
        let mut peer = LocalDocument::from_parts(document.shared().clone(), []);
        document.withhold(&drop, ours);
        document.merge(peer.shared());
        document.withhold(&drop, ours);
        assert!(document.metadata().tags.contains("draft") && !document.shared().metadata().tags.contains("draft"));
        peer.merge(document.shared());
        assert!(peer.metadata().tags.contains("draft"), "what was shared is not recalled");
        document.change(&drop, NOW, host(1));
        peer.merge(document.shared());
        assert!(!document.metadata().tags.contains("draft") && !peer.metadata().tags.contains("draft"));
    }

    #[test]
    fn what_came_from_a_peer_is_passed_on_as_it_came() {
        let mut document = LocalDocument::default();
        document.see(&Changes::new().set(names::USER, "ann"));
        let before = document.clone();
        document.withhold(&Changes::new().clear(names::USER), |_, _| false);
        assert_eq!(document, before);
    }

    #[test]
    fn a_change_by_hand_ends_a_local_value() {
        let mut document = LocalDocument::default();
        document.see(&Changes::new().set(names::FILE_NAME, "IMG_1.JPG"));
        document.lay(&Changes::new().set(names::FILE_NAME, "img_1.jpg").add_tag("auto"));
        assert_eq!(document.shared().metadata().file_name.as_deref(), Some("IMG_1.JPG"));
        document.change(&Changes::new().remove_tag("auto").set(names::FILE_NAME, "IMG_1.JPG"), NOW, host(1));
        let seen = document.metadata();
        assert_eq!(seen.file_name.as_deref(), Some("IMG_1.JPG"));
        assert!(seen.tags.is_empty());
    }

    #[test]
    fn a_change_to_what_is_seen_already_makes_no_new_stamp() {
        let mut document = LocalDocument::default();
        document.change(&Changes::new().add_tag("a"), NOW, host(1));
        let before = document.clone();
        document.change(&Changes::new().add_tag("a").remove_tag("b"), NOW + 5, host(1));
        assert_eq!(document, before);
    }
}
