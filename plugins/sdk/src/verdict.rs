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

/// Collects changes of one asset and leaves out what changes nothing, so that an asset that is already as it should be
/// passes.
#[derive(Debug)]
pub struct Changes<'a> {
    asset: &'a Asset,
    list: Vec<Change>,
}

impl<'a> Changes<'a> {
    /// Starts without a change.
    #[must_use]
    pub const fn of(asset: &'a Asset) -> Self {
        Self { asset, list: Vec::new() }
    }

    /// Sets a field; once per field.
    pub fn set(&mut self, field: Field, value: impl Into<String>) {
        let value = value.into();
        if self.asset.field(field) != Some(value.as_str()) {
            self.list.push(Change::Set(field, value));
        }
    }

    /// Clears a field; once per field.
    pub fn clear(&mut self, field: Field) {
        if self.asset.field(field).is_some() {
            self.list.push(Change::Clear(field));
        }
    }

    /// Adds a tag.
    pub fn add_tag(&mut self, tag: &str) {
        let added = self.list.iter().any(|change| matches!(change, Change::AddTag(other) if other == tag));
        if !self.asset.has_tag(tag) && !added {
            self.list.push(Change::AddTag(tag.to_owned()));
        }
    }

    /// Removes a tag.
    pub fn remove_tag(&mut self, tag: &str) {
        let removed = self.list.iter().any(|change| matches!(change, Change::RemoveTag(other) if other == tag));
        if self.asset.has_tag(tag) && !removed {
            self.list.push(Change::RemoveTag(tag.to_owned()));
        }
    }

    /// Returns the verdict: an edit, or a pass when nothing changes.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        if self.list.is_empty() { Verdict::Pass } else { Verdict::Edit(self.list) }
    }
}
