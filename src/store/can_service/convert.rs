//! Between the flat metadata of the sync API and the words of this program.

use std::collections::BTreeSet;

use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::Metadata;
use crate::asset::Timestamp;
use crate::asset::names;
use crate::proto::can::v1;

/// The names of the text fields on the wire, beside those of the document, in the same order.
pub const TEXTS: [(&str, &str); 6] = [
    ("mime_type", names::MIME_TYPE),
    ("human_file_name", names::FILE_NAME),
    ("human_readable_path", names::PATH),
    ("application", names::APPLICATION),
    ("user", names::USER),
    ("description", names::DESCRIPTION),
];

/// The name of the field that tells whether an asset is in the trash, on the wire and in JSON.
pub const TRASHED: &str = "trashed";

/// A message that names no asset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAsset {
    /// The hash does not have 32 bytes.
    #[error("a hash of {0} bytes, not of 32")]
    Hash(usize),
    /// The timestamp does not have 13 digits.
    #[error(transparent)]
    Timestamp(#[from] crate::asset::TimestampError),
}

/// Puts flat metadata on the wire.
#[must_use]
pub fn to_wire(metadata: &Metadata) -> v1::Metadata {
    v1::Metadata {
        mime_type: metadata.mime_type.clone(),
        human_file_name: metadata.file_name.clone(),
        human_readable_path: metadata.path.clone(),
        application: metadata.application.clone(),
        user: metadata.user.clone(),
        description: metadata.description.clone(),
        tags: metadata.tags.iter().cloned().collect(),
        trashed: metadata.trashed,
    }
}

/// Takes flat metadata from the wire.
#[must_use]
pub fn from_wire(wire: v1::Metadata) -> Metadata {
    Metadata {
        mime_type: wire.mime_type,
        file_name: wire.human_file_name,
        path: wire.human_readable_path,
        application: wire.application,
        user: wire.user,
        description: wire.description,
        tags: wire.tags.into_iter().collect::<BTreeSet<_>>(),
        trashed: wire.trashed,
    }
}

/// Returns a text field of flat metadata by the name it has in a document.
#[must_use]
pub fn text<'a>(metadata: &'a Metadata, name: &str) -> Option<&'a str> {
    match name {
        names::MIME_TYPE => metadata.mime_type.as_deref(),
        names::FILE_NAME => metadata.file_name.as_deref(),
        names::PATH => metadata.path.as_deref(),
        names::APPLICATION => metadata.application.as_deref(),
        names::USER => metadata.user.as_deref(),
        names::DESCRIPTION => metadata.description.as_deref(),
        _ => None,
    }
}

/// Returns the wishes that make a document out of flat metadata; what is not set is no wish.
#[must_use]
pub fn wishes(metadata: &Metadata) -> Changes {
    let mut changes = Changes::new();
    for name in names::TEXTS {
        changes = changes.set_some(name, text(metadata, name));
    }
    for tag in &metadata.tags {
        changes = changes.add_tag(tag);
    }
    if metadata.trashed { changes.trashed(true) } else { changes }
}

/// Takes an asset id from the wire.
///
/// # Errors
/// [`InvalidAsset::Hash`] when it does not have 32 bytes.
pub fn id(hash: &[u8]) -> Result<AssetId, InvalidAsset> {
    AssetId::try_from(hash).map_err(|_| InvalidAsset::Hash(hash.len()))
}

/// Takes what identifies an asset from the wire.
///
/// # Errors
/// [`InvalidAsset`] names what is wrong.
pub fn key(hash: &[u8], timestamp: u64, size: u64) -> Result<AssetKey, InvalidAsset> {
    Ok(AssetKey { id: id(hash)?, timestamp: Timestamp::new(timestamp)?, size })
}
