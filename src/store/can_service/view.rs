//! The flat view of a service beside the document: what a person changed there, and what must be written there. Pure.
//!
//! For each asset three views are remembered: what the service was *told* last, what it *shows* since then, and, while
//! a write is on its way, what is being *written*. A difference between what it showed and what it shows is a change by
//! a person, unless the write explains it. A difference between the document and what it shows is written once: what
//! the service then still shows otherwise, it cannot hold.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::convert;
use crate::asset::Changes;
use crate::asset::LocalDocument;
use crate::asset::Metadata;
use crate::asset::Value;
use crate::asset::names;
use crate::asset::validate_changes;
use crate::asset::validate_document;
use crate::proto::can::v1;

/// What is remembered about one asset at the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mirror {
    /// What it was told last.
    pub(super) told: Metadata,
    /// What it showed last.
    pub(super) shown: Metadata,
    /// What is being written; set before the write and cleared after what it came to was read.
    pub(super) writing: Option<Metadata>,
    /// What it shows and no document may hold: the names of it, shortened.
    pub(super) left_out: BTreeSet<String>,
}

/// A change of metadata that the service is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Write {
    /// Names, on the wire, of the fields to be set.
    pub(super) fields: Vec<String>,
    pub(super) add_tags: Vec<String>,
    pub(super) remove_tags: Vec<String>,
}

/// Fields by the name they have in a document; what is not set is not there.
fn fields(metadata: &Metadata) -> BTreeMap<String, Value> {
    let texts = names::TEXTS
        .into_iter()
        .filter_map(|name| convert::text(metadata, name).map(|text| (name.to_owned(), Value::Text(text.to_owned()))));
    let tags = metadata.tags.iter().map(|tag| (names::tag(tag), Value::Text(String::new())));
    let trashed = (names::TRASHED.to_owned(), Value::flag(metadata.trashed));
    texts.chain(tags).chain([trashed]).collect()
}

fn differing(before: &Metadata, now: &Metadata) -> BTreeMap<String, Value> {
    let (before, now) = (fields(before), fields(now));
    let all: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let differ = all.into_iter().filter(|name| before.get(*name) != now.get(*name));
    differ.map(|name| (name.clone(), now.get(name).cloned().unwrap_or(Value::Absent))).collect()
}

fn same_tag(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

impl Mirror {
    /// Remembers a view that was not written by this host.
    pub(super) fn seen(shown: Metadata) -> Self {
        Self { told: shown.clone(), shown, writing: None, left_out: BTreeSet::new() }
    }

    /// Returns what a person changed at the service since it was read last.
    pub(super) fn changes(&self, now: &Metadata) -> Changes {
        let mut changed = differing(&self.shown, now);
        if let Some(writing) = &self.writing {
            // A write that broke off explains what it was about, and the other spelling of a tag it was about.
            let written = differing(&self.shown, writing);
            let tag_of = |name: &str| name.strip_prefix(names::TAG_PREFIX).map(str::to_owned);
            let tags: Vec<String> = written.keys().filter_map(|name| tag_of(name)).collect();
            changed.retain(|name, _| {
                let spelled = tag_of(name).is_some_and(|tag| tags.iter().any(|other| same_tag(other, &tag)));
                !written.contains_key(name) && !spelled
            });
        }
        // A tag removed there, that was there only in another spelling than it was told.
        let gone: Vec<&String> =
            self.shown.tags.iter().filter(|tag| changed.get(&names::tag(tag)) == Some(&Value::Absent)).collect();
        let held_otherwise = self.told.tags.difference(&self.shown.tags);
        let spelled: Vec<String> = held_otherwise
            .filter(|tag| gone.iter().any(|gone| same_tag(gone, tag)))
            .map(|tag| names::tag(tag))
            .collect();
        changed.extend(spelled.into_iter().map(|name| (name, Value::Absent)));
        changed.into_iter().collect()
    }

    /// Takes in what the service shows now, and returns what a person changed there and may be taken into `document`,
    /// and the names of what must stay at the service and did not before.
    ///
    /// `finished` says that the write which is under way was answered; else it broke off and may be tried again.
    pub(super) fn take_in(
        &mut self,
        now: Metadata,
        document: &LocalDocument,
        finished: bool,
    ) -> (Changes, Vec<String>) {
        let changes = self.changes(&now);
        let (fits, beyond) = fitting(&changes, document);
        let (view, present) = (fields(&document.metadata()), fields(&now));
        let value = |of: &BTreeMap<String, Value>, name: &str| of.get(name).cloned().unwrap_or(Value::Absent);
        let shown = fields(&self.shown);
        let written = self.writing.take().map(|writing| {
            let written = differing(&self.shown, &writing);
            if finished {
                self.told = writing;
            }
            written
        });
        // What came by itself, or is too large to be taken, counts as told, so that it is left alone.
        let mut left_out = Vec::new();
        for name in differing(&self.shown, &now).keys() {
            self.told.put(name, &value(&view, name));
            let was_left_out = self.left_out.remove(&shortened(name));
            if beyond.contains(name) {
                self.left_out.insert(shortened(name));
                if !was_left_out {
                    left_out.push(shortened(name));
                }
            }
        }
        for (name, _) in fits.iter() {
            self.told.put(name, &value(&present, name));
        }
        for (name, wanted) in written.unwrap_or_default() {
            let moved = value(&present, &name) != value(&shown, &name);
            let told = if finished || moved { wanted } else { value(&shown, &name) };
            self.told.put(&name, &told);
        }
        self.shown = now;
        (fits, left_out)
    }

    /// Tells whether the service shows a tag of `view`, that it was told in another spelling, as this one.
    fn stands_for_another(&self, tag: &str, view: &Metadata) -> bool {
        let held_otherwise = view.tags.intersection(&self.told.tags).filter(|kept| !self.shown.tags.contains(*kept));
        held_otherwise.into_iter().any(|kept| same_tag(kept, tag))
    }

    /// Tells whether something must be written so that the service shows `view`; else `view` counts as told.
    pub(super) fn settle(&mut self, view: &Metadata) -> bool {
        if self.write_for(view).is_some() {
            return true;
        }
        self.told = view.clone();
        false
    }

    /// Returns what must be written so that the service shows `view`, now that it shows [`shown`](Self::shown).
    /// `None` when there is nothing, or nothing that it can hold.
    pub(super) fn write_for(&self, view: &Metadata) -> Option<Write> {
        let mut write = Write::default();
        let told = fields(&self.told);
        for (name, value) in differing(&self.shown, view) {
            if told.get(&name).unwrap_or(&Value::Absent) == &value {
                continue;
            }
            match name.strip_prefix(names::TAG_PREFIX) {
                // It stands for a tag that the service shows in no other spelling.
                Some(tag) if value == Value::Absent && self.stands_for_another(tag, view) => {}
                Some(tag) if value == Value::Absent => write.remove_tags.push(tag.to_owned()),
                Some(tag) => write.add_tags.push(tag.to_owned()),
                None => {
                    let wire = convert::TEXTS.iter().find(|(_, field)| *field == name).map(|(wire, _)| *wire);
                    write.fields.push(wire.unwrap_or(convert::TRASHED).to_owned());
                }
            }
        }
        // A tag that the service shows in another spelling goes when the tag goes.
        for gone in self.told.tags.difference(&view.tags).filter(|tag| !self.shown.tags.contains(*tag)) {
            let spelled = |tag: &&String| same_tag(tag, gone) && !view.tags.iter().any(|kept| same_tag(kept, tag));
            write.remove_tags.extend(self.shown.tags.iter().filter(spelled).cloned());
        }
        write.remove_tags.sort_unstable();
        write.remove_tags.dedup();
        (write != Write::default()).then_some(write)
    }
}

impl Write {
    /// Returns the same as writes of one field or tag each.
    pub(super) fn one_by_one(&self) -> Vec<Self> {
        let fields = self.fields.iter().map(|name| Self { fields: vec![name.clone()], ..Self::default() });
        let added = self.add_tags.iter().map(|tag| Self { add_tags: vec![tag.clone()], ..Self::default() });
        let removed = self.remove_tags.iter().map(|tag| Self { remove_tags: vec![tag.clone()], ..Self::default() });
        fields.chain(added).chain(removed).collect()
    }

    /// Puts the write on the wire.
    pub(super) fn to_wire(&self, hash: &[u8], view: &Metadata) -> v1::MetaChange {
        v1::MetaChange {
            hash: bytes::Bytes::copy_from_slice(hash),
            fields: self.fields.clone(),
            metadata: Some(convert::to_wire(view)),
            add_tags: self.add_tags.clone(),
            remove_tags: self.remove_tags.clone(),
        }
    }
}

/// The beginning of the name of a field or tag, for people. Tags at a service have any length.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(NAME_SHOWN).collect()
}

/// Characters of a name that are shown.
const NAME_SHOWN: usize = 80;

/// Takes out of `changes` what no document may hold, and returns the names of it; what is to go and never was in one is
/// no loss, and is not named.
///
/// Fields beyond their own limit go first; then, as long as the whole is beyond its limit, the description and the last
/// of the tags.
pub(super) fn fitting(changes: &Changes, document: &LocalDocument) -> (Changes, Vec<String>) {
    let mut left_out = Vec::new();
    let mut fits: BTreeMap<String, Value> = BTreeMap::new();
    for (name, value) in changes.iter() {
        if *value == Value::Absent && document.shared().get(name).is_none() {
            // It was left out before; remembering that it is gone would only take up room.
            continue;
        }
        let one: Changes = [(name.to_owned(), value.clone())].into_iter().collect();
        if validate_changes(&one).is_ok() {
            fits.insert(name.to_owned(), value.clone());
        } else {
            left_out.push(name.to_owned());
        }
    }
    // What goes first when the whole is too large; none of it may be needed.
    let (tags, others): (Vec<&String>, Vec<&String>) = fits
        .iter()
        .rev()
        .filter(|(_, value)| **value != Value::Absent)
        .map(|(name, _)| name)
        .partition(|name| name.starts_with(names::TAG_PREFIX));
    let (description, others): (Vec<&String>, Vec<&String>) =
        others.into_iter().partition(|name| *name == names::DESCRIPTION);
    let going: Vec<&String> = [description, tags, others].concat();
    let without = |count: usize| -> Changes {
        let gone: BTreeSet<&String> = going[..count].iter().copied().collect();
        fits.iter()
            .filter(|(name, _)| !gone.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let is_too_large = |count: &usize| {
        let mut tried = document.clone();
        // Any stamp will do: it is of one size.
        tried.change(&without(*count), 1, crate::asset::HostId::from_bytes([0; 32]));
        validate_document(tried.shared()).is_err()
    };
    // Where nothing helps, the document was too large before.
    let count = (0..going.len()).collect::<Vec<_>>().partition_point(is_too_large);
    left_out.extend(going[..count].iter().map(|name| (*name).clone()));
    (without(count), left_out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metadata() -> impl Strategy<Value = Metadata> {
        let text = || proptest::option::of("[a-b]");
        let tags = proptest::collection::btree_set("[a-bA-B]{1,2}", 0..3);
        (text(), text(), tags, any::<bool>()).prop_map(|(path, user, tags, trashed)| Metadata {
            path,
            user,
            tags,
            trashed,
            ..Metadata::default()
        })
    }

    /// A service that lower-cases tags and has no place for `path`.
    fn poor(told: &Metadata) -> Metadata {
        Metadata { path: None, tags: told.tags.iter().map(|tag| tag.to_lowercase()).collect(), ..told.clone() }
    }

    fn document(view: &Metadata) -> LocalDocument {
        let mut document = LocalDocument::default();
        document.see(&convert::wishes(view));
        document
    }

    fn apply(shown: &Metadata, write: &Write, view: &Metadata, poorly: bool) -> Metadata {
        let mut next = shown.clone();
        for wire in &write.fields {
            match wire.as_str() {
                "human_readable_path" => next.path.clone_from(&view.path),
                "user" => next.user.clone_from(&view.user),
                "trashed" => next.trashed = view.trashed,
                other => panic!("{other} was never set"),
            }
        }
        let spell = |tag: &String| if poorly { tag.to_lowercase() } else { tag.clone() };
        for tag in &write.remove_tags {
            next.tags.remove(&spell(tag));
        }
        next.tags.extend(write.add_tags.iter().map(spell));
        if poorly { poor(&next) } else { next }
    }

    proptest! {
        #[test]
        fn one_write_is_enough_and_never_looks_like_a_person(
            start in metadata(), view in metadata(), next in metadata(), poorly in any::<bool>()
        ) {
            let mut shown = if poorly { poor(&start) } else { start };
            let mut mirror = Mirror::seen(shown.clone());
            for view in [view.clone(), next, view] {
                let document = document(&view);
                if mirror.settle(&view) {
                    let write = mirror.write_for(&view).unwrap();
                    shown = apply(&shown, &write, &view, poorly);
                    mirror.writing = Some(view.clone());
                    let (changes, left_out) = mirror.take_in(shown.clone(), &document, true);
                    prop_assert!(changes.is_empty() && left_out.is_empty(), "{:?}", changes);
                }
                prop_assert_eq!(&shown, &if poorly { poor(&view) } else { view.clone() });
                prop_assert!(mirror.changes(&shown).is_empty());
                prop_assert_eq!(mirror.write_for(&view), None);
            }
        }

        #[test]
        fn a_write_that_broke_off_is_not_taken_for_a_person_and_ends_the_same(
            start in metadata(), view in metadata(), poorly in any::<bool>(), arrived in any::<bool>()
        ) {
            let mut shown = if poorly { poor(&start) } else { start };
            let mut mirror = Mirror::seen(shown.clone());
            let document = document(&view);
            for finished in [false, true, true] {
                let Some(write) = mirror.write_for(&view) else { break };
                if arrived || finished {
                    shown = apply(&shown, &write, &view, poorly);
                }
                mirror.writing = Some(view.clone());
                let (changes, _) = mirror.take_in(shown.clone(), &document, finished);
                prop_assert!(changes.is_empty(), "{:?}", changes);
            }
            prop_assert_eq!(&shown, &if poorly { poor(&view) } else { view.clone() });
            prop_assert_eq!(mirror.write_for(&view), None);
        }

        #[test]
        fn a_change_by_a_person_is_taken_in_and_can_be_taken_back(
            start in metadata(), by_hand in metadata(), poorly in any::<bool>()
        ) {
            let spell = |view: &Metadata| if poorly { poor(view) } else { view.clone() };
            let mut mirror = Mirror::seen(spell(&start));
            let mut document = document(&spell(&start));
            let now = spell(&by_hand);
            let (changes, _) = mirror.take_in(now.clone(), &document, true);
            document.change(&changes, 5, crate::asset::HostId::from_bytes([1; 32]));
            prop_assert_eq!(document.metadata(), now.clone());
            prop_assert_eq!(mirror.write_for(&now), None);
            // Another host sets all of it back.
            let back = spell(&start);
            if let Some(write) = mirror.write_for(&back) {
                prop_assert_eq!(apply(&now, &write, &back, poorly), back);
            } else {
                prop_assert_eq!(now, back);
            }
        }

        #[test]
        fn what_a_person_changes_is_found(shown in metadata(), now in metadata()) {
            let changes = Mirror::seen(shown.clone()).changes(&now);
            let mut document = LocalDocument::default();
            document.see(&convert::wishes(&shown));
            document.change(&changes, 5, crate::asset::HostId::from_bytes([1; 32]));
            prop_assert_eq!(document.metadata(), now);
        }
    }

    #[test]
    fn a_tag_held_in_another_spelling_can_be_removed_from_both_sides() {
        let tagged = |tag: &str| Metadata { tags: [tag.to_owned()].into(), ..Metadata::default() };
        let mirror = Mirror { told: tagged("Beach"), ..Mirror::seen(tagged("beach")) };
        let removed: Vec<_> = mirror.changes(&Metadata::default()).iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(removed, ["tag/Beach", "tag/beach"]);
        let write = mirror.write_for(&Metadata::default()).unwrap();
        assert_eq!(write.remove_tags, ["beach"]);
    }

    #[test]
    fn what_is_too_large_is_left_out_and_the_rest_is_kept() {
        let long = "x".repeat(crate::limits::DESCRIPTION_BYTES + 1);
        let changes = Changes::new().set(names::DESCRIPTION, long).set(names::USER, "ann").add_tag("");
        let (fits, left_out) = fitting(&changes, &LocalDocument::default());
        assert_eq!(fits, Changes::new().set(names::USER, "ann"));
        assert_eq!(left_out, [names::DESCRIPTION, "tag/"]);

        let many = (0..900).fold(Changes::new(), |changes, n| changes.add_tag(&format!("{n:0>250}")));
        let changes = [many.iter(), Changes::new().set(names::DESCRIPTION, "y".repeat(60_000)).iter()]
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        let (fits, left_out) = fitting(&changes, &LocalDocument::default());
        assert_eq!(left_out[0], names::DESCRIPTION);
        let mut document = LocalDocument::default();
        document.see(&fits);
        assert!(validate_document(document.shared()).is_ok());
        assert!(fits.iter().count() > 700);
    }
}
