//! Gossip: members tell each other where they are, over the connections that they have proved themselves on.
//!
//! ```text
//!   connections ── who is linked, what they say ──► this source ──► finds (whom to dial)
//!   connections ◄── what to say ──────────────────┘     └──► engine: who is a member, whether to compare
//! ```
//! Whoever is not connected as a member hears no byte of it and can say none; one that is let go hears nothing more. An
//! announcement causes a dial or a comparison of sets, never a write. It may be lost: all that matters is said again.

mod allowance;
mod announcement;
mod authors;
mod swarm;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::allowance::Allowance;
pub use self::announcement::Announcement;
use self::announcement::Seal;
use self::authors::Authors;
use self::authors::Weighed;
use self::swarm::Swarm;
use super::source::Condition;
use super::source::Finder;
use super::source::Source;
use super::source::SourceError;
use super::source::Surroundings;
use crate::asset::HostId;
use crate::auth::ENVELOPE_NONCE_BYTES;
use crate::auth::EnvelopeKey;
use crate::auth::HostKey;
use crate::auth::TopicKey;
use crate::library::Ticket;
use crate::limits;
use crate::net;
use crate::task::jittered;
use crate::task::now_ms;

/// A connected member that speaks gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Counts the connections of this host: another number is another connection.
    pub number: u64,
    /// Whether this host dialled.
    pub dialled: bool,
}

/// The connections to members, as gossip uses them.
#[async_trait]
pub trait Neighbours: Send + Sync {
    /// Says something to a connected member. It may be lost.
    fn say(&self, to: HostId, what: net::Gossip);

    /// Returns something that is another when the set of this host has changed.
    fn set(&self) -> [u8; 16];

    /// Tells whether this host takes in and passes on every asset.
    fn keeps_everything(&self) -> bool;

    /// A member has said something new of itself.
    async fn announced(&self, announcement: &Announcement);

    /// Compares sets with the connected members.
    async fn compare(&self);
}

/// What gossip has to do with the connections.
pub struct Connections {
    /// The members that can be spoken to.
    pub linked: watch::Receiver<BTreeMap<HostId, Neighbour>>,
    /// What they say.
    pub heard: mpsc::Receiver<(HostId, net::Gossip)>,
    /// Says things to them.
    pub neighbours: Arc<dyn Neighbours>,
}

/// How a host takes part.
#[derive(Debug, Clone)]
pub struct GossipOptions {
    /// Names the topic.
    pub topic: TopicKey,
    /// Seals announcements.
    pub envelope: EnvelopeKey,
    /// Signs those of this host.
    pub key: HostKey,
    /// Name of this host, for people.
    pub name: String,
}

/// Tells and hears where members are.
pub struct Gossip {
    options: GossipOptions,
    connections: Mutex<Connections>,
}

impl Gossip {
    /// Its name, for people.
    pub const NAME: &str = "gossip";

    /// Prepares it; nothing is said before it runs.
    #[must_use]
    pub fn new(options: GossipOptions, connections: Connections) -> Self {
        Self { options, connections: Mutex::new(connections) }
    }
}

#[async_trait]
impl Source for Gossip {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn run(&self, surroundings: Surroundings, finder: &Finder) -> Result<(), SourceError> {
        let mut connections = self.connections.lock().await;
        let Connections { linked, heard, neighbours } = &mut *connections;
        let mut own = surroundings.own;
        let now = Instant::now();
        let host = own.borrow_and_update().host;
        let options = &self.options;
        let mut voice = Voice {
            options,
            finder,
            seal: Seal::new(options.envelope.clone(), options.topic.clone()),
            neighbours: Arc::clone(neighbours),
            swarm: Swarm::new(*options.topic.expose(), host, random()?, now),
            authors: Authors::new(host, now),
            linked: BTreeMap::new(),
            last: None,
            change: u64::from_le_bytes(random()?),
            allowance: Allowance::new(limits::GOSSIP_AUTHOR_BURST, limits::GOSSIP_AUTHOR_EVERY, now),
            compared: None,
        };
        finder.is(Condition::Ok);
        let mut look = tokio::time::interval(limits::GOSSIP_LOOKED_AT_EVERY);
        let mut ask = tokio::time::interval(limits::GOSSIP_SPACING);
        linked.mark_changed();
        loop {
            let due = voice.swarm.due();
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Who is linked comes first: what somebody says counts only while it is.
                biased;
                changed = linked.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let now = linked.borrow_and_update().clone();
                    voice.relink(&now, &own.borrow());
                }
                _ = look.tick() => voice.speak_up(&own.borrow()),
                _ = ask.tick() => voice.swarm.ask_again(Instant::now()),
                () = timer => voice.swarm.tick(Instant::now()),
                word = heard.recv() => {
                    let Some((peer, what)) = word else { return Ok(()) };
                    voice.hear(peer, what).await;
                }
            }
            voice.send();
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], SourceError> {
    let mut bytes = [0; N];
    let unavailable = |source: getrandom::Error| SourceError::Unavailable {
        what: "the system gives no random bytes",
        source: Box::new(source),
    };
    getrandom::fill(&mut bytes).map_err(unavailable)?;
    Ok(bytes)
}

/// What this host said last.
struct Said {
    sealed: Bytes,
    announcement: Announcement,
    set: [u8; 16],
    at: Instant,
    /// When it is said again although nothing has changed.
    again_at: Instant,
}

/// The part of this host in the gossip, while it runs.
struct Voice<'a> {
    options: &'a GossipOptions,
    finder: &'a Finder,
    seal: Seal,
    neighbours: Arc<dyn Neighbours>,
    swarm: Swarm,
    authors: Authors,
    linked: BTreeMap<HostId, Neighbour>,
    last: Option<Said>,
    /// The change number of the next announcement.
    change: u64,
    allowance: Allowance,
    compared: Option<Instant>,
}

impl Voice<'_> {
    /// Takes over who is linked now.
    fn relink(&mut self, linked: &BTreeMap<HostId, Neighbour>, own: &Ticket) {
        let now = Instant::now();
        let before = std::mem::replace(&mut self.linked, linked.clone());
        for (peer, neighbour) in &before {
            if linked.get(peer).is_none_or(|now| now.number != neighbour.number) {
                self.swarm.unlinked(*peer, now);
            }
        }
        for (peer, neighbour) in linked {
            if before.get(peer).is_some_and(|before| before.number == neighbour.number) {
                continue;
            }
            self.swarm.linked(*peer, neighbour.dialled, now);
        }
        self.speak_up(own);
    }

    /// Announces this host, if there is anything to say: at once where it is and what it is, its changes in time.
    fn speak_up(&mut self, own: &Ticket) {
        let (now, now_ms) = (Instant::now(), now_ms());
        if self.linked.is_empty() {
            return;
        }
        let (set, keeps_everything) = (self.neighbours.set(), self.neighbours.keeps_everything());
        if let Some(said) = &self.last {
            let moved = said.announcement.ticket != *own || said.announcement.keeps_everything != keeps_everything;
            let spacing = limits::GOSSIP_SPACING_PER_MEMBER * u32::try_from(self.authors.len()).unwrap_or(u32::MAX);
            let changed = said.set != set && now >= said.at + spacing.max(limits::GOSSIP_SPACING);
            if !moved && !changed && now < said.again_at {
                return;
            }
        }
        self.authors.forget_dead(now_ms);
        if !self.allowance.take(now) {
            return;
        }
        if self.last.as_ref().is_some_and(|said| said.set != set) {
            self.change = self.change.wrapping_add(1);
        }
        let before_ms = self.last.as_ref().map(|said| said.announcement.at_ms);
        let announcement = Announcement {
            ticket: own.clone(),
            name: self.options.name.clone(),
            at_ms: stamp(before_ms, now_ms),
            keeps_everything,
            change: self.change,
        };
        let sealed = random::<ENVELOPE_NONCE_BYTES>().map_err(|error| error.to_string()).and_then(|nonce| {
            self.seal.seal(&announcement, &self.options.key, nonce).map_err(|error| error.to_string())
        });
        match sealed {
            Ok(sealed) => {
                self.swarm.broadcast(sealed.clone(), now);
                let again_at = now + jittered(std::time::Duration::from_millis(limits::GOSSIP_LIFE_MS / 3));
                self.last = Some(Said { sealed, announcement, set, at: now, again_at });
            }
            Err(error) => {
                tracing::error!(error, "nothing can be announced");
                self.finder.is(Condition::Degraded(error));
            }
        }
    }

    async fn hear(&mut self, peer: HostId, what: net::Gossip) {
        let now = Instant::now();
        let mut weighed = None;
        let (authors, seal) = (&mut self.authors, &self.seal);
        match what {
            net::Gossip::Protocol(message) => {
                self.swarm.hear(peer, &message, now, |content| {
                    let weighing = authors.weigh(seal, &Bytes::copy_from_slice(content), now_ms(), now);
                    let travels = !matches!(weighing, Weighed::Dropped(_));
                    weighed = Some(weighing);
                    travels
                });
            }
            net::Gossip::Announcement(sealed) => {
                if !self.linked.contains_key(&peer) {
                    return;
                }
                let weighing = authors.weigh(seal, &sealed, now_ms(), now);
                // It was told to this host alone; those on its other side have not heard it.
                if matches!(weighing, Weighed::News(..)) && self.linked.len() > 1 {
                    self.swarm.broadcast(sealed, now);
                }
                weighed = Some(weighing);
            }
        }
        match weighed {
            Some(Weighed::News(announcement, changed)) => self.take_in(&announcement, changed, now).await,
            Some(Weighed::Dropped(why)) => tracing::debug!(peer = %peer.fmt_short(), why, "an announcement is dropped"),
            Some(Weighed::Known) | None => {}
        }
    }

    async fn take_in(&mut self, announcement: &Announcement, changed: bool, now: Instant) {
        let host = announcement.ticket.host;
        self.neighbours.announced(announcement).await;
        let until_ms = announcement.at_ms + limits::GOSSIP_LIFE_MS;
        self.finder.found(announcement.ticket.clone(), announcement.at_ms, Some(until_ms)).await;
        // What a connected host has changed it has offered already; what another one has may be with those between.
        let due = self.compared.is_none_or(|compared| now >= compared + limits::GOSSIP_COMPARED_EVERY);
        if changed && due && !self.linked.contains_key(&host) {
            self.compared = Some(now);
            self.neighbours.compare().await;
        }
    }

    /// Tells new neighbours what this host and others have last said, and sends what the protocol says. A neighbour is
    /// told when what comes later reaches it through the protocol, so that it misses nothing.
    fn send(&mut self) {
        for peer in self.swarm.up() {
            let told = self.authors.told_to(peer).into_iter();
            for sealed in self.last.iter().map(|said| said.sealed.clone()).chain(told) {
                self.neighbours.say(peer, net::Gossip::Announcement(sealed));
            }
        }
        for (peer, message) in self.swarm.outgoing() {
            self.neighbours.say(peer, net::Gossip::Protocol(message));
        }
    }
}

/// Returns the time of the next announcement: later than the one before, by which others tell which is newer; unless that
/// was made by a clock so far ahead that nobody believes it.
fn stamp(before_ms: Option<u64>, now_ms: u64) -> u64 {
    let before_ms = before_ms.filter(|before_ms| before_ms.saturating_sub(now_ms) <= limits::GOSSIP_AHEAD_MS);
    before_ms.map_or(now_ms, |before_ms| now_ms.max(before_ms + 1))
}

#[cfg(test)]
mod stamps {
    use super::*;

    #[test]
    fn a_clock_that_was_ahead_silences_nobody() {
        let now_ms = 1_800_000_000_000;
        assert_eq!(stamp(None, now_ms), now_ms);
        assert_eq!(stamp(Some(now_ms - 5), now_ms), now_ms);
        assert_eq!(stamp(Some(now_ms + 5), now_ms), now_ms + 6);
        assert_eq!(stamp(Some(now_ms + limits::GOSSIP_AHEAD_MS + 1), now_ms), now_ms);
    }
}
