//! The JSON form of an asset, and the pieces of JSON requests.

use serde::Deserialize;
use serde::Serialize;

use crate::store::Record;

/// An asset as programs see it.
#[derive(Debug, Serialize)]
pub(super) struct JsonAsset {
    hash: String,
    timestamp: u64,
    size: u64,
    mime_type: Option<String>,
    human_file_name: Option<String>,
    human_readable_path: Option<String>,
    application: Option<String>,
    user: Option<String>,
    description: Option<String>,
    tags: Vec<String>,
    trashed: bool,
}

impl From<&Record> for JsonAsset {
    fn from(record: &Record) -> Self {
        let metadata = record.document.metadata();
        Self {
            hash: record.key.id.to_string(),
            timestamp: record.key.timestamp.as_millis(),
            size: record.key.size,
            mime_type: metadata.mime_type,
            human_file_name: metadata.file_name,
            human_readable_path: metadata.path,
            application: metadata.application,
            user: metadata.user,
            description: metadata.description,
            tags: metadata.tags.into_iter().collect(),
            trashed: metadata.trashed,
        }
    }
}

/// Tags in a request: a text with commas, or an array.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`tags` is an array of texts, or one text with commas")]
pub(super) enum Tags {
    Text(String),
    Array(Vec<String>),
}

impl Tags {
    /// Returns the tags one by one. In a text, spaces around them and empty ones do not count.
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::Text(text) => split_tags(&text),
            Self::Array(tags) => tags,
        }
    }
}

/// Splits a text with commas into tags.
pub(super) fn split_tags(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}
