//! The runs of reconciliation on one connection, seen from either side: one at a time, and with a pause between two that
//! the peer asks for, since each goes through the whole set.

use std::collections::BTreeSet;

use super::ItemHash;
use super::ItemSet;
use super::Message;
use super::reconcile::Initiator;
use super::reconcile::ReconcileError;
use super::reconcile::Responder;
use super::reconcile::Step;
use crate::limits;

#[derive(Debug)]
enum Run {
    Asking(Initiator),
    /// The peer asks, and this is answered when its time has come.
    Waiting(Vec<u8>),
    Answering(Responder, BTreeSet<ItemHash>),
}

/// The run that is under way, and what is kept of those before.
#[derive(Debug, Default)]
pub(super) struct Runs {
    run: Option<Run>,
    /// The number of the latest run; they count from 1.
    number: u32,
    /// Before this no run of the peer is begun, in milliseconds of the caller's monotonic clock.
    rest_until: u64,
}

impl Runs {
    pub(super) const fn is_under_way(&self) -> bool {
        self.run.is_some()
    }

    /// Returns when [`begin`](Self::begin) is due, if the peer waits for it.
    pub(super) fn due(&self) -> Option<u64> {
        matches!(self.run, Some(Run::Waiting(_))).then_some(self.rest_until)
    }

    /// Starts a run; returns what is to be sent.
    pub(super) fn start(&mut self, set: ItemSet) -> Result<Message, ReconcileError> {
        let (initiator, ranges) = Initiator::start(set)?;
        self.number += 1;
        self.run = Some(Run::Asking(initiator));
        Ok(Message::Reconcile { run: self.number, ranges })
    }

    /// Takes in a reply; `None` when there is no such run.
    pub(super) fn reply(&mut self, run: u32, ranges: &[u8]) -> Result<Option<Step>, ReconcileError> {
        let Some(Run::Asking(initiator)) = &mut self.run else { return Ok(None) };
        if run != self.number {
            return Ok(None);
        }
        let step = initiator.reply(ranges)?;
        if matches!(step, Step::Done(_)) {
            self.run = None;
        }
        Ok(Some(step))
    }

    /// Takes in what the peer asks; returns the answer, unless it has to wait.
    pub(super) fn asked(&mut self, now: u64, run: u32, ranges: Vec<u8>) -> Result<Option<Message>, ReconcileError> {
        match &self.run {
            Some(Run::Answering(..)) if run == self.number => self.answer(now, &ranges),
            Some(_) => Err(ReconcileError::new("a run begins before the end of the one before")),
            None if run <= self.number => Err(ReconcileError::new("a run has the number of an earlier one")),
            None => {
                self.number = run;
                self.run = Some(Run::Waiting(ranges));
                Ok(None)
            }
        }
    }

    /// Begins the run that waits, once its time has come; returns the answer.
    pub(super) fn begin(&mut self, now: u64, set: &ItemSet) -> Result<Option<Message>, ReconcileError> {
        match self.run.take() {
            Some(Run::Waiting(ranges)) if now >= self.rest_until => {
                self.run = Some(Run::Answering(Responder::start(set.clone())?, BTreeSet::new()));
                self.answer(now, &ranges)
            }
            run => {
                self.run = run;
                Ok(None)
            }
        }
    }

    fn answer(&mut self, now: u64, ranges: &[u8]) -> Result<Option<Message>, ReconcileError> {
        let Some(Run::Answering(responder, _)) = &mut self.run else { return Ok(None) };
        let ranges = responder.answer(ranges)?;
        let pause = u64::from(responder.rounds()) * limits::RECONCILE_ROUND_PAUSE_MS;
        self.rest_until = now + pause.max(limits::RECONCILE_PAUSE_MS);
        Ok(Some(Message::ReconcileReply { run: self.number, ranges }))
    }

    /// Takes in what the peer lacks by a run, at most so much; returns all of it when that was the last.
    pub(super) fn requested(
        &mut self,
        run: u32,
        hashes: Vec<ItemHash>,
        last: bool,
        most: usize,
    ) -> Result<Option<BTreeSet<ItemHash>>, ReconcileError> {
        let Some(Run::Answering(_, requested)) = &mut self.run else { return Ok(None) };
        if run != self.number {
            return Ok(None);
        }
        requested.extend(hashes);
        if requested.len() > most {
            return Err(ReconcileError::new("more versions are requested than there are"));
        }
        if !last {
            return Ok(None);
        }
        let requested = std::mem::take(requested);
        self.run = None;
        Ok(Some(requested))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Item;
    use super::*;
    use crate::asset::AssetId;
    use crate::asset::Digest;
    use crate::asset::Timestamp;

    fn set(items: u64) -> ItemSet {
        let item = |n: u64| {
            let id = AssetId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes());
            Item::new(Timestamp::new(1_700_000_000_000 + n).unwrap(), id, &Digest::from_bytes([1; 32]))
        };
        ItemSet::build((0..items).map(item).collect())
    }

    fn ranges(message: Message) -> Vec<u8> {
        let Message::Reconcile { ranges, .. } = message else { panic!("{message:?}") };
        ranges
    }

    fn replied(answer: Option<Message>) -> Vec<u8> {
        let Some(Message::ReconcileReply { ranges, .. }) = answer else { panic!("{answer:?}") };
        ranges
    }

    #[test]
    fn runs_follow_each_other_after_a_pause() {
        let (mut asking, mut answering) = (Runs::default(), Runs::default());
        let mut now = 5000;
        for number in 1..4 {
            let first = ranges(asking.start(set(3)).unwrap());
            assert!(answering.asked(now, number, first).unwrap().is_none());
            let due = answering.due().unwrap();
            if number > 1 {
                assert!(due >= now + limits::RECONCILE_PAUSE_MS, "{due}");
                assert!(answering.begin(due - 1, &set(5)).unwrap().is_none());
            }
            now = now.max(due);
            let reply = replied(answering.begin(now, &set(5)).unwrap());
            let Some(Step::Done(difference)) = asking.reply(number, &reply).unwrap() else { panic!("it is small") };
            assert_eq!((difference.mine.len(), difference.theirs.len()), (0, 2));
            let wanted: Vec<ItemHash> = difference.theirs.into_iter().collect();
            assert!(answering.requested(number, wanted.clone(), false, 5).unwrap().is_none());
            assert_eq!(answering.requested(number, Vec::new(), true, 5).unwrap().unwrap().len(), 2);
            assert!(!asking.is_under_way() && !answering.is_under_way());
        }
    }

    #[test]
    fn a_run_is_not_begun_before_the_end_of_another_nor_under_an_old_number() {
        let first = || ranges(Runs::default().start(set(40)).unwrap());
        let mut waiting = Runs::default();
        waiting.asked(0, 7, first()).unwrap();
        assert!(waiting.asked(0, 7, first()).unwrap_err().to_string().contains("before the end"));
        let mut answering = Runs::default();
        answering.asked(0, 7, first()).unwrap();
        answering.begin(0, &set(50)).unwrap().unwrap();
        assert!(answering.asked(0, 8, first()).unwrap_err().to_string().contains("before the end"));
        answering.requested(7, Vec::new(), true, 50).unwrap().unwrap();
        assert!(answering.asked(0, 7, first()).unwrap_err().to_string().contains("earlier"));
    }

    /// Each message of a few bytes has the whole set gone through.
    #[test]
    fn contradictory_fingerprints_end_a_run_and_cost_a_pause() {
        let mut answering = Runs::default();
        let wrong = ranges(Runs::default().start(set(100)).unwrap());
        answering.asked(0, 1, wrong.clone()).unwrap();
        answering.begin(0, &set(1000)).unwrap().unwrap();
        let mut rounds = 1;
        let error = loop {
            match answering.asked(0, 1, wrong.clone()) {
                Ok(answer) => drop(replied(answer)),
                Err(error) => break error,
            }
            rounds += 1;
        };
        assert!(error.to_string().contains("rounds"), "{error}");
        assert!(rounds <= 2 * 10 + 8, "{rounds}");
        assert!(answering.rest_until >= rounds * limits::RECONCILE_ROUND_PAUSE_MS, "{}", answering.rest_until);
    }
}
