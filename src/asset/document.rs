//! The document: the mergeable form of one asset's metadata.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::OnceLock;

use super::Metadata;
use super::Stamp;
use super::bytes32;
use super::encoding;
use crate::limits;

/// Names of the fields every host knows. A tag is a field of its own under a prefix.
pub mod names {
    /// Media type, such as `image/png`.
    pub const MIME_TYPE: &str = "mime_type";
    /// File name for people; data, never a path.
    pub const FILE_NAME: &str = "file_name";
    /// Logical folder for people; data, never a path.
    pub const PATH: &str = "path";
    /// Program that made the asset.
    pub const APPLICATION: &str = "application";
    /// Person who made the asset.
    pub const USER: &str = "user";
    /// Free text.
    pub const DESCRIPTION: &str = "description";
    /// Whether the asset is in the trash.
    pub const TRASHED: &str = "trashed";
    /// The text fields, in the order people read them.
    pub const TEXTS: [&str; 6] = [MIME_TYPE, FILE_NAME, PATH, APPLICATION, USER, DESCRIPTION];
    /// What the name of a tag's field begins with.
    pub const TAG_PREFIX: &str = "tag/";

    /// Returns the name of a tag's field.
    #[must_use]
    pub fn tag(tag: &str) -> String {
        format!("{TAG_PREFIX}{tag}")
    }
}

/// What a field holds. Absent sorts below every text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Cleared, or a removed tag.
    Absent,
    /// A text; for a tag the empty one, for `trashed` the word `true` or `false`.
    Text(String),
}

impl Value {
    /// Makes the value of a yes-or-no field.
    #[must_use]
    pub fn flag(yes: bool) -> Self {
        Self::Text(if yes { "true" } else { "false" }.to_owned())
    }

    /// Returns the text, if there is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(text),
        }
    }

    /// Tells whether this is the yes of a yes-or-no field.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        self.text() == Some("true")
    }
}

/// One field: what it holds and since which change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What it holds.
    pub value: Value,
    /// Which change made it so.
    pub stamp: Stamp,
}

impl Field {
    /// Tells whether this field wins over another of the same name: the higher stamp; at equal stamps the greater
    /// value, for `trashed` the one that is not a yes.
    fn beats(&self, other: &Self, name: &str) -> bool {
        let rank = |field: &Self| name == names::TRASHED && !field.value.is_yes();
        (self.stamp, rank(self), &self.value) > (other.stamp, rank(other), &other.value)
    }
}

/// BLAKE3 over the frozen encoding of a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

bytes32!(Digest);

/// The mergeable metadata of one asset: a map from field name to value and stamp.
///
/// Merging is commutative, associative and idempotent, so hosts that have seen the same changes in any order hold the
/// same document. Fields of unknown name are kept, merged and passed on. A clone shares them, and the digest with them,
/// until one of the two is changed: on its way, a document is part of an offer, of what was decided and of what is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document(
    /// `None` without fields.
    Option<Arc<Fields>>,
);

#[derive(Debug, Default)]
struct Fields {
    by_name: BTreeMap<String, Field>,
    /// Once somebody wanted it.
    digest: OnceLock<Digest>,
}

/// For those who are about to change it, so without the digest.
impl Clone for Fields {
    fn clone(&self) -> Self {
        Self { by_name: self.by_name.clone(), digest: OnceLock::new() }
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.by_name == other.by_name
    }
}

impl Eq for Fields {}

impl Document {
    /// Starts without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name().is_empty()
    }

    /// Returns a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.by_name().get(name)
    }

    /// Returns the stamp of a field, zero when there is no such field.
    #[must_use]
    pub fn stamp(&self, name: &str) -> Stamp {
        self.get(name).map_or(Stamp::ZERO, |field| field.stamp)
    }

    /// Goes through the fields in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.by_name().iter().map(|(name, field)| (name.as_str(), field))
    }

    /// Puts a field in, whatever was there.
    pub fn insert(&mut self, name: impl Into<String>, field: Field) {
        self.by_name_mut().insert(name.into(), field);
    }

    /// Takes a field out, as if it had never been there. Only for what nobody else has: a merge brings it back.
    pub(super) fn remove(&mut self, name: &str) {
        self.by_name_mut().remove(name);
        if self.by_name().is_empty() {
            self.0 = None;
        }
    }

    /// Takes over every field of `other` that beats the one here, then keeps within the field counts.
    /// Tells whether anything changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        // Only where fields may have to give way again it is not enough to see what is taken.
        if self.by_name().len() + other.by_name().len() <= limits::TAG_FIELDS.min(limits::UNKNOWN_FIELDS) {
            return self.take(other);
        }
        let before = self.clone();
        self.take(other);
        self.keep_within(limits::TAG_FIELDS, is_tag);
        self.keep_within(limits::UNKNOWN_FIELDS, is_unknown);
        *self != before
    }

    /// Takes over the fields that beat those that are here; tells whether there were any.
    fn take(&mut self, other: &Self) -> bool {
        if self.is_empty() {
            self.clone_from(other);
            return !self.is_empty();
        }
        let own = self.by_name();
        let beats = |(name, field): &(&String, &Field)| own.get(*name).is_none_or(|own| field.beats(own, name));
        let taken: Vec<_> = other.by_name().iter().filter(beats).collect();
        if taken.is_empty() {
            return false;
        }
        self.by_name_mut().extend(taken.into_iter().map(|(name, field)| (name.clone(), field.clone())));
        true
    }

    /// Returns the merge of two documents.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let mut merged = self.clone();
        merged.merge(other);
        merged
    }

    /// Tells whether merging `other` would change nothing.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other.iter().all(|(name, field)| self.get(name).is_some_and(|own| !field.beats(own, name)))
            || !self.clone().merge(other)
    }

    /// Splits off the fields stamped too far ahead of `now_ms` (Unix milliseconds).
    #[must_use]
    pub fn split_early(self, now_ms: u64) -> (Self, Self) {
        if !self.iter().any(|(_, field)| field.stamp.is_early(now_ms)) {
            return (self, Self::new());
        }
        let fields = self.0.map(Arc::unwrap_or_clone).unwrap_or_default().by_name.into_iter();
        let (early, rest) = fields.partition(|(_, field)| field.stamp.is_early(now_ms));
        (Self::of(rest), Self::of(early))
    }

    /// Returns BLAKE3 over the frozen encoding.
    #[must_use]
    pub fn digest(&self) -> Digest {
        static OF_NONE: LazyLock<Digest> = LazyLock::new(|| Document::default().hashed());
        match &self.0 {
            Some(fields) => *fields.digest.get_or_init(|| self.hashed()),
            None => *OF_NONE,
        }
    }

    fn hashed(&self) -> Digest {
        // The context of a key is hashed too, once and not for every document.
        static HASHER: LazyLock<blake3::Hasher> =
            LazyLock::new(|| blake3::Hasher::new_derive_key("can-sync v1 document"));
        let mut hasher = HASHER.clone();
        hasher.update(&encoding::encode_document(self));
        Digest(hasher.finalize().into())
    }

    /// Returns the frozen encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode_document(self)
    }

    /// Reads the frozen encoding.
    ///
    /// # Errors
    /// [`DecodeError`](super::DecodeError) when the bytes are no document.
    pub fn decode(bytes: &[u8]) -> Result<Self, super::DecodeError> {
        encoding::decode_document(bytes)
    }

    /// Returns the flat view.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        Metadata::of(self.iter().map(|(name, field)| (name, &field.value)))
    }

    /// Keeps only the `most` fields of a kind with the highest stamps; equal stamps by name.
    fn keep_within(&mut self, most: usize, kind: fn(&str) -> bool) {
        if self.by_name().keys().filter(|name| kind(name)).count() <= most {
            return;
        }
        let mut of_kind: Vec<(Stamp, String)> = self
            .by_name()
            .iter()
            .filter(|(name, _)| kind(name))
            .map(|(name, field)| (field.stamp, name.clone()))
            .collect();
        of_kind.sort_unstable_by(|a, b| b.cmp(a));
        for (_, name) in of_kind.drain(most..) {
            self.by_name_mut().remove(&name);
        }
    }

    fn of(by_name: BTreeMap<String, Field>) -> Self {
        Self((!by_name.is_empty()).then(|| Arc::new(Fields { by_name, digest: OnceLock::new() })))
    }

    fn by_name(&self) -> &BTreeMap<String, Field> {
        static NONE: BTreeMap<String, Field> = BTreeMap::new();
        self.0.as_ref().map_or(&NONE, |fields| &fields.by_name)
    }

    /// Lets the fields be changed, which is the end of the digest.
    fn by_name_mut(&mut self) -> &mut BTreeMap<String, Field> {
        let fields = Arc::make_mut(self.0.get_or_insert_default());
        fields.digest = OnceLock::new();
        &mut fields.by_name
    }
}

impl FromIterator<(String, Field)> for Document {
    fn from_iter<I: IntoIterator<Item = (String, Field)>>(fields: I) -> Self {
        Self::of(fields.into_iter().collect())
    }
}

pub(super) fn is_tag(name: &str) -> bool {
    name.starts_with(names::TAG_PREFIX)
}

pub(super) fn is_unknown(name: &str) -> bool {
    !is_tag(name) && name != names::TRASHED && !names::TEXTS.contains(&name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::asset::HostId;

    pub(crate) fn documents() -> impl Strategy<Value = Document> {
        let name = prop_oneof![
            Just("path".to_owned()),
            Just("trashed".to_owned()),
            Just("later".to_owned()),
            "[a-d]".prop_map(|tag| names::tag(&tag)),
        ];
        let value = prop_oneof![
            Just(Value::Absent),
            Just(Value::flag(true)),
            Just(Value::flag(false)),
            "[a-c]{0,2}".prop_map(Value::Text)
        ];
        let stamp =
            (0_u64..4, 0_u8..3).prop_map(|(time, host)| Stamp::from_parts(time, HostId::from_bytes([host; 32])));
        let field = (value, stamp).prop_map(|(value, stamp)| Field { value, stamp });
        proptest::collection::btree_map(name, field, 0..6).prop_map(|fields| fields.into_iter().collect())
    }

    proptest! {
        #[test]
        fn merge_is_commutative_associative_idempotent(a in documents(), b in documents(), c in documents()) {
            prop_assert_eq!(a.merged(&b), b.merged(&a));
            prop_assert_eq!(a.merged(&b).merged(&c), a.merged(&b.merged(&c)));
            prop_assert_eq!(a.merged(&a), a.clone());
            prop_assert!(a.merged(&b).includes(&a));
            prop_assert_eq!(a.includes(&b), a.merged(&b) == a);
        }

        #[test]
        fn the_frozen_encoding_reads_back(a in documents(), b in documents()) {
            prop_assert_eq!(&Document::decode(&a.encode()).unwrap(), &a);
            prop_assert_eq!(a.digest() == b.digest(), a == b);
        }

        #[test]
        fn what_is_changed_has_another_digest_and_leaves_its_clones_alone(a in documents(), b in documents()) {
            let (before, digest) = (a.clone(), a.digest());
            let as_read = |document: &Document| Document::decode(&document.encode()).unwrap().digest();
            let mut changed = a.clone();
            changed.merge(&b);
            prop_assert_eq!(changed.digest(), as_read(&changed));
            for (name, _) in b.iter() {
                changed.remove(name);
                prop_assert_eq!(changed.digest(), as_read(&changed));
            }
            for (name, field) in before.iter() {
                changed.insert(name, field.clone());
                prop_assert_eq!(changed.digest(), as_read(&changed));
            }
            changed.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>().iter().for_each(|name| changed.remove(name));
            prop_assert_eq!(&changed, &Document::new());
            prop_assert_eq!(changed.digest(), Document::new().digest());
            prop_assert_eq!((&a, a.digest()), (&before, digest));
        }
    }

    #[test]
    fn the_digest_is_frozen() {
        let host = HostId::from_bytes([9; 32]);
        let mut document = Document::new();
        let stamp = Stamp::above(Stamp::ZERO, 1_700_000_000_000, host);
        document.insert(names::PATH, Field { value: Value::Text("a/b".into()), stamp });
        document.insert(names::tag("x"), Field { value: Value::Absent, stamp: Stamp::ZERO });
        let digest = data_encoding::HEXLOWER.encode(document.digest().as_bytes());
        assert_eq!(digest, "3d330a512395c3b399fe88d5d901b0a3bb8ee1f171f073a9a5c5f51e260b80e6");
    }

    #[test]
    fn equal_stamps_keep_an_asset_out_of_the_trash() {
        let document = |value| -> Document {
            [(names::TRASHED.to_owned(), Field { value, stamp: Stamp::ZERO })].into_iter().collect()
        };
        let (yes, no) = (document(Value::flag(true)), document(Value::flag(false)));
        assert!(!yes.merged(&no).metadata().trashed);
        assert!(!no.merged(&yes).metadata().trashed);
        assert!(!document(Value::Absent).merged(&yes).metadata().trashed);
    }

    #[test]
    fn too_many_tags_keep_those_with_the_highest_stamps_in_any_order() {
        let tagged = |range: std::ops::Range<u64>| -> Document {
            let host = HostId::from_bytes([1; 32]);
            range
                .map(|n| {
                    let field = Field { value: Value::Text(String::new()), stamp: Stamp::from_parts(n, host) };
                    (names::tag(&format!("{n:05}")), field)
                })
                .collect()
        };
        let (low, high) = (tagged(0..800), tagged(600..1500));
        let merged = low.merged(&high);
        assert_eq!(merged, high.merged(&low));
        assert_eq!(merged.iter().count(), limits::TAG_FIELDS);
        assert!(merged.get("tag/00475").is_none() && merged.get("tag/00476").is_some());
        assert!(merged.includes(&low));
    }
}
