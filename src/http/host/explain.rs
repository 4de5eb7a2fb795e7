//! `GET /explain/{hash}`.

use axum::extract::State;
use axum::response::Response;
use data_encoding::HEXLOWER;
use serde::Serialize;

use super::Api;
use super::held;
use super::held::Decision;
use crate::asset::Digest;
use crate::engine;
use crate::engine::ExplainError;
use crate::hook;
use crate::http::Failure;
use crate::http::path::AssetPath;
use crate::http::success;
use crate::store::Origin;
use crate::store::Presence;

/// What became of one asset on this host, in JSON.
#[derive(Debug, Serialize)]
struct Explanation {
    hash: String,
    /// How it lies in the store, or null.
    stored: Option<Stored>,
    /// Whether it is passed on.
    passes: bool,
    /// What plugins answered, in the order in which an asset meets them.
    verdicts: Vec<Verdicted>,
    /// What stops it, or was released.
    decisions: Vec<Decision>,
    peers: Vec<Peer>,
}

#[derive(Debug, Serialize)]
struct Stored {
    timestamp: u64,
    size: u64,
    /// `here`, `missing` or `quarantined`.
    content: &'static str,
    /// `here` or `peer`.
    origin: &'static str,
    mime_type: Option<String>,
    file_name: Option<String>,
    path: Option<String>,
    application: Option<String>,
    user: Option<String>,
    description: Option<String>,
    tags: Vec<String>,
    trashed: bool,
    /// Where others see something else: `before` is what is shared, `after` what is seen here.
    local: Vec<Difference>,
    /// Digest of the metadata that is shared.
    version: String,
}

#[derive(Debug, Serialize)]
struct Verdicted {
    point: &'static str,
    peer: Option<String>,
    peer_name: Option<String>,
    at_ms: u64,
    /// Whether the plugins of today were asked.
    current: bool,
    standing: &'static str,
    verdict: &'static str,
    reason: Option<String>,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Step {
    plugin: String,
    verdict: &'static str,
    reason: Option<String>,
    /// Why its policy answered for it.
    failure: Option<String>,
    took_us: u64,
    changed: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Difference {
    field: String,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Debug, Serialize)]
struct Peer {
    id: String,
    name: String,
    connected: bool,
    /// Digest of the metadata it is known to have; null when nothing is known, it turned the asset down, or does not give it.
    version: Option<String>,
    /// Whether that is what is shared here.
    same: bool,
    /// How it turned the asset down, or null.
    refusal: Option<Refusal>,
}

#[derive(Debug, Serialize)]
struct Refusal {
    /// `held`, `declined` or `refused`.
    kind: &'static str,
    reason: String,
    at_ms: u64,
}

pub(super) async fn explain(State(api): State<Api>, AssetPath(asset): AssetPath) -> Result<Response, Failure> {
    let explained = api.node.explain(asset).await.map_err(|error| match error {
        ExplainError::Unknown(_) => Failure::not_found(error.to_string()),
        _ => Failure::internal(&error),
    })?;
    Ok(success(Explanation::from(explained)))
}

impl From<engine::Explanation> for Explanation {
    fn from(explained: engine::Explanation) -> Self {
        let version = explained.stored.as_ref().map(|stored| stored.version);
        let peers = explained.peers.into_iter().map(|peer| Peer {
            id: peer.id.to_string(),
            name: peer.name,
            connected: peer.connected,
            same: peer.version.is_some() && peer.version == version,
            version: peer.version.map(digest),
            refusal: peer.refusal.map(|refusal| Refusal {
                kind: match refusal.kind {
                    engine::Refused::Held => "held",
                    engine::Refused::Declined => "declined",
                    engine::Refused::Invalid => "refused",
                },
                reason: refusal.reason,
                at_ms: refusal.at_ms,
            }),
        });
        Self {
            hash: explained.asset.to_string(),
            stored: explained.stored.map(Stored::from),
            passes: explained.passes,
            verdicts: explained.verdicts.into_iter().map(Verdicted::from).collect(),
            decisions: explained.decisions.into_iter().map(Decision::from).collect(),
            peers: peers.collect(),
        }
    }
}

impl From<engine::Stored> for Stored {
    fn from(stored: engine::Stored) -> Self {
        let seen = stored.seen;
        Self {
            timestamp: stored.timestamp_ms,
            size: stored.size,
            content: match stored.presence {
                Presence::Here => "here",
                Presence::Missing => "missing",
                Presence::Quarantined => "quarantined",
            },
            origin: match stored.origin {
                Origin::Here => "here",
                Origin::Peer => "peer",
            },
            mime_type: seen.mime_type,
            file_name: seen.file_name,
            path: seen.path,
            application: seen.application,
            user: seen.user,
            description: seen.description,
            tags: seen.tags.into_iter().collect(),
            trashed: seen.trashed,
            local: stored.local.into_iter().map(Difference::from).collect(),
            version: digest(stored.version),
        }
    }
}

impl From<engine::Verdicted> for Verdicted {
    fn from(verdicted: engine::Verdicted) -> Self {
        let (verdict, reason) = said(verdicted.verdict);
        let (peer, peer_name) = verdicted.peer.map(|(id, name)| (id.to_string(), name)).unzip();
        Self {
            point: held::point(verdicted.point),
            peer,
            peer_name,
            at_ms: verdicted.at_ms,
            current: verdicted.current,
            standing: held::standing(verdicted.standing),
            verdict,
            reason,
            steps: verdicted.steps.into_iter().map(Step::from).collect(),
        }
    }
}

impl From<engine::ExplainedStep> for Step {
    fn from(step: engine::ExplainedStep) -> Self {
        let (verdict, reason) = said(step.verdict);
        let changed = step.changed.into_iter().map(Difference::from).collect();
        Self { plugin: step.plugin, verdict, reason, failure: step.failure, took_us: step.took_us, changed }
    }
}

impl From<engine::Difference> for Difference {
    fn from(difference: engine::Difference) -> Self {
        Self { field: difference.field, before: difference.before, after: difference.after }
    }
}

fn said(verdict: hook::Verdict) -> (&'static str, Option<String>) {
    match verdict {
        hook::Verdict::Pass => ("pass", None),
        hook::Verdict::Drop(reason) => ("drop", Some(reason)),
        hook::Verdict::Hold(reason) => ("hold", Some(reason)),
        hook::Verdict::Edit(_) => ("edit", None),
    }
}

fn digest(digest: Digest) -> String {
    HEXLOWER.encode(digest.as_bytes())
}
