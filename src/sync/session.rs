//! The protocol with one connected peer.
//!
//! Both sides send a summary when nothing is under way. Where the summaries differ, the side that dialled starts a run
//! of reconciliation; then each side offers what only it has, and ends its offers with `Settled`. Every offer is
//! answered once its fate is durable. What changes meanwhile is offered at once.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use super::Answer;
use super::Item;
use super::ItemHash;
use super::ItemSet;
use super::Message;
use super::Offer;
use super::Summary;
use super::act::Act;
use super::reconcile;
use super::reconcile::ReconcileError;
use super::reconcile::Step;
use super::runs::Runs;
use super::unanswered::Unanswered;
use crate::asset::AssetId;
use crate::asset::Digest;
use crate::asset::Timestamp;
use crate::limits;

/// Something to offer, in the order of sending.
#[derive(Debug, Clone, Copy)]
enum Outgoing {
    Asset(AssetId),
    Settled(u32),
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any of them go together")]
pub(super) struct Session {
    /// Whether this side dialled, and so starts reconciliations.
    dialled: bool,
    /// Whether anything is passed on to the peer.
    passes: bool,
    /// The set towards this peer.
    set: ItemSet,
    /// The assets whose version in it differs from that of the common set, and whether there is one at all.
    exceptions: BTreeMap<AssetId, bool>,
    /// How many of them there are of which the common set has none.
    alone: usize,
    outgoing: VecDeque<Outgoing>,
    queued: BTreeSet<AssetId>,
    loading: BTreeSet<AssetId>,
    /// Assets that changed while an older version of them was on its way; one version is open at a time.
    again: BTreeSet<AssetId>,
    open: BTreeMap<AssetId, Offer>,
    open_bytes: usize,
    /// Bytes of a document as they were of late, by which it is guessed how many may be loaded.
    typical_bytes: usize,
    /// Answers that are not sent yet; those to one batch of news share a message.
    answers: Vec<(AssetId, Digest, Answer)>,
    /// Versions the peer has offered and was not answered about.
    theirs: Unanswered,
    runs: Runs,
    /// When the latest run was started.
    run_at: u64,
    /// Assets of which it is being written down what the peer has.
    remembering: BTreeSet<AssetId>,
    /// The run whose offers the peer has not ended.
    unsettled: Option<u32>,
    /// Versions the peer may turn out to have none of, when the run's offers have ended.
    doubtful: BTreeMap<AssetId, Timestamp>,
    peer_summary: Option<Summary>,
    peer_kept: u64,
    /// Whether something has happened since the last summary was sent.
    unsummarised: bool,
    in_sync: bool,
    retry_at: u64,
    retry_pause: u64,
    lies: u32,
}

impl Session {
    /// Begins with what is passed on to the peer, and what stands in the set towards it instead.
    pub(super) fn new(
        dialled: bool,
        passes: bool,
        common: &ItemSet,
        exceptions: Vec<(Timestamp, AssetId, Digest)>,
    ) -> Self {
        let mut set = if passes { common.clone() } else { ItemSet::default() };
        for (timestamp, asset, version) in &exceptions {
            set.put(*timestamp, *asset, Some(Item::new(*timestamp, *asset, version)));
        }
        let is_passed = |at: Timestamp, asset: &AssetId| common.item_of(at, asset).is_some();
        let exceptions: BTreeMap<AssetId, bool> =
            exceptions.into_iter().map(|(at, asset, _)| (asset, is_passed(at, &asset))).collect();
        Self {
            dialled,
            passes,
            set,
            alone: exceptions.values().filter(|is_passed| !**is_passed).count(),
            exceptions,
            outgoing: VecDeque::new(),
            queued: BTreeSet::new(),
            loading: BTreeSet::new(),
            again: BTreeSet::new(),
            open: BTreeMap::new(),
            open_bytes: 0,
            typical_bytes: 0,
            answers: Vec::new(),
            theirs: Unanswered::default(),
            runs: Runs::default(),
            run_at: 0,
            remembering: BTreeSet::new(),
            unsettled: None,
            doubtful: BTreeMap::new(),
            peer_summary: None,
            peer_kept: 0,
            unsummarised: true,
            in_sync: false,
            retry_at: 0,
            retry_pause: 0,
            lies: 0,
        }
    }

    pub(super) fn in_sync(&self) -> bool {
        self.in_sync
    }

    pub(super) const fn passes(&self) -> bool {
        self.passes
    }

    pub(super) fn summary(&self) -> Summary {
        self.set.summary()
    }

    /// Returns how many assets of its set the peer says it has stored.
    pub(super) fn peer_kept(&self) -> u64 {
        self.peer_kept
    }

    /// Returns how many versions are on their way to the peer or from it.
    pub(super) fn under_way(&self) -> usize {
        self.outgoing.len() + self.loading.len() + self.open.len() + self.theirs.len()
    }

    /// Counts a wrong content; tells whether there were too many.
    pub(super) fn lied(&mut self) -> bool {
        self.lies += 1;
        self.lies >= limits::LIES_PER_PEER
    }

    /// Takes over a change of the common set, or of what stands in the set towards this peer instead.
    pub(super) fn stand(
        &mut self,
        timestamp: Timestamp,
        asset: AssetId,
        common: Option<Item>,
        exception: Option<Digest>,
    ) {
        let is_passed = common.is_some();
        let before = match exception {
            Some(_) => self.exceptions.insert(asset, is_passed),
            None => self.exceptions.remove(&asset),
        };
        let (was_alone, is_alone) = (before == Some(false), exception.is_some() && !is_passed);
        self.alone = self.alone + usize::from(is_alone) - usize::from(was_alone);
        // The set may be what it was; how much of it is kept is not.
        self.unsummarised |= was_alone != is_alone;
        self.remembering.remove(&asset);
        let common = common.filter(|_| self.passes);
        let item = exception.map(|version| Item::new(timestamp, asset, &version)).or(common);
        if self.set.put(timestamp, asset, item) {
            self.unsummarised = true;
        }
    }

    pub(super) fn has_exception(&self, asset: &AssetId) -> bool {
        self.exceptions.contains_key(asset)
    }

    /// Notes that it is being written down what the peer has of an asset; the set is not compared before it stands.
    pub(super) fn remember(&mut self, asset: AssetId) {
        self.remembering.insert(asset);
    }

    /// Offers a version to the peer, unless it is the one that the peer has just offered, or is being offered.
    pub(super) fn offer(&mut self, asset: AssetId, version: &Digest) {
        let open = self.open.get(&asset).is_some_and(|offer| offer.version() == *version);
        if self.passes && !open && !self.theirs.has(&asset, version) {
            self.enqueue(asset);
        }
    }

    /// Offers an asset whatever the peer has; only the simulator's planted faults call this.
    #[cfg(test)]
    pub(super) fn offer_blindly(&mut self, asset: AssetId) {
        self.enqueue(asset);
    }

    /// Takes in the documents that were loaded for offers; assets that are not passed on any more are left out.
    pub(super) fn loaded(&mut self, asked: &[AssetId], offers: Vec<Offer>, acts: &mut Vec<Act>) {
        let offered: BTreeSet<AssetId> = offers.iter().map(|offer| offer.key.id).collect();
        // What an earlier connection has had loaded is not among what this one waits for.
        let mut due = BTreeSet::new();
        for asset in asked {
            if self.loading.remove(asset) {
                due.insert(*asset);
            }
            if !offered.contains(asset) && self.again.remove(asset) {
                self.enqueue(*asset);
            }
        }
        if !offers.is_empty() {
            self.disturbed();
        }
        let mut message = Vec::new();
        let mut bytes = 0;
        for offer in offers.into_iter().filter(|offer| due.contains(&offer.key.id)) {
            let size = offer.bytes();
            self.typical_bytes = (3 * self.typical_bytes + size) / 4;
            if self.open_bytes >= limits::OFFERS_OPEN_BYTES {
                self.put_off(offer.key.id);
                continue;
            }
            if !message.is_empty() && bytes + size > limits::OFFER_MESSAGE_BYTES {
                acts.push(Act::Send(Message::Offers(std::mem::take(&mut message))));
                bytes = 0;
            }
            bytes += size;
            self.open_bytes += size;
            if let Some(before) = self.open.insert(offer.key.id, offer.clone()) {
                self.open_bytes -= before.bytes();
            }
            message.push(offer);
        }
        if !message.is_empty() {
            acts.push(Act::Send(Message::Offers(message)));
        }
    }

    /// Tells whether the peer waits for an answer about another version of an asset than this.
    pub(super) fn awaits_other(&self, asset: &AssetId, version: &Digest) -> bool {
        self.theirs.has_other(asset, version)
    }

    /// Answers a version that the peer has offered.
    pub(super) fn answer(&mut self, asset: AssetId, version: Digest, answer: Answer) {
        self.answers.push((asset, version, answer));
    }

    /// Takes in a message of the peer. `now` is in milliseconds of the caller's monotonic clock.
    pub(super) fn receive(&mut self, now: u64, message: Message, common: &ItemSet, acts: &mut Vec<Act>) {
        match message {
            Message::Summary { summary, kept } => {
                self.peer_summary = Some(summary);
                self.peer_kept = kept;
            }
            Message::Reconcile { run, ranges } => self.answer_run(now, run, ranges, acts),
            Message::ReconcileReply { run, ranges } => self.go_on_with_run(run, &ranges, common, acts),
            Message::Request { run, hashes, last } => self.requested(run, hashes, last, common, acts),
            Message::Offers(offers) => {
                self.disturbed();
                for offer in &offers {
                    self.doubtful.remove(&offer.key.id);
                }
                acts.push(match offers.iter().try_for_each(|offer| self.theirs.take(offer)) {
                    Ok(()) => Act::Decide(offers),
                    Err(why) => Act::Close(why),
                });
            }
            Message::Answers(answers) => {
                for (asset, version, answer) in answers {
                    if self.open.get(&asset).is_some_and(|offer| offer.version() == version)
                        && let Some(offer) = self.open.remove(&asset)
                    {
                        self.open_bytes -= offer.bytes();
                        if self.again.remove(&asset) {
                            self.enqueue(asset);
                        }
                        acts.push(Act::Answered(offer, answer));
                    }
                }
            }
            Message::Early { asset, ahead_ms } => acts.push(Act::Early(asset, ahead_ms)),
            Message::Settled { run } => {
                if self.unsettled == Some(run) {
                    self.unsettled = None;
                    let none = std::mem::take(&mut self.doubtful);
                    if !none.is_empty() {
                        acts.push(Act::Forget(none.into_iter().map(|(asset, at)| (at, asset)).collect()));
                    }
                }
            }
        }
    }

    /// Sends what may be sent, and starts what is due. `now` is in milliseconds of the caller's monotonic clock.
    pub(super) fn advance(&mut self, now: u64, poll_ms: u64, acts: &mut Vec<Act>) {
        self.send_answers(acts);
        self.send_offers(acts);
        let begun = self.runs.begin(now, &self.set);
        say(begun, acts);
        if !self.is_quiet() {
            self.in_sync = false;
            return;
        }
        if self.unsummarised {
            self.unsummarised = false;
            acts.push(Act::Send(self.own_summary()));
        }
        match reconcile::equal(&self.set, self.peer_summary) {
            Some(true) => {
                self.in_sync = true;
                self.retry_pause = 0;
                // However often the peer says that it has another set, and then that it has the same.
                self.retry_at = self.retry_at.min(self.run_at + limits::RECONCILE_PAUSE_MS);
            }
            Some(false) => {
                self.in_sync = false;
                if self.dialled && now >= self.retry_at {
                    self.retry_pause = (self.retry_pause * 2).clamp(limits::RECONCILE_PAUSE_MS, poll_ms.max(1));
                    (self.run_at, self.retry_at) = (now, now + self.retry_pause);
                    let started = self.runs.start(self.set.clone()).map(Some);
                    self.disturbed();
                    say(started, acts);
                }
            }
            None => self.in_sync = false,
        }
    }

    /// Returns the summary that is sent again at every poll interval, unless something is under way.
    pub(super) fn poll(&self, acts: &mut Vec<Act>) {
        if self.is_quiet() {
            acts.push(Act::Send(self.own_summary()));
        }
    }

    /// Returns when [`advance`](Self::advance) is due again, if it is not before the next input.
    pub(super) fn due(&self) -> Option<u64> {
        let differs = reconcile::equal(&self.set, self.peer_summary) == Some(false);
        (self.dialled && self.is_quiet() && differs).then_some(self.retry_at).or(self.runs.due())
    }

    fn own_summary(&self) -> Message {
        Message::Summary { summary: self.set.summary(), kept: (self.set.len() - self.alone) as u64 }
    }

    fn is_quiet(&self) -> bool {
        self.under_way() == 0
            && self.answers.is_empty()
            && self.remembering.is_empty()
            && !self.runs.is_under_way()
            && self.unsettled.is_none()
    }

    /// Something goes on: what the peer said about its set is no longer true, and it must hear about ours.
    fn disturbed(&mut self) {
        self.peer_summary = None;
        self.unsummarised = true;
    }

    fn enqueue(&mut self, asset: AssetId) {
        if self.queued.insert(asset) {
            self.outgoing.push_back(Outgoing::Asset(asset));
            self.unsummarised = true;
        }
    }

    /// Puts an asset back that was to be offered next: it comes before the end of its run.
    fn put_off(&mut self, asset: AssetId) {
        if self.queued.insert(asset) {
            self.outgoing.push_front(Outgoing::Asset(asset));
        }
    }

    /// Tells whether so much about the peer is not written down yet that it had better not send more.
    fn is_behind(&self) -> bool {
        self.remembering.len() >= limits::NOTES_UNWRITTEN
    }

    fn send_answers(&mut self, acts: &mut Vec<Act>) {
        if self.is_behind() {
            return;
        }
        let mut answers = std::mem::take(&mut self.answers);
        answers.iter().for_each(|(asset, version, _)| self.theirs.answered(asset, version));
        while !answers.is_empty() {
            let rest = answers.split_off(answers.len().min(limits::ANSWERS_PER_MESSAGE));
            acts.push(Act::Send(Message::Answers(answers)));
            answers = rest;
        }
    }

    fn send_offers(&mut self, acts: &mut Vec<Act>) {
        let mut load = Vec::new();
        while let Some(next) = self.outgoing.front().copied() {
            match next {
                Outgoing::Asset(asset) => {
                    let room = !self.is_behind()
                        && self.open.len() + self.loading.len() < limits::OFFERS_OPEN
                        && self.open_bytes + self.loading.len() * self.typical_bytes < limits::OFFERS_OPEN_BYTES;
                    if !room {
                        break;
                    }
                    self.queued.remove(&asset);
                    if self.loading.contains(&asset) || self.open.contains_key(&asset) {
                        self.again.insert(asset);
                        self.outgoing.pop_front();
                        continue;
                    }
                    self.loading.insert(asset);
                    load.push(asset);
                    if load.len() == limits::OFFERS_PER_MESSAGE {
                        acts.push(Act::Load(std::mem::take(&mut load)));
                    }
                }
                Outgoing::Settled(run) => {
                    if !self.loading.is_empty() {
                        break;
                    }
                    acts.push(Act::Send(Message::Settled { run }));
                }
            }
            self.outgoing.pop_front();
        }
        if !load.is_empty() {
            acts.push(Act::Load(load));
        }
    }

    fn answer_run(&mut self, now: u64, run: u32, ranges: Vec<u8>, acts: &mut Vec<Act>) {
        if self.dialled {
            acts.push(Act::Close("both sides start reconciliations".to_owned()));
            return;
        }
        self.disturbed();
        say(self.runs.asked(now, run, ranges), acts);
    }

    fn go_on_with_run(&mut self, run: u32, ranges: &[u8], common: &ItemSet, acts: &mut Vec<Act>) {
        match self.runs.reply(run, ranges) {
            Err(error) => acts.push(Act::Close(error.to_string())),
            Ok(None) => {}
            Ok(Some(Step::Send(ranges))) => acts.push(Act::Send(Message::Reconcile { run, ranges })),
            Ok(Some(Step::Done(difference))) => {
                self.unsettled = Some(run);
                self.offer_items(&difference.mine, run, common);
                let mut hashes: Vec<ItemHash> = difference.theirs.into_iter().collect();
                loop {
                    let rest = hashes.split_off(hashes.len().min(limits::REQUESTS_PER_MESSAGE));
                    let last = rest.is_empty();
                    acts.push(Act::Send(Message::Request { run, hashes, last }));
                    if last {
                        return;
                    }
                    hashes = rest;
                }
            }
        }
    }

    fn requested(&mut self, run: u32, hashes: Vec<ItemHash>, last: bool, common: &ItemSet, acts: &mut Vec<Act>) {
        match self.runs.requested(run, hashes, last, self.set.len() + limits::REQUESTS_PER_MESSAGE) {
            Err(error) => acts.push(Act::Close(error.to_string())),
            Ok(None) => {}
            Ok(Some(requested)) => {
                self.unsettled = Some(run);
                self.offer_items(&requested, run, common);
            }
        }
    }

    /// Offers the assets behind some item hashes; doubts those of which only the peer is known to have a version.
    fn offer_items(&mut self, hashes: &BTreeSet<ItemHash>, run: u32, common: &ItemSet) {
        self.disturbed();
        if !hashes.is_empty() {
            let items: Vec<Item> = self.set.iter().filter(|item| hashes.contains(&item.hash)).copied().collect();
            for item in items {
                if self.passes && common.item_of(item.timestamp, &item.asset).is_some() {
                    self.enqueue(item.asset);
                }
                if self.exceptions.contains_key(&item.asset) {
                    self.doubtful.insert(item.asset, item.timestamp);
                }
            }
        }
        self.outgoing.push_back(Outgoing::Settled(run));
    }
}

/// Sends a part of a run, or ends the connection to a peer that does not keep to what a run is.
fn say(part: Result<Option<Message>, ReconcileError>, acts: &mut Vec<Act>) {
    acts.extend(match part {
        Ok(message) => message.map(Act::Send),
        Err(error) => Some(Act::Close(error.to_string())),
    });
}
