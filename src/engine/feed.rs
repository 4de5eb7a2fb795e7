//! Follows the store and judges every change: what of it is passed on to the library.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::hub::Told;
use super::shared::NOBODY;
use super::shared::Shared;
use super::shared::StartError;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::Digest;
use crate::asset::Document;
use crate::asset::Field;
use crate::asset::HostId;
use crate::event::Event;
use crate::hook::Asked;
use crate::hook::Occasion;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::limits;
use crate::state::Decided;
use crate::state::Decision;
use crate::state::HAND;
use crate::state::State;
use crate::state::Way;
use crate::store::Arrival;
use crate::store::Origin;
use crate::store::Record;
use crate::store::Store;
use crate::store::WriteError;
use crate::sync::Input;
use crate::sync::Item;
use crate::sync::exception;
use crate::task::Backoff;
use crate::task::now_ms;

/// Builds the items of what is passed on, and tells up to which arrival the store was judged.
///
/// What came after the last judgement is left out, and judged by the feed before it is shared. Without plugins there is
/// nothing to wait for.
pub(super) async fn items(store: &dyn Store, state: &State, decider: &str) -> Result<(Vec<Item>, Arrival), StartError> {
    let silent = decider == NOBODY;
    let judged = state.position(decider).await?.map_or(Arrival(0), Arrival);
    let kept_back: HashSet<AssetId> = state.kept_back().await?.into_iter().collect();
    let released = silent && !kept_back.is_empty();
    let (mut items, mut seen) = (Vec::new(), Arrival(0));
    loop {
        let page = store.inventory(seen, limits::INVENTORY_ROWS).await?;
        for row in &page {
            let settled = row.arrival <= judged || silent;
            if settled && row.presence.is_here() && !kept_back.contains(&row.key.id) {
                items.push(Item::new(row.key.timestamp, row.key.id, &row.document));
            }
        }
        seen = page.last().map_or(seen, |row| row.arrival);
        if page.len() < limits::INVENTORY_ROWS {
            break;
        }
    }
    // What another decider kept back is asked about again.
    let position = if silent && !released { seen } else { judged };
    Ok((items, position))
}

/// Follows the store until it is cancelled.
pub(super) async fn run(shared: Arc<Shared>, token: CancellationToken, mut position: Arrival) {
    let mut latest = shared.store.latest();
    let mut saved = position;
    let mut save = tokio::time::interval(limits::POSITION_SAVED_EVERY);
    let mut backoff = Backoff::new(limits::FEED_PAUSE, limits::FEED_PAUSE_MOST);
    loop {
        // Marked as seen before reading, so that nothing is missed in between.
        latest.mark_unchanged();
        match judge_page(&shared, position).await {
            Ok((last, full)) => {
                backoff.reset();
                position = last;
                if full {
                    continue;
                }
            }
            Err(error) => {
                tracing::warn!(error = %crate::telemetry::causes(&error), "the store cannot be followed");
                tokio::select! {
                    () = token.cancelled() => {}
                    () = tokio::time::sleep(backoff.pause()) => continue,
                }
            }
        }
        tokio::select! {
            biased;
            () = token.cancelled() => {
                save_position(&shared, position).await;
                return;
            }
            changed = latest.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            _ = save.tick() => {
                if saved != position {
                    save_position(&shared, position).await;
                    saved = position;
                }
            }
        }
    }
}

async fn save_position(shared: &Shared, position: Arrival) {
    // A position that is too low costs a second judgement, nothing else.
    if let Err(error) = shared.state.set_position(position.0, shared.decider(Point::BeforePush)).await {
        tracing::warn!(error = %crate::telemetry::causes(&error), "the position in the store could not be saved");
    }
}

/// The feed could not go on.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Read(#[from] crate::store::ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    State(#[from] crate::state::StateError),
}

/// Judges the next changes; returns up to where, and whether there may be more.
async fn judge_page(shared: &Arc<Shared>, after: Arrival) -> Result<(Arrival, bool), FeedError> {
    let records = shared.store.arrivals(after, limits::PAGE_ROWS).await?;
    let Some(last) = records.last().map(|record| record.arrival) else { return Ok((after, false)) };
    let full = records.len() == limits::PAGE_ROWS;
    let mut inputs = Vec::with_capacity(records.len());
    for record in records {
        let (key, passes) = (record.key, judge(shared, record).await?);
        let known = shared.state.known_of_asset(key.id).await?;
        let exceptions: Vec<(HostId, Option<Digest>)> =
            known.iter().map(|known| (known.peer, exception(passes.as_ref(), Some(&known.document)))).collect();
        inputs.push(Input::Passes { key, version: passes.as_ref().map(Document::digest), exceptions });
    }
    shared.tell(Told::Judged(last, inputs)).await;
    Ok((last, full))
}

/// Decides what of an asset is passed on; `None` for nothing.
async fn judge(shared: &Shared, record: Record) -> Result<Option<Document>, FeedError> {
    let document = record.document.shared();
    if !record.presence.is_here() || !shared.library.filter.takes(|| record.document.metadata()) {
        return Ok(None);
    }
    let decider = shared.decider(Point::BeforePush);
    let before = shared.state.decision(record.key.id, Way::Push).await?;
    if let Some(before) = &before {
        let same = before.decider == decider && before.version == document.digest();
        if same || before.decider == HAND {
            return Ok(None);
        }
    }
    let verdict = if decider == NOBODY {
        Verdict::Pass
    } else {
        let asked = Asked {
            point: Point::BeforePush,
            library: shared.library.name.as_str().into(),
            key: record.key,
            metadata: document.metadata(),
            peer: None,
            occasion: Occasion::Live,
            content: None,
        };
        shared.hooks.ask(&asked).await.verdict
    };
    let decided = |decision, reason| Decided {
        key: record.key,
        way: Way::Push,
        decision,
        decider: decider.clone(),
        reason,
        version: document.digest(),
        at_ms: now_ms(),
    };
    match verdict {
        Verdict::Drop(reason) => {
            shared.state.decide(decided(Decision::Drop, reason)).await?;
            return Ok(None);
        }
        Verdict::Hold(reason) => {
            shared.announce(Event::AssetHeld { id: record.key.id, reason: reason.clone() });
            shared.state.decide(decided(Decision::Hold, reason)).await?;
            return Ok(None);
        }
        Verdict::Pass | Verdict::Edit(_) => {}
    }
    if before.is_some() {
        shared.state.undecide(record.key.id, Way::Push).await?;
    }
    match verdict {
        Verdict::Edit(edits) => withhold(shared, &record, edits).await,
        _ => Ok(Some(document.clone())),
    }
}

/// Applies a before-push edit to what was made here, and returns what is passed on.
async fn withhold(shared: &Shared, record: &Record, edits: Changes) -> Result<Option<Document>, FeedError> {
    let (host, here) = (shared.host, record.origin == Origin::Here);
    let judged = record.document.clone();
    let ours = move |_: &str, field: &Field| field.stamp.host() == host || (field.stamp.is_zero() && here);
    let edit = Box::new(move |document: &mut crate::asset::LocalDocument| {
        // A version that came meanwhile is judged for itself.
        if *document == judged {
            document.withhold(&edits, ours);
        }
    });
    let edited = shared.store.edit(&record.key.id, edit).await?;
    Ok(edited.filter(|edited| edited.presence.is_here()).map(|edited| edited.document.shared().clone()))
}
