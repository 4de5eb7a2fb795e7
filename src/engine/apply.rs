//! What the hub has done about assets: loading documents to offer, deciding about offers, keeping what was fetched.

use std::collections::HashMap;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::hub::Told;
use super::memory;
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
use crate::hook::Asked;
use crate::hook::Occasion;
use crate::hook::Peer;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::limits;
use crate::state::Decided;
use crate::state::HAND;
use crate::state::StateError;
use crate::state::Way;
use crate::store::Arrival;
use crate::store::Origin;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::WriteError;
use crate::sync::Answer;
use crate::sync::Decision;
use crate::sync::Input;
use crate::sync::Kept;
use crate::sync::Offer;
use crate::sync::Received;
use crate::sync::receive;
use crate::task::now_ms;
use crate::telemetry::causes;

/// An offer could not be decided, or an asset not kept, for a reason on this host.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
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
type Fate = (Answer, Arrival);

/// Reads the documents of assets that are passed on, to offer them.
pub(super) async fn load(shared: &Shared, peer: HostId, asked: Vec<AssetId>) {
    let records = shared.store.records(&asked).await.unwrap_or_else(|error| {
        // They are offered again when the sets are compared.
        tracing::warn!(peer = %peer.fmt_short(), error = %causes(&error), "documents could not be read");
        Vec::new()
    });
    let offers = records.into_iter().filter_map(|record| memory::offered(shared, record)).collect();
    shared.tell(Input::Loaded { peer, asked, offers }).await;
}

/// Decides about offers of a peer, one after the other.
pub(super) async fn decide(shared: &Shared, peer: HostId, mut offers: Vec<Offer>) {
    while !offers.is_empty() {
        let rest = offers.split_off(offers.len().min(limits::OFFERS_DECIDED_TOGETHER));
        let ids: Vec<AssetId> = offers.iter().map(|offer| offer.key.id).collect();
        let known = shared.store.records(&ids).await;
        let known =
            known.map(|known| known.into_iter().map(|record| (record.key.id, record)).collect::<HashMap<_, _>>());
        let mut inputs = Vec::with_capacity(offers.len());
        for offer in std::mem::replace(&mut offers, rest) {
            let asset = offer.key.id;
            let Received { document, early } = receive(&offer.document, now_ms());
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
                Ok(known) => decide_one(shared, peer, &offer, document, known.get(&asset)).await,
                Err(error) => Err(ApplyError::Records(causes(error))),
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

/// Decides about one offer; `None` when its content is wanted.
async fn decide_one(
    shared: &Shared,
    peer: HostId,
    offer: &Offer,
    offered: Document,
    known: Option<&Record>,
) -> Result<Option<Fate>, ApplyError> {
    if let Err(invalid) = validate_received(&offer.document) {
        return Ok(Some((Answer::Refused(invalid.to_string()), Arrival::default())));
    }
    if let Some(record) = known.filter(|record| record.presence.is_here()) {
        return merge(shared, peer, record, offered).await.map(Some);
    }
    if let Some(answer) = decided_before(shared, offer.key, offer.version()).await? {
        return Ok(Some((answer, Arrival::default())));
    }
    if !shared.library.filter.takes(|| offered.metadata()) {
        return Ok(Some((Answer::Declined("not part of the library here".to_owned()), Arrival::default())));
    }
    match ask(shared, Point::BeforePull, peer, offer.key, &LocalDocument::from_parts(offered, [])).await {
        Verdict::Pass | Verdict::Edit(_) => Ok(None),
        verdict => stop(shared, offer.key, &offer.document, verdict).await.map(Some),
    }
}

/// Returns the answer about a version that was stopped before, unless it is to be asked about again.
async fn decided_before(shared: &Shared, key: AssetKey, offered: &Digest) -> Result<Option<Answer>, ApplyError> {
    let before = shared.state.decision(key.id, Way::Pull).await?;
    let stands = |before: &Decided| {
        let same = before.decider == shared.decider(Point::BeforePull) && before.version == *offered;
        same || before.decider == HAND
    };
    Ok(before.filter(stands).map(|before| answer_of(&before)))
}

/// Merges an offered document into that of an asset which is here.
async fn merge(shared: &Shared, peer: HostId, record: &Record, offered: Document) -> Result<Fate, ApplyError> {
    if record.document.shared().includes(&offered) {
        return Ok((Answer::Stored, record.arrival));
    }
    if let Some(answer) = decided_before(shared, record.key, &offered.digest()).await? {
        return Ok((answer, Arrival::default()));
    }
    let mut merged = record.document.clone();
    merged.merge(&offered);
    let edits = match ask(shared, Point::AfterReceive, peer, record.key, &merged).await {
        Verdict::Pass => Changes::new(),
        Verdict::Edit(edits) => edits,
        verdict => return stop(shared, record.key, &offered, verdict).await,
    };
    shared.state.undecide(record.key.id, Way::Pull).await?;
    let edit = Box::new(move |document: &mut LocalDocument| {
        document.merge(&offered);
        document.lay(&edits);
    });
    let edited = shared.store.edit(&record.key.id, edit).await?;
    shared.announce(Event::AssetStored { id: record.key.id, from: Some(peer) });
    Ok((Answer::Stored, edited.map_or(record.arrival, |edited| edited.arrival)))
}

/// Takes what peers are known to have and was stamped too far ahead when it came, once its time has come.
pub(super) async fn take_early(shared: &Shared) {
    let peers: Vec<HostId> = shared.connected.iter().map(|entry| *entry.key()).collect();
    for peer in peers {
        if let Err(error) = take_early_of(shared, peer).await {
            tracing::warn!(peer = %peer.fmt_short(), error = %causes(&error), "early changes could not be taken");
        }
    }
}

async fn take_early_of(shared: &Shared, peer: HostId) -> Result<(), ApplyError> {
    for known in shared.state.known_of_peer(peer).await? {
        if memory::passed(shared, known.key).await.is_none() {
            continue;
        }
        let ripe = receive(&known.document, now_ms()).document;
        if let Some(record) = shared.store.record(&known.key.id).await? {
            merge(shared, peer, &record, ripe).await?;
        }
    }
    Ok(())
}

/// Stores fetched contents, each with all versions that were offered for it.
pub(super) async fn keep(shared: &Shared, fetched: Vec<(AssetKey, Vec<(HostId, Offer)>)>) {
    let keeping: FuturesUnordered<_> = fetched
        .into_iter()
        .map(|(key, offers)| async move {
            let (outcome, arrival) = match keep_one(shared, key, &offers).await {
                Ok((answer, arrival)) => (Kept::Answer(answer), arrival),
                Err(error) => {
                    tracing::error!(asset = %key.id.fmt_short(), error = %causes(&error), "a received asset could not be stored");
                    (Kept::Failed, Arrival::default())
                }
            };
            (arrival, Input::Kept { asset: key.id, outcome })
        })
        .collect();
    // What is stored by one commit is told together.
    let mut kept = keeping.ready_chunks(limits::NEWS_TOGETHER);
    while let Some(inputs) = kept.next().await {
        shared.tell(Told::Inputs(inputs)).await;
    }
}

async fn keep_one(shared: &Shared, key: AssetKey, offers: &[(HostId, Offer)]) -> Result<Fate, ApplyError> {
    let Some((_, spooled)) = shared.arrived.remove(&key.id) else {
        // It was taken by a try that failed; what is left of it is fetched again.
        return Err(ReadError::Closed.into());
    };
    let from = offers.first().map_or(shared.host, |(peer, _)| *peer);
    let mut shared_document = Document::new();
    let mut edits = Changes::new();
    for (_, offer) in offers {
        shared_document.merge(&receive(&offer.document, now_ms()).document);
    }
    let document = LocalDocument::from_parts(shared_document.clone(), []);
    if let Verdict::Edit(before_pull) = ask(shared, Point::BeforePull, from, key, &document).await {
        edits = before_pull;
    }
    let mut seen = document.clone();
    seen.lay(&edits);
    let received = match ask(shared, Point::AfterReceive, from, key, &seen).await {
        Verdict::Pass => Changes::new(),
        Verdict::Edit(edits) => edits,
        verdict => return stop(shared, key, document.shared(), verdict).await,
    };
    shared.state.undecide(key.id, Way::Pull).await?;
    let edit = Box::new(move |document: &mut LocalDocument| {
        document.merge(&shared_document);
        document.lay(&edits);
        document.lay(&received);
    });
    let record = shared.store.put(spooled, Origin::Peer, edit).await?;
    shared.announce(Event::AssetStored { id: key.id, from: Some(from) });
    Ok((Answer::Stored, record.arrival))
}

/// Tells how far the latest field of a document is ahead that is not taken yet, in milliseconds.
fn ahead_ms(early: &Document) -> Option<u64> {
    let now = now_ms();
    early.iter().map(|(_, field)| field.stamp.millis().saturating_sub(now)).max()
}

async fn ask(shared: &Shared, point: Point, peer: HostId, key: AssetKey, document: &LocalDocument) -> Verdict {
    if shared.hooks.chain(point, &shared.library.name).is_none() {
        return Verdict::Pass;
    }
    let name = shared.connected.get(&peer).map_or_else(String::new, |connected| connected.name.clone());
    let asked = Asked {
        point,
        library: shared.library.name.as_str().into(),
        key,
        metadata: document.metadata(),
        peer: Some(Peer { id: peer, name }),
        occasion: Occasion::Live,
        content: None,
    };
    shared.hooks.ask(&asked).await.verdict
}

/// Writes down a verdict that stops an asset on its way in.
async fn stop(shared: &Shared, key: AssetKey, document: &Document, verdict: Verdict) -> Result<Fate, ApplyError> {
    let (decision, reason) = match verdict {
        Verdict::Hold(reason) => {
            shared.announce(Event::AssetHeld { id: key.id, reason: reason.clone() });
            (crate::state::Decision::Hold, reason)
        }
        Verdict::Drop(reason) => (crate::state::Decision::Drop, reason),
        Verdict::Pass | Verdict::Edit(_) => return Ok((Answer::Stored, Arrival::default())),
    };
    let decided = Decided {
        key,
        way: Way::Pull,
        decision,
        decider: shared.decider(Point::BeforePull),
        reason,
        version: document.digest(),
        at_ms: now_ms(),
    };
    let answer = answer_of(&decided);
    shared.state.decide(decided).await?;
    Ok((answer, Arrival::default()))
}

fn answer_of(decided: &Decided) -> Answer {
    match decided.decision {
        crate::state::Decision::Drop => Answer::Declined(decided.reason.clone()),
        crate::state::Decision::Hold => Answer::Held(decided.reason.clone()),
    }
}
