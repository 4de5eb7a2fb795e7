//! The plan: which content to fetch from whom.
//!
//! A want lives from the decision to have an asset until it is kept. It is fetched from any peer that offers it, and
//! moves to another when one stalls, lies or goes. Small assets and large ones have windows of their own, so that a
//! large transfer holds nobody up.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::Offer;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::HostId;
use crate::limits;

/// Which window of a peer a transfer counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Small,
    Large,
}

impl Lane {
    pub(super) fn of(size: u64) -> Self {
        if size < limits::LARGE_LANE_BYTES { Self::Small } else { Self::Large }
    }
}

/// Why a fetch did not bring the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The peer does not have it, or no longer passes it on.
    NotHere,
    /// The content was not what the id says.
    Wrong,
    /// Nothing came for too long, or the connection broke.
    Stalled,
    /// This host could not write it.
    Local,
}

/// A peer that offers an asset, and what it offers.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) peer: HostId,
    pub(super) offer: Offer,
    lies: u32,
    not_before: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Fetching(HostId),
    /// The content is here and is being stored. Sources that come now are answered afterwards.
    Keeping,
}

#[derive(Debug)]
struct Want {
    key: AssetKey,
    state: State,
    sources: Vec<Source>,
    late: Vec<Source>,
}

/// What a peer is asked for at present.
#[derive(Debug, Default)]
struct Window {
    /// Assets it offers that may have to be fetched from it, in the order of its offers.
    queue: VecDeque<AssetId>,
    open: usize,
    open_bytes: u64,
}

impl Window {
    fn has_room(&self, lane: Lane, size: u64) -> bool {
        match lane {
            Lane::Small => {
                self.open < limits::WANTS_OPEN && (self.open == 0 || self.open_bytes + size <= limits::WANTS_OPEN_BYTES)
            }
            Lane::Large => self.open < limits::LARGE_WANTS_OPEN,
        }
    }
}

/// What becomes of a want whose fetch has failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// It is fetched again, from there or elsewhere.
    GoesOn,
    /// That peer is no longer a source; tell it why. Another may be.
    SourceLost,
}

/// All wants of one library.
#[derive(Debug, Default)]
pub(super) struct Plan {
    wants: BTreeMap<AssetId, Want>,
    windows: BTreeMap<(HostId, Lane), Window>,
    /// After a local failure nothing is fetched until then.
    paused_until: u64,
    pause: u64,
}

impl Plan {
    /// Returns how many assets are wanted.
    pub(super) fn len(&self) -> usize {
        self.wants.len()
    }

    /// Returns the asset of a want.
    pub(super) fn key(&self, id: &AssetId) -> Option<AssetKey> {
        self.wants.get(id).map(|want| want.key)
    }

    /// Returns what a peer offers of a wanted asset.
    pub(super) fn offer_of(&self, peer: HostId, id: &AssetId) -> Option<Offer> {
        let source = self.wants.get(id)?.sources.iter().find(|source| source.peer == peer)?;
        Some(source.offer.clone())
    }

    /// Returns the number of transfers under way and their assets' bytes, in all.
    pub(super) fn under_way(&self) -> (usize, u64) {
        self.windows.values().fold((0, 0), |(n, bytes), window| (n + window.open, bytes + window.open_bytes))
    }

    /// Wants an asset that a peer offers, or adds the peer to its sources.
    pub(super) fn add(&mut self, peer: HostId, offer: Offer) {
        let key = offer.key;
        let want = self.wants.entry(key.id).or_insert_with(|| Want {
            key,
            state: State::Waiting,
            sources: Vec::new(),
            late: Vec::new(),
        });
        let source = Source { peer, offer, lies: 0, not_before: 0 };
        if want.state == State::Keeping {
            want.late.retain(|late| late.peer != peer);
            want.late.push(source);
            return;
        }
        if let Some(known) = want.sources.iter_mut().find(|known| known.peer == peer) {
            known.offer = source.offer;
            return;
        }
        want.sources.push(source);
        self.windows.entry((peer, Lane::of(key.size))).or_default().queue.push_back(key.id);
    }

    /// Returns the fetches to start now. `now` is in milliseconds of the caller's monotonic clock.
    pub(super) fn start(&mut self, now: u64) -> Vec<(HostId, AssetKey)> {
        let mut started = Vec::new();
        if now < self.paused_until {
            return started;
        }
        for ((peer, lane), window) in &mut self.windows {
            let mut not_yet = Vec::new();
            while let Some(id) = window.queue.front().copied() {
                let Some(want) = self.wants.get_mut(&id).filter(|want| want.state == State::Waiting) else {
                    window.queue.pop_front();
                    continue;
                };
                let Some(source) = want.sources.iter().find(|source| source.peer == *peer) else {
                    window.queue.pop_front();
                    continue;
                };
                if !window.has_room(*lane, want.key.size) {
                    break;
                }
                window.queue.pop_front();
                if now < source.not_before {
                    not_yet.push(id);
                    continue;
                }
                want.state = State::Fetching(*peer);
                window.open += 1;
                window.open_bytes += want.key.size;
                started.push((*peer, want.key));
            }
            window.queue.extend(not_yet);
        }
        started
    }

    /// Notes that the content of an asset has come. Tells with which versions it is to be kept; empty when it is no
    /// longer wanted.
    pub(super) fn arrived(&mut self, peer: HostId, id: &AssetId) -> Vec<Source> {
        let Some(want) = self.wants.get_mut(id).filter(|want| want.state == State::Fetching(peer)) else {
            return Vec::new();
        };
        want.state = State::Keeping;
        let (key, sources) = (want.key, want.sources.clone());
        self.leave(peer, key);
        self.pause = 0;
        sources
    }

    /// Notes that a fetch did not bring the content.
    pub(super) fn failed(&mut self, peer: HostId, id: &AssetId, failure: Failure, now: u64) -> AfterFailure {
        let Some(want) = self.wants.get_mut(id).filter(|want| want.state == State::Fetching(peer)) else {
            return AfterFailure::GoesOn;
        };
        want.state = State::Waiting;
        let key = want.key;
        let mut lost = false;
        if let Some(source) = want.sources.iter_mut().find(|source| source.peer == peer) {
            match failure {
                Failure::NotHere => lost = true,
                Failure::Wrong => {
                    source.lies += 1;
                    lost = source.lies >= limits::LIES_PER_ASSET;
                }
                Failure::Stalled => source.not_before = now + limits::STALLED_SOURCE_PAUSE_MS,
                Failure::Local => {
                    self.pause = (self.pause * 2).clamp(limits::LOCAL_PAUSE_MS, limits::LOCAL_PAUSE_MOST_MS);
                    self.paused_until = now + self.pause;
                }
            }
        }
        self.leave(peer, key);
        if lost {
            self.remove_source(peer, id);
            AfterFailure::SourceLost
        } else {
            self.requeue(id);
            AfterFailure::GoesOn
        }
    }

    /// Ends a want; returns the sources to be answered, and those that came too late and must be decided again.
    pub(super) fn kept(&mut self, id: &AssetId) -> (Vec<Source>, Vec<Source>) {
        self.wants.remove(id).map_or_else(Default::default, |want| (want.sources, want.late))
    }

    /// Fetches an asset again whose keeping has failed on this host.
    pub(super) fn not_kept(&mut self, id: &AssetId, now: u64) {
        self.pause = (self.pause * 2).clamp(limits::LOCAL_PAUSE_MS, limits::LOCAL_PAUSE_MOST_MS);
        self.paused_until = now + self.pause;
        let Some(want) = self.wants.get_mut(id) else { return };
        want.state = State::Waiting;
        for late in std::mem::take(&mut want.late) {
            want.sources.retain(|source| source.peer != late.peer);
            want.sources.push(late);
        }
        if want.sources.is_empty() {
            self.wants.remove(id);
        } else {
            self.requeue(id);
        }
    }

    /// Forgets a peer; what only it offered is no longer wanted until it is offered again.
    pub(super) fn disconnected(&mut self, peer: HostId) {
        self.windows.retain(|(of, _), _| *of != peer);
        let mut again = Vec::new();
        self.wants.retain(|id, want| {
            want.sources.retain(|source| source.peer != peer);
            want.late.retain(|source| source.peer != peer);
            if want.state == State::Fetching(peer) {
                want.state = State::Waiting;
                again.push(*id);
            }
            want.state == State::Keeping || !want.sources.is_empty()
        });
        again.iter().for_each(|id| self.requeue(id));
    }

    fn remove_source(&mut self, peer: HostId, id: &AssetId) {
        let Some(want) = self.wants.get_mut(id) else { return };
        want.sources.retain(|source| source.peer != peer);
        if want.sources.is_empty() {
            self.wants.remove(id);
        } else {
            self.requeue(id);
        }
    }

    /// Puts a want into the queues of all its sources again.
    fn requeue(&mut self, id: &AssetId) {
        let Some(want) = self.wants.get(id) else { return };
        let lane = Lane::of(want.key.size);
        for source in &want.sources {
            let queue = &mut self.windows.entry((source.peer, lane)).or_default().queue;
            if !queue.contains(id) {
                queue.push_back(*id);
            }
        }
    }

    fn leave(&mut self, peer: HostId, key: AssetKey) {
        if let Some(window) = self.windows.get_mut(&(peer, Lane::of(key.size))) {
            window.open = window.open.saturating_sub(1);
            window.open_bytes = window.open_bytes.saturating_sub(key.size);
        }
    }
}
