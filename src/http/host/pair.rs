//! `POST /pair`, `GET /pair`, `DELETE /pair`: the code with which a device joins.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::Api;
use super::peers::members_failure;
use crate::engine::PairingStatus;
use crate::http::Failure;
use crate::http::success;
use crate::limits::membership::PAIRING_WINDOW_MS;

/// Makes a code in place of the one before. It is in this answer alone.
pub(super) async fn open(State(api): State<Api>) -> Result<Response, Failure> {
    let invitation = api.node.open_pairing().map_err(members_failure)?;
    Ok(success(json!({
        "code": invitation.code.to_string(),
        "ticket": invitation.ticket.to_string(),
        "expires_in_secs": PAIRING_WINDOW_MS / 1000,
    })))
}

pub(super) async fn show(State(api): State<Api>) -> Response {
    success(match api.node.pairing() {
        PairingStatus::None => json!({ "state": "none" }),
        PairingStatus::Open { left, with } => json!({
            "state": "open",
            "expires_in_secs": left.as_secs(),
            "with": with.map(|with| with.to_string()),
        }),
        PairingStatus::Paired { peer, name } => json!({ "state": "paired", "id": peer.to_string(), "name": name }),
        PairingStatus::Closed { why } => json!({ "state": "closed", "reason": why.to_string() }),
    })
}

pub(super) async fn close(State(api): State<Api>) -> Response {
    api.node.close_pairing();
    success(json!({ "state": "none" }))
}
