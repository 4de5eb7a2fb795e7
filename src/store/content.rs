//! The content of an asset on its way out of a store.

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::ReadError;
use crate::asset::AssetKey;
use crate::asset::ContentDigest;

/// Pieces of a content, in order, none longer than [`CONTENT_CHUNK_BYTES`](crate::limits::CONTENT_CHUNK_BYTES).
/// After an error nothing follows.
pub type ContentStream = BoxStream<'static, Result<Bytes, ReadError>>;

/// An opened content.
pub struct Content {
    /// Id, timestamp and size of the whole.
    pub key: AssetKey,
    /// BLAKE3 of the whole, by which a reader that starts at the beginning finds bit rot.
    pub digest: ContentDigest,
    /// Where the stream begins, in bytes from the start of the content.
    pub offset: u64,
    /// The rest of the content from there.
    pub stream: ContentStream,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("key", &self.key).field("offset", &self.offset).finish_non_exhaustive()
    }
}
