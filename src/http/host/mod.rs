//! The host API: how this host is, and work it can be asked for.
//!
//! Every path but `/health` wants the bearer token from the data folder. It calls `node` alone; of what lies below it has the
//! types in which `node` answers.

mod doctor;
mod events;
mod explain;
mod exposition;
mod held;
mod metrics;
mod pair;
mod peers;
mod plugins;
mod purge;
mod status;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::extract::Request;
use axum::extract::State;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::any;
use axum::routing::get;
use axum::routing::post;
use futures_util::Stream;
use futures_util::StreamExt;
use serde_json::Value;
use serde_json::json;
use tokio::sync::Semaphore;

use super::Failure;
use super::Secret;
use super::success;
use crate::limits;
use crate::node::Node;

/// What all handlers share.
#[derive(Clone)]
struct Api {
    node: Arc<Node>,
    token: Secret,
    event_streams: Arc<Semaphore>,
}

/// Builds the API of a host; `token` is what requests must show.
pub fn router(node: Arc<Node>, token: Secret) -> Router {
    let api = Api { node, token, event_streams: Arc::new(Semaphore::new(limits::EVENT_STREAMS)) };
    Router::new()
        .route("/status", get(status::status))
        .route("/doctor", get(doctor::doctor))
        .route("/events", get(events::events))
        .route("/metrics", get(metrics::metrics))
        .route("/verify", post(verify::verify))
        .route("/held", get(held::held))
        .route("/declined", get(held::declined))
        .route("/held/replay", post(held::replay_all))
        .route("/held/{hash}/release", post(held::release))
        .route("/held/{hash}/drop", post(held::drop_held))
        .route("/held/{hash}/replay", post(held::replay))
        .route("/purge/{hash}", post(purge::purge))
        .route("/explain/{hash}", get(explain::explain))
        .route("/peers", get(peers::peers))
        .route("/peers/{peer}", get(peers::peer))
        .route("/peers/{peer}/rename", post(peers::rename))
        .route("/peers/{peer}/pause", post(peers::pause))
        .route("/peers/{peer}/resume", post(peers::resume))
        .route("/peers/{peer}/limit", post(peers::limit))
        .route("/peers/{peer}/role", post(peers::role))
        .route("/peers/{peer}/accept", post(peers::accept))
        .route("/peers/{peer}/remove", post(peers::remove))
        .route("/members/list", post(peers::list))
        .route("/pair", get(pair::show).post(pair::open).delete(pair::close))
        .route("/brake/release", post(peers::release_brake))
        .route("/brake/drop", post(peers::drop_braked))
        .route("/plugins", get(plugins::plugins))
        .route("/plugins/{name}/enable", post(plugins::enable))
        .route("/plugins/{name}/disable", post(plugins::disable))
        .route("/plugins/{name}/reload", post(plugins::reload))
        .layer(middleware::from_fn_with_state(api.clone(), check_token))
        .route("/health", get(|| async { success(json!({})) }))
        .fallback(any(|| async { Failure::not_found("there is nothing at this path") }))
        .method_not_allowed_fallback(|| async { Failure::method() })
        // Bodies are capped where they are read, so that what is too long is answered in the envelope.
        .layer(DefaultBodyLimit::disable())
        .with_state(api)
}

async fn check_token(State(api): State<Api>, request: Request, next: Next) -> Response {
    if api.token.is_borne(request.headers()) {
        return next.run(request).await;
    }
    let text = "this needs `Authorization: Bearer …` with the line of `api_token` in the host's `data_dir`";
    Failure::unauthorized(text).into_response()
}

/// Answers with JSON lines as they come: work that takes a while, and tells how far it is.
fn json_lines(lines: impl Stream<Item = Value> + Send + 'static) -> Response {
    let lines = lines.map(|line| Ok::<_, std::convert::Infallible>(format!("{line}\n")));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}
