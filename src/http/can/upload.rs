//! Content on its way into the store, written off the runtime.

use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use bytes::BytesMut;

use crate::asset::AssetId;
use crate::asset::Timestamp;
use crate::http::Failure;
use crate::http::body::broken;
use crate::limits;
use crate::store::Spool;
use crate::store::SpoolError;
use crate::store::Spooled;
use crate::store::Store;

/// An open spool with a buffer before it. Dropped before the end, it leaves nothing behind.
pub(super) struct Upload {
    /// `None` only while a blocking thread has it, or when that thread failed.
    spool: Option<Spool>,
    buffer: BytesMut,
}

impl Upload {
    /// Starts content of which only the timestamp is known.
    pub(super) async fn begin(store: &dyn Store, timestamp: Timestamp) -> Result<Self, Failure> {
        Ok(Self { spool: Some(store.spool(timestamp).await?), buffer: BytesMut::new() })
    }

    /// Takes the next piece, of any size.
    pub(super) async fn write(&mut self, piece: &Bytes) -> Result<(), Failure> {
        self.buffer.extend_from_slice(piece);
        if self.buffer.len() >= limits::CONTENT_CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Ends the content. With an id it must be the content's, else it gets its own.
    pub(super) async fn finish(mut self, expected: Option<AssetId>) -> Result<Spooled, Failure> {
        if !self.buffer.is_empty() {
            self.flush().await?;
        }
        let spool = self.spool.take().expect("every flush before has put it back");
        let inline = spool.stays_in_memory(0);
        let finish = move || match expected {
            Some(id) => spool.finish(&id),
            None => spool.finish_ingest(),
        };
        if inline { Ok(finish()?) } else { blocking(finish).await }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let piece = self.buffer.split().freeze();
        let mut spool = self.spool.take().expect("every flush before has put it back");
        let inline = spool.stays_in_memory(piece.len());
        let write = move || spool.write(&piece).map(|()| spool);
        // Hashing a small content takes less than handing it to a thread.
        self.spool = Some(if inline { write()? } else { blocking(write).await? });
        Ok(())
    }
}

/// Runs a spool operation on a blocking thread.
async fn blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(operation).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Failure::internal(&error)),
    }
}

/// The answer to a form that cannot be read.
pub(super) fn refused(error: &MultipartError) -> Failure {
    broken(error)
}
