//! How replication stands, for people and programs.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use super::brakes::Stopped;
use super::devices::Condition;
use super::devices::Trust;
use super::members::MembersStatus;
use super::peers;
use super::review::ReviewStatus;
use super::shared::Engine;
use crate::asset::AssetKey;
use crate::asset::HostId;
use crate::library::Flow;
use crate::library::Role;
use crate::state::DecisionCounts;
use crate::state::PeerSettings;
use crate::state::StateError;
use crate::sync::Summary;

/// How replication stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// The library.
    pub library: LibraryStatus,
    /// Who belongs to it.
    pub members: MembersStatus,
    /// Whom the brake on trashing has stopped.
    pub braked: Vec<Stopped>,
    /// Every device that is known.
    pub peers: Vec<PeerStatus>,
    /// Large transfers under way.
    pub transfers: Vec<TransferStatus>,
    /// Assets that wait for a decision.
    pub held: u64,
    /// The same by the plugin that they wait for.
    pub held_by: BTreeMap<String, u64>,
    /// Assets that are kept back or declined.
    pub declined: u64,
    /// Connections without proof of membership since the start.
    pub refused: u64,
    /// Hosts that a person names, that were never connected, and why they are not reached.
    pub unreached: Vec<(HostId, String)>,
}

/// How one library stands.
#[derive(Debug, Clone)]
pub struct LibraryStatus {
    /// Its name.
    pub name: String,
    /// The set that is passed on.
    pub summary: Summary,
    /// Whether the sets towards all connected peers are equal, and there is one.
    pub equal: bool,
    /// Whether, beyond that, nothing can be hidden behind them: one of them keeps and passes on everything, or no member is
    /// known that is not connected.
    pub in_sync: bool,
    /// Assets that are still wanted.
    pub behind: u64,
    /// What is being judged again since plugins have changed.
    pub review: Option<ReviewStatus>,
    /// Whether anything is exchanged at all.
    pub exchange: bool,
}

/// How one device stands.
#[derive(Debug, Clone)]
pub struct PeerStatus {
    /// Its id.
    pub id: HostId,
    /// Its name: the one that people gave it here, or else its own.
    pub name: String,
    /// Kind of device; empty when it has not said.
    pub kind: String,
    /// Version of its program; empty when it was never connected.
    pub version: String,
    /// What it is to this host.
    pub condition: Condition,
    /// Why it is taken for a member.
    pub trust: Trust,
    /// What is set for it here.
    pub settings: PeerSettings,
    /// What it says it does in the library; `None` when it is not connected.
    pub role: Option<Role>,
    /// What may go between the hosts.
    pub flow: Flow,
    /// Where it was or can be reached.
    pub addresses: Vec<String>,
    /// Its relay.
    pub relay: Option<String>,
    /// When it was first seen, in Unix milliseconds; 0 when it was not.
    pub first_seen_ms: u64,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether this host made the connection; `None` when it is not connected.
    pub dialled: Option<bool>,
    /// Why this host did not reach it when it tried last; `None` when it did, or has not tried.
    pub unreached: Option<String>,
    /// What is wrong with it, if something is.
    pub trouble: Option<&'static str>,
    /// Whether packets go straight to it; `None` when it is not connected.
    pub direct: Option<bool>,
    /// Round-trip time.
    pub rtt: Option<Duration>,
    /// How far its clock was ahead of this host's when it connected, in milliseconds; `None` when it is not connected.
    pub clock_ahead_ms: Option<i64>,
    /// Whether both sets are equal.
    pub in_sync: bool,
    /// Whether it takes in and passes on every asset; `None` when it is not connected, or does not say.
    pub keeps_everything: Option<bool>,
    /// How many assets of the set it says it has stored, and how many there are.
    pub kept: (u64, u64),
    /// Bytes received from it: all packets of the present control connection, and content since the start.
    pub bytes_in: u64,
    /// Bytes sent to it, counted the same way.
    pub bytes_out: u64,
    /// When it was last seen, in Unix milliseconds.
    pub last_seen_ms: u64,
}

/// A large transfer under way.
#[derive(Debug, Clone)]
pub struct TransferStatus {
    /// From whom.
    pub peer: HostId,
    /// Which asset.
    pub key: AssetKey,
    /// How many bytes of it are here.
    pub done: u64,
}

impl Engine {
    /// Counts what waits, by the plugin that it waits for.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn held_by(&self) -> Result<BTreeMap<String, u64>, StateError> {
        Ok(self.shared.state.count_decisions().await?.held_by)
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn status(&self) -> Result<Status, StateError> {
        let shared = &self.shared;
        let known = self.devices();
        let DecisionCounts { held, declined, held_by } = shared.state.count_decisions().await?;
        let mut peers = Vec::with_capacity(known.len());
        for peer in known {
            let connected = shared.connected.get(&peer.id).map(|connected| connected.value().clone());
            let sync = shared.replica().peer(&peer.id);
            let path = connected.as_ref().and_then(|connected| connected.line.path());
            let (control_in, control_out) = connected.as_ref().map_or((0, 0), |connected| connected.line.bytes());
            let traffic = shared.traffic(peer.id);
            let (condition, trust) = self.condition(&peer);
            peers.push(PeerStatus {
                id: peer.id,
                name: peer.shown_name().to_owned(),
                kind: peer.kind,
                version: peer.version,
                condition,
                trust,
                role: connected.as_ref().map(|connected| connected.role),
                flow: shared.flow(peer.id),
                settings: peer.settings,
                addresses: peer.addresses,
                relay: peer.relay,
                first_seen_ms: peer.first_seen_ms,
                connected: connected.is_some(),
                dialled: connected.as_ref().map(|connected| connected.dialled),
                unreached: shared.unreached.get(&peer.id).map(|error| error.value().clone()),
                trouble: connected
                    .as_ref()
                    .filter(|connected| connected.displaced.is_strange(Instant::now()))
                    .map(|_| peers::STRANGE),
                direct: path.map(|path| path.direct),
                rtt: path.map(|path| path.rtt),
                clock_ahead_ms: connected.as_ref().map(|connected| connected.clock_ahead_ms),
                in_sync: sync.is_some_and(|sync| sync.in_sync),
                keeps_everything: connected.as_ref().and_then(|connected| connected.keeps_everything),
                kept: sync.map_or((0, 0), |sync| (sync.kept, sync.summary.count)),
                bytes_in: control_in + traffic.received.load(Ordering::Relaxed),
                bytes_out: control_out + traffic.sent.load(Ordering::Relaxed),
                last_seen_ms: peer.last_seen_ms,
            });
        }
        let is_named = |host: &HostId| shared.registry.get(*host).is_none() && !shared.found.contains_key(host);
        let unreached = shared.unreached.iter().filter(|entry| is_named(entry.key()));
        let mut unreached: Vec<_> = unreached.map(|entry| (*entry.key(), entry.value().clone())).collect();
        unreached.sort_unstable();
        let (summary, wanted) = {
            let replica = shared.replica();
            (replica.summary(), replica.transfers().0)
        };
        let connected = || peers.iter().filter(|peer| peer.connected);
        let kept_there = connected().any(|peer| peer.in_sync && peer.keeps_everything == Some(true));
        let whole = kept_there || shared.absent.load(Ordering::Relaxed) == 0;
        let equal = connected().next().is_some() && connected().all(|peer| peer.in_sync);
        let library = LibraryStatus {
            name: shared.library.name.to_string(),
            summary,
            equal,
            in_sync: whole && equal,
            behind: wanted as u64,
            review: shared.review(),
            exchange: shared.exchange,
        };
        let transfers = shared.transfers.iter().map(|entry| {
            let transfer = entry.value();
            TransferStatus { peer: transfer.peer, key: transfer.key, done: transfer.done.load(Ordering::Relaxed) }
        });
        let transfers = transfers.collect();
        let (members, braked) = (self.members_status(), self.braked());
        Ok(Status {
            library,
            members,
            braked,
            peers,
            transfers,
            held,
            held_by,
            declined,
            refused: shared.net.refused(),
            unreached,
        })
    }
}
