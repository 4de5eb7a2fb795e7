//! Metadata as people and programs see it: flat, without stamps.

use std::collections::BTreeSet;

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
    /// Collects the fields of known name; each name at most once.
    pub(super) fn of<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>) -> Self {
        let mut metadata = Self::default();
        for (name, value) in fields {
            let text = value.text().map(str::to_owned);
            match name {
                names::MIME_TYPE => metadata.mime_type = text,
                names::FILE_NAME => metadata.file_name = text,
                names::PATH => metadata.path = text,
                names::APPLICATION => metadata.application = text,
                names::USER => metadata.user = text,
                names::DESCRIPTION => metadata.description = text,
                names::TRASHED => metadata.trashed = value.is_yes(),
                _ => {
                    if let (Some(tag), Some(_)) = (name.strip_prefix(names::TAG_PREFIX), text) {
                        metadata.tags.insert(tag.to_owned());
                    }
                }
            }
        }
        metadata
    }
}
