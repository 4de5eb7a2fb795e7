//! The world around the hosts: time, links, work and faults.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::host::Fault;
use super::host::Host;
use super::host::Policy;
use super::host::stand_in;
use super::host::world_poll_ms;
use super::random::Random;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::HostId;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::asset::names;
use crate::sync::Decision;
use crate::sync::Fetched;
use crate::sync::Input;
use crate::sync::Kept;
use crate::sync::Message;
use crate::sync::Offer;
use crate::sync::Output;
use crate::sync::receive;

/// Unix milliseconds at the beginning of every world.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// Virtual time in which hosts must have become equal after the last fault, in milliseconds.
const PATIENCE_MS: u64 = 20 * 60 * 1000;

/// Virtual time after which nothing is decided about any more that was begun before, in milliseconds.
const QUIET_MS: u64 = 3000;

/// Something that happens at a host at a time.
#[derive(Debug)]
enum Event {
    Input {
        host: usize,
        life: u32,
        input: Input,
    },
    /// A message of a connection; lost when the connection has ended.
    Deliver {
        from: usize,
        to: usize,
        connection: u32,
        message: Message,
    },
    /// A piece of content; lost when the connection has ended.
    Piece {
        from: usize,
        to: usize,
        connection: u32,
        key: AssetKey,
        piece: Vec<u8>,
        rest: Vec<u8>,
    },
    /// A task of a host that takes a while, such as storing.
    Task {
        host: usize,
        life: u32,
        output: Output,
    },
    TakeIn {
        host: usize,
        life: u32,
    },
    Poll {
        host: usize,
        life: u32,
    },
    Dial {
        a: usize,
        b: usize,
    },
    /// What a peer is known to have is decided about again.
    Again {
        host: usize,
        life: u32,
        peer: usize,
    },
    /// Somebody changes an asset.
    Tagged {
        host: usize,
        id: AssetId,
    },
    /// It is wanted, by what was known when that began.
    Wanted {
        host: usize,
        life: u32,
        peer: HostId,
        offer: Offer,
    },
}

pub(super) struct World {
    random: Random,
    now: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
    hosts: Vec<Host>,
    links: BTreeSet<(usize, usize)>,
    /// Connections that stand, by pair, with their number.
    connections: BTreeMap<(usize, usize), u32>,
    last_connection: u32,
    /// When the last message of a direction arrives: a stream keeps its order.
    streams: BTreeMap<(usize, usize), u64>,
    ticks: BTreeMap<usize, u64>,
    corrupts_percent: u64,
    offers_sent: u64,
    policies: bool,
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> Self {
        let mut random = Random::new(seed);
        let count = 2 + random.index(6);
        let policies = random.chance(40);
        // Clocks that differ by more than a stamp may be ahead.
        let skew_ms = if random.chance(20) { 1_000_000 } else { 300_000 };
        let mut hosts = Vec::new();
        for n in 0..count {
            let mut policy = Policy::default();
            if policies && random.chance(60) {
                policy.drop_push_below = if random.chance(50) { 60 } else { 0 };
                policy.hold_pull_from = random.chance(40).then_some(200);
                policy.tags_received = random.chance(50);
                policy.withholds_path = random.chance(50);
            }
            let id = HostId::from_bytes([u8::try_from(n + 1).expect("few hosts"); 32]);
            let faulty = if n == 0 { fault } else { None };
            hosts.push(Host::new(id, random.below(skew_ms), policy, faulty));
        }
        // A random tree, and some more links.
        let mut links: BTreeSet<(usize, usize)> = (1..count).map(|n| (random.index(n), n)).collect();
        for a in 0..count {
            for b in a + 1..count {
                if random.chance(30) {
                    links.insert((a, b));
                }
            }
        }
        let corrupts_percent = if random.chance(50) { random.below(20) } else { 0 };
        let mut world = Self {
            random,
            now: 1000,
            sequence: 0,
            events: BTreeMap::new(),
            hosts,
            links,
            connections: BTreeMap::new(),
            last_connection: 0,
            streams: BTreeMap::new(),
            ticks: BTreeMap::new(),
            corrupts_percent,
            offers_sent: 0,
            policies,
        };
        for host in 0..count {
            world.start(host);
        }
        world
    }

    /// Lets people work and things go wrong for a while.
    pub(super) fn disturb(&mut self) {
        for _ in 0..10 + self.random.index(60) {
            let pause = self.random.below(400);
            self.run_until(self.now + pause);
            let host = self.random.index(self.hosts.len());
            match self.random.below(20) {
                0..8 => self.ingest(host),
                8..13 => self.edit(host),
                13..16 => self.cut(),
                16..18 => self.crash(host),
                18 if self.policies => self.change_plugins(host),
                _ => {}
            }
        }
        for host in 0..self.hosts.len() {
            if !self.hosts[host].up {
                self.start(host);
            }
        }
        self.corrupts_percent = 0;
    }

    /// Waits until all connected hosts say that they are equal, and have nothing more to do.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        let (end, mut since) = (self.now + PATIENCE_MS, self.now);
        while self.now < end {
            self.run_until(self.now + 500);
            if self.connections.len() < self.links.len() || !self.all_in_sync() || self.hosts.iter().any(Host::waits) {
                since = self.now;
            } else if self.now - since >= QUIET_MS {
                return Ok(());
            }
        }
        Err(format!("not equal after {} minutes: {}", PATIENCE_MS / 60_000, self.unequal()))
    }

    /// Checks what must hold when all is quiet.
    pub(super) fn check(&self) -> Result<(), String> {
        for (a, b) in self.connections.keys() {
            let (at_a, at_b) = (&self.hosts[*a], &self.hosts[*b]);
            let (to_b, to_a) = (at_a.replica.peer(&at_b.id), at_b.replica.peer(&at_a.id));
            if to_b.map(|peer| peer.summary) != to_a.map(|peer| peer.summary) {
                return Err(format!("hosts {a} and {b} say equal and are not"));
            }
            for (n, m) in [(a, b), (b, a)] {
                self.check_pair(*n, *m)?;
            }
        }
        for (n, host) in self.hosts.iter().enumerate() {
            for stored in host.store.values() {
                let mut verifier = Verifier::new(stored.key.timestamp);
                verifier.update(&stored.content);
                if verifier.id() != stored.key.id {
                    return Err(format!("host {n} has stored content that does not match its id"));
                }
                let id = &stored.key.id;
                if !stored.made_here && !host.willing.contains(id) {
                    return Err(format!("host {n} has stored {id:?}, which it has never wanted"));
                }
                let of = |link: &(usize, usize)| self.neighbour(n, link).is_some_and(|at| at.shown.contains(id));
                if !stored.made_here && !self.links.iter().any(of) {
                    return Err(format!("host {n} has {id:?}, which nobody has passed on to it"));
                }
            }
            for (id, bytes) in &host.received {
                let size = host.store.get(id).map_or(u64::MAX, |stored| stored.content.len() as u64);
                if *bytes > size {
                    return Err(format!("host {n} was sent {bytes} bytes of an asset of {size}"));
                }
            }
        }
        if !self.policies {
            self.check_mirrors()?;
        }
        Ok(())
    }

    fn neighbour(&self, host: usize, (a, b): &(usize, usize)) -> Option<&Host> {
        match host {
            _ if host == *a => self.hosts.get(*b),
            _ if host == *b => self.hosts.get(*a),
            _ => None,
        }
    }

    /// Checks what a host has of another one that it is connected to, and knows of it.
    fn check_pair(&self, n: usize, m: usize) -> Result<(), String> {
        let (host, peer) = (&self.hosts[n], &self.hosts[m]);
        let passed: Vec<&AssetId> = peer.store.keys().filter(|id| peer.passed(id).is_some()).collect();
        let kept = host.replica.peer(&peer.id).map_or(0, |peer| peer.kept);
        if kept != passed.len() as u64 {
            return Err(format!("host {m} has {} assets, and is said by host {n} to have {kept}", passed.len()));
        }
        match passed.into_iter().find(|id| !host.store.contains_key(id) && !host.holds(id)) {
            Some(id) => Err(format!("host {n} lacks {id:?}, which host {m} passes on and it does not hold")),
            None => Ok(()),
        }
    }

    /// Restarts a host: with nothing changed, nothing may be offered.
    pub(super) fn check_restart(&mut self) -> Result<(), String> {
        self.crash(0);
        self.start(0);
        self.offers_sent = 0;
        self.settle()?;
        self.check()?;
        if self.offers_sent > 0 {
            return Err(format!("{} offers after a restart with nothing changed", self.offers_sent));
        }
        Ok(())
    }

    /// Without policies every host has every asset, with the same shared document.
    fn check_mirrors(&self) -> Result<(), String> {
        for (n, host) in self.hosts.iter().enumerate() {
            let first = &self.hosts[0].store;
            if first.keys().ne(host.store.keys()) {
                return Err(format!("hosts 0 and {n} do not have the same assets"));
            }
            for (id, stored) in &host.store {
                if first[id].document.shared() != stored.document.shared() {
                    return Err(format!("hosts 0 and {n} have different documents of {id:?}"));
                }
            }
        }
        Ok(())
    }

    fn all_in_sync(&self) -> bool {
        self.connections.keys().all(|(a, b)| {
            let says = |x: &Host, y: &Host| x.replica.peer(&y.id).is_some_and(|peer| peer.in_sync);
            says(&self.hosts[*a], &self.hosts[*b]) && says(&self.hosts[*b], &self.hosts[*a])
        })
    }

    fn unequal(&self) -> String {
        let mut text = format!("{} of {} links", self.connections.len(), self.links.len());
        for (a, b) in self.connections.keys() {
            let (x, y) = (&self.hosts[*a], &self.hosts[*b]);
            text += &format!("; {a}-{b}: {:?} / {:?}", x.replica.peer(&y.id), y.replica.peer(&x.id));
        }
        text
    }

    fn ingest(&mut self, host: usize) {
        if !self.hosts[host].up {
            return;
        }
        let size = if self.random.chance(20) { 2_000_000 } else { 1 + self.random.below(200) };
        let salt = self.random.next().to_le_bytes();
        let content: Vec<u8> = salt.iter().copied().cycle().take(stand_in(size)).collect();
        let timestamp = Timestamp::new(BEGINNING_MS + self.now + self.random.below(3)).expect("13 digits");
        let mut verifier = Verifier::new(timestamp);
        verifier.update(&content);
        let key = AssetKey { id: verifier.id(), timestamp, size };
        let seen = Changes::new().set(names::PATH, format!("from/{host}")).set(names::FILE_NAME, "a.bin");
        self.hosts[host].ingest(key, content, &seen);
        self.passes(host, key.id);
    }

    fn edit(&mut self, host: usize) {
        let ids: Vec<AssetId> = self.hosts[host].store.keys().copied().collect();
        if ids.is_empty() || !self.hosts[host].up {
            return;
        }
        let id = ids[self.random.index(ids.len())];
        let tag = format!("t{}", self.random.below(4));
        let changes = match self.random.below(5) {
            0 => Changes::new().trashed(self.random.chance(60)),
            1 => Changes::new().set(names::PATH, format!("p{}", self.random.below(5))),
            2 => Changes::new().remove_tag(&tag),
            _ => Changes::new().add_tag(&tag),
        };
        let now_ms = BEGINNING_MS + self.now;
        self.hosts[host].change(&id, &changes, now_ms);
        self.passes(host, id);
    }

    /// Tells a replica what its host passes on now, as the change feed does.
    fn passes(&mut self, host: usize, id: AssetId) {
        if self.hosts[host].passed(&id).is_some() {
            self.hosts[host].shown.insert(id);
        }
        let of = &self.hosts[host];
        let Some(key) = of.store.get(&id).map(|stored| stored.key) else { return };
        let version = of.passed(&id).map(crate::asset::Document::digest);
        let peers: Vec<HostId> = of.known.keys().filter(|(_, of)| *of == id).map(|(peer, _)| *peer).collect();
        let exceptions = peers.into_iter().map(|peer| (peer, of.exception(peer, &id))).collect();
        self.input(host, Input::Passes { key, version, exceptions });
    }

    /// Has a host hold nothing more on its way in, or begin to.
    fn change_plugins(&mut self, host: usize) {
        let policy = &mut self.hosts[host].policy;
        policy.hold_pull_from = if policy.hold_pull_from.is_some() { None } else { Some(200) };
        for peer in 0..self.hosts.len() {
            self.decide_again(host, peer);
        }
    }

    /// Begins to decide again, once what was decided before is written down.
    fn decide_again(&mut self, host: usize, peer: usize) {
        let (life, after) = (self.hosts[host].life, 100 + self.random.below(1000));
        self.at(after, Event::Again { host, life, peer });
    }

    fn cut(&mut self) {
        let standing: Vec<(usize, usize)> = self.connections.keys().copied().collect();
        if !standing.is_empty() {
            let (a, b) = standing[self.random.index(standing.len())];
            self.disconnect(a, b);
        }
    }

    fn crash(&mut self, host: usize) {
        self.hosts[host].up = false;
        self.hosts[host].life += 1;
        for (a, b) in self.links.clone() {
            if a == host || b == host {
                self.disconnect(a, b);
            }
        }
        if self.random.chance(70) {
            self.start(host);
        }
    }

    fn start(&mut self, host: usize) {
        if self.hosts[host].up {
            return;
        }
        self.hosts[host].start();
        let life = self.hosts[host].life;
        self.ticks.remove(&host);
        self.at(world_poll_ms(), Event::Poll { host, life });
        for (a, b) in self.links.clone() {
            if a == host || b == host {
                let after = self.random.below(2000);
                self.at(after, Event::Dial { a, b });
            }
        }
    }

    fn dial(&mut self, a: usize, b: usize) {
        if self.connections.contains_key(&(a, b)) || !self.hosts[a].up || !self.hosts[b].up {
            return;
        }
        self.last_connection += 1;
        self.connections.insert((a, b), self.last_connection);
        let a_dials = self.random.chance(50);
        for (host, peer, dialled) in [(a, b, a_dials), (b, a, !a_dials)] {
            self.streams.remove(&(host, peer));
            let id = self.hosts[peer].id;
            let of = &self.hosts[host];
            let known = of.known.iter().filter(|((peer, _), _)| *peer == id);
            let exceptions = known
                .filter_map(|((_, asset), (key, _))| Some((key.timestamp, *asset, of.exception(id, asset)?)))
                .collect();
            self.input(host, Input::Connected { peer: id, dialled, passes: true, exceptions });
            self.decide_again(host, peer);
            if self.hosts[host].fault == Some(Fault::EchoAfterRestart) && self.hosts[host].life > 1 {
                self.hosts[host].replica.offer_all_blindly(id);
                self.input(host, Input::Tick);
            }
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        if self.connections.remove(&(a, b)).is_none() {
            return;
        }
        for (host, peer) in [(a, b), (b, a)] {
            let peer = self.hosts[peer].id;
            self.input(host, Input::Disconnected { peer });
        }
        let after = self.random.below(3000);
        self.at(after, Event::Dial { a, b });
    }

    fn at(&mut self, after: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after, self.sequence), event);
    }

    fn run_until(&mut self, end: u64) {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((now, _), event) = entry.remove_entry();
            self.now = now;
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input { host, life, input } => {
                if self.hosts[host].life == life {
                    self.input(host, input);
                }
            }
            Event::Deliver { from, to, connection, message } => {
                if self.connection(from, to) == Some(connection) {
                    let peer = self.hosts[from].id;
                    self.input(to, Input::Received { peer, message });
                }
            }
            Event::Piece { from, to, connection, key, piece, rest } => {
                self.piece(from, to, connection, key, &piece, rest);
            }
            Event::Task { host, life, output } => {
                if self.hosts[host].life == life && self.hosts[host].up {
                    self.carry_out(host, output);
                }
            }
            Event::TakeIn { host, life } => {
                if self.hosts[host].life == life && self.hosts[host].up {
                    self.take_in(host);
                }
            }
            Event::Poll { host, life } => {
                if self.hosts[host].life == life {
                    if self.hosts[host].up {
                        for id in self.hosts[host].take_early(BEGINNING_MS + self.now) {
                            self.passes(host, id);
                        }
                    }
                    self.input(host, Input::Poll);
                    self.at(world_poll_ms(), Event::Poll { host, life });
                }
            }
            Event::Dial { a, b } => self.dial(a, b),
            Event::Again { host, life, peer } => {
                if self.hosts[host].life != life || self.connection(host, peer).is_none() {
                    return;
                }
                let (of, now_ms) = (self.hosts[peer].id, BEGINNING_MS + self.now);
                for offer in self.hosts[host].decide_again(of, now_ms) {
                    // Plugins take their time, and the peer may offer something newer meanwhile.
                    let after = self.random.below(1500);
                    if self.random.chance(50) {
                        let (before, id) = (self.random.below(200), offer.key.id);
                        self.at(after.saturating_sub(before), Event::Tagged { host: peer, id });
                    }
                    self.at(after, Event::Wanted { host, life, peer: of, offer });
                }
            }
            Event::Tagged { host, id } => {
                if self.hosts[host].up {
                    let changes = Changes::new().add_tag(&format!("t{}", self.random.below(4)));
                    self.hosts[host].change(&id, &changes, BEGINNING_MS + self.now);
                    self.passes(host, id);
                }
            }
            Event::Wanted { host, life, peer, offer } => {
                if self.hosts[host].life == life && self.hosts[host].up {
                    let (asset, now_ms) = (offer.key.id, BEGINNING_MS + self.now);
                    if self.hosts[host].store.contains_key(&asset) {
                        self.hosts[host].decide(&offer, now_ms);
                        self.passes(host, asset);
                    } else {
                        self.input(host, Input::Decided { peer, offer, decision: Decision::Want });
                    }
                }
            }
        }
    }

    fn connection(&self, a: usize, b: usize) -> Option<u32> {
        self.connections.get(&(a.min(b), a.max(b))).copied()
    }

    fn host_of(&self, id: HostId) -> usize {
        self.hosts.iter().position(|host| host.id == id).expect("every id belongs to a host")
    }

    fn input(&mut self, host: usize, input: Input) {
        if !self.hosts[host].up {
            return;
        }
        // A busy host takes in together what came meanwhile, but for the begin and the end of a connection.
        let alone = matches!(input, Input::Connected { .. } | Input::Disconnected { .. });
        if alone {
            self.take_in(host);
        }
        self.hosts[host].inbox.push(input);
        if !alone && self.random.chance(25) {
            let (life, after) = (self.hosts[host].life, self.random.below(15));
            self.at(after, Event::TakeIn { host, life });
        } else {
            self.take_in(host);
        }
    }

    fn take_in(&mut self, host: usize) {
        let inputs = std::mem::take(&mut self.hosts[host].inbox);
        self.hosts[host].replica.handle(self.now, inputs);
        let life = self.hosts[host].life;
        while let Some(output) = self.hosts[host].replica.next_output() {
            match output {
                Output::Send { peer, message } => self.send(host, peer, message),
                Output::Close { peer, .. } => {
                    let peer = self.host_of(peer);
                    self.disconnect(host.min(peer), host.max(peer));
                }
                Output::Answered { .. } | Output::InSync { .. } | Output::Drop { .. } => {}
                // Everything that touches a disk takes a while, and is lost when the host crashes before.
                other => {
                    let after = self.random.below(20);
                    self.at(after, Event::Task { host, life, output: other });
                }
            }
        }
        if let Some(due) = self.hosts[host].replica.due(self.now)
            && self.ticks.get(&host).is_none_or(|at| *at <= self.now || *at > due)
        {
            let after = due.max(self.now + 1) - self.now;
            self.ticks.insert(host, self.now + after);
            self.at(after, Event::Input { host, life, input: Input::Tick });
        }
    }

    fn send(&mut self, host: usize, peer: HostId, message: Message) {
        let to = self.host_of(peer);
        if let Message::Offers(offers) = &message {
            self.offers_sent += offers.len() as u64;
        }
        let Some(connection) = self.connection(host, to) else { return };
        let latency = 1 + self.random.below(80);
        let last = self.streams.get(&(host, to)).copied().unwrap_or(0);
        let arrives = (self.now + latency).max(last);
        self.streams.insert((host, to), arrives);
        self.at(arrives - self.now, Event::Deliver { from: host, to, connection, message });
    }

    fn carry_out(&mut self, host: usize, output: Output) {
        let now_ms = BEGINNING_MS + self.now;
        match output {
            Output::Load { peer, assets } => {
                let of = &self.hosts[host];
                let offers = assets
                    .iter()
                    .filter_map(|id| {
                        let document = of.passed(id)?.clone();
                        Some(Offer::new(of.store[id].key, document))
                    })
                    .collect();
                self.input(host, Input::Loaded { peer, asked: assets, offers });
            }
            Output::Decide { peer, offers } => {
                for offer in offers {
                    let decision = self.hosts[host].decide(&offer, now_ms);
                    if !receive(&offer.document, now_ms + self.hosts[host].skew_ms).early.is_empty() {
                        self.input(host, Input::Early { peer, asset: offer.key.id, ahead_ms: 1 });
                    }
                    self.passes(host, offer.key.id);
                    self.input(host, Input::Decided { peer, offer, decision });
                }
            }
            Output::Fetch { peer, key } => self.fetch(host, peer, key),
            Output::Keep { key, offers } => {
                let answer = self.hosts[host].keep(key, &offers, now_ms);
                self.passes(host, key.id);
                self.input(host, Input::Kept { asset: key.id, outcome: Kept::Answer(answer) });
            }
            Output::Remember { peer, offer, replaces } => {
                let key = offer.key;
                let known = &mut self.hosts[host].known;
                let before = known.get(&(peer, key.id)).map(|(_, document)| document);
                let document = match before {
                    Some(before) if !replaces => before.merged(&offer.document),
                    _ => offer.document.clone(),
                };
                known.insert((peer, key.id), (key, document));
                self.excepted(host, peer, key.timestamp, key.id);
            }
            Output::Forget { peer, assets } => {
                for (timestamp, asset) in assets {
                    self.hosts[host].known.remove(&(peer, asset));
                    self.excepted(host, peer, timestamp, asset);
                }
            }
            _ => {}
        }
    }

    fn excepted(&mut self, host: usize, peer: HostId, timestamp: Timestamp, asset: AssetId) {
        let version = self.hosts[host].exception(peer, &asset);
        if version.is_none() {
            self.hosts[host].known.remove(&(peer, asset));
        }
        self.input(host, Input::Excepted { peer, timestamp, asset, version });
    }

    fn fetch(&mut self, host: usize, peer: HostId, key: AssetKey) {
        let from = self.host_of(peer);
        let Some(connection) = self.connection(host, from) else {
            self.input(host, Input::Fetched { peer, asset: key.id, outcome: Fetched::Stalled });
            return;
        };
        let offset = self.hosts[host].offset(&key.id);
        if self.hosts[from].passed(&key.id).is_none() {
            self.input(host, Input::Fetched { peer, asset: key.id, outcome: Fetched::NotHere });
            return;
        }
        let mut content = self.hosts[from].store[&key.id].content[offset..].to_vec();
        if self.random.chance(self.corrupts_percent)
            && let Some(byte) = content.first_mut()
        {
            *byte ^= 1;
        }
        let rest = content.split_off(content.len().min(8_000));
        let after = 1 + self.random.below(120);
        self.at(after, Event::Piece { from, to: host, connection, key, piece: content, rest });
    }

    fn piece(&mut self, from: usize, to: usize, connection: u32, key: AssetKey, piece: &[u8], mut rest: Vec<u8>) {
        let peer = self.hosts[from].id;
        if !self.hosts[to].up {
            return;
        }
        if self.connection(from, to) != Some(connection) {
            self.input(to, Input::Fetched { peer, asset: key.id, outcome: Fetched::Stalled });
            return;
        }
        match self.hosts[to].piece(&key, piece) {
            Some(outcome) => self.input(to, Input::Fetched { peer, asset: key.id, outcome }),
            None => {
                let later = rest.split_off(rest.len().min(8_000));
                let after = 1 + self.random.below(120);
                self.at(after, Event::Piece { from, to, connection, key, piece: rest, rest: later });
            }
        }
    }
}
