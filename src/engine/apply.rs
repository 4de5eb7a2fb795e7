//! What the hub has done about offers: loading documents to make some, and deciding about those of peers.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use super::brakes;
use super::brakes::BRAKE;
use super::hub::Told;
use super::judge;
use super::judge::Judged;
use super::judge::Question;
use super::judge::Shown;
use super::judge::Source;
use super::memory;
use super::purge::PURGED;
use super::shared::Shared;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::Digest;
use crate::asset::Document;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::asset::validate_received;
use crate::event::Event;
use crate::hook::Occasion;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::limits;
use crate::state::Decided;
use crate::state::HAND;
use crate::state::StateError;
use crate::state::Wanted;
use crate::state::Way;
use crate::store::Arrival;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::WriteError;
use crate::sync::Answer;
use crate::sync::Decision;
use crate::sync::Input;
use crate::sync::Offer;
use crate::sync::Received;
use crate::sync::receive;
use crate::task::now_ms;
use crate::telemetry::causes;

/// The answer to what the filter of the library leaves out.
pub(super) const OUTSIDE: &str = "not part of the library here";

/// An offer could not be decided, or an asset not kept, for a reason on this host.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the store cannot be read: {0}")]
    Records(String),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// What became of an offer here, and which arrival the feed must have judged before the peer hears of it.
pub(super) type Fate = (Answer, Arrival);

/// Reads the documents of assets that are passed on, to offer them.
pub(super) async fn load(shared: &Shared, peer: HostId, asked: Vec<AssetId>) {
    let records = shared.store.records(&asked).await.unwrap_or_else(|error| {
        // They are offered again when the sets are compared.
        tracing::warn!(peer = %peer.fmt_short(), error = %causes(&error), "documents could not be read");
        Vec::new()
    });
    let sends = shared.flow(peer).send;
    let offers = records.into_iter().filter(|_| sends).filter_map(|record| memory::offered(shared, record));
    let offers = offers.filter(fits).collect();
    shared.tell(Input::Loaded { peer, asked, offers }).await;
}

/// Tells whether an offer fits a message. What is taken in always does; a longer one would end the connection, and the
/// next one again, so that nothing else came through either.
fn fits(offer: &Offer) -> bool {
    let (bytes, limit) = (offer.bytes(), limits::CONTROL_FRAME_BYTES);
    if bytes > limit {
        let asset = offer.key.id.fmt_short();
        tracing::error!(asset = %asset, bytes, limit, "metadata is too large to be passed on; shorten it");
    }
    bytes <= limit
}

/// One version that a peer has, and why it is decided about.
struct Case<'a> {
    peer: HostId,
    offer: &'a Offer,
    /// Those of its fields that are taken now.
    taken: Document,
    /// What was decided before.
    before: Option<&'a Decided>,
    /// How many purges there were before that.
    purges: u64,
    /// Whether those are asked again who were absent.
    again: bool,
    occasion: Occasion,
}

impl Case<'_> {
    /// Returns what was decided before and still stands. What plugins said before a pull is looked up by everything they
    /// were shown, and so by the peer, too: what they say of one peer's offer is no word about another's.
    fn standing(&self, shared: &Shared) -> Option<&Decided> {
        let before = self.before?;
        let waits = self.again && before.standing == Standing::Absent;
        let braked = before.decider == BRAKE && before.version == self.offer.version();
        let kept = before.point == Point::BeforePull && before.standing == Standing::Firm;
        let stands = || braked || (!kept && self.same(shared).is_some());
        (before.decider == HAND || (!waits && stands())).then_some(before)
    }

    /// Returns what was decided before about this very version, by those who decide today. Whom a person has overruled
    /// in it is overruled still; all others are asked as ever.
    fn same(&self, shared: &Shared) -> Option<&Decided> {
        self.before.filter(|before| is_same(shared, before, self.offer))
    }
}

/// Tells whether something was decided about this very version, as it is offered, by those who decide today.
fn is_same(shared: &Shared, before: &Decided, offer: &Offer) -> bool {
    before.decider == shared.decider(before.point) && before.version == offer.version() && before.key == offer.key
}

/// What is known about assets that are decided about together.
struct Known {
    /// How many purges there were before.
    purges: u64,
    records: HashMap<AssetId, Record>,
    decisions: HashMap<(AssetId, Way), Decided>,
}

impl Known {
    /// Looks up what is known about assets that a peer has, and what was answered about them.
    async fn of(shared: &Shared, peer: HostId, ids: &[AssetId]) -> Result<Self, ApplyError> {
        let purges = shared.purges.count();
        let records = shared.store.records(ids).await.map_err(|error| ApplyError::Records(causes(&error)))?;
        let wanted = ids.iter().map(|id| (*id, Wanted::From(peer)));
        judge::read(shared, &[Point::BeforePull, Point::AfterReceive], wanted).await;
        let decisions = shared.state.decisions(ids.to_vec()).await?;
        let records = records.into_iter().map(|record| (record.key.id, record)).collect();
        Ok(Self { purges, records, decisions })
    }
}

/// Tells whether what a peer offers has just happened: the sets were equal before.
pub(super) fn occasion(shared: &Shared, peer: HostId) -> Occasion {
    let settled = shared.connected.get(&peer).is_some_and(|connected| connected.settled);
    if settled { Occasion::Live } else { Occasion::CatchUp }
}

/// Splits the document of an offer into what is taken now and what is not yet.
pub(super) fn take(offer: &Offer) -> Received {
    receive(&offer.document, now_ms())
}

/// Decides about offers of a peer, one after the other.
pub(super) async fn decide(shared: &Shared, peer: HostId, mut offers: Vec<Offer>) {
    let occasion = occasion(shared, peer);
    while !offers.is_empty() {
        let rest = offers.split_off(offers.len().min(limits::OFFERS_DECIDED_TOGETHER));
        let ids: Vec<AssetId> = offers.iter().map(|offer| offer.key.id).collect();
        let known = Known::of(shared, peer, &ids).await;
        let mut inputs = Vec::with_capacity(offers.len());
        for offer in std::mem::replace(&mut offers, rest) {
            let asset = offer.key.id;
            let Received { document: taken, early } = take(&offer);
            if let Some(ahead_ms) = ahead_ms(&early) {
                tracing::warn!(
                    peer = %peer.fmt_short(),
                    asset = %asset.fmt_short(),
                    ahead_secs = ahead_ms / 1000,
                    "a change is stamped ahead of this host's clock and waits; check both clocks"
                );
                inputs.push((Arrival::default(), Input::Early { peer, asset, ahead_ms }));
            }
            let decided = match &known {
                Ok(known) => {
                    let before = known.decisions.get(&(asset, Way::Pull));
                    let (purges, again) = (known.purges, false);
                    let case = Case { peer, offer: &offer, taken, before, purges, again, occasion };
                    decide_one(shared, case, known.records.get(&asset)).await
                }
                Err(error) => match barred(shared, peer, &offer) {
                    Some(answer) => Ok(Some((answer, Arrival::default()))),
                    None => Err(ApplyError::Records(causes(error))),
                },
            };
            let (decision, arrival) = match decided {
                Ok(None) => (Decision::Want, Arrival::default()),
                Ok(Some((answer, arrival))) => (Decision::Answer(answer), arrival),
                Err(error) => {
                    // Wanting it again later is what a failing disk leaves; the pause between tries is the plan's.
                    tracing::warn!(asset = %asset.fmt_short(), error = %causes(&error), "an offer could not be decided");
                    (Decision::Want, Arrival::default())
                }
            };
            inputs.push((arrival, Input::Decided { peer, offer, decision }));
        }
        shared.tell(Told::Inputs(inputs)).await;
    }
}

/// Returns the answer to what is not taken whatever is known of it.
fn barred(shared: &Shared, peer: HostId, offer: &Offer) -> Option<Answer> {
    if !shared.flow(peer).take {
        // It is remembered that the peer has it, so that the sets become equal; it is asked for when the roles change.
        return Some(Answer::Declined("nothing is taken from this peer: its role".to_owned()));
    }
    let invalid = validate_received(&offer.document).err()?;
    Some(Answer::Refused(invalid.to_string()))
}

/// Decides about one offer; `None` when its content is wanted.
async fn decide_one(shared: &Shared, case: Case<'_>, known: Option<&Record>) -> Result<Option<Fate>, ApplyError> {
    let offer = case.offer;
    if let Some(answer) = barred(shared, case.peer, offer) {
        return Ok(Some((answer, Arrival::default())));
    }
    if let Some(record) = known.filter(|record| record.presence.is_here()) {
        return merge(shared, case, record).await.map(Some);
    }
    let stops = |before: &&Decided| before.decision != crate::state::Decision::Pass;
    if let Some(before) = case.standing(shared).filter(stops) {
        return Ok(Some((answer_of(before), Arrival::default())));
    }
    let same = case.same(shared).cloned();
    let overruled = same.as_ref().map(|before| before.overruled_at(Point::BeforePull)).unwrap_or_default();
    if !shared.library.filter.takes(|| case.taken.metadata()) {
        return Ok(Some((Answer::Declined(OUTSIDE.to_owned()), Arrival::default())));
    }
    let document = LocalDocument::from_parts(case.taken, []);
    let question = Question {
        point: Point::BeforePull,
        key: offer.key,
        shown: Shown::Local(&document),
        peer: Some(case.peer),
        occasion: case.occasion,
        content: Source::Nowhere,
        fresh: false,
        overruled: &overruled,
    };
    let judged = judge::ask(shared, question).await;
    match judged.verdict {
        Verdict::Pass | Verdict::Edit(_) => Ok(None),
        _ => stop(shared, Point::BeforePull, offer.key, offer.version(), same.as_ref(), judged).await.map(Some),
    }
}

/// Merges an offered document into that of an asset which is here.
async fn merge(shared: &Shared, case: Case<'_>, record: &Record) -> Result<Fate, ApplyError> {
    let Case { peer, taken, .. } = &case;
    if record.document.shared().includes(taken) {
        return Ok((Answer::Stored, record.arrival));
    }
    // What was purged and then stored after all is here by the later wish.
    let standing = case.standing(shared).filter(|before| !before.is_purged());
    let passed = standing.filter(|before| before.decision == crate::state::Decision::Pass);
    if let Some(before) = standing.filter(|_| passed.is_none()) {
        return Ok((answer_of(before), Arrival::default()));
    }
    if passed.is_none()
        && let Some(held) = brakes::check(shared, record, taken, *peer, case.offer.version()).await?
    {
        shared.announce(Event::AssetHeld { id: record.key.id, reason: held.reason.clone() });
        let answer = answer_of(&held);
        shared.state.decide(held, false).await?;
        return Ok((answer, Arrival::default()));
    }
    let mut merged = record.document.clone();
    merged.merge(taken);
    // A person who lets go what the brake held says nothing about what plugins say, and has overruled none of them.
    let same = case.same(shared);
    let overruled = same.map(|before| before.overruled_at(Point::AfterReceive)).unwrap_or_default();
    let question = Question {
        point: Point::AfterReceive,
        key: record.key,
        shown: Shown::Local(&merged),
        peer: Some(*peer),
        occasion: case.occasion,
        content: Source::Store,
        fresh: false,
        overruled: &overruled,
    };
    let judged = judge::ask(shared, question).await;
    let edits = match judged.verdict {
        Verdict::Edit(edits) => edits,
        Verdict::Drop(_) | Verdict::Hold(_) => {
            return stop(shared, Point::AfterReceive, record.key, case.offer.version(), same, judged).await;
        }
        Verdict::Pass => Changes::new(),
    };
    let Some(_apart) = shared.purges.keep_off(shared, record.key.id, case.purges).await? else {
        return Ok((Answer::Declined(PURGED.to_owned()), Arrival::default()));
    };
    if let Some(answer) = let_in(shared, case.before).await? {
        return Ok((answer, Arrival::default()));
    }
    let (peer, taken) = (*peer, taken.clone());
    let edit = Box::new(move |document: &mut LocalDocument| {
        document.merge(&taken);
        document.lay(&edits);
    });
    let edited = shared.store.edit(&record.key.id, edit).await?;
    shared.announce(Event::AssetStored { id: record.key.id, from: Some(peer) });
    Ok((Answer::Stored, edited.map_or(record.arrival, |edited| edited.arrival)))
}

/// Merges what a peer is known to have of assets that are here, as far as its time has come.
pub(super) async fn take_known(shared: &Shared, peer: HostId, offers: &[Offer]) -> Result<(), ApplyError> {
    let ids: Vec<AssetId> = offers.iter().map(|offer| offer.key.id).collect();
    let known = Known::of(shared, peer, &ids).await?;
    // What was refused is remembered too; its time never comes.
    for offer in offers.iter().filter(|offer| validate_received(&offer.document).is_ok()) {
        let record = known.records.get(&offer.key.id).filter(|record| record.presence.is_here());
        let Some(record) = record else { continue };
        let before = known.decisions.get(&(offer.key.id, Way::Pull));
        let Received { document: taken, .. } = take(offer);
        let (purges, again, occasion) = (known.purges, false, Occasion::CatchUp);
        merge(shared, Case { peer, offer, taken, before, purges, again, occasion }, record).await?;
    }
    Ok(())
}

/// Decides again about what a connected peer is known to have and this host did not take, where whoever decided is
/// another now, was absent, or is overruled by a person. The peer has had its answer, so nothing is offered again.
///
/// It is done for one wish after the other, each to its end, so that what comes last has its turn however often plugins
/// change; one that begins does for all wishes before it.
pub(super) async fn decide_again(shared: &Shared, peer: HostId) {
    let turn = Arc::clone(&shared.turns.entry(peer).or_default());
    turn.take(decide_all_again(shared, peer)).await;
}

/// Tells whether it came to its end.
async fn decide_all_again(shared: &Shared, peer: HostId) -> bool {
    if !shared.flow(peer).take {
        return true;
    }
    let mut after = None;
    loop {
        let known = match shared.state.known_of_peer(peer, after, limits::OFFERS_DECIDED_TOGETHER).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(peer = %peer.fmt_short(), error = %causes(&error), "what a peer has could not be read");
                return false;
            }
        };
        let Some(last) = known.last() else { return true };
        after = Some(last.key.id);
        let offers = known.into_iter().map(|known| Offer::new(known.key, known.document)).collect();
        decide_these_again(shared, peer, offers).await;
    }
}

/// Decides again about some versions that a peer is known to have.
pub(super) async fn decide_these_again(shared: &Shared, peer: HostId, offers: Vec<Offer>) {
    let ids: Vec<AssetId> = offers.iter().map(|offer| offer.key.id).collect();
    let known = match Known::of(shared, peer, &ids).await {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!(peer = %peer.fmt_short(), error = %causes(&error), "offers could not be decided again");
            return;
        }
    };
    let mut wanted = Vec::new();
    for offer in offers {
        let before = known.decisions.get(&(offer.key.id, Way::Pull));
        let stands = |before: &Decided| {
            // What was said of another peer's offer is found out by asking, which costs no call.
            let kept = before.point == Point::BeforePull && before.standing == Standing::Firm;
            let same = || before.decider == shared.decider(before.point) && before.standing != Standing::Absent;
            let stops = before.decision != crate::state::Decision::Pass;
            before.decider == HAND || (stops && (before.decider == BRAKE || (!kept && same())))
        };
        if before.is_some_and(stands) {
            continue;
        }
        let Received { document: taken, .. } = take(&offer);
        let record = known.records.get(&offer.key.id);
        let (purges, again, occasion) = (known.purges, true, Occasion::CatchUp);
        let case = Case { peer, offer: &offer, taken, before, purges, again, occasion };
        match decide_one(shared, case, record).await {
            Ok(None) => wanted.push(offer),
            Ok(Some(_)) => {}
            Err(error) => {
                tracing::warn!(asset = %offer.key.id.fmt_short(), error = %causes(&error), "an offer could not be decided");
            }
        }
    }
    if !wanted.is_empty() {
        want_again(shared, peer, wanted).await;
    }
}

/// Wants what is still not here; plugins may have taken long over it, and it was offered otherwise meanwhile.
async fn want_again(shared: &Shared, peer: HostId, offers: Vec<Offer>) {
    let ids: Vec<AssetId> = offers.iter().map(|offer| offer.key.id).collect();
    let records = shared.store.records(&ids).await.unwrap_or_else(|error| {
        tracing::warn!(peer = %peer.fmt_short(), error = %causes(&error), "documents could not be read");
        Vec::new()
    });
    let here: HashSet<AssetId> =
        records.iter().filter(|record| record.presence.is_here()).map(|record| record.key.id).collect();
    let (here, wanted): (Vec<Offer>, Vec<Offer>) = offers.into_iter().partition(|offer| here.contains(&offer.key.id));
    if let Err(error) = take_known(shared, peer, &here).await {
        tracing::warn!(peer = %peer.fmt_short(), error = %causes(&error), "offers could not be decided again");
    }
    let want = |offer| (Arrival::default(), Input::Decided { peer, offer, decision: Decision::Want });
    shared.tell(Told::Inputs(wanted.into_iter().map(want).collect())).await;
}

/// Tells how far the latest field of a document is ahead that is not taken yet, in milliseconds.
fn ahead_ms(early: &Document) -> Option<u64> {
    let now = now_ms();
    early.iter().map(|(_, field)| field.stamp.millis().saturating_sub(now)).max()
}

/// Writes down a verdict that stops an asset on its way in, with whom a person has overruled in what was decided before
/// about the same.
pub(super) async fn stop(
    shared: &Shared,
    point: Point,
    key: AssetKey,
    version: Digest,
    same: Option<&Decided>,
    judged: Judged,
) -> Result<Fate, ApplyError> {
    let decider = judged.decider();
    let (decision, reason) = match judged.verdict {
        Verdict::Hold(reason) => (crate::state::Decision::Hold, reason),
        Verdict::Drop(reason) => (crate::state::Decision::Drop, reason),
        Verdict::Pass | Verdict::Edit(_) => return Ok((Answer::Stored, Arrival::default())),
    };
    let (way, standing, by, at_ms) = (Way::Pull, judged.standing, judged.by, now_ms());
    let overruled = same.map(|before| before.overruled.clone()).unwrap_or_default();
    let decided = Decided { key, way, point, decision, decider, by, standing, reason, version, at_ms, overruled };
    let answer = answer_of(&decided);
    // What is written down already is not news.
    if same.is_none_or(|before| Decided { at_ms, ..before.clone() } != decided) {
        if decided.decision == crate::state::Decision::Hold {
            shared.announce(Event::AssetHeld { id: key.id, reason: decided.reason.clone() });
        }
        // Where a person was faster, it is decided again with what the peer is known to have.
        shared.state.decide(decided, false).await?;
    }
    Ok((answer, Arrival::default()))
}

/// Takes back what was decided before, since the asset is stored now; returns the answer where a person has refused it
/// meanwhile.
pub(super) async fn let_in(shared: &Shared, before: Option<&Decided>) -> Result<Option<Answer>, ApplyError> {
    let Some(before) = before else { return Ok(None) };
    if shared.state.undecide(before).await? {
        return Ok(None);
    }
    let stands = shared.state.decision(before.key.id, before.way).await?;
    Ok(stands.filter(|stands| stands.decider == HAND && stands != before).map(|stands| answer_of(&stands)))
}

pub(super) fn answer_of(decided: &Decided) -> Answer {
    match decided.decision {
        crate::state::Decision::Drop => Answer::Declined(decided.reason.clone()),
        crate::state::Decision::Hold => Answer::Held(decided.reason.clone()),
        crate::state::Decision::Pass => Answer::Stored,
    }
}
