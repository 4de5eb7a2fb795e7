//! Finding other hosts: which sources run, and what becomes of what they find.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::auth::HostKey;
use crate::auth::members::Circle;
use crate::auth::pairing::MeetingPlace;
use crate::discovery::BeginError;
use crate::discovery::Dht;
use crate::discovery::Find;
use crate::discovery::Gossip;
use crate::discovery::GossipOptions;
use crate::discovery::Health;
use crate::discovery::Known;
use crate::discovery::Mdns;
use crate::discovery::Meeting;
use crate::discovery::MeetingSlot;
use crate::discovery::Options;
use crate::discovery::Planned;
use crate::discovery::Rendezvous;
use crate::discovery::Search;
use crate::discovery::Servers;
use crate::discovery::Source;
use crate::discovery::Surroundings;
use crate::engine::Engine;
use crate::library::Ticket;
use crate::limits;
use crate::net::Net;
use crate::state::Peer;
use crate::task::Group;
use crate::telemetry::Sparing;
use crate::telemetry::causes;

/// How other hosts are found.
#[derive(Debug, Clone, Default)]
pub struct DiscoveryOptions {
    /// Hosts that the configuration names.
    pub peers: Vec<Ticket>,
    /// Whether hosts on the local network are looked for, and may find this one.
    pub mdns: bool,
    /// Where hosts meet that know nothing of each other but the secret.
    pub pkarr: Pkarr,
    /// Whether connected members tell each other of themselves and of others.
    pub gossip: bool,
}

/// What keeps the records by which hosts meet: relays, the DHT, both; without one there is no rendezvous.
#[derive(Debug, Clone, Default)]
pub struct Pkarr {
    /// Addresses of relays.
    pub relays: Vec<String>,
    /// Whether the DHT is asked, and the nodes to begin at; with none of them, at the public ones.
    pub dht: Option<Vec<SocketAddrV4>>,
}

impl Pkarr {
    /// Prepares it; `loopback_only` when the host can be reached on this machine alone.
    pub(super) fn servers(self, loopback_only: bool) -> Vec<Servers> {
        let relays = (!self.relays.is_empty()).then_some(Servers::Relays(self.relays));
        let bind = if loopback_only { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let dht = self.dht.map(|nodes| Servers::Dht(Dht::new(bind, (!nodes.is_empty()).then_some(nodes))));
        relays.into_iter().chain(dht).collect()
    }
}

/// Who says in gossip where this host is.
pub(super) struct Speaker {
    /// Signs it.
    pub(super) key: HostKey,
    /// Name of the host, for people.
    pub(super) name: String,
}

/// The sources of a host, which run from [`begin`](Self::begin) on.
pub(super) struct Discovery {
    options: DiscoveryOptions,
    /// One for every round of the sources, so that the DHT is entered once.
    pkarr: Vec<Servers>,
    known: Vec<(Ticket, u64)>,
    /// Whether nobody else could reach an address that this host has.
    loopback_only: bool,
    search: Mutex<Option<Search>>,
    begun: AtomicBool,
    own: watch::Sender<Ticket>,
    speaker: Speaker,
    /// Hosts that were found; on a local network anybody can make them up.
    found: Sparing,
}

impl Discovery {
    /// Prepares the sources. What is known already comes first, so that it is dialled first: two hosts meet again with
    /// every service down.
    ///
    /// # Errors
    /// [`BeginError`] when rendezvous cannot be done at the relays that are configured.
    pub(super) fn prepare(
        options: DiscoveryOptions,
        known: Vec<Peer>,
        circle: &Circle,
        net: &Net,
        speaker: Speaker,
    ) -> Result<Self, BeginError> {
        let known = known.into_iter().filter_map(|peer| Some((last_ticket(&peer)?, peer.last_seen_ms))).collect();
        let (search, begun) = (Mutex::default(), AtomicBool::default());
        let own = watch::Sender::new(net.ticket());
        let loopback_only = net.is_loopback_only();
        let pkarr = options.pkarr.clone().servers(loopback_only);
        let found = Sparing::default();
        let discovery = Self { options, pkarr, known, loopback_only, search, begun, own, speaker, found };
        discovery.plan(circle)?;
        Ok(discovery)
    }

    /// Plans the sources for the secrets that are held: members are met by the current one, and those that were away by
    /// the ones of before.
    fn plan(&self, circle: &Circle) -> Result<Vec<Planned>, BeginError> {
        let mut planned: Vec<Planned> = vec![Planned::On(Box::new(Known::remembered(self.known.clone())))];
        planned.push(Planned::On(Box::new(Known::configured(self.options.peers.clone()))));
        planned.push(if self.has_mdns() { Planned::On(Box::new(Mdns::new())) } else { Planned::Off(Mdns::NAME) });
        let current = (circle.epoch(), circle.keys());
        for ((epoch, keys), writes) in std::iter::once((current, true)).chain(circle.older().map(|old| (old, false))) {
            let meeting = Meeting {
                slots: keys.rendezvous.clone(),
                envelope: keys.envelope.clone(),
                library: circle.library().to_owned(),
                epoch,
                writes,
            };
            for servers in &self.pkarr {
                let rendezvous = Rendezvous::new(Options::new(servers.clone(), meeting.clone()))?;
                planned.push(Planned::On(Box::new(rendezvous)));
            }
        }
        if !self.pkarr.iter().any(|servers| matches!(servers, Servers::Relays(_))) {
            planned.push(Planned::Off(Rendezvous::NAME));
        }
        if !self.pkarr.iter().any(|servers| matches!(servers, Servers::Dht(_))) {
            planned.push(Planned::Off(Rendezvous::DHT_NAME));
        }
        Ok(planned)
    }

    /// Returns how gossip is done with the keys of now, if it is.
    fn gossip(&self, circle: &Circle) -> Option<GossipOptions> {
        self.options.gossip.then(|| GossipOptions {
            topic: circle.keys().topic.clone(),
            envelope: circle.keys().envelope.clone(),
            key: self.speaker.key.clone(),
            name: self.speaker.name.clone(),
        })
    }

    fn has_mdns(&self) -> bool {
        self.options.mdns && !self.loopback_only
    }

    /// Follows where this host can be reached.
    pub(super) fn own(&self) -> watch::Receiver<Ticket> {
        self.own.subscribe()
    }

    /// Starts the sources, unless nothing is exchanged, and has what they find dialled. A second time does nothing.
    pub(super) fn begin(self: &Arc<Self>, net: &Net, engine: &Engine, group: &Group) {
        if self.begun.swap(true, Ordering::SeqCst) {
            return;
        }
        group.spawn_until_cancelled("addresses", follow_addresses(net.clone(), self.own.clone()));
        if !engine.exchanges() {
            return;
        }
        let (discovery, searched, within) = (Arc::clone(self), engine.clone(), group.clone());
        group.spawn_until_cancelled("finds", async move { discovery.search(&searched, &within).await });
        let (discovery, engine, within) = (Arc::clone(self), engine.clone(), group.clone());
        group.spawn_until_cancelled("meeting", async move { discovery.meet(&engine, &within).await });
    }

    /// Has what the sources find dialled; with other secrets, they begin anew.
    async fn search(&self, engine: &Engine, group: &Group) {
        let mut circles = engine.circle();
        // A link to a host that the configuration names is kept however many there are.
        for ticket in self.options.peers.clone() {
            engine.connect(ticket).await;
        }
        loop {
            let circle = Arc::clone(&circles.borrow_and_update());
            let mut planned = match self.plan(&circle) {
                Ok(planned) => planned,
                Err(error) => {
                    tracing::error!(error = causes(&error), "hosts cannot be looked for");
                    return;
                }
            };
            planned.push(match self.gossip(&circle) {
                // Whoever listens last hears what members say, so it is spoken with the keys of now alone.
                Some(options) => Planned::On(Box::new(Gossip::new(options, engine.gossip()))),
                None => Planned::Off(Gossip::NAME),
            });
            let round = group.child("search");
            let surroundings = Surroundings { own: self.own(), connected: engine.members() };
            let (search, mut finds) = Search::start(planned, surroundings, &round);
            *self.search.lock() = Some(search);
            loop {
                tokio::select! {
                    find = finds.recv() => match find {
                        Some(find) => self.dial(engine, find).await,
                        None => return,
                    },
                    changed = circles.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        if !circles.borrow().has_secrets_of(&circle) {
                            break;
                        }
                    }
                }
            }
            round.shut_down().await;
        }
    }

    async fn dial(&self, engine: &Engine, find: Find) {
        if let Some(times) = self.found.count(Instant::now()) {
            let peer = find.ticket.host.fmt_short();
            tracing::info!(%peer, source = find.source, times, "a host was found");
        }
        if find.sure { engine.known(find.ticket).await } else { engine.found(find.ticket).await }
    }

    /// Announces this host at the meeting place of a pairing code as long as one is open.
    async fn meet(&self, engine: &Engine, group: &Group) {
        let mut meeting = engine.meeting();
        loop {
            let place = *meeting.borrow_and_update();
            let round = group.child("meeting");
            if let Some(place) = place {
                let surroundings = Surroundings { own: self.own(), connected: engine.members() };
                let planned = meeting_sources(place, self.has_mdns(), &self.pkarr, true);
                match planned {
                    // Whoever is found there comes by itself.
                    Ok(planned) => drop(Search::start(planned, surroundings, &round)),
                    Err(error) => tracing::error!(error = causes(&error), "no meeting place can be announced"),
                }
            }
            let changed = meeting.changed().await;
            round.shut_down().await;
            if changed.is_err() {
                return;
            }
        }
    }

    /// Returns how each source is doing.
    pub(super) fn health(&self) -> Vec<(&'static str, Health)> {
        let search = self.search.lock();
        search.as_ref().map(Search::health).unwrap_or_default()
    }
}

/// Plans how two devices meet at the place of a pairing code; the one that shows it `writes`.
pub(super) fn meeting_sources(
    place: MeetingPlace,
    mdns: bool,
    pkarr: &[Servers],
    writes: bool,
) -> Result<Vec<Planned>, BeginError> {
    let mut planned = Vec::new();
    if mdns {
        planned.push(Planned::On(Box::new(Mdns::at(place)) as Box<dyn Source>));
    }
    for servers in pkarr {
        planned.push(Planned::On(Box::new(MeetingSlot::new(servers, place, writes)?)));
    }
    Ok(planned)
}

/// Returns where a peer was last; `None` when nothing is known of that.
fn last_ticket(peer: &Peer) -> Option<Ticket> {
    let mut addresses: Vec<_> = peer.addresses.iter().filter_map(|address| address.parse().ok()).collect();
    addresses.truncate(limits::TICKET_ADDRESSES);
    let known = !addresses.is_empty() || peer.relay.is_some();
    known.then(|| Ticket { host: peer.id, addresses, relay: peer.relay.clone() })
}

/// Says where this host can be reached, whenever that changes.
async fn follow_addresses(net: Net, own: watch::Sender<Ticket>) {
    loop {
        let now = net.ticket();
        own.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
        tokio::time::sleep(limits::TICKET_LOOKED_AT_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::future::Future;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::auth::Phrase;
    use crate::discovery::Condition;
    use crate::discovery::LoopbackRelay;
    use crate::discovery::Manner;
    use crate::library::Relay;
    use crate::library::RelayPolicy;
    use crate::library::Role;
    use crate::node::BrakeLimits;
    use crate::node::DataFolder;
    use crate::node::Node;
    use crate::node::Options;
    use crate::node::PluginOptions;
    use crate::node::StoreOptions;
    use crate::plugin::Settings;

    /// Waits for something that must come; two minutes mean that it does not.
    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_mins(2), future).await.expect("it did not happen within two minutes")
    }

    async fn host(dir: &Path, phrase: &str, discovery: DiscoveryOptions) -> Node {
        let options = Options {
            folder: DataFolder::open(&dir.join("data")).unwrap(),
            store: StoreOptions::Embedded { storage_root: dir.join("store"), verify_interval: Duration::from_hours(1) },
            phrase: Some(Phrase::parse(phrase).unwrap()),
            role: Role::default(),
            relay_policy: RelayPolicy::default(),
            brake: BrakeLimits::default(),
            name: "test".to_owned(),
            bind_addr: Some("127.0.0.1:0".parse().unwrap()),
            relay: Relay::Off,
            poll_interval: Duration::from_hours(1),
            ticket_file: None,
            connect_ticket_file: None,
            discovery,
            plugins: PluginOptions {
                folder: dir.join("plugins"),
                settings: Arc::new(|_, _| Ok(Settings::default())),
                named: BTreeSet::new(),
                safe_mode: false,
            },
        };
        let node = Node::start(options).await.unwrap();
        node.serve(Vec::new());
        node
    }

    fn at(relay: &LoopbackRelay) -> DiscoveryOptions {
        DiscoveryOptions {
            pkarr: Pkarr { relays: vec![relay.url()], dht: None },
            mdns: true,
            peers: Vec::new(),
            gossip: true,
        }
    }

    async fn connected(node: &Node) -> usize {
        node.status().await.unwrap().replication.peers.iter().filter(|peer| peer.connected).count()
    }

    async fn meets(node: &Node) {
        let meeting = within(async {
            while connected(node).await == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        meeting.await;
    }

    async fn is_well(node: &Node, source: &str) {
        let well = within(async {
            while condition(node, source) != Condition::Ok {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        well.await;
    }

    fn condition(node: &Node, source: &str) -> Condition {
        let health = node.discovery.health();
        let found = health.into_iter().find(|(name, _)| *name == source);
        found.map_or(Condition::Starting, |(_, health)| health.condition)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn hosts_that_know_only_the_secret_meet_and_find_each_other_again_without_any_service() {
        let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let relay = LoopbackRelay::start().await.unwrap();
        let a = host(dirs[0].path(), "a phrase of a test", at(&relay)).await;
        let b = host(dirs[1].path(), "a phrase of a test", at(&relay)).await;
        let stranger = host(dirs[2].path(), "another phrase of a test", at(&relay)).await;
        meets(&a).await;
        meets(&b).await;
        assert_eq!(condition(&a, Rendezvous::NAME), Condition::Ok);
        assert_eq!(condition(&a, Mdns::NAME), Condition::Off, "it is bound to loopback");
        is_well(&a, Gossip::NAME).await;
        is_well(&stranger, Gossip::NAME).await;
        // The stranger was there before B comes a second time, and has met nobody.
        b.stop().await;
        drop(b);
        relay.behave(Manner::Refuses(500, 0));
        relay.forget();
        let b = host(dirs[1].path(), "a phrase of a test", at(&relay)).await;
        meets(&b).await;
        meets(&a).await;
        assert_eq!(connected(&stranger).await, 0);
        for node in [a, b, stranger] {
            node.stop().await;
        }
        relay.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_host_that_was_found_and_is_no_member_is_left_alone_and_one_that_is_named_is_dialled() {
        let dirs = [(); 4].map(|()| tempfile::tempdir().unwrap());
        let a = host(dirs[0].path(), "a phrase of a test", DiscoveryOptions::default()).await;
        let stranger = host(dirs[1].path(), "another phrase of a test", DiscoveryOptions::default()).await;
        a.engine.found(stranger.ticket()).await;
        let named = DiscoveryOptions { peers: vec![a.ticket()], ..DiscoveryOptions::default() };
        let b = host(dirs[2].path(), "a phrase of a test", named).await;
        meets(&b).await;
        let refused = within(async {
            while stranger.status().await.unwrap().replication.refused == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        refused.await;
        // It was dialled once; with pauses of a quarter of a second it would have been three times by now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stranger.status().await.unwrap().replication.refused, 1);
        // One that a person names is dialled again and again, whatever it proves.
        let named = DiscoveryOptions { peers: vec![stranger.ticket()], ..DiscoveryOptions::default() };
        let c = host(dirs[3].path(), "a phrase of a test", named).await;
        let dialled = within(async {
            while stranger.status().await.unwrap().replication.refused < 4 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        dialled.await;
        // Both sides tell their people.
        let notes = c.status().await.unwrap().notes;
        assert!(notes.iter().any(|note| note.contains("named here") && note.contains("sync_passphrase")), "{notes:?}");
        let findings = stranger.examine().await.unwrap();
        assert!(findings.iter().any(|finding| finding.of == "strangers"), "{findings:?}");
        assert!(a.status().await.unwrap().notes.is_empty());
        for node in [a, b, c, stranger] {
            node.stop().await;
        }
    }
}
