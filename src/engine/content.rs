//! Contents as plugins may read them: of the store, or on their way into it.

use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;

use crate::asset::AssetKey;
use crate::hook::BoxFuture;
use crate::hook::Content;
use crate::limits;
use crate::store::SpooledReader;
use crate::store::Store;
use crate::telemetry::causes;

/// Returns a content that lies in the store, as plugins may read it.
#[must_use]
pub fn stored(store: Arc<dyn Store>, key: AssetKey) -> Arc<dyn Content> {
    Arc::new(Stored { store, key })
}

/// A content that lies in the store.
struct Stored {
    store: Arc<dyn Store>,
    key: AssetKey,
}

/// A content that was received and is not stored yet.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) reader: SpooledReader,
    pub(super) key: AssetKey,
}

/// A content that is here and cannot be opened.
#[derive(Debug)]
pub(super) struct Unreadable(pub(super) String);

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Content for Stored {
    fn read(&self, offset: u64, length: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async move {
            if offset >= self.key.size {
                return Ok(Vec::new());
            }
            let opened = self.store.open(&self.key.id, offset).await.map_err(|error| causes(&error))?;
            let Some(mut content) = opened else { return Err("the content is not here".to_owned()) };
            let mut read = Vec::new();
            while read.len() < length {
                match content.stream.next().await {
                    None => break,
                    Some(Err(error)) => return Err(causes(&error)),
                    Some(Ok(piece)) => read.extend_from_slice(&piece[..piece.len().min(length - read.len())]),
                }
            }
            Ok(read)
        })
    }
}

impl Content for Received {
    fn read(&self, offset: u64, length: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async move {
            let told = |error: std::io::Error| error.to_string();
            if self.key.size <= limits::SMALL_CONTENT_BYTES {
                return self.reader.read(offset, length).map_err(told);
            }
            let reader = self.reader.clone();
            let read = tokio::task::spawn_blocking(move || reader.read(offset, length)).await;
            read.map_err(|error| error.to_string())?.map_err(told)
        })
    }
}

impl Content for Unreadable {
    fn read(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(std::future::ready(Err(self.0.clone())))
    }
}
