//! What a plugin answers.

use crate::Asset;
use crate::Field;

/// What becomes of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it is.
    Pass,
    /// It does not go on; the reason is for people.
    Drop(String),
    /// It waits until a person releases it, or it or the plugin changes; the reason is for people.
    Hold(String),
    /// It goes on with these changes.
    Edit(Vec<Change>),
}

impl Verdict {
    /// It does not go on.
    pub fn drop(reason: impl Into<String>) -> Self {
        Self::Drop(reason.into())
    }

    /// It waits.
    pub fn hold(reason: impl Into<String>) -> Self {
        Self::Hold(reason.into())
    }
}

/// One change of the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a field.
    Set(Field, String),
    /// Clears a field.
    Clear(Field),
    /// Adds a tag.
    AddTag(String),
    /// Removes a tag.
    RemoveTag(String),
}

impl Change {
    /// Says whether both are about one field or one tag.
    fn is_about_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Set(field, _) | Self::Clear(field), Self::Set(other, _) | Self::Clear(other)) => field == other,
            (Self::AddTag(tag) | Self::RemoveTag(tag), Self::AddTag(other) | Self::RemoveTag(other)) => tag == other,
            _ => false,
        }
    }

    /// Says whether an asset is already as this makes it.
    fn is_met_by(&self, asset: &Asset) -> bool {
        match self {
            Self::Set(field, value) => asset.field(*field) == Some(value),
            Self::Clear(field) => asset.field(*field).is_none(),
            Self::AddTag(tag) => asset.has_tag(tag),
            Self::RemoveTag(tag) => !asset.has_tag(tag),
        }
    }
}

/// Collects changes of one asset and leaves out what changes nothing, so that an asset that is already as it should be
/// passes. The last change of a field or tag counts.
#[derive(Debug)]
pub struct Changes<'a> {
    asset: &'a Asset,
    /// One for each field and tag at most; what came later may have undone it.
    list: Vec<Change>,
}

impl<'a> Changes<'a> {
    /// Starts without a change.
    #[must_use]
    pub const fn of(asset: &'a Asset) -> Self {
        Self { asset, list: Vec::new() }
    }

    /// Sets a field.
    pub fn set(&mut self, field: Field, value: impl Into<String>) {
        self.put(Change::Set(field, value.into()));
    }

    /// Clears a field.
    pub fn clear(&mut self, field: Field) {
        self.put(Change::Clear(field));
    }

    /// Adds a tag.
    pub fn add_tag(&mut self, tag: &str) {
        self.put(Change::AddTag(tag.to_owned()));
    }

    /// Removes a tag.
    pub fn remove_tag(&mut self, tag: &str) {
        self.put(Change::RemoveTag(tag.to_owned()));
    }

    fn put(&mut self, change: Change) {
        match self.list.iter_mut().find(|other| other.is_about_the_same_as(&change)) {
            Some(earlier) => *earlier = change,
            None if change.is_met_by(self.asset) => {}
            None => self.list.push(change),
        }
    }

    /// Returns the verdict: an edit, or a pass when nothing changes.
    #[must_use]
    pub fn verdict(mut self) -> Verdict {
        self.list.retain(|change| !change.is_met_by(self.asset));
        if self.list.is_empty() { Verdict::Pass } else { Verdict::Edit(self.list) }
    }
}
