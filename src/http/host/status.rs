//! `GET /status`.

use axum::extract::State;
use axum::response::Response;
use data_encoding::HEXLOWER;
use serde::Serialize;

use super::Api;
use super::peers::Braked;
use super::peers::Members;
use super::peers::Peer;
use super::plugins;
use super::plugins::Plugin;
use crate::engine;
use crate::http::Failure;
use crate::http::success;
use crate::node::NodeStatus;
use crate::node::SourceStatus;

/// How the host is, in JSON.
#[derive(Debug, Serialize)]
struct Status {
    host_id: String,
    name: String,
    version: &'static str,
    uptime_secs: u64,
    /// What people should know about the host.
    notes: Vec<String>,
    store: Store,
    libraries: Vec<Library>,
    peers: Vec<Peer>,
    /// Who belongs to the library.
    members: Members,
    /// Whom the brake on trashing has stopped.
    braked: Vec<Braked>,
    /// How other hosts are found.
    discovery: Vec<Source>,
    transfers: Vec<Transfer>,
    /// Assets that wait for a decision.
    held: u64,
    /// Assets that are kept back or declined.
    declined: u64,
    /// Connections without proof of membership since the start.
    refused: u64,
    plugins: Vec<Plugin>,
}

#[derive(Debug, Serialize)]
struct Store {
    kind: &'static str,
    healthy: bool,
    trouble: Option<String>,
    /// What people should know although the store works.
    notes: Vec<String>,
    assets: u64,
    bytes: u64,
    missing: u64,
}

#[derive(Debug, Serialize)]
struct Library {
    name: String,
    count: u64,
    fingerprint: String,
    /// Whether the sets towards all connected peers are equal, and there is one.
    equal: bool,
    in_sync: bool,
    /// Assets that are still wanted.
    behind: u64,
    /// Peers that are connected.
    peers: u64,
    /// Whether anything is exchanged.
    exchange: bool,
    /// What is being judged again since plugins have changed, or null.
    review: Option<Review>,
}

#[derive(Debug, Serialize)]
struct Review {
    judged: u64,
    of: u64,
}

#[derive(Debug, Serialize)]
struct Source {
    name: String,
    /// `off`, `starting`, `ok`, `degraded` or `failed`.
    condition: &'static str,
    trouble: Option<String>,
    /// What it depends on, each relay for example.
    parts: Vec<Source>,
}

#[derive(Debug, Serialize)]
struct Transfer {
    hash: String,
    peer: String,
    size: u64,
    done: u64,
}

pub(super) async fn status(State(api): State<Api>) -> Result<Response, Failure> {
    let status = api.node.status().await.map_err(|error| Failure::internal(&error))?;
    let plugins = plugins::all(&api, &status.replication.held_by);
    Ok(success(Status { plugins, ..Status::from(status) }))
}

impl From<NodeStatus> for Status {
    fn from(node: NodeStatus) -> Self {
        let NodeStatus { id, name, version, uptime, notes, store, discovery, replication } = node;
        let engine::Status { library, members, braked, peers, transfers, held, declined, refused, .. } = replication;
        let connected = peers.iter().filter(|peer| peer.connected).count() as u64;
        Self {
            host_id: id.to_string(),
            name,
            version,
            uptime_secs: uptime.as_secs(),
            notes,
            store: Store {
                kind: store.kind,
                healthy: store.trouble.is_none(),
                trouble: store.trouble,
                notes: store.notes,
                assets: store.assets,
                bytes: store.bytes,
                missing: store.missing,
            },
            libraries: vec![Library {
                name: library.name,
                count: library.summary.count,
                fingerprint: HEXLOWER.encode(&library.summary.fingerprint),
                equal: library.equal,
                in_sync: library.in_sync,
                behind: library.behind,
                peers: connected,
                exchange: library.exchange,
                review: library.review.map(|review| Review { judged: review.judged, of: review.of }),
            }],
            peers: peers.into_iter().map(Peer::from).collect(),
            members: Members::from(members),
            braked: braked.into_iter().map(Braked::from).collect(),
            discovery: discovery.into_iter().map(Source::from).collect(),
            transfers: transfers.into_iter().map(Transfer::from).collect(),
            held,
            declined,
            refused,
            plugins: Vec::new(),
        }
    }
}

impl From<SourceStatus> for Source {
    fn from(source: SourceStatus) -> Self {
        let SourceStatus { name, condition, trouble, parts } = source;
        Self { name, condition, trouble, parts: parts.into_iter().map(Self::from).collect() }
    }
}

impl From<engine::TransferStatus> for Transfer {
    fn from(transfer: engine::TransferStatus) -> Self {
        Self {
            hash: transfer.key.id.to_string(),
            peer: transfer.peer.to_string(),
            size: transfer.key.size,
            done: transfer.done,
        }
    }
}
