//! One host's side of one library: the common set, a session per connected peer, and the plan.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::Answer;
use super::Decision;
use super::Fetched;
use super::Input;
use super::Item;
use super::ItemSet;
use super::Kept;
use super::Message;
use super::Offer;
use super::Output;
use super::Summary;
use super::act::Act;
use super::session::Session;
use super::transfer::AfterFailure;
use super::transfer::Failure;
use super::transfer::Plan;
use super::transfer::Source;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Digest;
use crate::asset::HostId;
use crate::asset::Timestamp;

/// How replication with one peer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// Whether both sets are equal and nothing is under way.
    pub in_sync: bool,
    /// The set towards it.
    pub summary: Summary,
    /// How many assets the peer says it has stored.
    pub kept: u64,
    /// Versions on their way to it or from it.
    pub under_way: usize,
}

/// One host's side of one library.
#[derive(Debug)]
pub struct Replica {
    common: ItemSet,
    sessions: BTreeMap<HostId, Session>,
    plan: Plan,
    poll_ms: u64,
    outputs: VecDeque<Output>,
    in_sync: BTreeMap<HostId, bool>,
    #[cfg(test)]
    pub(super) drops_wants: bool,
    #[cfg(test)]
    pub(super) wants_overtaken: bool,
}

impl Replica {
    /// Starts with the items of all assets that are passed on. Sets are compared every `poll_ms` milliseconds at the
    /// latest.
    #[must_use]
    pub fn new(items: Vec<Item>, poll_ms: u64) -> Self {
        Self {
            common: ItemSet::build(items),
            sessions: BTreeMap::new(),
            plan: Plan::default(),
            poll_ms,
            outputs: VecDeque::new(),
            in_sync: BTreeMap::new(),
            #[cfg(test)]
            drops_wants: false,
            #[cfg(test)]
            wants_overtaken: false,
        }
    }

    /// Returns count and fingerprint of the common set.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.common.summary()
    }

    /// Returns the version of an asset that is passed on, by its item.
    #[must_use]
    pub fn passes(&self, timestamp: Timestamp, asset: &AssetId) -> Option<Item> {
        self.common.item_of(timestamp, asset)
    }

    /// Returns how replication with a connected peer stands.
    #[must_use]
    pub fn peer(&self, peer: &HostId) -> Option<PeerStatus> {
        self.sessions.get(peer).map(|session| PeerStatus {
            in_sync: session.in_sync(),
            summary: session.summary(),
            kept: session.peer_kept(),
            under_way: session.under_way(),
        })
    }

    /// Offers everything to a peer, as a host would that forgot what is known.
    #[cfg(test)]
    pub(super) fn offer_all_blindly(&mut self, peer: HostId) {
        let assets: Vec<AssetId> = self.common.iter().map(|item| item.asset).collect();
        if let Some(session) = self.sessions.get_mut(&peer) {
            assets.into_iter().for_each(|asset| session.offer_blindly(asset));
        }
    }

    /// Returns how many assets are wanted, how many of them are being fetched, and their bytes.
    #[must_use]
    pub fn transfers(&self) -> (usize, usize, u64) {
        let (fetching, bytes) = self.plan.under_way();
        (self.plan.len(), fetching, bytes)
    }

    /// Returns when [`Input::Tick`] is due, in milliseconds of the caller's monotonic clock.
    #[must_use]
    pub fn due(&self, now: u64) -> Option<u64> {
        let retry = self.sessions.values().filter_map(Session::due).min();
        let wants = (self.plan.len() > self.plan.under_way().0).then_some(now + 250);
        retry.into_iter().chain(wants).min()
    }

    /// Takes the next thing to do.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes in what happened, in order; what it leads to in common is said once. `now` is in milliseconds of the
    /// caller's monotonic clock.
    ///
    /// Outputs about a connection belong to the one that stood before, so they are taken before [`Input::Connected`] and
    /// [`Input::Disconnected`].
    pub fn handle(&mut self, now: u64, inputs: impl IntoIterator<Item = Input>) {
        inputs.into_iter().for_each(|input| self.take_in(now, input));
        self.advance(now);
    }

    fn take_in(&mut self, now: u64, input: Input) {
        match input {
            Input::Connected { peer, dialled, passes, exceptions } => {
                self.disconnect(peer);
                self.sessions.insert(peer, Session::new(dialled, passes, &self.common, exceptions));
                self.in_sync.insert(peer, false);
            }
            Input::Disconnected { peer } => self.disconnect(peer),
            Input::Received { peer, message } => {
                self.with(peer, |session, common, acts| session.receive(now, message, common, acts));
            }
            Input::Passes { key, version, exceptions } => self.passes_changed(key, version, &exceptions),
            Input::Excepted { peer, timestamp, asset, version } => {
                let common = self.common.item_of(timestamp, &asset);
                if let Some(session) = self.sessions.get_mut(&peer) {
                    session.stand(timestamp, asset, common, version);
                }
            }
            Input::Loaded { peer, asked, offers } => {
                self.with(peer, |session, _, acts| session.loaded(&asked, offers, acts));
            }
            Input::Decided { peer, offer, decision } => self.decided(peer, offer, decision),
            Input::Early { peer, asset, ahead_ms } => {
                let message = Message::Early { asset, ahead_ms };
                self.with(peer, |_, _, acts| acts.push(Act::Send(message)));
            }
            Input::Fetched { peer, asset, outcome } => self.fetched(peer, asset, outcome, now),
            Input::Kept { asset, outcome } => self.kept(asset, outcome, now),
            Input::Poll => {
                let peers: Vec<HostId> = self.sessions.keys().copied().collect();
                for peer in peers {
                    self.with(peer, |session, _, acts| session.poll(acts));
                }
            }
            Input::Tick => {}
        }
    }

    fn disconnect(&mut self, peer: HostId) {
        if self.sessions.remove(&peer).is_some() {
            self.plan.disconnected(peer);
            if self.in_sync.remove(&peer) == Some(true) {
                self.outputs.push_back(Output::InSync { peer, in_sync: false });
            }
        }
    }

    fn passes_changed(&mut self, key: AssetKey, version: Option<Digest>, exceptions: &[(HostId, Option<Digest>)]) {
        let item = version.map(|version| Item::new(key.timestamp, key.id, &version));
        let changed = self.common.put(key.timestamp, key.id, item);
        for (peer, session) in &mut self.sessions {
            let exception = exceptions.iter().find(|(of, _)| of == peer).and_then(|(_, version)| *version);
            session.stand(key.timestamp, key.id, item, exception);
            if let (true, Some(version)) = (changed, &version) {
                session.offer(key.id, version);
            }
        }
    }

    fn decided(&mut self, peer: HostId, offer: Offer, decision: Decision) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        match decision {
            Decision::Want => {
                #[cfg(test)]
                if self.drops_wants && offer.key.id.as_bytes()[0].is_multiple_of(4) {
                    return;
                }
                // What was decided again is overtaken by a newer offer: only that one is waited for over there, and in
                // place of it this one would be all that is ever answered.
                let overtaken = session.awaits_other(&offer.key.id, &offer.version());
                #[cfg(test)]
                let overtaken = overtaken && !self.wants_overtaken;
                if !overtaken {
                    self.plan.add(peer, offer);
                }
            }
            Decision::Answer(answer) => self.answer(peer, offer, answer),
            Decision::Failed(why) => session.answer(offer.key.id, offer.version(), Answer::Refused(why)),
        }
    }

    fn fetched(&mut self, peer: HostId, asset: AssetId, outcome: Fetched, now: u64) {
        let failure = match outcome {
            Fetched::Whole => {
                self.outputs.push_back(match self.plan.arrived(peer, &asset) {
                    Some((key, sources)) if !sources.is_empty() => {
                        let offers = sources.into_iter().map(|source| (source.peer, source.offer)).collect();
                        Output::Keep { key, offers }
                    }
                    _ => Output::Drop { asset },
                });
                return;
            }
            Fetched::NotHere => Failure::NotHere,
            Fetched::Wrong => Failure::Wrong,
            Fetched::Mixed => Failure::Mixed,
            Fetched::Stalled => Failure::Stalled,
            Fetched::Local => Failure::Local,
        };
        let offer = self.plan.offer_of(peer, &asset);
        let after = self.plan.failed(peer, &asset, failure, now);
        if let (AfterFailure::SourceLost, Some(offer)) = (after, offer) {
            let why = if failure == Failure::Wrong {
                "its content does not match what it offers"
            } else {
                "its content is not there"
            };
            let answer = Answer::Refused(why.to_owned());
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.answer(asset, offer.version(), answer);
                // Where it was remembered that the peer has it, nobody would ask for it again.
                if session.has_exception(&asset) {
                    session.remember(asset);
                    self.outputs.push_back(Output::Forget { peer, assets: vec![(offer.key.timestamp, asset)] });
                }
            }
        }
        if failure == Failure::Wrong && self.sessions.get_mut(&peer).is_some_and(Session::lied) {
            self.outputs.push_back(Output::Close { peer, reason: "too many wrong contents".to_owned() });
        }
    }

    fn kept(&mut self, asset: AssetId, outcome: Kept, now: u64) {
        match outcome {
            Kept::Failed => self.plan.not_kept(&asset, now),
            Kept::Answer(answer) => {
                let (sources, late) = self.plan.kept(&asset);
                for Source { peer, offer, .. } in sources {
                    self.answer(peer, offer, answer.clone());
                }
                for Source { peer, offer, .. } in late {
                    self.outputs.push_back(Output::Decide { peer, offers: vec![offer] });
                }
            }
        }
    }

    /// Answers an offer whose fate is durable, and remembers that the peer has that version.
    fn answer(&mut self, peer: HostId, offer: Offer, answer: Answer) {
        let (asset, version) = (offer.key.id, offer.version());
        self.remember(peer, offer, true);
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.answer(asset, version, answer);
        }
    }

    /// Remembers a version that a peer has, unless it is the very one that is passed on: then the common set says it.
    fn remember(&mut self, peer: HostId, offer: Offer, replaces: bool) {
        let stands =
            self.sessions.get(&peer).is_some_and(|session| !session.passes() || session.has_exception(&offer.key.id));
        if stands || !self.common.contains(&offer.item()) {
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.remember(offer.key.id);
            }
            self.outputs.push_back(Output::Remember { peer, offer, replaces });
        }
    }

    fn with(&mut self, peer: HostId, call: impl FnOnce(&mut Session, &ItemSet, &mut Vec<Act>)) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let mut acts = Vec::new();
        call(session, &self.common, &mut acts);
        self.carry_out(peer, acts);
    }

    fn carry_out(&mut self, peer: HostId, acts: Vec<Act>) {
        for act in acts {
            let output = match act {
                Act::Send(message) => Output::Send { peer, message },
                Act::Load(assets) => Output::Load { peer, assets },
                Act::Decide(offers) => Output::Decide { peer, offers },
                Act::Early(asset, ahead_ms) => Output::Early { peer, asset, ahead_ms },
                Act::Forget(assets) => {
                    if let Some(session) = self.sessions.get_mut(&peer) {
                        assets.iter().for_each(|(_, asset)| session.remember(*asset));
                    }
                    Output::Forget { peer, assets }
                }
                Act::Close(reason) => Output::Close { peer, reason },
                Act::Answered(offer, answer) => {
                    let asset = offer.key.id;
                    self.remember(peer, offer, false);
                    Output::Answered { peer, asset, answer }
                }
            };
            self.outputs.push_back(output);
        }
    }

    fn advance(&mut self, now: u64) {
        let peers: Vec<HostId> = self.sessions.keys().copied().collect();
        for peer in peers {
            let poll_ms = self.poll_ms;
            self.with(peer, |session, _, acts| session.advance(now, poll_ms, acts));
            let in_sync = self.sessions.get(&peer).is_some_and(Session::in_sync);
            if self.in_sync.insert(peer, in_sync) != Some(in_sync) {
                self.outputs.push_back(Output::InSync { peer, in_sync });
            }
        }
        for (peer, key) in self.plan.start(now) {
            self.outputs.push_back(Output::Fetch { peer, key });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Changes;
    use crate::asset::LocalDocument;
    use crate::limits;

    const PEER: HostId = HostId::from_bytes([2; 32]);

    fn offer(number: usize) -> Offer {
        let mut document = LocalDocument::default();
        document.change(&Changes::new().add_tag("x"), 1_800_000_000_000, PEER);
        let id = AssetId::from_bytes(blake3::hash(&number.to_le_bytes()).into());
        let key = AssetKey { id, timestamp: Timestamp::new(1_800_000_000_000).unwrap(), size: 1 };
        Offer::new(key, document.into_shared())
    }

    /// Returns how many offers are answered, and which are to be remembered.
    fn drained(replica: &mut Replica) -> (usize, Vec<Offer>) {
        let (mut answers, mut remembered) = (0, Vec::new());
        while let Some(output) = replica.next_output() {
            match output {
                Output::Send { message: Message::Answers(sent), .. } => answers += sent.len(),
                Output::Remember { offer, .. } => remembered.push(offer),
                _ => {}
            }
        }
        (answers, remembered)
    }

    /// A peer that goes on as fast as it is answered would have more noted than can be.
    #[test]
    fn a_peer_is_not_answered_while_too_much_about_it_is_not_written_down() {
        let mut replica = Replica::new(Vec::new(), 60_000);
        replica.handle(0, [Input::Connected { peer: PEER, dialled: false, passes: true, exceptions: Vec::new() }]);
        let offers: Vec<Offer> = (0..2 * limits::NOTES_UNWRITTEN).map(offer).collect();
        for offers in offers.chunks(limits::OFFERS_PER_MESSAGE) {
            let message = Message::Offers(offers.to_vec());
            replica.handle(0, [Input::Received { peer: PEER, message }]);
        }
        let (mut answers, mut remembered) = (0, Vec::new());
        for offer in &offers {
            let decision = Decision::Answer(Answer::Declined("private".to_owned()));
            replica.handle(0, [Input::Decided { peer: PEER, offer: offer.clone(), decision }]);
            let (sent, noted) = drained(&mut replica);
            answers += sent;
            remembered.extend(noted);
        }
        assert_eq!(remembered.len(), offers.len());
        assert!((1..=limits::NOTES_UNWRITTEN).contains(&answers), "{answers}");
        for Offer { key, document } in remembered {
            let version = Some(document.digest());
            replica.handle(0, [Input::Excepted { peer: PEER, timestamp: key.timestamp, asset: key.id, version }]);
            answers += drained(&mut replica).0;
        }
        assert_eq!(answers, offers.len());
    }
}
