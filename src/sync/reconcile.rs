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

impl From<negentropy::Error> for ReconcileError {
    fn from(error: negentropy::Error) -> Self {
        Self(error.to_string())
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
    rounds: u32,
    difference: Difference,
}

impl Initiator {
    /// Starts a run; returns the first message.
    pub(super) fn start(set: ItemSet) -> Result<(Self, Vec<u8>), ReconcileError> {
        let mut negentropy = Negentropy::owned(set, limits::RECONCILE_BYTES)?;
        let first = negentropy.initiate()?;
        Ok((Self { negentropy, rounds: 0, difference: Difference::default() }, first))
    }

    /// Takes in a reply.
    pub(super) fn reply(&mut self, ranges: &[u8]) -> Result<Step, ReconcileError> {
        self.rounds += 1;
        if self.rounds > limits::RECONCILE_ROUNDS {
            return Err(ReconcileError(format!("more than {} rounds", limits::RECONCILE_ROUNDS)));
        }
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        let next = self.negentropy.reconcile_with_ids(ranges, &mut mine, &mut theirs)?;
        let hash = |id: negentropy::Id| ItemHash::from_bytes(id.to_bytes());
        self.difference.mine.extend(mine.into_iter().map(hash));
        self.difference.theirs.extend(theirs.into_iter().map(hash));
        Ok(match next {
            Some(next) => Step::Send(next),
            None => Step::Done(std::mem::take(&mut self.difference)),
        })
    }
}

/// The side that answers. It reads the set as it was when the run began.
#[derive(Debug)]
pub(super) struct Responder {
    negentropy: Negentropy<'static, ItemSet>,
    rounds: u32,
}

impl Responder {
    /// Starts to answer a run.
    pub(super) fn start(set: ItemSet) -> Result<Self, ReconcileError> {
        Ok(Self { negentropy: Negentropy::owned(set, limits::RECONCILE_BYTES)?, rounds: 0 })
    }

    /// Answers a message.
    pub(super) fn answer(&mut self, ranges: &[u8]) -> Result<Vec<u8>, ReconcileError> {
        self.rounds += 1;
        if self.rounds > limits::RECONCILE_ROUNDS {
            return Err(ReconcileError(format!("more than {} rounds", limits::RECONCILE_ROUNDS)));
        }
        Ok(self.negentropy.reconcile(ranges)?)
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
