//! One host of a test.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::sync::broadcast;
use tokio::sync::watch;

use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::LocalDocument;
use crate::asset::Metadata;
use crate::asset::Timestamp;
use crate::asset::names;
use crate::auth::HostKey;
use crate::auth::LibrarySecret;
use crate::auth::members::Circle;
use crate::engine::Engine;
use crate::engine::Options;
use crate::event::Event;
use crate::hook::Hooks;
use crate::hook::NoHooks;
use crate::library::Library;
use crate::library::Relay;
use crate::library::RelayPolicy;
use crate::library::Role;
use crate::library::Ticket;
use crate::net;
use crate::net::FrameError;
use crate::net::Head;
use crate::net::Net;
use crate::net::Purpose;
use crate::state::Decided;
use crate::state::Position;
use crate::state::State;
use crate::store::Order;
use crate::store::Origin;
use crate::store::Query;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::sync::BrakeLimits;
use crate::task::Group;
use crate::task::now_ms;

/// Waits for something that must come; a minute means that it does not.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it did not happen within a minute")
}

/// Binds an endpoint of a host with this seed that knows the secret.
pub(super) async fn bind(seed: u8, secret: [u8; 32]) -> Net {
    bind_with(seed, circle(seed, secret).subscribe(), Relay::Off, false).await
}

fn circle(seed: u8, secret: [u8; 32]) -> watch::Sender<Arc<Circle>> {
    let own = HostKey::from_seed(&[seed; 32]).id();
    watch::Sender::new(Arc::new(Circle::new(own, "mirror", LibrarySecret::from_bytes(secret))))
}

async fn bind_with(seed: u8, circle: watch::Receiver<Arc<Circle>>, relay: Relay, blocked: bool) -> Net {
    let options = net::Options {
        key: [seed; 32].into(),
        bind_addr: Some("127.0.0.1:0".parse().unwrap()),
        last_port: None,
        relay,
        circle,
    };
    if blocked { Net::bind_behind_relay(options).await } else { Net::bind(options).await.unwrap() }
}

/// Waits until both hosts of each pair say that they are in sync, with equal sets.
pub(super) async fn in_sync(pairs: &[(&Host, &Host)]) {
    let reached = within(async {
        loop {
            let all = pairs.iter().all(|(a, b)| {
                let (to_b, to_a) = (a.peer(b), b.peer(a));
                let equal = to_b.map(|peer| peer.summary) == to_a.map(|peer| peer.summary);
                equal && to_b.is_some_and(|peer| peer.in_sync) && to_a.is_some_and(|peer| peer.in_sync)
            });
            if all {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    reached.await;
}

/// A running host.
pub(super) struct Host {
    pub(super) store: Arc<MemoryStore>,
    pub(super) engine: Engine,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) net: Net,
    group: Group,
    parts: Parts,
}

/// What a host is made of, and keeps when it is stopped.
pub(super) struct Parts {
    store: Arc<MemoryStore>,
    hooks: Arc<dyn Hooks>,
    seed: u8,
    secret: [u8; 32],
    data: tempfile::TempDir,
    exchange: bool,
    role: Role,
    brake: BrakeLimits,
    relay: Relay,
    relay_policy: RelayPolicy,
    /// Whether UDP is blocked, so that everything goes over the relay.
    blocked: bool,
}

impl Parts {
    pub(super) fn with_hooks(mut self, hooks: Arc<dyn Hooks>) -> Self {
        self.hooks = hooks;
        self
    }

    /// Does this in the library from then on.
    pub(super) const fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Uses this relay from then on, and lets that travel over it.
    pub(super) fn with_relay(mut self, url: &str, policy: RelayPolicy, blocked: bool) -> Self {
        self.relay = Relay::Own(url.to_owned());
        self.relay_policy = policy;
        self.blocked = blocked;
        self
    }

    /// Has what it knows of the members as it was kept, or begins anew.
    fn kept_circle(&self) -> watch::Sender<Arc<Circle>> {
        match std::fs::read(self.data.path().join("members")) {
            Ok(bytes) => {
                let own = HostKey::from_seed(&[self.seed; 32]).id();
                watch::Sender::new(Arc::new(Circle::decode(own, &bytes).unwrap()))
            }
            Err(_) => circle(self.seed, self.secret),
        }
    }

    /// Exchanges nothing from then on.
    pub(super) fn silent(mut self) -> Self {
        self.exchange = false;
        self
    }

    /// Forgets how far the store was judged.
    pub(super) async fn lose_position(&self) {
        let state = State::open(&self.data.path().join("state.db"), "mirror").unwrap();
        let position = state.position().await.unwrap().unwrap();
        state.set_position(Position { arrival: 0, ..position }).await.unwrap();
        state.close().await;
    }

    /// Has it remember a decision.
    pub(super) async fn decide(&self, decided: Decided) {
        let state = State::open(&self.data.path().join("state.db"), "mirror").unwrap();
        assert!(state.decide(decided, true).await.unwrap());
        state.close().await;
    }

    /// Loses everything but the store; the host comes back under another id.
    pub(super) fn without_memory(mut self) -> Self {
        self.data = tempfile::tempdir().unwrap();
        self.seed += 100;
        self
    }

    pub(super) async fn again(self) -> Host {
        let circle = self.kept_circle();
        let net = bind_with(self.seed, circle.subscribe(), self.relay.clone(), self.blocked).await;
        let kept = self.data.path().join("members");
        let state = State::open(&self.data.path().join("state.db"), "mirror").unwrap();
        let (events, _) = broadcast::channel(1000);
        let group = Group::new("test", Arc::new(|group, task, message| panic!("{group}/{task}: {message}")));
        let options = Options {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            state,
            net: net.clone(),
            hooks: Arc::clone(&self.hooks),
            library: Library::mirror(),
            role: self.role,
            relay_policy: self.relay_policy,
            circle,
            key: HostKey::from_seed(&[self.seed; 32]),
            keep: Arc::new(move |circle| std::fs::write(&kept, circle.encode()).map_err(|error| error.to_string())),
            brake: self.brake,
            name: format!("host {}", self.seed),
            poll_interval: Duration::from_secs(2),
            events: events.clone(),
            exchange: self.exchange,
        };
        let engine = Engine::start(options, group.child("engine")).await.unwrap();
        let accepting = engine.clone();
        group.spawn("accept", async move { accepting.accept().await });
        Host { store: Arc::clone(&self.store), engine, events, net, group, parts: self }
    }
}

/// Puts an asset into a store, as a program of its host does.
pub(super) async fn ingest_into(store: &MemoryStore, timestamp: u64, size: usize, name: &str) -> AssetId {
    let mut spool = store.spool(Timestamp::new(timestamp).unwrap()).await.unwrap();
    let content: Vec<u8> = name.bytes().cycle().take(size).collect();
    content.chunks(100_000).for_each(|piece| spool.write(piece).unwrap());
    let name = name.to_owned();
    let edit = Box::new(move |document: &mut LocalDocument| {
        let seen = Changes::new().set(names::FILE_NAME, name).set(names::PATH, "some/where");
        document.see(&seen.add_tag("made-by-test"));
    });
    store.put(spool.finish_ingest().unwrap(), Origin::Here, edit).await.unwrap().key.id
}

impl Host {
    pub(super) async fn start(seed: u8) -> Self {
        Self::make(seed, [1; 32], Arc::new(NoHooks)).await
    }

    pub(super) async fn start_with_secret(seed: u8, secret: [u8; 32]) -> Self {
        Self::make(seed, secret, Arc::new(NoHooks)).await
    }

    pub(super) async fn start_with_hooks(seed: u8, hooks: Arc<dyn Hooks>) -> Self {
        Self::make(seed, [1; 32], hooks).await
    }

    async fn make(seed: u8, secret: [u8; 32], hooks: Arc<dyn Hooks>) -> Self {
        let store = Arc::new(MemoryStore::new().unwrap());
        let (data, role, brake) = (tempfile::tempdir().unwrap(), Role::Mirror, BrakeLimits::default());
        let (relay, relay_policy) = (Relay::Off, RelayPolicy::Allow);
        Parts { store, hooks, seed, secret, data, exchange: true, role, brake, relay, relay_policy, blocked: false }
            .again()
            .await
    }

    pub(super) async fn stop(self) -> Parts {
        self.engine.stop().await;
        within(self.group.shut_down()).await;
        self.parts
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.net.ticket()
    }

    /// Lets nothing be written to its state until what is returned is dropped.
    pub(super) fn with_busy_state(&self) -> rusqlite::Connection {
        let state = rusqlite::Connection::open(self.parts.data.path().join("state.db")).unwrap();
        state.execute_batch("BEGIN IMMEDIATE").unwrap();
        state
    }

    fn peer(&self, other: &Self) -> Option<crate::sync::PeerStatus> {
        self.engine.shared.replica().peer(&other.net.id())
    }

    pub(super) async fn ingest(&self, size: usize, name: &str) -> AssetId {
        self.ingest_at(now_ms(), size, name).await
    }

    pub(super) async fn ingest_at(&self, timestamp: u64, size: usize, name: &str) -> AssetId {
        ingest_into(&self.store, timestamp, size, name).await
    }

    /// Puts the same assets into several stores.
    pub(super) async fn fill_equally(hosts: &[&Self], count: u64) {
        let now = now_ms();
        for host in hosts {
            for n in 0..count {
                host.ingest_at(now - n * 1000, 8, "filled").await;
            }
        }
    }

    pub(super) async fn change(&self, id: &AssetId, changes: Changes) {
        self.change_at(id, changes, now_ms()).await;
    }

    pub(super) async fn change_at(&self, id: &AssetId, changes: Changes, at_ms: u64) {
        let host = self.net.id();
        let edit = Box::new(move |document: &mut LocalDocument| document.change(&changes, at_ms, host));
        self.store.edit(id, edit).await.unwrap().unwrap();
    }

    pub(super) async fn metadata(&self, id: &AssetId) -> Metadata {
        self.store.record(id).await.unwrap().unwrap().document.metadata()
    }

    pub(super) async fn metadata_is(&self, id: &AssetId, wished: impl Fn(&Metadata) -> bool) {
        let reached = within(async {
            while !wished(&self.metadata(id).await) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        reached.await;
    }

    /// Waits until the content of an asset is here.
    pub(super) async fn has(&self, id: &AssetId) {
        let mut latest = self.store.latest();
        let reached = within(async {
            while !self.store.record(id).await.unwrap().is_some_and(|record| record.presence.is_here()) {
                latest.changed().await.unwrap();
            }
        });
        reached.await;
    }

    /// Reads every asset.
    pub(super) async fn contents(&self) -> BTreeMap<AssetId, Vec<u8>> {
        let query = Query { order: Order::Oldest, limit: 1000, ..Query::default() };
        let mut contents = BTreeMap::new();
        for record in self.store.page(&query).await.unwrap().records {
            let content = self.store.open(&record.key.id, 0).await.unwrap().unwrap();
            let pieces: Vec<bytes::Bytes> = content.stream.try_collect().await.unwrap();
            contents.insert(record.key.id, pieces.concat());
        }
        contents
    }

    /// Asks another host for a content as a peer does, without having been offered it.
    pub(super) async fn ask_for(&self, other: &Self, id: AssetId) -> Head {
        self.ask_at(&other.ticket(), id).await.unwrap()
    }

    /// The same, by a ticket; an error when the other ends the connection instead.
    pub(super) async fn ask_at(&self, ticket: &Ticket, id: AssetId) -> Result<Head, FrameError> {
        let (_line, mut wants, mut replies) = self.net.dial(ticket, Purpose::Bulk).await.unwrap().into_lane();
        wants.want(&id, 0).await.unwrap();
        wants.flush().await.unwrap();
        within(replies.head()).await
    }
}
