//! `GET /events`: what happens on this host from now on, in JSON lines.

use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use serde_json::Value;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::Api;
use super::json_lines;
use crate::event::Event;
use crate::http::Failure;
use crate::http::server::Closing;
use crate::limits;
use crate::task::now_ms;

pub(super) async fn events(State(api): State<Api>, closing: Option<Extension<Closing>>) -> Result<Response, Failure> {
    let permit = Arc::clone(&api.event_streams).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Failure::busy(format!("{} event streams are open, which is the limit; close one", limits::EVENT_STREAMS))
    })?;
    let closing = closing.map(|Extension(Closing(token))| token).unwrap_or_default();
    let heard = api.node.events();
    Ok(json_lines(stream::unfold((heard, closing, permit), |(mut heard, closing, permit)| async move {
        let next = closing.run_until_cancelled(timeout(limits::EVENT_KEEP_ALIVE, heard.recv())).await?;
        let line = match next {
            Ok(Ok(event)) => told(&event, now_ms()),
            Ok(Err(RecvError::Lagged(missed))) => json!({ "kind": "missed", "at_ms": now_ms(), "count": missed }),
            Ok(Err(RecvError::Closed)) => return None,
            // So that both ends notice a dead connection.
            Err(_) => json!({ "kind": "quiet", "at_ms": now_ms() }),
        };
        Some((line, (heard, closing, permit)))
    })))
}

/// Writes an event as JSON.
fn told(event: &Event, at_ms: u64) -> Value {
    let (kind, mut line) = match event {
        Event::AssetStored { id, from } => {
            ("asset_stored", json!({ "hash": id.to_string(), "peer": from.map(|peer| peer.to_string()) }))
        }
        Event::AssetHeld { id, reason } => ("asset_held", json!({ "hash": id.to_string(), "reason": reason })),
        Event::AssetQuarantined { id, reason } => {
            ("asset_quarantined", json!({ "hash": id.to_string(), "reason": reason }))
        }
        Event::PeerConnected { peer } => ("peer_connected", json!({ "peer": peer.to_string() })),
        Event::PeerDisconnected { peer, reason } => {
            ("peer_disconnected", json!({ "peer": peer.to_string(), "reason": reason }))
        }
        Event::InSync { peer, in_sync } => ("in_sync", json!({ "peer": peer.to_string(), "in_sync": in_sync })),
        Event::DevicePaired { peer } => ("device_paired", json!({ "peer": peer.to_string() })),
        Event::PeerRemoved { peer } => ("peer_removed", json!({ "peer": peer.to_string() })),
        Event::BrakeClosed { host } => ("brake_closed", json!({ "peer": host.to_string() })),
        Event::Refused { peer } => ("refused", json!({ "peer": peer.to_string() })),
        Event::TaskPanicked { task, message } => ("task_panicked", json!({ "task": task, "reason": message })),
    };
    line["kind"] = kind.into();
    line["at_ms"] = at_ms.into();
    line
}
