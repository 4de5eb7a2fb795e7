//! The engine as others hold it, and what its parts share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use dashmap::DashMap;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::sync::watch;

use super::brakes::Brakes;
use super::dial::Why;
use super::dial::Wish;
use super::early::Early;
use super::feed;
use super::fetch::Transfer;
use super::hub;
use super::hub::Told;
use super::load::Load;
use super::members::Keep;
use super::members::Members;
use super::memory;
use super::neighbours::Hearing;
use super::pace::Pace;
use super::pairing::Pairing;
use super::peers;
use super::peers::PeerOrder;
use super::purge;
use super::purge::Purges;
use super::registry::Registry;
use super::review::ReviewStatus;
use super::turn::Turn;
use super::verdicts;
use super::verdicts::Verdicts;
use crate::asset::AssetId;
use crate::asset::HostId;
use crate::auth::HostKey;
use crate::auth::members::Circle;
use crate::auth::members::Standing;
use crate::event::Event;
use crate::hook::Chain;
use crate::hook::Hooks;
use crate::hook::Point;
use crate::library::Flow;
use crate::library::Library;
use crate::library::RelayPolicy;
use crate::library::Role;
use crate::library::Ticket;
use crate::limits;
use crate::net::Line;
use crate::net::Net;
use crate::state::PeerSettings;
use crate::state::Position;
use crate::state::Refusal;
use crate::state::State;
use crate::state::StateError;
use crate::store::Arrival;
use crate::store::ReadError;
use crate::store::Spooled;
use crate::store::Store;
use crate::sync::BrakeLimits;
use crate::sync::Replica;
use crate::task::Group;
use crate::telemetry::Sparing;

/// What an engine is made of.
pub struct Options {
    /// Where the assets lie.
    pub store: Arc<dyn Store>,
    /// What the host remembers.
    pub state: State,
    /// The endpoint.
    pub net: Net,
    /// What plugins say.
    pub hooks: Arc<dyn Hooks>,
    /// What is replicated.
    pub library: Library,
    /// What this host does in the library.
    pub role: Role,
    /// What it lets travel over a relay.
    pub relay_policy: RelayPolicy,
    /// Who the members are; the endpoint follows it.
    pub circle: watch::Sender<Arc<Circle>>,
    /// The key that statements about members are signed with.
    pub key: HostKey,
    /// Keeps what is known of the members.
    pub keep: Keep,
    /// How much one author or peer may trash.
    pub brake: BrakeLimits,
    /// Name of this device, for people.
    pub name: String,
    /// How often sets are compared with peers when nothing happens.
    pub poll_interval: Duration,
    /// Where happenings are announced.
    pub events: broadcast::Sender<Event>,
    /// Whether anything is exchanged: without, nobody is accepted or dialled, nothing is judged and nothing passed on.
    pub exchange: bool,
}

/// The engine could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why a connection ends to a host that is no member any more.
pub(super) const NO_MEMBER: &str = "not a member";

/// Why a connection ends on which one side has yet to accept the other.
pub(super) const WAITS: &str = "one of the hosts waits to be accepted by an admin";

/// The decider where nobody is asked.
pub(super) const NOBODY: &str = "none";

fn decider(hooks: &dyn Hooks, point: Point, library: &str) -> String {
    hooks.chain(point, library).map_or_else(|| NOBODY.to_owned(), |chain| chain.to_string())
}

/// Bytes of content exchanged with one peer, and how fast they may go.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) receiving: Pace,
    pub(super) sending: Pace,
}

/// What others can cause as often as they like, and is logged now and then.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Connections without proof.
    pub(super) refused: Sparing,
    /// What members tell of members and is not taken.
    pub(super) not_taken: Sparing,
    /// Members that say that the library has moved on.
    pub(super) moved_on: Sparing,
    /// Hosts that were found and cannot be reached.
    pub(super) not_reached: Sparing,
    /// Hosts that were found and are left alone.
    pub(super) left_alone: Sparing,
}

/// A running engine. Cloning shares it.
#[derive(Clone)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) group: Group,
}

/// What every part of the engine may use.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) state: State,
    pub(super) net: Net,
    pub(super) hooks: Arc<dyn Hooks>,
    pub(super) library: Library,
    pub(super) role: Role,
    pub(super) relay_policy: RelayPolicy,
    pub(super) members: Arc<Members>,
    pub(super) pairing: Pairing,
    pub(super) brake: Brakes,
    pub(super) name: String,
    pub(super) host: HostId,
    pub(super) poll_interval: Duration,
    pub(super) events: broadcast::Sender<Event>,
    /// Written by the hub alone; others look things up.
    replica: Mutex<Replica>,
    pub(super) hub: mpsc::Sender<Told>,
    pub(super) peers: mpsc::Sender<PeerOrder>,
    pub(super) memory: mpsc::Sender<memory::Note>,
    /// Whether a refusal was noted since the start; it may not be written down yet.
    pub(super) refused: AtomicBool,
    /// Bytes of notes that wait there.
    pub(super) notes: Load,
    pub(super) feed: mpsc::Sender<feed::Order>,
    /// Changes of peers that wait for their time.
    pub(super) early: Early,
    /// What plugins answered.
    pub(super) verdicts: Verdicts,
    /// All hosts that were ever peers.
    pub(super) registry: Registry,
    /// Hosts that were found and have not proved to be members yet.
    pub(super) found: DashMap<HostId, Ticket>,
    /// Why hosts were not reached when they were dialled last, for people.
    pub(super) unreached: DashMap<HostId, String>,
    /// What is being judged again, for people.
    review: Mutex<Option<ReviewStatus>>,
    pub(super) exchange: bool,
    /// What a person removes for good.
    pub(super) purges: Purges,
    /// Contents that were fetched and wait to be kept: from the hub's word of them to the beginning of the keeping.
    pub(super) arrived: DashMap<AssetId, Spooled>,
    /// Connections that peers have dialled for contents and that stand, the latest of each.
    pub(super) served: DashMap<HostId, Line>,
    /// Large transfers under way, for people.
    pub(super) transfers: DashMap<AssetId, Arc<Transfer>>,
    /// Bytes of content exchanged with peers since the start, for people.
    pub(super) traffic: DashMap<HostId, Arc<Traffic>>,
    /// Connected peers, for people.
    pub(super) connected: DashMap<HostId, peers::Connected>,
    /// Told whenever one is put there, or taken out.
    pub(super) connections: watch::Sender<()>,
    /// Where they can be reached, for those who tell others.
    pub(super) reachable: watch::Sender<Vec<Ticket>>,
    /// Members that are known and not connected.
    pub(super) absent: AtomicUsize,
    /// What connected members say that is gossip.
    pub(super) gossip: Hearing,
    /// How often there was something to log that others cause.
    pub(super) seen: Seen,
    /// Who waits to decide again about what a peer has.
    pub(super) turns: DashMap<HostId, Arc<Turn>>,
    began: Instant,
}

impl Traffic {
    /// Keeps to the rates that are set for the peer.
    pub(super) fn keep_to(&self, settings: &PeerSettings) {
        self.receiving.set(settings.most_taken);
        self.sending.set(settings.most_sent);
    }
}

impl Engine {
    /// Builds the set from store and state and starts to replicate.
    ///
    /// # Errors
    /// [`StartError`] when store or state cannot be read.
    pub async fn start(options: Options, group: Group) -> Result<Self, StartError> {
        let decides = |point| decider(&*options.hooks, point, &options.library.name);
        let (push, receive) = (decides(Point::BeforePush), decides(Point::AfterReceive));
        let (items, position) = if options.exchange {
            purge::settle(&*options.store, &options.state).await?;
            feed::items(&*options.store, &options.state, &push, &receive).await?
        } else {
            (Vec::new(), Position { arrival: 0, decider: push, receiver: receive })
        };
        let registry = Registry::load(options.state.clone()).await?;
        let brake = Brakes::load(options.brake, &options.state).await?;
        let poll_ms = u64::try_from(options.poll_interval.as_millis()).unwrap_or(u64::MAX);
        let (hub, told) = mpsc::channel(limits::INPUTS_QUEUED);
        let (peers, orders) = mpsc::channel(limits::PEER_ORDERS_QUEUED);
        let (memory, notes) = mpsc::channel(limits::NOTES_QUEUED);
        let (feed, wishes) = mpsc::channel(limits::FEED_ORDERS_QUEUED);
        let (verdicts, answers) = mpsc::channel(limits::VERDICTS_QUEUED);
        let shared = Arc::new(Shared {
            store: options.store,
            state: options.state,
            host: options.net.id(),
            net: options.net,
            hooks: options.hooks,
            library: options.library,
            role: options.role,
            relay_policy: options.relay_policy,
            members: Arc::new(Members::new(options.circle, options.key, options.keep, peers.clone())),
            pairing: Pairing::default(),
            brake,
            name: options.name,
            poll_interval: options.poll_interval,
            events: options.events,
            replica: Mutex::new(Replica::new(items, poll_ms)),
            hub,
            peers,
            memory,
            refused: AtomicBool::new(false),
            notes: Load::new(limits::NOTES_QUEUED_BYTES),
            feed,
            early: Early::default(),
            verdicts: Verdicts::new(verdicts),
            registry,
            found: DashMap::new(),
            unreached: DashMap::new(),
            review: Mutex::new(None),
            exchange: options.exchange,
            purges: Purges::default(),
            arrived: DashMap::new(),
            served: DashMap::new(),
            turns: DashMap::new(),
            transfers: DashMap::new(),
            traffic: DashMap::new(),
            connected: DashMap::new(),
            connections: watch::Sender::default(),
            reachable: watch::Sender::default(),
            absent: AtomicUsize::new(0),
            gossip: Hearing::new(),
            seen: Seen::default(),
            began: Instant::now(),
        });
        let judged = Arrival(position.arrival);
        group.spawn("hub", hub::run(Arc::clone(&shared), group.clone(), told, judged));
        group.spawn("memory", memory::run(Arc::clone(&shared), group.token().clone(), notes));
        group.spawn("verdicts", verdicts::run(Arc::clone(&shared), group.token().clone(), answers));
        if shared.exchange {
            group.spawn("feed", feed::run(Arc::clone(&shared), group.clone(), wishes, position));
            group.spawn("peers", peers::run(Arc::clone(&shared), group.clone(), orders));
        }
        Ok(Self { shared, group })
    }

    /// Accepts connections of peers.
    pub async fn accept(&self) {
        if !self.shared.exchange {
            return;
        }
        peers::accept(&self.shared, &self.group).await;
    }

    /// Keeps a connection to a host that a person names, dialling it again whenever it is lost. A newer ticket of the host replaces the one
    /// before; the host itself is left alone.
    pub async fn connect(&self, ticket: Ticket) {
        self.dial(Wish { ticket, why: Why::Named }).await;
    }

    /// Dials a host that has proved to be a member before. Where the library has more members than every host is linked
    /// to, others may do instead.
    pub async fn known(&self, ticket: Ticket) {
        self.dial(Wish { ticket, why: Why::Known }).await;
    }

    /// Dials a host of which somebody says that it may be a member. Once it has proved that it is, a connection to it is
    /// kept as to one that was named.
    pub async fn found(&self, ticket: Ticket) {
        self.dial(Wish { ticket, why: Why::Found }).await;
    }

    async fn dial(&self, wish: Wish) {
        let removed = || self.shared.members.standing(wish.ticket.host) == Standing::Removed;
        if self.shared.exchange && wish.ticket.host != self.shared.host && !removed() {
            // The engine has stopped when there is nobody to take it.
            let _ = self.shared.peers.send(PeerOrder::Dial(wish)).await;
        }
    }

    /// Tells whether anything is exchanged with anybody.
    #[must_use]
    pub fn exchanges(&self) -> bool {
        self.shared.exchange
    }

    /// Follows where the connected members can be reached.
    #[must_use]
    pub fn members(&self) -> watch::Receiver<Vec<Ticket>> {
        self.shared.reachable.subscribe()
    }

    /// Compares sets with all peers now, without waiting for the poll interval.
    pub async fn compare(&self) {
        self.shared.tell(crate::sync::Input::Poll).await;
    }

    /// Stops replicating: ends connections in order, and writes down how far the store was followed.
    pub async fn stop(&self) {
        // Dials under way would hold up the closing of the endpoint.
        self.group.token().cancel();
        self.shared.net.close().await;
        self.group.shut_down().await;
    }
}

impl Shared {
    /// Looks into the replica.
    pub(super) fn replica(&self) -> MutexGuard<'_, Replica> {
        self.replica.lock()
    }

    /// Returns the counters and rates of what is exchanged with a peer.
    pub(super) fn traffic(&self, peer: HostId) -> Arc<Traffic> {
        let made = || {
            let traffic = Traffic::default();
            traffic.keep_to(&self.registry.settings(peer));
            Arc::new(traffic)
        };
        Arc::clone(&self.traffic.entry(peer).or_insert_with(made))
    }

    /// Tells what may go between this host and a peer: nothing where it is unwelcome, else by what both sides said when it connected, else by what is set
    /// here.
    pub(super) fn flow(&self, peer: HostId) -> Flow {
        if !self.is_welcome(peer) {
            return Flow { send: false, take: false };
        }
        let connected = self.connected.get(&peer).map(|connected| connected.flow);
        connected.unwrap_or_else(|| Flow::between(self.role, self.registry.settings(peer).role))
    }

    /// Tells whether a link to a host is wanted at all: it is a member, and no person has it left alone.
    pub(super) fn is_welcome(&self, host: HostId) -> bool {
        matches!(self.members.standing(host), Standing::Member { .. }) && !self.registry.is_paused(host)
    }

    /// Closes a link to a host to which none is wanted; tells whether it did.
    pub(super) fn turns_away(&self, host: HostId, line: &Line) -> bool {
        match self.members.standing(host) {
            Standing::Removed => line.close(NO_MEMBER),
            Standing::Pending => line.close(WAITS),
            Standing::Member { .. } if self.registry.is_paused(host) => line.pause(),
            Standing::Member { .. } => return false,
        }
        true
    }

    /// Tells whether a content of this size may travel on a connection to a peer: over a relay, only what both sides let.
    pub(super) fn may_travel(&self, peer: HostId, line: &Line, size: u64) -> bool {
        let policy = self.connected.get(&peer).map_or(self.relay_policy, |connected| connected.relay_policy);
        policy.carries(size) || line.path().is_none_or(|path| path.direct)
    }

    /// Has it written down how a peer turned an asset down, or that it has it now. Where too much waits it is left out:
    /// it is for people alone.
    pub(super) fn note_refusal(&self, peer: HostId, asset: AssetId, refusal: Option<Refusal>) {
        let may_be_kept = self.state.has_refusals() || self.refused.load(Ordering::SeqCst);
        let has_room = self.memory.capacity() > limits::NOTES_QUEUED / 2;
        if !has_room || (refusal.is_none() && !may_be_kept) {
            return;
        }
        if refusal.is_some() {
            self.refused.store(true, Ordering::SeqCst);
        }
        let note = memory::Note::Refused { peer, asset, refusal };
        let bytes = note.bytes();
        if self.notes.take(bytes) && self.memory.try_send(note).is_err() {
            self.notes.give_back(bytes);
        }
    }

    /// Milliseconds since the engine was made; never goes back.
    pub(super) fn moment(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells the hub; it has stopped when there is nobody to hear.
    pub(super) async fn tell(&self, told: impl Into<Told>) {
        let _ = self.hub.send(told.into()).await;
    }

    /// Returns who is asked before a push, before a pull and after a receive.
    pub(super) fn chains(&self) -> [Option<Chain>; 3] {
        [Point::BeforePush, Point::BeforePull, Point::AfterReceive]
            .map(|point| self.hooks.chain(point, &self.library.name))
    }

    /// Names those who decide at a point, as it is remembered beside what they decided.
    pub(super) fn decider(&self, point: Point) -> String {
        decider(&*self.hooks, point, &self.library.name)
    }

    /// Shows what is being judged again.
    pub(super) fn show_review(&self, review: Option<ReviewStatus>) {
        *self.review.lock() = review;
    }

    /// Returns what is being judged again.
    pub(super) fn review(&self) -> Option<ReviewStatus> {
        *self.review.lock()
    }

    /// Announces something; nobody has to listen.
    pub(super) fn announce(&self, event: Event) {
        let _ = self.events.send(event);
    }
}
