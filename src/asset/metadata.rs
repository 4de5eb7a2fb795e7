//! Metadata as people and programs see it: flat, without stamps.

use std::collections::BTreeSet;

use super::Changes;
use super::Value;
use super::names;

/// The flat view of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Media type, such as `image/png`.
    pub mime_type: Option<String>,
    /// File name for people; data, never a path.
    pub file_name: Option<String>,
    /// Logical folder for people; data, never a path.
    pub path: Option<String>,
    /// Program that made the asset.
    pub application: Option<String>,
    /// Person who made the asset.
    pub user: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Tags, sorted, without duplicates.
    pub tags: BTreeSet<String>,
    /// Whether the asset is in the trash.
    pub trashed: bool,
}

impl Metadata {
    /// Carries out changes, as far as they are about fields of known name.
    pub fn change(&mut self, changes: &Changes) {
        for (name, value) in changes.iter() {
            self.put(name, value);
        }
    }

    /// Collects the fields of known name; each name at most once.
    pub(super) fn of<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>) -> Self {
        let mut metadata = Self::default();
        for (name, value) in fields {
            metadata.put(name, value);
        }
        metadata
    }

    /// Sets one field by the name that it has in a document, if it is a known one.
    pub fn put(&mut self, name: &str, value: &Value) {
        let text = value.text().map(str::to_owned);
        match name {
            names::MIME_TYPE => self.mime_type = text,
            names::FILE_NAME => self.file_name = text,
            names::PATH => self.path = text,
            names::APPLICATION => self.application = text,
            names::USER => self.user = text,
            names::DESCRIPTION => self.description = text,
            names::TRASHED => self.trashed = value.is_yes(),
            _ => match (name.strip_prefix(names::TAG_PREFIX), text) {
                (Some(tag), Some(_)) => drop(self.tags.insert(tag.to_owned())),
                (Some(tag), None) => drop(self.tags.remove(tag)),
                (None, _) => {}
            },
        }
    }
}
