//! The CAN-compatible API: what a CAN Service answers, over any store.
//!
//! The public part lies under `/api/v1/can/0` and needs no token; the sync part lies at the root and needs the key. Both
//! stream contents, and neither knows peers or plugins. `docs/protocol.md` lists paths, fields and status codes.

mod asset;
mod disposition;
mod events;
mod form;
mod ingest;
mod json;
mod listing;
mod meta;
mod range;
mod sync;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::any;
use axum::routing::get;
use axum::routing::post;
use tokio::sync::Semaphore;

use super::Failure;
use super::Secret;
use crate::asset::AssetId;
use crate::asset::HostId;
use crate::limits;
use crate::store::ReadError;
use crate::store::SpoolError;
use crate::store::Store;
use crate::store::WriteError;

/// Where the public part begins; the 0 is the container, and the only one.
pub const PREFIX: &str = "/api/v1/can/0";

/// What the API answers from.
pub struct Options {
    /// The store behind it.
    pub store: Arc<dyn Store>,
    /// The host on whose behalf changes are stamped.
    pub host: HostId,
    /// The key of the sync API; without one it is disabled.
    pub sync_api_key: Option<Secret>,
}

/// What all handlers share.
struct Api {
    store: Arc<dyn Store>,
    host: HostId,
    sync_api_key: Option<Secret>,
    event_streams: Arc<Semaphore>,
}

/// Builds the API.
pub fn router(options: Options) -> Router {
    let public = Router::new()
        .route("/ingest", post(ingest::form))
        .route("/ingest/data", post(ingest::data))
        .route("/list", get(listing::list))
        .route("/search", get(listing::search))
        .route("/asset/{hash}", get(asset::get).delete(meta::trash))
        .route("/asset/{hash}/meta", get(meta::get).patch(meta::patch))
        .route("/asset/{hash}/restore", post(meta::restore))
        .route("/events", get(events::public));
    let api = Api {
        store: options.store,
        host: options.host,
        sync_api_key: options.sync_api_key,
        event_streams: Arc::new(Semaphore::new(limits::EVENT_STREAMS)),
    };
    Router::new()
        .nest(PREFIX, public)
        .route("/sync/hashes", post(sync::hashes))
        .route("/sync/pull", post(sync::pull))
        .route("/sync/push", post(sync::push))
        .route("/sync/meta", post(sync::meta))
        .route("/sync/events", get(events::sync))
        .fallback(any(|| async { Failure::not_found("there is nothing at this path") }))
        .method_not_allowed_fallback(|| async { Failure::method() })
        // Contents have any size and are streamed; JSON bodies are capped where they are read.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(api))
}

/// Says that an asset is not here, or that its content is not.
async fn absent(store: &dyn Store, id: &AssetId) -> Failure {
    match store.record(id).await {
        Ok(None) => Failure::not_found(format!("no asset {id} is here")),
        Ok(Some(_)) => {
            Failure::not_found(format!("the content of asset {id} is missing here; a peer that has it sends it again"))
        }
        Err(error) => error.into(),
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::internal(&error)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Invalid(invalid) => Self::bad_request(invalid.to_string()),
            error if error.is_disk_full() => {
                Self::internal(&error).with_hint("the disk is full: nothing was stored; make room and send it again")
            }
            error => Self::internal(&error),
        }
    }
}

impl From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Mismatch(mismatch) => Self::bad_request(mismatch.to_string()),
            error => Self::internal(&error),
        }
    }
}
