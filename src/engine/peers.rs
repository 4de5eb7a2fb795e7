//! Connections to peers: dialling, accepting, replacing, and pumping messages.
//!
//! One actor owns the table of connections. Tasks dial (`dial`), greet, read and write; they tell the actor, which tells
//! the hub.
//! A newer connection to the same peer replaces the older; of two that were dialled towards each other at the same
//! moment, the one of the lower id stays.

mod displaced;
mod parting;
mod pumps;
mod web;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::displaced::Displaced;
pub(super) use self::displaced::STRANGE;
use super::apply;
use super::dial;
use super::dial::Why;
use super::dial::Wish;
use super::fetch;
use super::fetch::Jobs;
use super::greet;
use super::greet::RELAYED;
use super::greet::SILENT;
use super::hub;
use super::hub::Told;
use super::links::Links;
use super::load::Load;
use super::members;
use super::memory;
use super::pairing;
use super::serve;
use super::shared::Shared;
use crate::asset::HostId;
use crate::discovery::Neighbour;
use crate::event::Event;
use crate::library::Flow;
use crate::library::RelayPolicy;
use crate::library::Role;
use crate::library::Ticket;
use crate::limits;
use crate::net::Accepted;
use crate::net::Control;
use crate::net::ControlReader;
use crate::net::ControlWriter;
use crate::net::Line;
use crate::net::Purpose;
use crate::net::Word;
use crate::sync::Input;
use crate::task::Group;
use crate::task::now_ms;

/// An order to the actor.
pub(super) enum PeerOrder {
    /// Keep a connection to this host, or try to.
    Dial(Wish),
    /// A control connection stands and is greeted; tell when it is in the table, or refused.
    Greeted(Box<Control>, oneshot::Sender<()>),
    /// A connection has ended: of whom, which, and why.
    Ended(HostId, u64, String),
    /// What is set for a peer has changed: its connection is made anew, or ends for now.
    Renew(HostId),
    /// Others are members now, or there is another secret.
    MembersChanged,
    /// A member has announced itself: where it is, and whether it keeps everything.
    Announced(Ticket, bool),
}

/// A connected peer, as people see it.
#[derive(Debug, Clone)]
pub(super) struct Connected {
    pub(super) line: Line,
    /// How far its clock was ahead of this host's when it greeted, in milliseconds.
    pub(super) clock_ahead_ms: i64,
    /// Whether the sets were equal since it connected: what it offers from then on has just happened.
    pub(super) settled: bool,
    /// What may go between the hosts, by what both say.
    pub(super) flow: Flow,
    /// What the peer says it does in the library.
    pub(super) role: Role,
    /// Whether this host made the connection.
    pub(super) dialled: bool,
    /// Since when it stands.
    pub(super) since: Instant,
    /// How often its connections have pushed each other out.
    pub(super) displaced: Displaced,
    /// What may travel over a relay, by what both say.
    pub(super) relay_policy: RelayPolicy,
    /// Whether it takes in and passes on every asset, as far as it says.
    pub(super) keeps_everything: Option<bool>,
    /// Says things to it.
    pub(super) words: mpsc::Sender<Word>,
    number: u64,
}

struct Peers {
    shared: Arc<Shared>,
    group: Group,
    standing: BTreeMap<HostId, Connection>,
    /// Hosts to which a connection is kept or tried, and the tasks that do.
    dialled: BTreeMap<HostId, Dialler>,
    /// Those of them that a person named.
    named: BTreeSet<HostId>,
    /// Hosts that may be members and are not dialled as long as there are links enough.
    spare: BTreeMap<HostId, Wish>,
    links: Links,
    numbers: u64,
}

/// A task that dials.
struct Dialler {
    wishes: mpsc::Sender<Wish>,
    /// Since when a host is tried of which nothing is known but that somebody says it is there.
    on_trial_since: Option<Instant>,
}

/// A connection that stands.
struct Connection {
    number: u64,
    dialled: bool,
    since: Instant,
    ends: CancellationToken,
    line: Line,
    /// Has the peer told of the members.
    telling: mpsc::Sender<()>,
    /// Where the peer says that it can be reached.
    ticket: Ticket,
}

pub(super) async fn run(shared: Arc<Shared>, group: Group, mut orders: mpsc::Receiver<PeerOrder>) {
    let token = group.token().clone();
    let links = Links::new(shared.host);
    let (standing, dialled, spare) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut peers = Peers { shared, group, standing, dialled, named: BTreeSet::new(), spare, links, numbers: 0 };
    let mut look = tokio::time::interval(limits::LINKS_LOOKED_AT_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let order = tokio::select! {
            biased;
            () = token.cancelled() => return,
            _ = look.tick() => {
                peers.look_at_links().await;
                continue;
            }
            order = orders.recv() => order,
        };
        match order {
            None => return,
            Some(PeerOrder::Dial(wish)) => peers.wish(wish),
            Some(PeerOrder::Greeted(control, done)) => {
                peers.greeted(*control).await;
                let _ = done.send(());
            }
            Some(PeerOrder::Ended(peer, number, why)) => peers.ended(peer, number, &why).await,
            Some(PeerOrder::Renew(peer)) => {
                peers.cut_off_the_unwelcome();
                peers.end(peer, "its settings have changed").await;
            }
            Some(PeerOrder::MembersChanged) => peers.members_changed().await,
            Some(PeerOrder::Announced(ticket, keeps_everything)) => peers.announced(ticket, keeps_everything),
        }
    }
}

/// Accepts connections until the engine stops.
pub(super) async fn accept(shared: &Arc<Shared>, group: &Group) {
    let (accepted, mut links) = mpsc::channel(limits::STRANGERS);
    let announcing = Arc::clone(shared);
    let accepting = shared.net.accept(group, accepted, move |stranger| {
        if let Some(times) = announcing.seen.refused.count(Instant::now()) {
            tracing::warn!(stranger = %stranger.fmt_short(), times, "refused a connection without proof of the secret");
        }
        announcing.announce(Event::Refused { peer: stranger });
    });
    let handing_on = async {
        while let Some(accepted) = links.recv().await {
            let (shared, group) = (Arc::clone(shared), group.clone());
            match accepted {
                Accepted::Member { purpose: Purpose::Control, link } => {
                    group.clone().spawn_until_cancelled("greet", async move { greet::greet(&shared, link).await });
                }
                Accepted::Moved(moved) => {
                    group.clone().spawn_until_cancelled("members", async move {
                        members::moved_on(&shared, moved).await;
                    });
                }
                Accepted::Pairing(stream) => {
                    group.clone().spawn_until_cancelled("pair", async move { pairing::run(&shared, stream).await });
                }
                Accepted::Member { purpose: Purpose::Bulk, link } => {
                    let peer = link.peer;
                    // One at a time, so that what a peer can pin stays bounded.
                    if let Some(older) = shared.served.insert(peer, link.line()) {
                        older.close("replaced by a newer connection");
                    }
                    // It may have been paused or removed while it proved itself.
                    if shared.turns_away(peer, &link.line()) {
                        shared.served.remove_if(&peer, |_, latest| latest.is(&link.line()));
                        continue;
                    }
                    group.clone().spawn_until_cancelled("bulk", async move {
                        let line = link.line();
                        serve::run(Arc::clone(&shared), group, peer, link.into_server()).await;
                        shared.served.remove_if(&peer, |_, latest| latest.is(&line));
                    });
                }
            }
        }
    };
    let token = group.token();
    tokio::select! {
        () = token.cancelled() => {}
        () = accepting => {}
        () = handing_on => {}
    }
}

impl Peers {
    /// Starts to dial a host, or tells the task that does of a newer ticket.
    fn dial(&mut self, wish: Wish) {
        let (host, why) = (wish.ticket.host, wish.why);
        if let Some(task) = self.dialled.get_mut(&host) {
            if why != Why::Found {
                task.on_trial_since = None;
            }
            match task.wishes.try_send(wish.clone()) {
                Ok(()) => return,
                // The next word about the host brings this one again.
                Err(TrySendError::Full(_)) if why != Why::Named => return,
                // It has given up, or does not listen; another takes its place.
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {}
            }
        }
        self.dialled.retain(|_, task| !task.wishes.is_closed());
        if why == Why::Found {
            self.make_room_for_a_trial();
        }
        if why != Why::Named && self.dialled.len() >= limits::HOSTS_DIALLED {
            tracing::debug!(peer = %host.fmt_short(), "too many hosts are dialled already");
            return;
        }
        let (wishes, newer) = mpsc::channel(limits::DIAL_WISHES_QUEUED);
        let on_trial = why == Why::Found && !self.standing.contains_key(&host);
        let on_trial_since = on_trial.then(Instant::now);
        self.dialled.insert(host, Dialler { wishes, on_trial_since });
        self.group.spawn_until_cancelled("dial", dial::keep_connected(Arc::clone(&self.shared), wish, newer));
    }

    /// Gives up the found host that is tried longest, where as many are tried as may be.
    fn make_room_for_a_trial(&mut self) {
        let on_trial = self.dialled.iter().filter_map(|(host, task)| Some((task.on_trial_since?, *host)));
        let on_trial: Vec<(Instant, HostId)> = on_trial.collect();
        if on_trial.len() >= limits::FOUND_DIALLED
            && let Some((_, longest)) = on_trial.into_iter().min()
        {
            self.dialled.remove(&longest);
        }
    }

    async fn greeted(&mut self, control: Control) {
        let Control { peer, dialled, greeting, writer, reader, .. } = control;
        let line = writer.connection();
        let settings = self.shared.registry.settings(peer);
        // It may have been paused or removed while it greeted.
        if self.shared.turns_away(peer, &line) {
            return;
        }
        if let Some(standing) = self.standing.get(&peer) {
            let crossed = standing.dialled != dialled && standing.since.elapsed() < limits::CROSSED_DIALS;
            let lower_dialled = (self.shared.host < peer) == standing.dialled;
            if crossed && lower_dialled {
                line.close("another connection between these hosts stands");
                return;
            }
        }
        let displaced = self.displaced_by(peer, dialled);
        self.cut(peer, "replaced by a newer connection");
        if let Some(task) = self.dialled.get_mut(&peer) {
            task.on_trial_since = None;
        }
        self.numbers += 1;
        let (number, since) = (self.numbers, Instant::now());
        let ends = self.group.token().child_token();
        let flow = Flow::between(self.shared.role, settings.role).and(Flow::between(greeting.your_role, greeting.role));
        let known = memory::exceptions(&self.shared, peer, flow.send).await;
        let (telling, told) = mpsc::channel(1);
        if greeting.members != self.shared.members.circle().fingerprint() {
            let _ = telling.try_send(());
        }
        let (messages, outgoing) = mpsc::channel(limits::MESSAGES_QUEUED);
        let keeps_everything = greeting.keeps_everything;
        let (jobs, queue) = mpsc::channel(2 * limits::WANTS_OPEN);
        let connected = Input::Connected { peer, dialled, passes: flow.send, exceptions: known };
        let ticket = greet::ticket(peer, &greeting);
        let standing = Connection {
            number,
            dialled,
            since,
            ends: ends.clone(),
            line: line.clone(),
            telling,
            ticket: ticket.clone(),
        };
        self.standing.insert(peer, standing);
        self.links.heard(ticket.clone(), keeps_everything, tokio::time::Instant::now());
        let clock_ahead_ms = greeting.now_ms.cast_signed().saturating_sub(now_ms().cast_signed());
        let connected_peer = Connected {
            line: line.clone(),
            clock_ahead_ms,
            settled: false,
            flow,
            role: greeting.role,
            dialled,
            since,
            displaced,
            relay_policy: self.shared.relay_policy.max(greeting.relay_policy),
            keeps_everything,
            words: messages.clone(),
            number,
        };
        let relay_policy = connected_peer.relay_policy;
        greet::note(&self.shared, peer, &greeting).await;
        self.shared.found.remove(&peer);
        self.shared.connected.insert(peer, connected_peer);
        self.shared.connections.send_replace(());
        self.show_members();
        self.shared.gossip.linked.send_modify(|linked| match keeps_everything {
            Some(_) => drop(linked.insert(peer, Neighbour { number, dialled })),
            None => drop(linked.remove(&peer)),
        });
        let waiting = Arc::new(Load::new(limits::MESSAGES_QUEUED_BYTES));
        let sent = (writer, outgoing, told, Arc::clone(&waiting));
        let connection = hub::Connection { peer, number, line: line.clone(), messages, waiting, jobs, connected };
        self.shared.tell(Told::Connected(Box::new(connection))).await;
        let (shared, token) = (Arc::clone(&self.shared), ends.clone());
        self.group.spawn("review", async move {
            token.run_until_cancelled(apply::decide_again(&shared, peer)).await;
        });
        self.spawn_pumps(peer, number, &ends, sent, reader);
        let (shared, group) = (Arc::clone(&self.shared), self.group.clone());
        let from = fetch::Remote { shared, group, address: ticket, control: line.clone(), number, ends: ends.clone() };
        self.spawn_bulk(from, queue);
        self.spawn_watch(peer, number, &ends, line, relay_policy);
        tracing::info!(peer = %peer.fmt_short(), name = greet::shown(&greeting.name), dialled, "connected");
        self.shared.announce(Event::PeerConnected { peer });
    }

    /// Ends a connection on which nothing comes any more, or over whose path nothing may travel.
    fn spawn_watch(&self, peer: HostId, number: u64, ends: &CancellationToken, line: Line, relay_policy: RelayPolicy) {
        let (shared, token) = (Arc::clone(&self.shared), ends.clone());
        self.group.spawn("watch", async move {
            let relayed = async {
                match relay_policy {
                    RelayPolicy::Never => greet::stays_relayed(&line).await,
                    _ => std::future::pending().await,
                }
            };
            let watching = async {
                tokio::select! {
                    () = relayed => RELAYED,
                    () = line.falls_silent() => SILENT,
                }
            };
            if let Some(why) = token.run_until_cancelled(watching).await {
                let _ = shared.peers.send(PeerOrder::Ended(peer, number, why.to_owned())).await;
            }
        });
    }

    fn spawn_pumps(
        &self,
        peer: HostId,
        number: u64,
        ends: &CancellationToken,
        (writer, outgoing, told, waiting): (ControlWriter, mpsc::Receiver<Word>, mpsc::Receiver<()>, Arc<Load>),
        reader: ControlReader,
    ) {
        let (shared, token) = (Arc::clone(&self.shared), ends.clone());
        self.group.spawn("read", async move {
            let why = token.run_until_cancelled(pumps::read(&shared, peer, number, reader)).await;
            if let Some(why) = why {
                let _ = shared.peers.send(PeerOrder::Ended(peer, number, why)).await;
            }
        });
        let (shared, token) = (Arc::clone(&self.shared), ends.clone());
        self.group.spawn("write", async move {
            token.run_until_cancelled(pumps::write(&shared, peer, (writer, &waiting), outgoing, told)).await;
        });
    }

    fn spawn_bulk(&self, from: fetch::Remote, jobs: mpsc::Receiver<Jobs>) {
        let (shared, group, token) = (Arc::clone(&from.shared), from.group.clone(), from.ends.clone());
        let (peer, server) = (from.address.host, from.control.server());
        self.group.spawn("fetch", fetch::run(from, jobs));
        // Lanes that the peer opens here when it cannot dial a bulk connection.
        self.group.spawn("bulk", async move {
            token.run_until_cancelled(serve::run(shared, group, peer, server)).await;
        });
    }
}
