//! How a host is, as a whole.

use std::time::Duration;

use super::start::Node;
use crate::asset::HostId;
use crate::discovery;
use crate::discovery::Health;
use crate::engine::Condition;
use crate::engine::Culprit;
use crate::engine::PeerStatus;
use crate::engine::Status;
use crate::engine::Stopped;
use crate::limits;
use crate::state::StateError;
use crate::telemetry::causes;

/// How a host is.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// Version of the program.
    pub version: &'static str,
    /// How long it has been running.
    pub uptime: Duration,
    /// What people should know about it beside its store and its peers, a sentence each.
    pub notes: Vec<String>,
    /// Its store.
    pub store: StoreStatus,
    /// How each source of other hosts is doing.
    pub discovery: Vec<SourceStatus>,
    /// Replication.
    pub replication: Status,
}

/// How a store is.
#[derive(Debug, Clone)]
pub struct StoreStatus {
    /// Its kind in one word.
    pub kind: &'static str,
    /// Why it cannot be used, if so.
    pub trouble: Option<String>,
    /// What people should know although it works, a sentence each.
    pub notes: Vec<String>,
    /// Assets whose content is here.
    pub assets: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Assets whose content is missing or was moved aside.
    pub missing: u64,
}

/// How a source of other hosts is doing, or something it depends on.
#[derive(Debug, Clone)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// How it is, in one word: `off`, `starting`, `ok`, `degraded` or `failed`.
    pub condition: &'static str,
    /// What is wrong with it, if something is.
    pub trouble: Option<String>,
    /// What it depends on, each relay for example.
    pub parts: Vec<SourceStatus>,
}

impl SourceStatus {
    fn new(name: &str, health: Health) -> Self {
        let (condition, trouble) = match health.condition {
            discovery::Condition::Off => ("off", None),
            discovery::Condition::Starting => ("starting", None),
            discovery::Condition::Ok => ("ok", None),
            discovery::Condition::Degraded(why) => ("degraded", Some(why)),
            discovery::Condition::Failed(why) => ("failed", Some(why)),
        };
        let parts = health.parts.into_iter().map(|(name, condition)| Self::new(&name, condition.into()));
        Self { name: name.to_owned(), condition, trouble, parts: parts.collect() }
    }
}

impl Node {
    /// Looks at everything. A store that cannot be read is told as trouble, not as an error.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn status(&self) -> Result<NodeStatus, StateError> {
        let kind = self.store.kind();
        let store = match self.store.health().await {
            Ok(health) => StoreStatus {
                kind,
                trouble: health.trouble,
                notes: health.notes,
                assets: health.assets,
                bytes: health.bytes,
                missing: health.missing,
            },
            Err(error) => {
                let trouble = Some(causes(&error));
                StoreStatus { kind, trouble, notes: Vec::new(), assets: 0, bytes: 0, missing: 0 }
            }
        };
        let (replication, health) = (self.engine.status().await?, self.discovery.health());
        let ticket = self.ticket_trouble.lock().clone();
        let mut notes: Vec<String> = ticket.into_iter().chain(replication.members.trouble.clone()).collect();
        notes.extend(self.plugin_folder_trouble());
        notes.extend(replication.braked.iter().map(braked));
        notes.extend(replication.peers.iter().filter_map(waits));
        notes.extend(replication.peers.iter().filter_map(clocks_apart));
        notes.extend(replication.peers.iter().filter_map(in_trouble));
        notes.extend(replication.unreached.iter().map(unreached));
        Ok(NodeStatus {
            id: self.id(),
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.began.elapsed(),
            notes,
            store,
            discovery: health.into_iter().map(|(name, health)| SourceStatus::new(name, health)).collect(),
            replication,
        })
    }
}

/// Says who was stopped by the brake on trashing.
fn braked(stopped: &Stopped) -> String {
    let (Culprit::Author(id) | Culprit::Peer(id)) = stopped.culprit;
    let name = if stopped.name.is_empty() { id.fmt_short() } else { stopped.name.clone() };
    format!(
        "{name} trashed too much in too short a time, so its changes wait; `can-sync held drop --braked` undoes them \
         everywhere, `can-sync held release --braked` makes them"
    )
}

/// Says which device waits to be accepted.
fn waits(peer: &PeerStatus) -> Option<String> {
    let id = peer.id.fmt_short();
    (peer.condition == Condition::Pending)
        .then(|| format!("{} ({id}) waits to be accepted; if it is yours: `can-sync peers accept {id}`", peer.name))
}

/// Says why a host that is named here is not reached.
fn unreached((id, error): &(HostId, String)) -> String {
    format!("the host {} is named here and not reached: {error}", id.fmt_short())
}

/// Says what is wrong with a device.
fn in_trouble(peer: &PeerStatus) -> Option<String> {
    peer.trouble.map(|trouble| format!("{} ({}): {trouble}", peer.name, peer.id.fmt_short()))
}

/// Says whose clock is ahead, where that is so much that changes may have to wait.
fn clocks_apart(peer: &PeerStatus) -> Option<String> {
    let ahead_ms = peer.clock_ahead_ms.filter(|ms| ms.unsigned_abs() > limits::CLOCK_APART_MS)?;
    let apart = humantime::format_duration(Duration::from_secs(ahead_ms.unsigned_abs() / 1000));
    let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
    Some(format!("the clock of {} is {apart} {way} the one of this host; set both right, else changes wait", peer.name))
}
