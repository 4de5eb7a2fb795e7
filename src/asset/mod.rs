//! Assets: the id rule, the verifier, the document with its merge, and what names and sizes are allowed.
//!
//! Pure: no files, no clock, no randomness. Everything above speaks in these words; nothing here knows a store, a wire
//! format or a peer.

mod bytes32;
mod changes;
mod document;
mod encoding;
mod id;
mod local;
mod metadata;
mod stamp;
mod validate;
mod verifier;

pub use bytes32::Hex;
pub(crate) use bytes32::bytes32;
pub use changes::Changes;
pub use document::{Digest, Document, Field, Value, names};
pub use encoding::DecodeError;
pub use id::{AssetId, ParseAssetIdError};
pub use local::{LocalDocument, LocalValue};
pub use metadata::Metadata;
pub use stamp::{HostId, ParseHostIdError, Stamp, Timestamp, TimestampError};
pub use validate::{InvalidMetadata, validate_changes, validate_document, validate_received};
pub use verifier::{ContentDigest, Mismatch, Verified, Verifier};

/// What identifies an asset and never changes: its id, the timestamp the id covers, and the size of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetKey {
    /// SHA-256 over timestamp and content.
    pub id: AssetId,
    /// When the asset was made, in Unix milliseconds.
    pub timestamp: Timestamp,
    /// Length of the content in bytes.
    pub size: u64,
}
