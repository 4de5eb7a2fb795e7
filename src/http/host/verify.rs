//! `POST /verify`: hashes contents again and tells what it finds, in JSON lines as it goes.

use std::time::Duration;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::Api;
use super::json_lines;
use crate::asset::AssetId;
use crate::http::Failure;
use crate::http::body::whole;
use crate::limits;
use crate::node::VerifyStep;
use crate::node::Which;
use crate::store::ReadError;
use crate::store::Verification;

/// How often progress is told at most.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// How often it is told at least, so that whoever waits sees that a large asset is still being hashed.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// `{"all": true}`, or `{"hashes": ["…", …]}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    all: bool,
    #[serde(default)]
    hashes: Vec<String>,
}

/// What was found up to now.
#[derive(Debug, Default)]
struct Sum {
    total: u64,
    sound: u64,
    damaged: u64,
    missing: u64,
    unreadable: u64,
    bytes: u64,
    told: Option<Instant>,
}

pub(super) async fn verify(State(api): State<Api>, body: Body) -> Result<Response, Failure> {
    let body = whole(body, limits::JSON_BODY_BYTES).await?;
    let wish: Wish = serde_json::from_slice(&body).map_err(|error| {
        Failure::bad_request(format!("the body is `{{\"all\": true}}` or `{{\"hashes\": [\"…\"]}}`: {error}"))
    })?;
    let which = match (wish.all, wish.hashes.is_empty()) {
        (true, true) => Which::All,
        (false, false) => {
            let ids: Result<Vec<AssetId>, _> = wish.hashes.iter().map(|hash| hash.parse()).collect();
            Which::Some(ids.map_err(|error| Failure::bad_request(error.to_string()))?)
        }
        _ => return Err(Failure::bad_request("give either `all` or some `hashes`")),
    };
    let steps = Box::pin(api.node.verify(which).await.map_err(|error| Failure::internal(&error))?);
    let beats = stream::unfold(Some(steps), |steps| async move {
        let mut steps = steps?;
        match tokio::time::timeout(SILENT_FOR, steps.next()).await {
            Ok(Some(step)) => Some((Beat::Step(step), Some(steps))),
            Ok(None) => Some((Beat::End, None)),
            // It goes on with the same asset.
            Err(_) => Some((Beat::Silence, Some(steps))),
        }
    });
    let lines = beats.scan(Sum::default(), |sum, beat| {
        let lines = match beat {
            Beat::Step(Ok(step)) => sum.take(step),
            // A walk that broke has no last line.
            Beat::Step(Err(error)) => {
                tracing::error!(error = %crate::telemetry::causes(&error), "verification broke off");
                return std::future::ready(None);
            }
            Beat::Silence => vec![sum.progress()],
            Beat::End => vec![sum.end()],
        };
        std::future::ready(Some(stream::iter(lines)))
    });
    Ok(json_lines(lines.flatten()))
}

/// What there is to tell of.
enum Beat {
    Step(Result<VerifyStep, ReadError>),
    /// One asset takes long.
    Silence,
    End,
}

impl Sum {
    /// Counts a step; returns the lines that tell of it.
    fn take(&mut self, step: VerifyStep) -> Vec<Value> {
        let mut lines = Vec::new();
        match step {
            VerifyStep::Total(total) => self.total = total,
            VerifyStep::Verified(verified) => match verified.found {
                Verification::Sound { bytes } => {
                    self.sound += 1;
                    self.bytes += bytes;
                }
                Verification::Quarantined { reason } => {
                    self.damaged += 1;
                    lines.push(json!({ "kind": "damaged", "hash": verified.id.to_string(), "reason": reason }));
                }
                Verification::Missing => {
                    self.missing += 1;
                    lines.push(json!({ "kind": "missing", "hash": verified.id.to_string() }));
                }
                Verification::Unreadable { reason } => {
                    self.unreadable += 1;
                    lines.push(json!({ "kind": "unreadable", "hash": verified.id.to_string(), "reason": reason }));
                }
            },
        }
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            lines.push(self.progress());
        }
        lines
    }

    fn progress(&self) -> Value {
        let done = self.sound + self.damaged + self.missing + self.unreadable;
        json!({ "kind": "progress", "done": done, "total": self.total.max(done) })
    }

    fn end(&self) -> Value {
        let Self { sound, damaged, missing, unreadable, bytes, .. } = self;
        json!({
            "kind": "end", "sound": sound, "damaged": damaged, "missing": missing, "unreadable": unreadable,
            "bytes": bytes,
        })
    }
}
