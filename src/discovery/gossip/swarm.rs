//! The gossip protocol: iroh-gossip's state machine, with neighbours of our choice.
//!
//! Its own way of finding neighbours is left out: they are the members this host is connected to, and what it would say
//! to spread their names is neither sent nor heard. What is left is the broadcast tree. A message is looked into before
//! the state machine sees it, since that passes on whatever it is given: only a content that the caller vouches for goes
//! on, so junk ends at the first honest host.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use iroh_gossip::TopicId;
use iroh_gossip::proto::Command;
use iroh_gossip::proto::Config;
use iroh_gossip::proto::Event;
use iroh_gossip::proto::InEvent;
use iroh_gossip::proto::Message;
use iroh_gossip::proto::OutEvent;
use iroh_gossip::proto::Scope;
use iroh_gossip::proto::State;
use iroh_gossip::proto::Timer;
use iroh_gossip::proto::state;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use tokio::time::Instant;

use crate::asset::HostId;
use crate::limits;

/// How a host is called in the protocol.
type Id = [u8; 32];

/// One host's part of the protocol.
pub(super) struct Swarm {
    topic: TopicId,
    own: HostId,
    seed: [u8; 32],
    state: State<Id, StdRng>,
    neighbours: BTreeSet<HostId>,
    /// Those of them that the protocol has made neighbours too, and that were not told of yet.
    up: Vec<HostId>,
    /// Those that it has not, and that this side is to ask.
    asked: BTreeSet<HostId>,
    timers: BTreeMap<(Instant, u64), Timer<Id>>,
    timed: u64,
    /// Announcements that were promised since the state machine was made.
    promised: usize,
    outgoing: Vec<(HostId, Bytes)>,
}

/// What a message of the protocol says, as far as it must be known here. The encoding is the crate's own; a test compares
/// the two.
#[derive(Debug, Deserialize)]
struct Looked<'a> {
    topic: Id,
    #[serde(borrow)]
    layer: Layer<'a>,
}

#[derive(Debug, Deserialize)]
enum Layer<'a> {
    Neighbours(AboutNeighbours),
    #[serde(borrow)]
    Broadcast(Broadcast<'a>),
}

/// What is behind is not read.
#[derive(Debug, Deserialize)]
enum AboutNeighbours {
    Join,
    ForwardJoin,
    Shuffle,
    ShuffleReply,
    Neighbour,
    Disconnect,
}

#[derive(Debug, Deserialize)]
enum Broadcast<'a> {
    #[serde(borrow)]
    Content(Content<'a>),
    Prune,
    Graft,
    Promised(Vec<(Id, u16)>),
}

#[derive(Debug, Deserialize)]
struct Content<'a> {
    _id: Id,
    bytes: &'a [u8],
    reach: Reach,
}

#[derive(Debug, Deserialize)]
enum Reach {
    /// Everybody; it has come so many hops.
    Everybody(u16),
    Neighbours,
}

impl Swarm {
    /// Begins with no neighbours; `seed` is random.
    pub(super) fn new(topic: [u8; 32], own: HostId, seed: [u8; 32], now: Instant) -> Self {
        let topic = TopicId::from_bytes(topic);
        let mut swarm = Self {
            topic,
            own,
            seed,
            state: fresh(own, seed),
            neighbours: BTreeSet::new(),
            up: Vec::new(),
            asked: BTreeSet::new(),
            timers: BTreeMap::new(),
            timed: 0,
            promised: 0,
            outgoing: Vec::new(),
        };
        swarm.handle(InEvent::Command(topic, Command::Join(Vec::new())), now);
        swarm
    }

    /// Takes what is to be sent.
    pub(super) fn outgoing(&mut self) -> Vec<(HostId, Bytes)> {
        std::mem::take(&mut self.outgoing)
    }

    /// Begins to speak with a member; the side that dialled speaks first.
    pub(super) fn linked(&mut self, peer: HostId, dialled: bool, now: Instant) {
        self.neighbours.insert(peer);
        if dialled {
            self.asked.insert(peer);
            self.handle(InEvent::Command(self.topic, Command::Join(vec![*peer.as_bytes()])), now);
        }
    }

    pub(super) fn unlinked(&mut self, peer: HostId, now: Instant) {
        self.neighbours.remove(&peer);
        self.asked.remove(&peer);
        self.handle(InEvent::PeerDisconnected(*peer.as_bytes()), now);
    }

    /// Takes whoever has become a neighbour: from now on it is sent what is broadcast.
    pub(super) fn up(&mut self) -> Vec<HostId> {
        std::mem::take(&mut self.up)
    }

    /// Asks those again that have not answered.
    pub(super) fn ask_again(&mut self, now: Instant) {
        let asked = self.asked.iter().map(|peer| *peer.as_bytes()).collect();
        self.handle(InEvent::Command(self.topic, Command::Join(asked)), now);
    }

    /// Takes in a message of a neighbour. `vouches` says of a content whether it may travel on. Returns whether the
    /// message was of any use.
    pub(super) fn hear(
        &mut self,
        peer: HostId,
        message: &[u8],
        now: Instant,
        vouches: impl FnOnce(&[u8]) -> bool,
    ) -> bool {
        let Ok((looked, _)) = postcard::take_from_bytes::<Looked<'_>>(message) else { return false };
        if !self.neighbours.contains(&peer) || looked.topic != *self.topic.as_bytes() {
            return false;
        }
        match looked.layer {
            Layer::Neighbours(AboutNeighbours::Join | AboutNeighbours::Neighbour) => {}
            Layer::Broadcast(Broadcast::Prune | Broadcast::Graft) => {}
            Layer::Broadcast(Broadcast::Promised(promised)) => self.promised += promised.len(),
            Layer::Broadcast(Broadcast::Content(Content { bytes, reach: Reach::Everybody(hops), .. }))
                if hops <= limits::GOSSIP_HOPS && vouches(bytes) => {}
            Layer::Neighbours(_) | Layer::Broadcast(Broadcast::Content(_)) => return false,
        }
        let Ok(message) = postcard::from_bytes::<Message<Id>>(message) else { return false };
        self.handle(InEvent::RecvMessage(*peer.as_bytes(), message), now);
        if self.promised > limits::GOSSIP_PROMISED {
            self.begin_again(now);
        }
        true
    }

    /// Says something to everybody.
    pub(super) fn broadcast(&mut self, content: Bytes, now: Instant) {
        self.handle(InEvent::Command(self.topic, Command::Broadcast(content, Scope::Swarm)), now);
    }

    /// Returns when [`tick`](Self::tick) is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now
        {
            let timer = entry.remove();
            self.handle(InEvent::TimerExpired(timer), now);
        }
    }

    /// Returns how many timers wait.
    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.timers.len()
    }

    /// Forgets all that the protocol remembers, for it never forgets a promise that is not kept.
    fn begin_again(&mut self, now: Instant) {
        self.seed = *blake3::hash(&self.seed).as_bytes();
        self.state = fresh(self.own, self.seed);
        self.timers.clear();
        self.promised = 0;
        let neighbours = self.neighbours.iter().map(|peer| *peer.as_bytes()).collect();
        self.handle(InEvent::Command(self.topic, Command::Join(neighbours)), now);
    }

    fn handle(&mut self, event: InEvent<Id>, now: Instant) {
        for event in self.state.handle(event, now, None) {
            match event {
                OutEvent::SendMessage(to, message) => {
                    let to = HostId::from_bytes(to);
                    if self.neighbours.contains(&to)
                        && let Ok(message) = postcard::to_allocvec(&message)
                        && is_sent(&message)
                    {
                        self.outgoing.push((to, message.into()));
                    }
                }
                OutEvent::ScheduleTimer(after, timer) => {
                    self.timed += 1;
                    self.timers.insert((now + after, self.timed), timer);
                }
                OutEvent::EmitEvent(_, Event::NeighborUp(peer)) => {
                    let peer = HostId::from_bytes(peer);
                    self.asked.remove(&peer);
                    self.up.push(peer);
                }
                // What is received was taken in when it was vouched for; connections are made and ended elsewhere.
                OutEvent::EmitEvent(..) | OutEvent::DisconnectPeer(_) | OutEvent::PeerData(..) => {}
            }
        }
    }
}

/// Tells whether a message is one that the other side hears.
fn is_sent(message: &[u8]) -> bool {
    use AboutNeighbours::{Disconnect, ForwardJoin, Shuffle, ShuffleReply};
    let looked = postcard::take_from_bytes::<Looked<'_>>(message).map(|(looked, _)| looked.layer);
    let names = matches!(looked, Ok(Layer::Neighbours(ForwardJoin | Shuffle | ShuffleReply | Disconnect)) | Err(_));
    !names && message.len() <= limits::GOSSIP_MESSAGE_BYTES
}

fn fresh(own: HostId, seed: [u8; 32]) -> State<Id, StdRng> {
    let mut config = Config { max_message_size: limits::GOSSIP_MESSAGE_BYTES, ..Config::default() };
    config.membership.active_view_capacity = limits::GOSSIP_NEIGHBOURS;
    // Names are not passed around, so there is nothing to shuffle.
    config.membership.shuffle_interval = Duration::from_secs(24 * 60 * 60);
    // An announcement that is still believed is not passed on a second time.
    config.broadcast.message_id_retention = Duration::from_millis(limits::GOSSIP_LIFE_MS);
    config.broadcast.cache_evict_interval = limits::GOSSIP_COMPARED_EVERY;
    state::State::new(*own.as_bytes(), iroh_gossip::proto::PeerData::default(), config, StdRng::from_seed(seed))
}
