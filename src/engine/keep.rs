//! Storing what was fetched, each content with all versions that were offered for it.

use std::borrow::Cow;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::apply::ApplyError;
use super::apply::Fate;
use super::apply::OUTSIDE;
use super::apply::answer_of;
use super::apply::let_in;
use super::apply::occasion;
use super::apply::stop;
use super::apply::take;
use super::hub::Told;
use super::judge;
use super::judge::Question;
use super::judge::Shown;
use super::judge::Source;
use super::purge::PURGED;
use super::shared::Shared;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::event::Event;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::limits;
use crate::state::Decided;
use crate::state::HAND;
use crate::state::Wanted;
use crate::state::Way;
use crate::store::Arrival;
use crate::store::Origin;
use crate::store::ReadError;
use crate::store::Spooled;
use crate::sync::Answer;
use crate::sync::Input;
use crate::sync::Kept;
use crate::sync::Offer;
use crate::telemetry::causes;

/// Stores fetched contents, each with all versions that were offered for it.
pub(super) async fn keep(shared: &Shared, fetched: Vec<(AssetKey, Vec<(HostId, Offer)>)>) {
    // Whatever comes of this, none stays behind: it could not be fetched again as long as it did.
    let fetched: Vec<_> = fetched
        .into_iter()
        .map(|(key, offers)| (key, offers, shared.arrived.remove(&key.id).map(|(_, spooled)| spooled)))
        .collect();
    let purges = shared.purges.count();
    let ids: Vec<AssetId> = fetched.iter().map(|(key, ..)| key.id).collect();
    let wanted = fetched.iter().filter_map(|(key, offers, _)| Some((key.id, Wanted::From(offers.first()?.0))));
    judge::read(shared, &[Point::AfterReceive], wanted).await;
    let decisions = shared.state.decisions(ids).await;
    let decisions = &decisions;
    let keeping: FuturesUnordered<_> = fetched
        .into_iter()
        .map(|(key, offers, spooled)| async move {
            let kept = match (decisions, spooled) {
                (Ok(decisions), Some(spooled)) => {
                    keep_one(shared, spooled, &offers, decisions.get(&(key.id, Way::Pull)), purges).await
                }
                (Err(error), spooled) => {
                    if let Some(spooled) = spooled {
                        spooled.leave();
                    }
                    Err(ApplyError::Records(causes(error)))
                }
                // It was taken by a try that failed; what is left of it is fetched again.
                (Ok(_), None) => Err(ReadError::Closed.into()),
            };
            let (outcome, arrival) = match kept {
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

async fn keep_one(
    shared: &Shared,
    spooled: Spooled,
    offers: &[(HostId, Offer)],
    before: Option<&Decided>,
    purges: u64,
) -> Result<Fate, ApplyError> {
    // What was offered is a claim; this was hashed.
    let key = spooled.key();
    // A person has refused it while it came.
    if let Some(before) = before.filter(|before| before.decider == HAND) {
        return Ok((answer_of(before), Arrival::default()));
    }
    let from = offers.first().map_or(shared.host, |(peer, _)| *peer);
    let taken = offers.iter().map(|(_, offer)| take(offer).document);
    let merged = taken.reduce(|mut merged, document| {
        merged.merge(&document);
        merged
    });
    let merged = merged.unwrap_or_default();
    // What one peer offers is remembered by what it offered, which is what it is compared with.
    let offered = if let [(_, offer)] = offers { offer.version() } else { merged.digest() };
    let same = before.filter(|before| {
        before.decider == shared.decider(before.point)
            && offers.iter().any(|(_, offer)| offer.version() == before.version)
    });
    let overruled_at = |point| same.map(|before| before.overruled_at(point)).unwrap_or_default();
    // It was wanted without a look at it where this host could not decide.
    if !shared.library.filter.takes(|| merged.metadata()) {
        return Ok((Answer::Declined(OUTSIDE.to_owned()), Arrival::default()));
    }
    let document = LocalDocument::from_parts(merged, []);
    let (peer, occasion, fresh) = (Some(from), occasion(shared, from), false);
    let (shown, content) = (Shown::Local(&document), Source::Nowhere);
    let (point, overruled) = (Point::BeforePull, overruled_at(Point::BeforePull));
    let overruled = &overruled[..];
    let question = Question { point, key, shown, peer, occasion, content, fresh, overruled };
    let judged = judge::ask(shared, question).await;
    let edits = match judged.verdict {
        Verdict::Edit(edits) => edits,
        // Several peers had offered different versions, or the plugins are others now.
        Verdict::Drop(_) | Verdict::Hold(_) => return stop(shared, point, key, offered, same, judged).await,
        Verdict::Pass => Changes::new(),
    };
    let mut seen = Cow::Borrowed(&document);
    if !edits.is_empty() {
        seen.to_mut().lay(&edits);
    }
    let (shown, content) = (Shown::Local(&seen), Source::Spooled(&spooled));
    let (point, overruled) = (Point::AfterReceive, overruled_at(Point::AfterReceive));
    let overruled = &overruled[..];
    let question = Question { point, key, shown, peer, occasion, content, fresh, overruled };
    let judged = judge::ask(shared, question).await;
    let received = match judged.verdict {
        Verdict::Edit(edits) => edits,
        Verdict::Drop(_) | Verdict::Hold(_) => return stop(shared, point, key, offered, same, judged).await,
        Verdict::Pass => Changes::new(),
    };
    let Some(_apart) = shared.purges.keep_off(shared, key.id, purges).await? else {
        return Ok((Answer::Declined(PURGED.to_owned()), Arrival::default()));
    };
    if let Some(answer) = let_in(shared, before).await? {
        return Ok((answer, Arrival::default()));
    }
    let edit = Box::new(move |stored: &mut LocalDocument| {
        stored.merge(document.shared());
        stored.lay(&edits);
        stored.lay(&received);
    });
    let record = shared.store.put(spooled, Origin::Peer, edit).await?;
    shared.announce(Event::AssetStored { id: key.id, from: Some(from) });
    Ok((Answer::Stored, record.arrival))
}
