//! Decides what of stored assets is passed on, and, after a change of plugins, what is seen here of what peers sent.

use std::collections::BTreeSet;
use std::collections::HashMap;

use super::feed::FeedError;
use super::hand::RELEASED;
use super::judge;
use super::judge::Judged;
use super::judge::Question;
use super::judge::Shown;
use super::judge::Source;
use super::purge;
use super::review::Scope;
use super::shared::Shared;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::Digest;
use crate::asset::Document;
use crate::asset::Field;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::event::Event;
use crate::hook::Occasion;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::state::Decided;
use crate::state::Decision;
use crate::state::HAND;
use crate::state::Kept;
use crate::state::Known;
use crate::state::Wanted;
use crate::state::Way;
use crate::store::Origin;
use crate::store::Record;
use crate::sync::Input;
use crate::sync::Item;
use crate::sync::exception;
use crate::task::now_ms;

/// How stored assets are judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) scope: Scope,
    /// Whether answers and decisions of before count for nothing.
    pub(super) fresh: bool,
    /// Whether those are asked again who were absent.
    pub(super) again: bool,
    pub(super) occasion: Occasion,
}

/// Who decides as the feed knows, and whether others have answered: plugins may be replaced at any time, and be back
/// before anybody looks.
#[derive(Debug)]
pub(super) struct Deciders<'a> {
    pushes: &'a str,
    receives: &'a str,
    pub(super) others: Scope,
}

impl<'a> Deciders<'a> {
    pub(super) fn new(pushes: &'a str, receives: &'a str) -> Self {
        Self { pushes, receives, others: Scope::default() }
    }

    fn heard(&mut self, point: Point, judged: &Judged) {
        match point {
            Point::BeforePush => self.others.pushes |= !judged.is_of(self.pushes),
            Point::BeforePull | Point::AfterReceive => self.others.receives |= !judged.is_of(self.receives),
        }
    }
}

/// What becomes of an asset.
enum Outcome {
    /// This version is passed on, or none.
    Passes(Option<Document>),
    /// A newer version is there, and is judged for itself.
    Outdated,
}

/// Judges assets one after the other, while `go_on` says so. Returns how many were judged, and what the hub must hear.
pub(super) async fn judge_all(
    shared: &Shared,
    records: &[Record],
    deciders: &mut Deciders<'_>,
    how: impl Fn(&Record) -> How,
    go_on: impl Fn() -> bool,
) -> Result<(usize, Vec<Input>), FeedError> {
    let ids: Vec<AssetId> = records.iter().map(|record| record.key.id).collect();
    let receives = records.iter().any(|record| how(record).scope.receives);
    let mut wanted: Vec<_> = ids.iter().map(|id| (*id, Wanted::Push)).collect();
    if receives {
        wanted.extend(ids.iter().map(|id| (*id, Wanted::Received)));
    }
    let points: &[Point] = if receives { &[Point::BeforePush, Point::AfterReceive] } else { &[Point::BeforePush] };
    let kept = judge::read(shared, points, wanted).await;
    let senders = senders(&kept);
    let decisions = shared.state.decisions(ids.clone()).await?;
    let known = shared.state.known_of_assets(ids).await?;
    let (mut judged, mut inputs) = (0, Vec::with_capacity(records.len()));
    for record in records {
        if judged > 0 && !go_on() {
            break;
        }
        let (key, how) = (record.key, how(record));
        if how.scope.receives {
            receive_again(shared, record, senders.get(&key.id).copied(), how, deciders).await?;
        }
        if how.scope.pushes {
            let before = decisions.get(&(key.id, Way::Push));
            if let Outcome::Passes(passes) = judge(shared, record, before, how, deciders).await? {
                let known = known.get(&key.id).map_or(&[][..], Vec::as_slice);
                let is_lost = is_lost(record, decisions.get(&(key.id, Way::Pull)));
                if is_lost {
                    for known in known {
                        shared.state.forget(known.peer, key.id).await?;
                    }
                }
                let exceptional = |known: &Known| {
                    if is_lost {
                        return (known.peer, None);
                    }
                    let passes = passes.as_ref().filter(|_| shared.flow(known.peer).send);
                    (known.peer, exception(passes, Some(&known.document)))
                };
                let exceptions: Vec<(HostId, Option<Digest>)> = known.iter().map(exceptional).collect();
                inputs.push(Input::Passes { key, version: passes.as_ref().map(Document::digest), exceptions });
            }
        }
        if let Some(purged) = decisions.get(&(key.id, Way::Pull)).filter(|before| before.is_purged()) {
            purge::take_back(shared, purged).await?;
        }
        judged += 1;
    }
    Ok((judged, inputs))
}

/// Passes on nothing of assets that are not in the store any more; returns what the hub must hear.
pub(super) async fn withdraw(shared: &Shared, gone: Vec<AssetId>) -> Result<Vec<Input>, FeedError> {
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let known = shared.state.known_of_assets(gone.clone()).await?;
    let decisions = shared.state.decisions(gone).await?;
    let declined = decisions.into_values().filter(|decided| decided.way == Way::Pull);
    let inputs = declined.map(|Decided { key, .. }| {
        let known = known.get(&key.id).map_or(&[][..], Vec::as_slice);
        let exceptions = known.iter().map(|known| (known.peer, exception(None, Some(&known.document)))).collect();
        Input::Passes { key, version: None, exceptions }
    });
    Ok(inputs.collect())
}

/// Returns from whom assets came last, where somebody was asked about that.
fn senders(kept: &[Kept]) -> HashMap<AssetId, HostId> {
    let mut senders: HashMap<AssetId, (u64, HostId)> = HashMap::new();
    for kept in kept.iter().filter(|kept| kept.point == Point::AfterReceive) {
        if let Some(peer) = kept.peer {
            let latest = senders.entry(kept.asset).or_insert((kept.at_ms, peer));
            if latest.0 < kept.at_ms {
                *latest = (kept.at_ms, peer);
            }
        }
    }
    senders.into_iter().map(|(asset, (_, peer))| (asset, peer)).collect()
}

/// Tells whether the content of an asset is gone, and not by anybody's decision. What peers are known to have of it must
/// not count then: the sets would be equal, and nobody would offer it again.
pub(super) fn is_lost(record: &Record, decided: Option<&Decided>) -> bool {
    !record.presence.is_here() && decided.is_none_or(|decided| decided.decision == Decision::Pass)
}

/// Decides what of an asset is passed on.
async fn judge(
    shared: &Shared,
    record: &Record,
    before: Option<&Decided>,
    how: How,
    deciders: &mut Deciders<'_>,
) -> Result<Outcome, FeedError> {
    let document = record.document.shared();
    if !record.presence.is_here() || !shared.library.filter.takes(|| record.document.metadata()) {
        return Ok(Outcome::Passes(None));
    }
    let version = document.digest();
    // What was decided about this very version, by those who decide today.
    let same = |before: &&Decided| before.decider == deciders.pushes && before.version == version;
    let same = before.filter(|_| !how.fresh).filter(same);
    if let Some(before) = before.filter(|_| !how.fresh) {
        let stops = same.is_some() && before.decision != Decision::Pass;
        let waits = how.again && before.standing == Standing::Absent;
        if before.decider == HAND || (stops && !waits) {
            return Ok(Outcome::Passes(None));
        }
    }
    // A person overrules those who had stopped it; all others are asked as ever, since they may keep a part of it back.
    let overruled = same.map(|before| before.overruled_at(Point::BeforePush)).unwrap_or_default();
    let question = Question {
        point: Point::BeforePush,
        key: record.key,
        shown: Shown::Shared(document),
        peer: None,
        occasion: how.occasion,
        content: Source::Store,
        fresh: how.fresh,
        overruled: &overruled,
    };
    let judged = judge::ask(shared, question).await;
    deciders.heard(Point::BeforePush, &judged);
    let stop = |decision, reason: &str| Decided {
        overruled: same.map(|before| before.overruled.clone()).unwrap_or_default(),
        ..decided(record, &judged, decision, reason)
    };
    let stopped = match &judged.verdict {
        // What others have been shown stays until a plugin has really said otherwise. It is asked as soon as it can be.
        _ if judged.standing == Standing::Absent && !judged.is_said && is_passed(shared, record) => None,
        Verdict::Drop(reason) => Some(stop(Decision::Drop, reason)),
        Verdict::Hold(reason) => Some(stop(Decision::Hold, reason)),
        Verdict::Pass | Verdict::Edit(_) => None,
    };
    if let Some(decided) = stopped {
        if decided.decision == Decision::Hold {
            shared.announce(Event::AssetHeld { id: record.key.id, reason: decided.reason.clone() });
        }
        // Where a person was faster and has released it, she has it judged again.
        shared.state.decide(decided, how.fresh).await?;
        return Ok(Outcome::Passes(None));
    }
    if let Some(before) = before.filter(|_| overruled.is_empty())
        && !shared.state.undecide(before).await?
        && shared.state.decision(record.key.id, Way::Push).await?.is_some_and(|stands| stands.decider == HAND)
    {
        return Ok(Outcome::Passes(None));
    }
    let outcome = match &judged.verdict {
        Verdict::Edit(edits) => withhold(shared, record, edits).await?,
        _ => Outcome::Passes(Some(document.clone())),
    };
    if let (Some(before), Outcome::Passes(Some(passed))) = (same.filter(|_| !overruled.is_empty()), &outcome)
        && !release(shared, before, passed.digest()).await?
    {
        return Ok(Outcome::Passes(None));
    }
    if let Outcome::Passes(Some(passed)) = &outcome
        && passed.digest() != version
    {
        let question = Question { shown: Shown::Shared(passed), ..question };
        judge::stands_for(shared, &judged, question).await;
    }
    Ok(outcome)
}

/// Has a release stand for the version that is passed on, which an edit may have made; tells whether it stands: a person
/// may have refused the asset meanwhile.
async fn release(shared: &Shared, before: &Decided, edition: Digest) -> Result<bool, FeedError> {
    let released = Decided {
        decision: Decision::Pass,
        by: HAND.to_owned(),
        standing: Standing::Firm,
        reason: RELEASED.to_owned(),
        version: edition,
        ..before.clone()
    };
    Ok(released == *before || shared.state.decide(released, false).await?)
}

/// Tells whether this version of an asset is passed on already.
fn is_passed(shared: &Shared, record: &Record) -> bool {
    let key = record.key;
    let version = Item::new(key.timestamp, key.id, &record.document.shared().digest());
    shared.replica().passes(key.timestamp, &key.id) == Some(version)
}

fn decided(record: &Record, judged: &Judged, decision: Decision, reason: &str) -> Decided {
    Decided {
        key: record.key,
        way: Way::Push,
        point: Point::BeforePush,
        decision,
        decider: judged.decider(),
        by: judged.by.clone(),
        standing: judged.standing,
        reason: reason.to_owned(),
        version: record.document.shared().digest(),
        at_ms: now_ms(),
        overruled: BTreeSet::new(),
    }
}

/// Applies a before-push edit to what was made here and was not shared yet.
async fn withhold(shared: &Shared, record: &Record, edits: &Changes) -> Result<Outcome, FeedError> {
    if is_passed(shared, record) {
        // Its values are with others already, under the stamps they have.
        return Ok(Outcome::Passes(Some(record.document.shared().clone())));
    }
    let (host, here) = (shared.host, record.origin == Origin::Here);
    let ours = move |_: &str, field: &Field| field.stamp.host() == host || (field.stamp.is_zero() && here);
    let judged = record.document.clone();
    let mut withheld = judged.clone();
    withheld.withhold(edits, ours);
    let edit = {
        let withheld = withheld.clone();
        Box::new(move |document: &mut LocalDocument| {
            if *document == judged {
                *document = withheld;
            }
        })
    };
    let edited = shared.store.edit(&record.key.id, edit).await?;
    Ok(match edited {
        Some(edited) if edited.document == withheld && edited.presence.is_here() => {
            Outcome::Passes(Some(withheld.into_shared()))
        }
        // A version came meanwhile that nobody has judged.
        _ => Outcome::Outdated,
    })
}

/// Lays the edits of today's plugins over an asset that came from a peer. What is stored stays, whatever they say.
async fn receive_again(
    shared: &Shared,
    record: &Record,
    sender: Option<HostId>,
    how: How,
    deciders: &mut Deciders<'_>,
) -> Result<(), FeedError> {
    if record.origin != Origin::Peer || !record.presence.is_here() {
        return Ok(());
    }
    let question = Question {
        point: Point::AfterReceive,
        key: record.key,
        shown: Shown::Local(&record.document),
        peer: sender,
        occasion: how.occasion,
        content: Source::Store,
        fresh: how.fresh,
        overruled: &[],
    };
    let judged = judge::ask(shared, question).await;
    deciders.heard(Point::AfterReceive, &judged);
    match judged.verdict {
        Verdict::Pass => {}
        Verdict::Edit(edits) => {
            let judged = record.document.clone();
            let edit = Box::new(move |document: &mut LocalDocument| {
                if *document == judged {
                    document.lay(&edits);
                }
            });
            shared.store.edit(&record.key.id, edit).await?;
        }
        Verdict::Drop(reason) | Verdict::Hold(reason) => {
            tracing::debug!(asset = %record.key.id.fmt_short(), reason, "an asset that is stored stays");
        }
    }
    Ok(())
}
