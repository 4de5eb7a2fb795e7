//! `GET /held`, `GET /declined`, `POST /held/{hash}/release|drop|replay`, `POST /held/replay`.

use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use super::Api;
use super::json_lines;
use crate::engine;
use crate::engine::Decided;
use crate::engine::DecisionMark;
use crate::engine::HandError;
use crate::engine::Replayed;
use crate::engine::Way;
use crate::hook::Point;
use crate::hook::Standing;
use crate::http::Failure;
use crate::http::path::AssetPath;
use crate::http::path::shortened;
use crate::http::success;
use crate::limits;
use crate::telemetry::causes;

/// Which page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// As text, so that the error names it.
    limit: Option<String>,
}

/// What was decided about an asset, in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Decision {
    hash: String,
    timestamp: u64,
    size: u64,
    /// `push`: it is here and not passed on. `pull`: it was offered and not taken.
    way: &'static str,
    /// `before-push`, `before-pull` or `after-receive`.
    point: &'static str,
    /// `hold`, `drop`, or `pass` for what was released.
    #[serde(rename = "decision")]
    kind: &'static str,
    reason: String,
    /// The plugin, `hand`, or null.
    by: Option<String>,
    /// `firm`, `failed` or `absent`.
    standing: &'static str,
    at_ms: u64,
}

pub(super) async fn held(
    State(api): State<Api>,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Response, Failure> {
    let (after, limit) = page(paging)?;
    Ok(listed(api.node.held(after, limit).await.map_err(|error| Failure::internal(&error))?, limit))
}

pub(super) async fn declined(
    State(api): State<Api>,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Response, Failure> {
    let (after, limit) = page(paging)?;
    Ok(listed(api.node.declined(after, limit).await.map_err(|error| Failure::internal(&error))?, limit))
}

pub(super) async fn release(State(api): State<Api>, AssetPath(asset): AssetPath) -> Result<Response, Failure> {
    api.node.release(asset).await.map_err(failure)?;
    Ok(success(json!({ "hash": asset.to_string(), "done": "released" })))
}

pub(super) async fn drop_held(State(api): State<Api>, AssetPath(asset): AssetPath) -> Result<Response, Failure> {
    api.node.drop_held(asset).await.map_err(failure)?;
    Ok(success(json!({ "hash": asset.to_string(), "done": "dropped" })))
}

pub(super) async fn replay(State(api): State<Api>, AssetPath(asset): AssetPath) -> Result<Response, Failure> {
    api.node.replay(asset).await.map_err(failure)?;
    Ok(success(json!({ "hash": asset.to_string(), "done": "replayed" })))
}

pub(super) async fn replay_all(State(api): State<Api>) -> Result<Response, Failure> {
    let steps = api.node.replay_held().await.map_err(failure)?;
    let lines = steps.map(Some).chain(stream::iter([None])).scan(0, |replayed, step| {
        let line = match step {
            Some(Ok(Replayed { done, total })) => {
                *replayed = done;
                json!({ "kind": "progress", "done": done, "total": total })
            }
            // What broke off has no last line.
            Some(Err(error)) => {
                tracing::error!(error = %causes(&error), "asking again about what is held broke off");
                return std::future::ready(None);
            }
            None => json!({ "kind": "end", "replayed": replayed }),
        };
        std::future::ready(Some(line))
    });
    Ok(json_lines(lines))
}

fn failure(error: HandError) -> Failure {
    match error {
        HandError::Unknown(_) => Failure::not_found(error.to_string()),
        HandError::NotStopped(_) | HandError::Silent => Failure::conflict(error.to_string()),
        _ => Failure::internal(&error),
    }
}

fn page(paging: Result<Query<Paging>, QueryRejection>) -> Result<(Option<DecisionMark>, usize), Failure> {
    let Query(paging) = paging.map_err(|error| Failure::bad_request(error.body_text()))?;
    let (text, most) = (paging.limit.as_deref(), limits::PAGE_ROWS);
    let limit = text.map_or(Some(limits::PAGE_ROWS_DEFAULT), |text| text.parse().ok());
    let limit = limit.filter(|limit| (1..=most).contains(limit)).ok_or_else(|| {
        Failure::bad_request(format!("limit is {:?}; it must be 1 to {most}", shortened(text.unwrap_or_default())))
    })?;
    let after = paging
        .cursor
        .map(|text| read_mark(&text).ok_or_else(|| Failure::bad_request("`cursor` is the `next` of a page before")));
    Ok((after.transpose()?, limit))
}

fn listed(decided: Vec<Decided>, limit: usize) -> Response {
    let next = decided.last().filter(|_| decided.len() == limit).map(write_mark);
    let assets: Vec<Decision> = decided.into_iter().map(Decision::from).collect();
    success(json!({ "assets": assets, "next": next }))
}

fn write_mark(decided: &Decided) -> String {
    format!("{}-{}-{}", decided.at_ms, decided.key.id, way(decided.way))
}

fn read_mark(text: &str) -> Option<DecisionMark> {
    let mut parts = text.split('-');
    let (at_ms, asset) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let way = match parts.next()? {
        "push" => Way::Push,
        "pull" => Way::Pull,
        _ => return None,
    };
    parts.next().is_none().then_some(DecisionMark { at_ms, asset, way })
}

const fn way(way: Way) -> &'static str {
    match way {
        Way::Push => "push",
        Way::Pull => "pull",
    }
}

/// Names a point as plugins know it.
pub(super) const fn point(point: Point) -> &'static str {
    match point {
        Point::BeforePush => "before-push",
        Point::BeforePull => "before-pull",
        Point::AfterReceive => "after-receive",
    }
}

/// Names how long something stands.
pub(super) const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Firm => "firm",
        Standing::Failed => "failed",
        Standing::Absent => "absent",
    }
}

impl From<Decided> for Decision {
    fn from(decided: Decided) -> Self {
        Self {
            hash: decided.key.id.to_string(),
            timestamp: decided.key.timestamp.as_millis(),
            size: decided.key.size,
            way: way(decided.way),
            point: point(decided.point),
            kind: match decided.decision {
                engine::Decision::Hold => "hold",
                engine::Decision::Drop => "drop",
                engine::Decision::Pass => "pass",
            },
            reason: decided.reason,
            by: Some(decided.by).filter(|by| !by.is_empty()),
            standing: standing(decided.standing),
            at_ms: decided.at_ms,
        }
    }
}
