//! The event streams: `new_asset` for every asset that comes, or comes in a new version.
//!
//! A client takes an event as "this is how the asset is now". The id of an event is the arrival, so a client that sends
//! it back as `Last-Event-ID` misses nothing, and no event is kept for anybody.

use std::sync::Arc;

use axum::body::Body;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::json::JsonAsset;
use super::sync::Member;
use crate::http::Failure;
use crate::http::server::Closing;
use crate::limits;
use crate::store::Arrival;
use crate::store::ReadError;
use crate::store::Store;

/// A comment: it carries nothing and shows that the stream lives.
const COMMENT: &[u8] = b":\n\n";

/// `GET /events`
pub(super) async fn public(
    State(api): State<Arc<Api>>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    answer(&api, closing, &headers)
}

/// `GET /sync/events`
pub(super) async fn sync(
    State(api): State<Arc<Api>>,
    _: Member,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    answer(&api, closing, &headers)
}

fn answer(api: &Api, closing: Option<Extension<Closing>>, headers: &HeaderMap) -> Result<Response, Failure> {
    let permit = Arc::clone(&api.event_streams).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Failure::busy(format!("{} event streams are open, which is the limit; close one", limits::EVENT_STREAMS))
    })?;
    let mut latest = api.store.latest();
    let now = *latest.borrow_and_update();
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    // An id from before the store was set up anew may be above all arrivals.
    let after = last.map_or(now, Arrival).min(now);
    let closing = closing.map(|Extension(Closing(token))| token).unwrap_or_default();
    let following = Following { store: Arc::clone(&api.store), latest, after, closing, _permit: permit };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Body::from_stream(following.events())).into_response())
}

/// One client that follows the arrivals.
struct Following {
    store: Arc<dyn Store>,
    latest: watch::Receiver<Arrival>,
    after: Arrival,
    closing: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Following {
    fn events(self) -> impl Stream<Item = Result<Bytes, ReadError>> {
        let hello = Ok(Bytes::from_static(COMMENT));
        let rest = stream::unfold(self, |mut following| async move {
            let closing = following.closing.clone();
            let events = closing.run_until_cancelled(following.next()).await??;
            Some((events, following))
        });
        futures_util::StreamExt::chain(stream::iter([hello]), rest)
    }

    /// Waits for the next events; `None` when the store was closed.
    async fn next(&mut self) -> Option<Result<Bytes, ReadError>> {
        loop {
            self.latest.borrow_and_update();
            let records = match self.store.arrivals(self.after, limits::EVENTS_PER_READ).await {
                Ok(records) => records,
                Err(ReadError::Closed) => return None,
                Err(error) => return Some(Err(error)),
            };
            if let Some(last) = records.last() {
                self.after = last.arrival;
                let mut events = String::new();
                for record in records.iter().filter(|record| record.presence.is_here()) {
                    let data = serde_json::to_string(&JsonAsset::from(record)).expect("texts and numbers are JSON");
                    let id = record.arrival.0.to_string();
                    events.extend(["id: ", &id, "\nevent: new_asset\ndata: ", &data, "\n\n"]);
                }
                if !events.is_empty() {
                    return Some(Ok(events.into()));
                }
                continue;
            }
            match timeout(limits::EVENT_KEEP_ALIVE, self.latest.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(Ok(Bytes::from_static(COMMENT))),
            }
        }
    }
}
