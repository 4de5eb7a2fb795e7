//! Finding the difference of two sets by ranges and fingerprints, never by full lists.

use std::collections::BTreeSet;

use negentropy::Negentropy;

use super::ItemHash;
use super::ItemSet;
use super::Summary;
use crate::limits;

/// What a peer sent is no reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reconciliation failed: {0}")]
pub(super) struct ReconcileError(String);

impl ReconcileError {
    pub(super) fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

impl From<negentropy::Error> for ReconcileError {
    fn from(error: negentropy::Error) -> Self {
        Self(error.to_string())
    }
}

/// How many messages, and how many bytes of them, a run of honest sides can take: the ranges become smaller with each,
/// and every item is told once.
#[derive(Debug)]
struct Budget {
    taken: u32,
    most: u32,
    bytes: usize,
}

impl Budget {
    /// Begins with what a set of so many items calls for, when so many are told.
    fn of(items: usize, told: usize) -> Self {
        let bytes = told.saturating_mul(limits::RECONCILE_BYTES_PER_ITEM) + 2 * limits::RECONCILE_BYTES;
        Self { taken: 0, most: 2 * items.saturating_add(1).ilog2() + limits::RECONCILE_ROUNDS, bytes }
    }

    fn take(&mut self) -> Result<(), ReconcileError> {
        self.taken += 1;
        if self.taken > self.most {
            return Err(ReconcileError(format!("it goes on after {} rounds", self.most)));
        }
        Ok(())
    }

    /// Counts the message of a round that tells this side or the other of items.
    fn count(&mut self, told: usize, other: usize) -> Result<(), ReconcileError> {
        // What has no room in a message comes in further ones.
        if told.max(other) >= limits::RECONCILE_BYTES / 2 {
            self.most = self.most.saturating_add(limits::RECONCILE_ROUNDS);
        }
        match self.bytes.checked_sub(told) {
            Some(left) => self.bytes = left,
            None => return Err(ReconcileError::new("it takes more bytes than the sets call for")),
        }
        Ok(())
    }
}

/// What the initiator knows after a message.
#[derive(Debug)]
pub(super) enum Step {
    /// This must be sent next.
    Send(Vec<u8>),
    /// The difference is known.
    Done(Difference),
}

/// The difference of two sets, by item hash.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Items that only the initiator has.
    pub(super) mine: BTreeSet<ItemHash>,
    /// Items that only the responder has.
    pub(super) theirs: BTreeSet<ItemHash>,
}

/// The side that asks. It reads the set as it was when the run began.
#[derive(Debug)]
pub(super) struct Initiator {
    negentropy: Negentropy<'static, ItemSet>,
    budget: Budget,
    difference: Difference,
}

impl Initiator {
    /// Starts a run; returns the first message.
    pub(super) fn start(set: ItemSet) -> Result<(Self, Vec<u8>), ReconcileError> {
        let budget = Budget::of(set.len(), set.len() + limits::RECONCILE_WANTED);
        let mut negentropy = Negentropy::owned(set, limits::RECONCILE_BYTES as u64)?;
        let first = negentropy.initiate()?;
        Ok((Self { negentropy, budget, difference: Difference::default() }, first))
    }

    /// Takes in a reply. What is beyond [`limits::RECONCILE_WANTED`] is left to the next run.
    pub(super) fn reply(&mut self, ranges: &[u8]) -> Result<Step, ReconcileError> {
        self.budget.take()?;
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        let next = self.negentropy.reconcile_with_ids(ranges, &mut mine, &mut theirs)?;
        self.budget.count(ranges.len(), next.as_ref().map_or(0, Vec::len))?;
        let hash = |id: negentropy::Id| ItemHash::from_bytes(id.to_bytes());
        self.difference.mine.extend(mine.into_iter().map(hash));
        self.difference.theirs.extend(theirs.into_iter().map(hash));
        Ok(match next {
            Some(next) if self.difference.theirs.len() < limits::RECONCILE_WANTED => Step::Send(next),
            _ => Step::Done(std::mem::take(&mut self.difference)),
        })
    }
}

/// The side that answers. It reads the set as it was when the run began.
#[derive(Debug)]
pub(super) struct Responder {
    negentropy: Negentropy<'static, ItemSet>,
    budget: Budget,
}

impl Responder {
    /// Starts to answer a run.
    pub(super) fn start(set: ItemSet) -> Result<Self, ReconcileError> {
        let budget = Budget::of(set.len(), set.len());
        Ok(Self { negentropy: Negentropy::owned(set, limits::RECONCILE_BYTES as u64)?, budget })
    }

    /// Returns how many messages it was asked to answer.
    pub(super) const fn rounds(&self) -> u32 {
        self.budget.taken
    }

    /// Answers a message.
    pub(super) fn answer(&mut self, ranges: &[u8]) -> Result<Vec<u8>, ReconcileError> {
        self.budget.take()?;
        let reply = self.negentropy.reconcile(ranges)?;
        self.budget.count(reply.len(), ranges.len())?;
        Ok(reply)
    }
}

/// A set that is known to be equal, or not.
pub(super) fn equal(mine: &ItemSet, theirs: Option<Summary>) -> Option<bool> {
    theirs.map(|theirs| mine.summary() == theirs)
}

#[cfg(test)]
mod tests {
    use super::super::Item;
    use super::*;
    use crate::asset::AssetId;
    use crate::asset::Digest;
    use crate::asset::Timestamp;

    fn item(n: u64, version: u8) -> Item {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_le_bytes());
        let timestamp = Timestamp::new(1_700_000_000_000 + n / 3).unwrap();
        Item::new(timestamp, AssetId::from_bytes(id), &Digest::from_bytes([version; 32]))
    }

    /// Runs both sides to the end; returns the difference, the messages sent and their bytes.
    fn run(mine: &ItemSet, theirs: &ItemSet) -> (Difference, usize, usize) {
        let (mut initiator, mut message) = Initiator::start(mine.clone()).unwrap();
        let mut responder = Responder::start(theirs.clone()).unwrap();
        let (mut round_trips, mut bytes) = (0, 0);
        loop {
            let reply = responder.answer(&message).unwrap();
            assert!(message.len() <= limits::CONTROL_FRAME_BYTES && reply.len() <= limits::CONTROL_FRAME_BYTES);
            round_trips += 1;
            bytes += message.len() + reply.len();
            match initiator.reply(&reply).unwrap() {
                Step::Send(next) => message = next,
                Step::Done(difference) => return (difference, round_trips, bytes),
            }
        }
    }

    #[test]
    fn ten_differences_in_a_hundred_thousand_cost_less_than_100_kib() {
        let common = (0..100_000).filter(|n| n % 10_000 != 7);
        let mine: Vec<Item> =
            common.clone().map(|n| item(n, 0)).chain((0..5).map(|n| item(n * 20_000 + 7, 1))).collect();
        let theirs: Vec<Item> =
            common.map(|n| item(n, 0)).chain((0..5).map(|n| item(n * 20_000 + 10_007, 2))).collect();
        let (difference, round_trips, bytes) = run(&ItemSet::build(mine), &ItemSet::build(theirs));
        assert_eq!((difference.mine.len(), difference.theirs.len()), (5, 5));
        assert!(round_trips <= 4, "{round_trips} round trips");
        assert!(bytes < 100 * 1024, "{bytes} bytes");
    }

    #[test]
    fn a_whole_set_travels_in_messages_that_fit_a_frame() {
        let theirs: Vec<Item> = (0..100_000).map(|n| item(n, 0)).collect();
        let (difference, ..) = run(&ItemSet::default(), &ItemSet::build(theirs));
        assert_eq!((difference.mine.len(), difference.theirs.len()), (0, 100_000));
        let mine: Vec<Item> = (0..100_000).map(|n| item(n, 0)).collect();
        let (difference, ..) = run(&ItemSet::build(mine), &ItemSet::default());
        assert_eq!((difference.mine.len(), difference.theirs.len()), (100_000, 0));
    }

    /// The worst that honest sides can come to: every item is told, and the ranges shrink all the way down.
    #[test]
    fn sets_that_share_nothing_stay_within_what_a_run_may_take() {
        for (mine, theirs) in [(40_000_u64, 40_000_u64), (60_000, 500), (500, 60_000), (3, 40_000)] {
            let spread = |count: u64, version| -> Vec<Item> {
                (0..count).map(|n| item(n * mine.max(theirs) / count, version)).collect()
            };
            let (a, b) = (ItemSet::build(spread(mine, 0)), ItemSet::build(spread(theirs, 1)));
            let (difference, round_trips, bytes) = run(&a, &b);
            println!("{mine} and {theirs}: {round_trips} round trips, {bytes} bytes");
            assert_eq!((difference.mine.len() as u64, difference.theirs.len() as u64), (mine, theirs));
        }
    }

    /// What is wanted is held in memory, so a run that brings more of it ends, and the next one brings the rest.
    #[test]
    fn no_more_is_wanted_of_a_run_than_fits() {
        let random = |n: u64| {
            let hash = ItemHash::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes());
            Item {
                timestamp: Timestamp::new(1_700_000_000_000 + n).unwrap(),
                hash,
                asset: AssetId::from_bytes([1; 32]),
            }
        };
        let theirs = ItemSet::build((0..300_000).map(random).collect());
        let (difference, ..) = run(&ItemSet::default(), &theirs);
        let wanted = difference.theirs.len();
        assert!((limits::RECONCILE_WANTED..300_000).contains(&wanted), "{wanted}");
        let rest: Vec<Item> = theirs.iter().filter(|item| difference.theirs.contains(&item.hash)).copied().collect();
        let (difference, ..) = run(&ItemSet::build(rest), &theirs);
        assert_eq!(difference.theirs.len(), 300_000 - wanted);
    }

    #[test]
    fn who_never_comes_to_an_end_is_ended() {
        let set = ItemSet::build((0..1000).map(|n| item(n, 0)).collect());
        let other = ItemSet::build((0..1000).map(|n| item(n, 1)).collect());
        let (mut initiator, first) = Initiator::start(set.clone()).unwrap();
        let reply = Responder::start(other).unwrap().answer(&first).unwrap();
        let error = (0..1000).find_map(|_| initiator.reply(&reply).err()).unwrap();
        assert!(error.to_string().contains("rounds"), "{error}");
        // Nor does it help to be told everything again and again.
        let (_, all) = Initiator::start(ItemSet::default()).unwrap();
        let large = ItemSet::build((0..20_000).map(|n| item(n, 0)).collect());
        let mut responder = Responder::start(large).unwrap();
        let error = (0..1000).find_map(|_| responder.answer(&all).err()).unwrap();
        assert!(error.to_string().contains("bytes"), "{error}");
    }

    #[test]
    fn junk_is_an_error_and_no_panic() {
        let set = ItemSet::build((0..1000).map(|n| item(n, 0)).collect());
        let mut seed = 7_u64;
        for length in 0..400 {
            let junk: Vec<u8> = std::iter::once(0x61)
                .chain((0..length).map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (seed >> 33) as u8
                }))
                .collect();
            let _ = Responder::start(set.clone()).unwrap().answer(&junk);
            let _ = Initiator::start(set.clone()).unwrap().0.reply(&junk);
        }
    }
}
