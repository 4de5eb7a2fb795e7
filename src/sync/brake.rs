//! The brake on trashing: who trashes too much in too short a time is stopped until a person has looked.
//!
//! It only counts and says so; holding the changes, releasing and dropping them is the caller's. Times are Unix
//! milliseconds and only need to go on; a clock set back counts as standing still.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use crate::asset::AssetId;
use crate::asset::HostId;
use crate::limits::membership as limits;

/// How much one author or peer may trash within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrakeLimits {
    /// Assets, at most [`limits::BRAKE_ASSETS_MOST`].
    pub assets: usize,
    /// Part of the library in thousandths. It never comes to less than [`limits::BRAKE_LEAST`] assets.
    pub per_mille: u32,
}

/// Who is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Culprit {
    /// The host whose stamp the changes carry, whoever passed them on.
    Author(HostId),
    /// The peer the changes came from, whoever it says made them.
    Peer(HostId),
}

/// A change by a peer that trashes an asset that was not in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trashing {
    /// Which asset.
    pub asset: AssetId,
    /// Who made the change, as its stamp says.
    pub author: HostId,
    /// From which peer it came.
    pub peer: HostId,
}

/// Counts what is trashed, for each author and each peer.
#[derive(Debug, Clone)]
pub struct Brake {
    limits: BrakeLimits,
    watched: BTreeMap<Culprit, Watched>,
    stopped: BTreeSet<Culprit>,
    latest_ms: u64,
}

/// What one author or peer has trashed within the hour.
#[derive(Debug, Clone, Default)]
struct Watched {
    /// In the order of time.
    times: VecDeque<(u64, AssetId)>,
    assets: BTreeSet<AssetId>,
}

impl Default for BrakeLimits {
    fn default() -> Self {
        Self { assets: limits::BRAKE_ASSETS, per_mille: limits::BRAKE_PER_MILLE }
    }
}

impl BrakeLimits {
    /// Returns how many assets may be trashed in a library of that many, trashed ones included.
    fn most(self, library: u64) -> usize {
        let part = u128::from(library) * u128::from(self.per_mille) / 1000;
        let part = usize::try_from(part).unwrap_or(usize::MAX).max(limits::BRAKE_LEAST);
        part.min(self.assets).min(limits::BRAKE_ASSETS_MOST)
    }
}

impl Brake {
    /// Makes a brake that has seen nothing yet.
    #[must_use]
    pub const fn new(limits: BrakeLimits) -> Self {
        Self { limits, watched: BTreeMap::new(), stopped: BTreeSet::new(), latest_ms: 0 }
    }

    /// Counts a change before it is made. `library` is how many assets there are, trashed ones included.
    ///
    /// An asset counts once within the hour, and what is held does not count. An author is looked at before the peer:
    /// a made-up author for each change does not help the peer.
    ///
    /// # Errors
    /// [`Culprit`] when the change is to be held, as are all others of that author or peer.
    pub fn check(&mut self, trashing: &Trashing, library: u64, now_ms: u64) -> Result<(), Culprit> {
        let (author, peer) = (Culprit::Author(trashing.author), Culprit::Peer(trashing.peer));
        self.latest_ms = self.latest_ms.max(now_ms);
        if let Some(culprit) = self.stopped_by(trashing.author, trashing.peer) {
            return Err(culprit);
        }
        let most = self.limits.most(library);
        for culprit in [author, peer] {
            if !self.room(culprit, trashing.asset, most) {
                self.stop(culprit);
                return Err(culprit);
            }
        }
        for culprit in [author, peer] {
            self.make_place(culprit);
            self.watched.entry(culprit).or_default().add(trashing.asset, self.latest_ms);
        }
        Ok(())
    }

    /// Returns who of the two is stopped.
    #[must_use]
    pub fn stopped_by(&self, author: HostId, peer: HostId) -> Option<Culprit> {
        [Culprit::Author(author), Culprit::Peer(peer)].into_iter().find(|culprit| self.stopped.contains(culprit))
    }

    /// Goes through all that are stopped; to be shown, and to be kept over a restart.
    pub fn stopped(&self) -> impl Iterator<Item = Culprit> {
        self.stopped.iter().copied()
    }

    /// Stops somebody; after a restart, those that were.
    pub fn stop(&mut self, culprit: Culprit) {
        self.watched.remove(&culprit);
        self.stopped.insert(culprit);
    }

    /// Lets somebody go on, who is counted from zero then. Tells whether it was stopped.
    pub fn release(&mut self, culprit: Culprit) -> bool {
        self.stopped.remove(&culprit)
    }

    /// Tells whether one more asset is still within what may be trashed.
    fn room(&mut self, culprit: Culprit, asset: AssetId, most: usize) -> bool {
        let Some(watched) = self.watched.get_mut(&culprit) else { return most > 0 };
        watched.forget_before(self.latest_ms.saturating_sub(limits::BRAKE_WINDOW_MS));
        watched.assets.contains(&asset) || watched.assets.len() < most
    }

    /// Forgets whom nothing was heard of for longest, of authors or peers, when there are too many of them.
    fn make_place(&mut self, newcomer: Culprit) {
        let same = |culprit: &Culprit| matches!(culprit, Culprit::Author(_)) == matches!(newcomer, Culprit::Author(_));
        let others = || self.watched.iter().filter(|(culprit, _)| same(culprit));
        if self.watched.contains_key(&newcomer) || others().count() < limits::BRAKE_WATCHED {
            return;
        }
        let oldest = others().min_by_key(|(_, watched)| watched.times.back().map(|(at, _)| *at));
        if let Some(oldest) = oldest.map(|(culprit, _)| *culprit) {
            self.watched.remove(&oldest);
        }
    }
}

impl Watched {
    fn add(&mut self, asset: AssetId, now_ms: u64) {
        if self.assets.insert(asset) {
            self.times.push_back((now_ms, asset));
        }
    }

    fn forget_before(&mut self, from_ms: u64) {
        while let Some((_, asset)) = self.times.pop_front_if(|(at, _)| *at < from_ms) {
            self.assets.remove(&asset);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_700_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn host(number: u8) -> HostId {
        HostId::from_bytes([number; 32])
    }

    fn asset(number: usize) -> AssetId {
        AssetId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn by(author: u8, peer: u8, number: usize) -> Trashing {
        Trashing { asset: asset(number), author: host(author), peer: host(peer) }
    }

    fn brake() -> Brake {
        Brake::new(BrakeLimits::default())
    }

    /// Trashes one asset after the other until it is stopped, and returns how many went through and who is stopped.
    fn until_stopped(brake: &mut Brake, library: u64, trashing: impl Fn(usize) -> Trashing) -> (usize, Culprit) {
        for number in 0..10_000 {
            if let Err(culprit) = brake.check(&trashing(number), library, START) {
                return (number, culprit);
            }
        }
        panic!("nothing stops it");
    }

    #[test]
    fn the_lower_of_part_and_number_stops_the_author() {
        let halves = BrakeLimits { assets: 100, per_mille: 500 };
        for (limits, library, most) in [
            (BrakeLimits::default(), 1_000_000, 100),
            (BrakeLimits::default(), 10_000, 100),
            (BrakeLimits::default(), 9_999, 99),
            (BrakeLimits::default(), 2_000, 20),
            (BrakeLimits::default(), 100, 10),
            (BrakeLimits::default(), 0, 10),
            (BrakeLimits { assets: 3, per_mille: 10 }, 100, 3),
            (BrakeLimits { assets: 0, per_mille: 10 }, 100, 0),
            (BrakeLimits { assets: usize::MAX, per_mille: u32::MAX }, u64::MAX, 1000),
            (halves, 60, 30),
        ] {
            let (passed, culprit) = until_stopped(&mut Brake::new(limits), library, |number| by(1, 2, number));
            assert_eq!((passed, culprit), (most, Culprit::Author(host(1))), "{limits:?} of {library}");
        }
    }

    #[test]
    fn a_peer_that_makes_authors_up_is_stopped_itself() {
        let mut brake = brake();
        let made_up =
            |number: usize| Trashing { author: HostId::from_bytes(*asset(number).as_bytes()), ..by(0, 2, number) };
        assert_eq!(until_stopped(&mut brake, 1_000_000, made_up), (100, Culprit::Peer(host(2))));
        assert!(brake.check(&by(1, 3, 500), 1_000_000, START).is_ok(), "others go on");
    }

    #[test]
    fn an_author_is_stopped_over_all_peers() {
        let mut brake = brake();
        let spread = |number: usize| by(1, 2 + u8::try_from(number % 7).unwrap(), number);
        assert_eq!(until_stopped(&mut brake, 1_000_000, spread), (100, Culprit::Author(host(1))));
        assert!(brake.check(&by(9, 2, 500), 1_000_000, START).is_ok(), "the peers that passed it on go on");
    }

    #[test]
    fn who_is_stopped_stays_so_until_released() {
        let mut brake = brake();
        until_stopped(&mut brake, 2_000, |number| by(1, 2, number));
        let culprit = Culprit::Author(host(1));
        assert_eq!(brake.check(&by(1, 3, 900), 2_000, START + 10 * HOUR), Err(culprit));
        assert_eq!(brake.stopped_by(host(1), host(7)), Some(culprit));
        let mut restarted = self::brake();
        brake.stopped().for_each(|culprit| restarted.stop(culprit));
        assert_eq!(restarted.check(&by(1, 3, 900), 2_000, START), Err(culprit));
        assert!(brake.release(culprit) && !brake.release(culprit));
        assert_eq!(until_stopped(&mut brake, 2_000, |number| by(1, 4, 1_000 + number)).0, 20);
    }

    #[test]
    fn the_hour_slides_and_an_asset_counts_once() {
        let mut brake = brake();
        for number in 0..20 {
            brake.check(&by(1, 2, number), 2_000, START + 60_000 * number as u64).unwrap();
        }
        for _ in 0..50 {
            assert!(brake.check(&by(1, 2, 5), 2_000, START + 20 * 60_000).is_ok());
        }
        let mut full = brake.clone();
        assert!(full.check(&by(1, 2, 99), 2_000, START + HOUR).is_err(), "the first is just within the hour");
        assert!(brake.check(&by(1, 2, 99), 2_000, START + HOUR + 1).is_ok());
        assert!(brake.check(&by(1, 2, 98), 2_000, START).is_err(), "a clock set back does not empty the hour");
    }

    #[test]
    fn only_so_many_are_watched() {
        let mut brake = brake();
        for number in 0..4 * limits::BRAKE_WATCHED {
            let id = |salt: usize| HostId::from_bytes(*asset(number + salt).as_bytes());
            let trashing = Trashing { asset: asset(number), author: id(100_000), peer: id(200_000) };
            brake.check(&trashing, 2_000, START + number as u64).unwrap();
        }
        assert_eq!(brake.watched.len(), 2 * limits::BRAKE_WATCHED);
    }

    proptest! {
        /// Against the plain rule: all that passed, looked through from the start each time.
        #[test]
        fn never_more_than_may_be_and_never_less(
            steps in proptest::collection::vec((0..3_u8, 0..2_u8, 0..60_usize, 0..HOUR / 8), 0..200), assets in 0..15_usize
        ) {
            let mut brake = Brake::new(BrakeLimits { assets, per_mille: 1000 });
            let (mut passed, mut stopped, mut now) = (Vec::new(), BTreeSet::new(), START);
            for (author, peer, number, later) in steps {
                now += later;
                let trashing = by(author, peer, number);
                let culprits = [Culprit::Author(host(author)), Culprit::Peer(host(peer))];
                let recent = |culprit: Culprit| -> BTreeSet<AssetId> {
                    // An asset counts from when it was trashed first within the hour that counts it.
                    let mut counted: BTreeMap<AssetId, u64> = BTreeMap::new();
                    for (who, asset, at) in &passed {
                        if *who == culprit && counted.get(asset).is_none_or(|first| at - first > HOUR) {
                            counted.insert(*asset, *at);
                        }
                    }
                    counted.into_iter().filter(|(_, at)| now - at <= HOUR).map(|(asset, _)| asset).collect()
                };
                let too_much = |culprit: Culprit| {
                    let recent = recent(culprit);
                    !recent.contains(&trashing.asset) && recent.len() >= assets.min(5_000)
                };
                let held = culprits.into_iter().find(|culprit| stopped.contains(culprit));
                let held = held.or_else(|| culprits.into_iter().find(|culprit| too_much(*culprit)));
                prop_assert_eq!(brake.check(&trashing, 5_000, now).err(), held);
                match held {
                    Some(culprit) => drop(stopped.insert(culprit)),
                    None => passed.extend(culprits.map(|culprit| (culprit, trashing.asset, now))),
                }
                prop_assert!(brake.stopped().eq(stopped.iter().copied()));
            }
        }
    }
}
