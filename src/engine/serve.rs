//! Serving content on a bulk connection that a peer dialled.
//!
//! An id is served only if it is in the set towards that peer, passed on, and its content is here; whatever else is
//! asked for is "not here", the same as an unknown id.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::stream;

use super::shared::Shared;
use super::shared::Traffic;
use crate::asset::AssetId;
use crate::asset::HostId;
use crate::limits;
use crate::net::BulkServer;
use crate::net::FrameError;
use crate::net::Head;
use crate::net::Line;
use crate::net::Records;
use crate::net::ServedLane;
use crate::store::Content;
use crate::store::ReadError;
use crate::task::Group;
use crate::telemetry::causes;

/// Why a connection ends on which a content was to travel that may not.
const RELAYED_NOW: &str = "this content does not travel over a relay";

/// Serves all lanes of a connection until it ends.
pub(super) async fn run(shared: Arc<Shared>, group: Group, peer: HostId, mut server: BulkServer) {
    let line = server.line();
    while let Some(lane) = server.next_lane().await {
        let (shared, line) = (Arc::clone(&shared), line.clone());
        group.spawn_until_cancelled("serve", async move {
            if let Err(error) = serve(&shared, peer, &line, lane).await {
                tracing::debug!(peer = %peer.fmt_short(), error = %causes(&error), "lane ended");
            }
        });
    }
}

async fn serve(shared: &Arc<Shared>, peer: HostId, line: &Line, lane: ServedLane) -> Result<(), FrameError> {
    let ServedLane { wants, mut records } = lane;
    let wants = stream::unfold(wants, |mut wants| async move {
        let next = wants.next().await;
        next.ok().map(|want| (want, wants))
    });
    // What is asked for together is opened together, while what was opened before is sent.
    let opened = wants.ready_chunks(limits::CONTENTS_OPENED_AHEAD).map(|wanted| open(shared, peer, wanted)).buffered(2);
    let opened = opened.flat_map(stream::iter);
    let mut opened = std::pin::pin!(opened);
    let traffic = shared.traffic(peer);
    loop {
        // While more can be answered at once, small answers share a packet.
        let next = match opened.next().now_or_never() {
            Some(next) => next,
            None => {
                records.flush().await?;
                opened.next().await
            }
        };
        match next {
            None => return Ok(()),
            Some((id, None)) => records.head(Head::NotHere(id)).await?,
            // Where a peer asks for the end alone, nothing travels.
            Some((_, Some(content)))
                if content.offset < content.key.size && !shared.may_travel(peer, line, content.key.size) =>
            {
                // A peer that keeps to what was greeted does not ask; the lane ends, and it asks again later.
                line.close(RELAYED_NOW);
                return Ok(());
            }
            Some((_, Some(content))) => {
                let (id, size, offset) = (content.key.id, content.key.size, content.offset);
                // The path may change while it is sent.
                let may_travel = || shared.may_travel(peer, line, size);
                match send(shared, peer, &traffic, &mut records, content, may_travel).await? {
                    // It may have turned it down before, and says nothing when it changes its mind.
                    Sent::Whole if offset < size || size == 0 => shared.note_refusal(peer, id, None),
                    // It only asked whether it is here.
                    Sent::Whole => {}
                    Sent::BrokenOff => {}
                    Sent::Barred => {
                        line.close(RELAYED_NOW);
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Opens contents that may be served.
async fn open(shared: &Shared, peer: HostId, wanted: Vec<(AssetId, u64)>) -> Vec<(AssetId, Option<Content>)> {
    if !shared.flow(peer).send {
        return wanted.into_iter().map(|(id, _)| (id, None)).collect();
    }
    // A purge may begin and end while contents are opened, and what it has removed can still be read then.
    let purges = shared.purges.count();
    let being_purged: Vec<bool> = wanted.iter().map(|(id, _)| shared.purges.is_about(id)).collect();
    let opened = shared.store.open_all(&wanted).await.unwrap_or_else(|error| {
        tracing::warn!(error = %causes(&error), "contents cannot be served");
        Vec::new()
    });
    // In this order: one that has ended by now is counted.
    let being_purged: Vec<bool> =
        wanted.iter().zip(being_purged).map(|((id, _), before)| before || shared.purges.is_about(id)).collect();
    let still_here = if shared.purges.count() == purges { None } else { Some(here(shared, &wanted).await) };
    let opened = opened.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    let served = wanted.into_iter().zip(being_purged).zip(opened).map(|(((id, _), being_purged), opened)| {
        let content = match opened {
            Some(Err(error)) => {
                tracing::warn!(asset = %id.fmt_short(), error = %causes(&error), "content cannot be served");
                None
            }
            Some(Ok(content)) => content,
            None => None,
        };
        let passes = |content: &Content| shared.replica().passes(content.key.timestamp, &id).is_some();
        let is_purged = || {
            let is_gone = still_here.as_ref().is_some_and(|here| !here.contains(&id));
            being_purged || is_gone
        };
        (id, content.filter(|content| passes(content) && !is_purged()))
    });
    served.collect()
}

/// Returns which contents are here now.
async fn here(shared: &Shared, wanted: &[(AssetId, u64)]) -> HashSet<AssetId> {
    let ids: Vec<AssetId> = wanted.iter().map(|(id, _)| *id).collect();
    let records = shared.store.records(&ids).await.unwrap_or_default();
    records.iter().filter(|record| record.presence.is_here()).map(|record| record.key.id).collect()
}

/// How far a content was sent.
enum Sent {
    Whole,
    /// It could not be read to its end.
    BrokenOff,
    /// It may not travel any further.
    Barred,
}

/// Sends a content, as long as it may travel.
async fn send(
    shared: &Shared,
    peer: HostId,
    traffic: &Traffic,
    records: &mut Records,
    mut content: Content,
    may_travel: impl Fn() -> bool,
) -> Result<Sent, FrameError> {
    let id = content.key.id;
    records.head(Head::Content(id, content.offset)).await?;
    while let Some(piece) = content.stream.next().await {
        match piece {
            Ok(piece) => {
                for portion in traffic.sending.portions(piece) {
                    if !may_travel() {
                        return Ok(Sent::Barred);
                    }
                    if let Some(until) = traffic.sending.reserve(portion.len()) {
                        // What was gathered shows the other side meanwhile that it goes on.
                        records.flush().await?;
                        tokio::time::sleep_until(until).await;
                    }
                    traffic.sent.fetch_add(portion.len() as u64, Ordering::Relaxed);
                    records.piece(portion).await?;
                }
            }
            Err(error) => {
                tracing::error!(peer = %peer.fmt_short(), asset = %id.fmt_short(), error = %causes(&error), "content broken off");
                records.end(false).await?;
                records.flush().await?;
                if matches!(error, ReadError::Damaged(_)) {
                    set_aside(shared, id).await;
                }
                return Ok(Sent::BrokenOff);
            }
        }
    }
    records.end(true).await?;
    Ok(Sent::Whole)
}

/// Has the store look again at a content that turned out damaged: it is offered to nobody then, and counts as a copy for
/// nobody who purges theirs.
async fn set_aside(shared: &Shared, asset: AssetId) {
    if let Err(error) = shared.store.verify(&asset).await {
        tracing::error!(asset = %asset.fmt_short(), error = %causes(&error), "a damaged content could not be moved aside");
    }
}
