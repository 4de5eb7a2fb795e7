//! Following the service: events, listings from the cursor, sweeps.
//!
//! Two tasks. `events` reads the event stream, opens it again when it ends, and tells `follow` which assets to look at;
//! while `follow` is busy it waits, and so does the service. `follow` does all the work, one thing after the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio::time::interval_at;

use super::ServiceError;
use super::Shared;
use super::client::Pieces;
use super::notice::Swept;
use super::table;
use crate::asset::AssetId;
use crate::database::DatabaseError;
use crate::limits;
use crate::task::Backoff;
use crate::task::Group;
use crate::telemetry::causes;

/// The service could not be followed, or what it said could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A hint from the event stream.
enum Hint {
    /// This asset is new or was changed.
    Look(AssetId),
    /// Something may have been missed.
    List,
}

/// Starts both tasks.
pub(super) fn start(group: &Group, shared: &Arc<Shared>, swept: Swept, poll: Duration, sweep: Duration) {
    let (hints, hinted) = mpsc::channel(limits::SERVICE_BATCH);
    let listening = Arc::clone(shared);
    group.spawn_until_cancelled("events", async move { events(&listening, &hints).await });
    let following = Arc::clone(shared);
    group.spawn_until_cancelled("follow", async move { follow(&following, hinted, swept, poll, sweep).await });
}

/// Works off hints and keeps to the clock. A step that failed is caught up by the next listing.
async fn follow(shared: &Shared, mut hinted: mpsc::Receiver<Hint>, mut swept: Swept, poll: Duration, sweep: Duration) {
    let now = tokio::time::Instant::now();
    let (mut polls, mut sweeps) = (interval_at(now + poll, poll), interval_at(now + sweep, sweep));
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut put_off = std::mem::take(&mut swept.put_off);
    // Contents to be read, and those that broke off and wait until they are due.
    let mut unread: BTreeSet<AssetId> = std::mem::take(&mut swept.unread).into_iter().collect();
    let mut broken: BTreeSet<AssetId> = BTreeSet::new();
    let mut cursor = swept.cursor;
    let mut failed = false;
    loop {
        let waits = |id: &AssetId| shared.unreadable.lock().pausing(id).is_some();
        unread.extend(broken.extract_if(.., |id| !waits(id)));
        // Some at a time, so that what happens meanwhile and the clock have their turn.
        let some: Vec<AssetId> = std::iter::from_fn(|| unread.pop_first()).take(limits::SERVICE_BATCH).collect();
        if !some.is_empty() {
            match shared.read_contents(&some).await {
                // What merely waits for its turn is found by the next listing.
                Ok(again) => broken.extend(again),
                Err(error) => {
                    tell(&error);
                    failed = true;
                    unread.extend(some);
                }
            }
        }
        // A service that failed is asked again by the clock, and not for each of them.
        let due = match std::mem::take(&mut failed) {
            true => None,
            false if !unread.is_empty() => Some(Duration::ZERO),
            false => shared.unreadable.lock().next(broken.iter().chain(&put_off)),
        };
        let mut batch = Vec::new();
        let step = tokio::select! {
            1.. = hinted.recv_many(&mut batch, limits::SERVICE_BATCH) => Step::Hints,
            _ = polls.tick() => Step::Poll,
            _ = sweeps.tick() => Step::Sweep,
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => Step::Again,
        };
        let listed = match step {
            Step::Again => {
                let is_due = |id: &&AssetId| shared.unreadable.lock().pausing(id).is_none();
                let ids: Vec<AssetId> = put_off.iter().filter(is_due).copied().collect();
                look(shared, &ids, cursor).await
            }
            Step::Hints if !batch.iter().any(|hint| matches!(hint, Hint::List)) => {
                let mut ids: Vec<AssetId> = batch
                    .iter()
                    .filter_map(|hint| match hint {
                        Hint::Look(id) => Some(*id),
                        Hint::List => None,
                    })
                    .collect();
                ids.sort_unstable();
                ids.dedup();
                look(shared, &ids, cursor).await
            }
            Step::Hints | Step::Poll => shared.poll(cursor).await,
            Step::Sweep => shared.sweep().await,
        };
        let late = match listed {
            Ok(swept) => {
                cursor = swept.cursor;
                unread.extend(swept.unread);
                put_off.extend(swept.put_off);
                put_off.sort_unstable();
                put_off.dedup();
                put_off.retain(|id| shared.unreadable.lock().is_untold(id));
                if matches!(step, Step::Hints | Step::Again) { Ok(()) } else { write_late(shared).await }
            }
            Err(error) => Err(error),
        };
        if let Err(error) = late {
            tell(&error);
            failed = true;
        }
    }
}

enum Step {
    Hints,
    Poll,
    Sweep,
    /// Something that could not be read is due again; contents are read before the next step.
    Again,
}

async fn look(shared: &Shared, ids: &[AssetId], cursor: u64) -> Result<Swept, FollowError> {
    let looked = shared.look(ids).await?;
    Ok(Swept { cursor, unread: looked.unknown, put_off: looked.put_off })
}

/// Writes documents that could not be written when they changed.
async fn write_late(shared: &Shared) -> Result<(), FollowError> {
    let mut after = AssetId::from_bytes([0; 32]);
    loop {
        let from = after;
        let read = move |connection: &rusqlite::Connection| table::waiting(connection, &from, limits::SERVICE_BATCH);
        let ids = shared.index.read(read).await?;
        let Some(last) = ids.last() else { return Ok(()) };
        after = *last;
        shared.look(&ids).await?;
    }
}

fn tell(error: &FollowError) {
    tracing::warn!(error = %causes(error), "the can service could not be followed; the next listing tries again");
}

/// Reads events for ever, with pauses that grow while the service does not answer.
async fn events(shared: &Shared, hints: &mpsc::Sender<Hint>) {
    let mut pauses = Backoff::new(limits::SERVICE_PAUSE, limits::SERVICE_PAUSE_MOST);
    let mut last = None;
    loop {
        match shared.client.events(last.as_deref()).await {
            Ok(pieces) => {
                if hints.send(Hint::List).await.is_err() {
                    return;
                }
                let mut events = std::pin::pin!(bounded(pieces).eventsource());
                while let Some(event) = events.next().await {
                    let event = match event {
                        Ok(event) => event,
                        Err(error) => {
                            tracing::debug!(%error, "event stream of the can service broke off");
                            break;
                        }
                    };
                    pauses.reset();
                    if !event.id.is_empty() {
                        last = Some(event.id);
                    }
                    let hint = serde_json::from_str(&event.data).ok().and_then(|data: Data| data.hash.parse().ok());
                    if hints.send(hint.map_or(Hint::List, Hint::Look)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => tracing::debug!(error = %causes(&error), "event stream of the can service is not open"),
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

/// The part of an event that counts.
#[derive(Deserialize)]
struct Data {
    hash: String,
}

/// Ends a stream of events when one event grows beyond its limit.
fn bounded(pieces: Pieces) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    let start = (pieces, 0_usize, false, false);
    stream::unfold(start, |(mut pieces, mut length, mut ended_line, failed)| async move {
        if failed {
            return None;
        }
        let piece = match pieces.next().await? {
            Ok(piece) => piece,
            Err(error) => return Some((Err(std::io::Error::other(error)), (pieces, length, ended_line, true))),
        };
        for byte in &piece {
            length += 1;
            match byte {
                b'\n' if ended_line => length = 0,
                b'\n' => ended_line = true,
                b'\r' => {}
                _ => ended_line = false,
            }
            if length > limits::SERVICE_EVENT_BYTES {
                let text = format!("an event is longer than {} bytes", limits::SERVICE_EVENT_BYTES);
                return Some((Err(std::io::Error::other(text)), (pieces, length, ended_line, true)));
            }
        }
        Some((Ok(piece), (pieces, length, ended_line, false)))
    })
}
