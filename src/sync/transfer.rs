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
    /// The content was not what the id says, and only the rest of it came from the peer.
    Mixed,
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
    /// From a peer, as what it offers.
    Fetching(HostId, AssetKey),
    /// The content is here, from that peer, and is being stored; until then it takes its place in the window. Sources that
    /// come now are answered afterwards.
    Keeping(HostId, AssetKey),
}

#[derive(Debug)]
struct Want {
    state: State,
    sources: Vec<Source>,
    late: Vec<Source>,
    /// How long it was left alone when it could not be kept last, in milliseconds.
    pause: u64,
    /// Who alone is asked: what several have sent was wrong, and whoever sends all of it shows whose part that was.
    alone: Option<HostId>,
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
            state: State::Waiting,
            sources: Vec::new(),
            late: Vec::new(),
            pause: 0,
            alone: None,
        });
        let source = Source { peer, offer, lies: 0, not_before: 0 };
        if matches!(want.state, State::Keeping(..)) {
            want.late.retain(|late| late.peer != peer);
            want.late.push(source);
            return;
        }
        match want.sources.iter_mut().find(|known| known.peer == peer) {
            Some(known) => {
                let before = std::mem::replace(&mut known.offer, source.offer);
                if Lane::of(before.key.size) == Lane::of(key.size) {
                    return;
                }
            }
            None => want.sources.push(source),
        }
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
                // What it offers may have changed, and is in another queue then.
                let offered = |source: &&Source| source.peer == *peer && Lane::of(source.offer.key.size) == *lane;
                let Some(source) = want.sources.iter().find(offered) else {
                    window.queue.pop_front();
                    continue;
                };
                let key = source.offer.key;
                if !window.has_room(*lane, key.size) {
                    break;
                }
                window.queue.pop_front();
                if now < source.not_before || want.alone.is_some_and(|alone| alone != *peer) {
                    not_yet.push(id);
                    continue;
                }
                want.state = State::Fetching(*peer, key);
                window.open += 1;
                window.open_bytes += key.size;
                started.push((*peer, key));
            }
            window.queue.extend(not_yet);
        }
        started
    }

    /// Notes that the content of an asset has come. Tells as what, and with which versions, it is to be kept; `None` when
    /// it is no longer wanted.
    pub(super) fn arrived(&mut self, peer: HostId, id: &AssetId) -> Option<(AssetKey, Vec<Source>)> {
        let (want, key) = fetched(&mut self.wants, peer, id)?;
        want.state = State::Keeping(peer, key);
        Some((key, want.sources.clone()))
    }

    /// Notes that a fetch did not bring the content.
    pub(super) fn failed(&mut self, peer: HostId, id: &AssetId, failure: Failure, now: u64) -> AfterFailure {
        let Some((want, key)) = fetched(&mut self.wants, peer, id) else { return AfterFailure::GoesOn };
        want.state = State::Waiting;
        if failure == Failure::Mixed {
            want.alone = Some(peer);
        } else if want.alone == Some(peer) {
            want.alone = None;
        }
        let (mut lost, mut local) = (false, false);
        if let Some(source) = want.sources.iter_mut().find(|source| source.peer == peer) {
            match failure {
                Failure::NotHere => lost = true,
                Failure::Wrong => {
                    source.lies += 1;
                    lost = source.lies >= limits::LIES_PER_ASSET;
                }
                // It begins anew, and then it shows who lies.
                Failure::Mixed => {}
                Failure::Stalled => source.not_before = now + limits::STALLED_SOURCE_PAUSE_MS,
                Failure::Local => local = true,
            }
        }
        self.leave(peer, key);
        if local {
            self.pause_all(now);
        }
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
        self.pause = 0;
        let Some(want) = self.wants.remove(id) else { return Default::default() };
        if let State::Keeping(peer, key) = want.state {
            self.leave(peer, key);
        }
        (want.sources, want.late)
    }

    /// Fetches an asset again whose keeping has failed on this host: all have a pause, since it may be the disk, and this
    /// one a pause of its own, since it may be this one alone.
    pub(super) fn not_kept(&mut self, id: &AssetId, now: u64) {
        self.pause_all(now);
        let Some(want) = self.wants.get_mut(id) else { return };
        let kept = std::mem::replace(&mut want.state, State::Waiting);
        want.pause = longer(want.pause);
        for late in std::mem::take(&mut want.late) {
            want.sources.retain(|source| source.peer != late.peer);
            want.sources.push(late);
        }
        for source in &mut want.sources {
            source.not_before = source.not_before.max(now + want.pause);
        }
        let is_over = want.sources.is_empty();
        if let State::Keeping(peer, key) = kept {
            self.leave(peer, key);
        }
        if is_over {
            self.wants.remove(id);
        } else {
            self.requeue(id);
        }
    }

    fn pause_all(&mut self, now: u64) {
        self.pause = longer(self.pause);
        self.paused_until = now + self.pause;
    }

    /// Forgets a peer; what only it offered is no longer wanted until it is offered again.
    pub(super) fn disconnected(&mut self, peer: HostId) {
        self.windows.retain(|(of, _), _| *of != peer);
        let mut again = Vec::new();
        self.wants.retain(|id, want| {
            want.sources.retain(|source| source.peer != peer);
            want.late.retain(|source| source.peer != peer);
            want.alone = want.alone.filter(|alone| *alone != peer);
            if matches!(want.state, State::Fetching(from, _) if from == peer) {
                want.state = State::Waiting;
                again.push(*id);
            }
            matches!(want.state, State::Keeping(..)) || !want.sources.is_empty()
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
        for source in &want.sources {
            let lane = Lane::of(source.offer.key.size);
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

/// Returns a want that is being fetched from a peer, and as what.
fn fetched<'a>(wants: &'a mut BTreeMap<AssetId, Want>, peer: HostId, id: &AssetId) -> Option<(&'a mut Want, AssetKey)> {
    let want = wants.get_mut(id)?;
    match want.state {
        State::Fetching(from, key) if from == peer => Some((want, key)),
        _ => None,
    }
}

/// Returns the pause after one of this length.
fn longer(pause: u64) -> u64 {
    (pause * 2).clamp(limits::LOCAL_PAUSE_MS, limits::LOCAL_PAUSE_MOST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Document;
    use crate::asset::Timestamp;

    const LARGE: u64 = limits::LARGE_LANE_BYTES;

    fn host(number: u8) -> HostId {
        HostId::from_bytes([number; 32])
    }

    fn key(size: u64) -> AssetKey {
        AssetKey { id: AssetId::from_bytes([7; 32]), timestamp: Timestamp::new(1_700_000_000_000).unwrap(), size }
    }

    fn offer(size: u64) -> Offer {
        Offer::new(key(size), Document::new())
    }

    /// The size is a claim of whoever offers; a wrong one must not make a liar of the next.
    #[test]
    fn an_asset_is_fetched_from_each_peer_as_what_that_peer_offers() {
        for (lie, truth) in [(3, 10), (30, 10), (LARGE, 10), (10, LARGE)] {
            let (liar, honest, mut plan) = (host(1), host(2), Plan::default());
            plan.add(liar, offer(lie));
            plan.add(honest, offer(truth));
            assert_eq!(plan.start(0), [(liar, key(lie))]);
            while plan.failed(liar, &key(lie).id, Failure::Wrong, 0) == AfterFailure::GoesOn {
                assert_eq!(plan.start(0), [(liar, key(lie))]);
            }
            assert_eq!(plan.start(0), [(honest, key(truth))]);
            let (kept, sources) = plan.arrived(honest, &key(truth).id).unwrap();
            assert_eq!(kept, key(truth));
            assert!(sources.iter().any(|source| source.peer == honest));
            assert_eq!(plan.under_way(), (1, truth), "until it is stored");
            plan.kept(&key(truth).id);
            assert_eq!(plan.under_way(), (0, 0));
        }
    }

    #[test]
    fn who_offers_another_size_is_asked_in_that_lane() {
        for (first, then) in [(10, LARGE), (LARGE, 10)] {
            let (peer, mut plan) = (host(1), Plan::default());
            plan.add(peer, offer(first));
            plan.add(peer, offer(then));
            assert_eq!(plan.start(0), [(peer, key(then))]);
            plan.add(peer, offer(first));
            assert!(plan.start(0).is_empty(), "it is being fetched");
            assert_eq!(plan.under_way(), (1, then));
            plan.arrived(peer, &key(then).id).unwrap();
            plan.not_kept(&key(then).id, 0);
            assert_eq!(plan.under_way(), (0, 0));
        }
    }

    #[test]
    fn nobody_has_lied_who_sent_only_the_rest_of_what_is_wrong() {
        let (peer, mut plan) = (host(1), Plan::default());
        plan.add(peer, offer(LARGE));
        for _ in 0..limits::LIES_PER_PEER {
            assert_eq!(plan.start(0), [(peer, key(LARGE))], "at once");
            assert_eq!(plan.failed(peer, &key(LARGE).id, Failure::Mixed, 0), AfterFailure::GoesOn);
        }
        assert_eq!(plan.under_way(), (0, 0));
    }

    /// Else a liar sends the beginning and breaks off, an honest peer goes on behind it, and that begins anew for ever.
    #[test]
    fn whose_rest_was_wrong_is_asked_for_all_of_it_and_nobody_else_meanwhile() {
        let (liar, honest, mut plan) = (host(1), host(2), Plan::default());
        plan.add(liar, offer(LARGE));
        plan.add(honest, offer(LARGE));
        let (id, later) = (key(LARGE).id, limits::STALLED_SOURCE_PAUSE_MS);
        assert_eq!(plan.start(0), [(liar, key(LARGE))]);
        plan.failed(liar, &id, Failure::Stalled, 0);
        assert_eq!(plan.start(0), [(honest, key(LARGE))]);
        plan.failed(honest, &id, Failure::Mixed, later);
        assert_eq!(plan.start(later), [(honest, key(LARGE))], "although the other could be asked again");
        // Whichever way that ends, or when it has gone, all may be asked again.
        plan.failed(honest, &id, Failure::Stalled, later);
        assert_eq!(plan.start(later), [(liar, key(LARGE))]);
        plan.failed(liar, &id, Failure::Mixed, later);
        plan.disconnected(liar);
        assert_eq!(plan.start(2 * later), [(honest, key(LARGE))]);
    }

    #[test]
    fn what_cannot_be_kept_is_left_alone_for_longer_each_time_whatever_else_is_kept() {
        let (peer, mut plan) = (host(1), Plan::default());
        let other = AssetKey { id: AssetId::from_bytes([8; 32]), ..key(10) };
        plan.add(peer, offer(10));
        let (mut now, mut waited) = (0, Vec::new());
        for _ in 0..9 {
            let began = now;
            while plan.start(now).is_empty() {
                now += 1000;
            }
            waited.push((now - began) / 1000);
            plan.arrived(peer, &key(10).id).unwrap();
            plan.not_kept(&key(10).id, now);
            // Something else is kept, so it is not the disk.
            plan.kept(&other.id);
        }
        assert_eq!(waited, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn an_asset_moves_to_another_peer_when_one_stalls() {
        let (slow, other, mut plan) = (host(1), host(2), Plan::default());
        plan.add(slow, offer(10));
        plan.add(other, offer(10));
        assert_eq!(plan.start(0), [(slow, key(10))]);
        assert_eq!(plan.failed(slow, &key(10).id, Failure::Stalled, 0), AfterFailure::GoesOn);
        assert_eq!(plan.start(0), [(other, key(10))]);
        assert_eq!(plan.failed(other, &key(10).id, Failure::Stalled, 0), AfterFailure::GoesOn);
        assert!(plan.start(limits::STALLED_SOURCE_PAUSE_MS - 1).is_empty(), "both have stalled a moment ago");
        assert_eq!(plan.start(limits::STALLED_SOURCE_PAUSE_MS).len(), 1);
        assert_eq!(plan.under_way(), (1, 10));
    }
}
