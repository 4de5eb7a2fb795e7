//! Writing to the service: documents as flat metadata, contents as bundles.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use futures_util::stream::BoxStream;

use super::FollowError;
use super::ServiceError;
use super::Shared;
use super::convert;
use super::table;
use super::view::Write;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Metadata;
use crate::limits;
use crate::proto::can::v1;
use crate::store::SpooledBytes;

impl Shared {
    /// Brings the service's view of an asset in line with its document, as far as it can hold it. The caller holds the
    /// asset's lock, and has taken in what the service shows.
    ///
    /// What is written is remembered before, and what it came to is read back: whatever then still differs, the service
    /// cannot hold.
    pub(super) async fn write_out(&self, id: &AssetId) -> Result<(), FollowError> {
        let id = *id;
        let intent = self.index.write(move |writing| {
            let Some(mut entry) = table::get(writing.connection, &id)? else { return Ok(None) };
            if !entry.waiting || !entry.record.presence.is_here() {
                return Ok(None);
            }
            let view = entry.record.document.metadata();
            entry.waiting = entry.mirror.settle(&view);
            let write = entry.mirror.write_for(&view);
            entry.mirror.writing = write.is_some().then(|| view.clone());
            table::put(writing.connection, &entry)?;
            Ok(write.map(|write| (write, view)))
        });
        let Some((write, view)) = intent.await? else { return Ok(()) };
        if !self.write(&id, &write, &view).await? {
            return self.gone(&id).await;
        }
        match self.read(&id).await? {
            Some(seen) => self.take_in(seen, true).await,
            None => self.gone(&id).await,
        }
    }

    /// Asks the service for a change; one it refuses is asked for piece by piece, and what it refuses then, it cannot
    /// hold. Tells whether the asset is there.
    async fn write(&self, id: &AssetId, write: &Write, view: &Metadata) -> Result<bool, ServiceError> {
        match self.noted(self.client.meta(write.to_wire(id.as_bytes(), view)).await) {
            Err(error) if error.is_refusal() => {}
            other => return other,
        }
        for piece in write.one_by_one() {
            match self.noted(self.client.meta(piece.to_wire(id.as_bytes(), view)).await) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) if error.is_refusal() => {
                    tracing::warn!(asset = %id, %error, "the can service cannot hold a part of the metadata");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Hands a content over with its metadata; without, when the service refuses that. Tells whether the asset was there
    /// already, and what it was told.
    pub(super) async fn push(
        &self,
        key: &AssetKey,
        view: &Metadata,
        content: &SpooledBytes,
    ) -> Result<(bool, Metadata), ServiceError> {
        for told in [view.clone(), Metadata::default()] {
            let head = v1::Asset {
                hash: Bytes::copy_from_slice(key.id.as_bytes()),
                timestamp: key.timestamp.as_millis(),
                size: key.size,
                metadata: Some(convert::to_wire(&told)),
                version: Bytes::new(),
                content: None,
            };
            match self.noted(self.client.push(&head, pieces(content)).await) {
                Err(error) if error.is_refusal() && told != Metadata::default() => {
                    tracing::warn!(asset = %key.id, %error, "the can service refuses the metadata of an asset");
                }
                other => return other.map(|known| (known, told)),
            }
        }
        unreachable!("the second try is returned as it ends")
    }
}

/// Reads a spooled content in pieces.
fn pieces(content: &SpooledBytes) -> BoxStream<'static, std::io::Result<Bytes>> {
    let file = match content {
        SpooledBytes::Memory(bytes) => {
            let bytes = bytes.clone();
            return stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed();
        }
        SpooledBytes::File(file) => file.path().to_owned(),
    };
    stream::once(tokio::fs::File::open(file))
        .flat_map(|opened| match opened {
            Ok(file) => tokio_util::io::ReaderStream::with_capacity(file, limits::CONTENT_CHUNK_BYTES).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        })
        .boxed()
}
