//! Calls of `/sync/pull`: metadata of many in one answer that is held, and contents one after the other as they come.
//!
//! What an answer may be is known from what was asked for: nothing else comes, and none of it twice.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use prost::Message;
use tokio::time::Instant;
use tokio::time::timeout;

use super::ServiceError;
use super::bundle;
use super::client::Client;
use super::client::Pieces;
use crate::asset::AssetId;
use crate::limits;
use crate::proto::can::v1;

const CALL: &str = "/sync/pull";

impl Client {
    /// Reads the metadata of assets; those that are not there are left out.
    pub(super) async fn heads(&self, ids: &[AssetId]) -> Result<Vec<v1::Asset>, ServiceError> {
        let reading = async {
            let pieces = self.pull(ids, true).await?;
            let mut pulled = Pulled::new(ids, limited(pieces, limits::SERVICE_ANSWER_BYTES));
            let mut all = Vec::new();
            while let Some(head) = pulled.next().await? {
                all.push(head.asset);
            }
            Ok(all)
        };
        self.in_time(CALL, reading).await
    }

    /// Asks for assets with their contents; those that are not there are left out.
    pub(super) async fn contents(&self, ids: &[AssetId]) -> Result<Pulled, ServiceError> {
        Ok(Pulled::new(ids, paced(self.pull(ids, false).await?, self.times().call)))
    }

    async fn pull(&self, ids: &[AssetId], metadata_only: bool) -> Result<Pieces, ServiceError> {
        let hashes = ids.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect();
        let wanted = v1::PullRequest { hashes, metadata_only };
        let request = self.post(CALL).body(wanted.encode_to_vec());
        Ok(self.pieces(CALL, self.send(CALL, request).await?))
    }
}

/// The assets of an answer, as they come.
pub(super) struct Pulled {
    reader: bundle::Reader<Pieces>,
    /// Those that were asked for and have not come.
    left: Vec<AssetId>,
}

impl Pulled {
    fn new(wanted: &[AssetId], pieces: Pieces) -> Self {
        Self { reader: bundle::Reader::new(pieces), left: wanted.to_vec() }
    }

    /// Returns the next asset, after what is left of the content of the one before; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<bundle::Head>, ServiceError> {
        let Some(head) = self.reader.next().await? else { return Ok(None) };
        let Some(at) = self.left.iter().position(|id| id.as_bytes()[..] == head.asset.hash[..]) else {
            let source = "it holds an asset that was not asked for, or one twice".into();
            return Err(ServiceError::Malformed { call: CALL, source });
        };
        self.left.swap_remove(at);
        Ok(Some(head))
    }

    /// Returns the next piece of the present content; `None` when all of it was returned.
    pub(super) async fn content(&mut self) -> Result<Option<Bytes>, ServiceError> {
        Ok(self.reader.content().await?)
    }
}

/// Ends an answer that is longer than it may be.
fn limited(pieces: Pieces, limit: usize) -> Pieces {
    Box::pin(pieces.scan(0, move |length, piece| {
        *length += piece.as_ref().map_or(0, Bytes::len);
        let is_within = *length <= limit;
        std::future::ready(Some(piece.and_then(|piece| match is_within {
            true => Ok(piece),
            false => Err(ServiceError::TooLarge { call: CALL, limit }),
        })))
    }))
}

/// Ends an answer that does not get on: `patience` and the time that the bytes so far may have taken, the whole never
/// longer than [`limits::SERVICE_CONTENT_TIME`]. Only waiting for the service counts; whoever reads may take longer.
fn paced(pieces: Pieces, patience: Duration) -> Pieces {
    let start = (Some(pieces), Duration::ZERO, 0_u64);
    Box::pin(stream::unfold(start, move |(pieces, waited, bytes)| async move {
        let mut pieces = pieces?;
        let earned = Duration::from_secs(bytes / limits::SERVICE_CONTENT_RATE);
        let time = limits::SERVICE_CONTENT_TIME.min(patience.saturating_add(earned));
        let asked = Instant::now();
        match timeout(time.saturating_sub(waited), pieces.next()).await {
            Ok(piece) => {
                let piece = piece?;
                let bytes = bytes + piece.as_ref().map_or(0, |piece| piece.len() as u64);
                Some((piece, (Some(pieces), waited + asked.elapsed(), bytes)))
            }
            Err(_) => Some((Err(ServiceError::Slow { call: CALL, time }), (None, waited, bytes))),
        }
    }))
}
