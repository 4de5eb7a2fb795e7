//! Many hosts with the links that [`Web`] gives them, in rounds: whatever is sent in one arrives in the next.
//!
//! No loss and no latency, but all the hosts of a large library at once, each with the replica that the engine runs. Some
//! hosts pass on only what they made themselves, as one with a plugin may. The bench `crowd` runs this file too.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::Document;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::asset::names;
use crate::sync::Answer;
use crate::sync::Decision;
use crate::sync::Fetched;
use crate::sync::Input;
use crate::sync::Item;
use crate::sync::Kept;
use crate::sync::Message;
use crate::sync::Offer;
use crate::sync::Output;
use crate::sync::Replica;
use crate::sync::Web;
use crate::sync::exception;

/// Milliseconds that a round counts for, as far as pauses go.
const ROUND_MS: u64 = 50;

/// Rounds after which hosts that are not equal never will be.
const PATIENCE_ROUNDS: u64 = 10_000;

/// Bytes of a content; they are counted and not made.
const CONTENT_BYTES: u64 = 4096;

/// The fewest, the median and the most of something that every host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    pub least: u64,
    pub median: u64,
    pub most: u64,
}

/// How it went until all hosts were equal.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    pub rounds: u64,
    /// Messages sent, per host.
    pub messages: Spread,
    /// Bytes sent in messages, per host, but for a few of each frame.
    pub bytes: Spread,
    /// Bytes of contents sent, per host.
    pub contents: Spread,
}

struct Host {
    id: HostId,
    passes_on: bool,
    replica: Replica,
    store: BTreeMap<AssetId, Stored>,
    known: BTreeMap<(HostId, AssetId), Document>,
    inbox: Vec<Input>,
    messages: u64,
    bytes: u64,
    contents: u64,
}

#[derive(Clone)]
struct Stored {
    key: AssetKey,
    document: Document,
    made_here: bool,
}

pub struct Crowd {
    hosts: Vec<Host>,
    index: BTreeMap<HostId, usize>,
    web: Web,
    now: u64,
    made: u64,
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / {} / {}", self.least, self.median, self.most)
    }
}

fn spread(counts: impl Iterator<Item = u64>) -> Spread {
    let mut counts: Vec<u64> = counts.collect();
    counts.sort_unstable();
    Spread { least: counts[0], median: counts[counts.len() / 2], most: counts[counts.len() - 1] }
}

/// Bytes of a message, without a few of its envelope.
fn bytes(message: &Message) -> u64 {
    let length = match message {
        Message::Summary { .. } => 32,
        Message::Reconcile { ranges, .. } | Message::ReconcileReply { ranges, .. } => ranges.len() + 8,
        Message::Request { hashes, .. } => 32 * hashes.len() + 8,
        Message::Offers(offers) => offers.iter().map(offered).sum(),
        Message::Answers(answers) => 70 * answers.len(),
        Message::Early { .. } => 44,
        Message::Settled { .. } => 6,
    };
    length as u64
}

fn offered(offer: &Offer) -> usize {
    let field = |name: &str, value: Option<&str>| name.len() + value.map_or(0, str::len) + 50;
    60 + offer.document.iter().map(|(name, of)| field(name, of.value.text())).sum::<usize>()
}

impl Crowd {
    /// Makes so many hosts, all with the same assets; one of every `odd` passes on only what it makes itself.
    pub fn new(count: usize, assets: u64, odd: usize) -> Self {
        let ids = (0..count).map(|n| HostId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes()));
        let members: Vec<(HostId, bool)> = ids.enumerate().map(|(n, id)| (id, n % odd != odd - 1)).collect();
        let mut crowd =
            Self { hosts: Vec::new(), index: BTreeMap::new(), web: Web::new(members.clone()), now: 0, made: 0 };
        let common: Vec<Stored> = (0..assets).map(|_| crowd.make()).collect();
        for (n, (id, passes_on)) in members.into_iter().enumerate() {
            crowd.index.insert(id, n);
            let store = common.iter().map(|stored| (stored.key.id, stored.clone())).collect();
            let items = common.iter().map(|of| Item::new(of.key.timestamp, of.key.id, &of.document.digest())).collect();
            let replica = Replica::new(items, 30_000);
            let (known, inbox) = (BTreeMap::new(), Vec::new());
            crowd.hosts.push(Host { id, passes_on, replica, store, known, inbox, messages: 0, bytes: 0, contents: 0 });
        }
        crowd
    }

    /// Makes an asset at a host.
    pub fn ingest(&mut self, host: usize) {
        let stored = Stored { made_here: true, ..self.make() };
        let id = stored.key.id;
        self.hosts[host].store.insert(id, stored);
        let passes = self.hosts[host].passed(&id);
        self.hosts[host].inbox.push(passes);
    }

    /// Connects all hosts that the rule links to each other.
    pub fn connect(&mut self) {
        for n in 0..self.hosts.len() {
            let own = self.hosts[n].id;
            for peer in self.web.links_of(&own) {
                let dialled = own < peer;
                self.hosts[n].inbox.push(Input::Connected { peer, dialled, passes: true, exceptions: Vec::new() });
            }
        }
    }

    /// Links per host.
    pub fn links(&self) -> Spread {
        spread(self.hosts.iter().map(|host| self.web.links_of(&host.id).len() as u64))
    }

    /// Has all hosts talk until each says that it is equal with all it is linked to.
    pub fn settle(&mut self) -> Settled {
        for host in &mut self.hosts {
            (host.messages, host.bytes, host.contents) = (0, 0, 0);
        }
        let began = self.now;
        while !self.round() {
            assert!(self.now - began < PATIENCE_ROUNDS * ROUND_MS, "the hosts do not become equal");
        }
        Settled {
            rounds: (self.now - began) / ROUND_MS,
            messages: spread(self.hosts.iter().map(|host| host.messages)),
            bytes: spread(self.hosts.iter().map(|host| host.bytes)),
            contents: spread(self.hosts.iter().map(|host| host.contents)),
        }
    }

    /// Assets that each host has.
    pub fn assets(&self) -> Spread {
        spread(self.hosts.iter().map(|host| host.store.len() as u64))
    }

    /// Has every host take in what came, and delivers what it says for the next round. Returns whether all was quiet and
    /// equal.
    fn round(&mut self) -> bool {
        self.now += ROUND_MS;
        let mut sent: Vec<(usize, Input)> = Vec::new();
        let mut fetched: Vec<usize> = Vec::new();
        let mut busy = false;
        for host in &mut self.hosts {
            let due = host.replica.due(self.now).is_some_and(|due| due <= self.now);
            busy |= !host.inbox.is_empty();
            if host.inbox.is_empty() && !due {
                continue;
            }
            for output in host.run(self.now) {
                match output {
                    Output::Send { peer, message } => {
                        host.messages += 1;
                        host.bytes += bytes(&message);
                        sent.push((self.index[&peer], Input::Received { peer: host.id, message }));
                    }
                    Output::Fetch { peer, key } => {
                        fetched.push(self.index[&peer]);
                        let to = self.index[&host.id];
                        sent.push((to, Input::Fetched { peer, asset: key.id, outcome: Fetched::Whole }));
                    }
                    Output::Close { reason, .. } => panic!("a host breaks the protocol: {reason}"),
                    _ => {}
                }
            }
        }
        fetched.into_iter().for_each(|from| self.hosts[from].contents += CONTENT_BYTES);
        busy |= !sent.is_empty();
        for (to, input) in sent {
            self.hosts[to].inbox.push(input);
        }
        !busy
            && self.hosts.iter().all(|host| {
                self.web.links_of(&host.id).iter().all(|peer| host.replica.peer(peer).is_some_and(|peer| peer.in_sync))
            })
    }

    fn make(&mut self) -> Stored {
        self.made += 1;
        let timestamp = Timestamp::new(1_700_000_000_000 + self.made).expect("13 digits");
        let id = AssetId::from_bytes(*blake3::hash(&self.made.to_le_bytes()).as_bytes());
        let mut document = LocalDocument::default();
        document.see(&Changes::new().set(names::PATH, format!("from/{}", self.made)).set(names::FILE_NAME, "a.bin"));
        let key = AssetKey { id, timestamp, size: CONTENT_BYTES };
        Stored { key, document: document.shared().clone(), made_here: false }
    }
}

impl Host {
    /// Has the replica take in what came, and does what it says as far as nobody else is needed.
    fn run(&mut self, now: u64) -> Vec<Output> {
        let mut inputs = std::mem::take(&mut self.inbox);
        inputs.push(Input::Tick);
        let mut left = Vec::new();
        while !inputs.is_empty() {
            // What was to be sent before belongs to the connection before.
            self.replica.handle(now, inputs.drain(..));
            let outputs: VecDeque<Output> = std::iter::from_fn(|| self.replica.next_output()).collect();
            for output in outputs {
                self.carry_out(output, &mut inputs, &mut left);
            }
        }
        left
    }

    fn carry_out(&mut self, output: Output, inputs: &mut Vec<Input>, left: &mut Vec<Output>) {
        match output {
            Output::Load { peer, assets } => {
                let offers = assets.iter().filter_map(|id| self.offer(id)).collect();
                inputs.push(Input::Loaded { peer, asked: assets, offers });
            }
            Output::Decide { peer, offers } => {
                for offer in offers {
                    let here = self.store.contains_key(&offer.key.id);
                    let decision = if here { Decision::Answer(Answer::Stored) } else { Decision::Want };
                    inputs.push(Input::Decided { peer, offer, decision });
                }
            }
            Output::Keep { key, offers } => {
                let document = offers[0].1.document.clone();
                self.store.insert(key.id, Stored { key, document, made_here: false });
                inputs.push(self.passed(&key.id));
                inputs.push(Input::Kept { asset: key.id, outcome: Kept::Answer(Answer::Stored) });
            }
            Output::Remember { peer, offer, .. } => {
                self.known.insert((peer, offer.key.id), offer.document.clone());
                inputs.push(self.excepted(peer, offer.key.timestamp, offer.key.id));
            }
            Output::Forget { peer, assets } => {
                for (timestamp, asset) in assets {
                    self.known.remove(&(peer, asset));
                    inputs.push(self.excepted(peer, timestamp, asset));
                }
            }
            output => left.push(output),
        }
    }

    fn shared(&self, id: &AssetId) -> Option<&Stored> {
        self.store.get(id).filter(|stored| self.passes_on || stored.made_here)
    }

    fn offer(&self, id: &AssetId) -> Option<Offer> {
        self.shared(id).map(|stored| Offer::new(stored.key, stored.document.clone()))
    }

    fn passed(&self, id: &AssetId) -> Input {
        let key = self.store[id].key;
        let peers: BTreeSet<HostId> = self.known.keys().filter(|(_, of)| of == id).map(|(peer, _)| *peer).collect();
        let exceptions = peers.into_iter().map(|peer| (peer, self.exception(peer, id))).collect();
        Input::Passes { key, version: self.shared(id).map(|stored| stored.document.digest()), exceptions }
    }

    fn exception(&self, peer: HostId, id: &AssetId) -> Option<crate::asset::Digest> {
        let known = self.known.get(&(peer, *id));
        exception(self.shared(id).map(|stored| &stored.document), known)
    }

    fn excepted(&mut self, peer: HostId, timestamp: Timestamp, asset: AssetId) -> Input {
        let version = self.exception(peer, &asset);
        if version.is_none() {
            self.known.remove(&(peer, asset));
        }
        Input::Excepted { peer, timestamp, asset, version }
    }
}
