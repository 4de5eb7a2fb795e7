//! `POST /purge/{hash}`

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::Api;
use super::peers::read;
use crate::engine::PurgeError;
use crate::http::Failure;
use crate::http::path::AssetPath;
use crate::http::success;

/// What may be purged.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Also what no connected peer has to give.
    #[serde(default)]
    last_copy: bool,
}

pub(super) async fn purge(
    State(api): State<Api>,
    AssetPath(asset): AssetPath,
    body: Body,
) -> Result<Response, Failure> {
    let Wish { last_copy } = read(body).await?;
    match api.node.purge(asset, last_copy).await {
        Ok(()) => Ok(success(json!({ "hash": asset.to_string(), "done": "purged" }))),
        Err(error @ PurgeError::NotHere(_)) => Err(Failure::not_found(error.to_string())),
        Err(error @ PurgeError::LastCopy(_)) => Err(Failure::conflict(error.to_string())),
        Err(error) => Err(Failure::internal(&error)),
    }
}
