//! Writes down what peers are known to have, one note after the other, so that a later one never loses to an earlier.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::push;
use super::shared::Shared;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Digest;
use crate::asset::Document;
use crate::asset::HostId;
use crate::asset::Timestamp;
use crate::hook::BoxFuture;
use crate::limits;
use crate::state::Refusal;
use crate::state::StateError;
use crate::state::Way;
use crate::store::Record;
use crate::sync::Input;
use crate::sync::Offer;
use crate::sync::exception;
use crate::task::now_ms;
use crate::telemetry::causes;

/// Something to remember or to forget.
#[derive(Debug)]
pub(super) enum Note {
    /// A peer has this version.
    Remember { peer: HostId, offer: Offer, replaces: bool },
    /// A peer has no version of these.
    Forget { peer: HostId, assets: Vec<(Timestamp, AssetId)> },
    /// A peer turned this down, or has it now.
    Refused { peer: HostId, asset: AssetId, refusal: Option<Refusal> },
}

impl Note {
    /// Returns the bytes it takes while it waits, nearly.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Remember { offer, .. } => offer.bytes(),
            Self::Forget { assets, .. } => size_of_val(&**assets),
            Self::Refused { refusal, .. } => refusal.as_ref().map_or(0, |refusal| refusal.reason.len()),
        }
    }
}

pub(super) async fn run(shared: Arc<Shared>, token: CancellationToken, mut notes: mpsc::Receiver<Note>) {
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            _ = notes.recv_many(&mut batch, limits::NOTES_WRITTEN_TOGETHER) => {}
        }
        if batch.is_empty() {
            return;
        }
        shared.notes.give_back(batch.iter().map(Note::bytes).sum());
        write(&shared, batch).await;
    }
}

/// Writes notes down: those about different assets at once, those about one in their order.
async fn write(shared: &Shared, notes: Vec<Note>) {
    let mut together: Vec<BoxFuture<'_, ()>> = Vec::new();
    let (mut about, mut refused) = (HashSet::new(), HashMap::new());
    for note in notes {
        match note {
            Note::Remember { peer, offer, replaces } => {
                if !about.insert((peer, offer.key.id)) {
                    join_all(together.drain(..)).await;
                    about = HashSet::from([(peer, offer.key.id)]);
                }
                together.push(Box::pin(async move {
                    let key = offer.key;
                    let version = remember(shared, peer, key, offer.document, replaces).await;
                    tell(shared, peer, key.timestamp, key.id, version).await;
                }));
            }
            Note::Refused { peer, asset, refusal } => {
                refused.insert((peer, asset), refusal);
            }
            Note::Forget { peer, assets } => {
                join_all(together.drain(..)).await;
                about.clear();
                for assets in assets.chunks(limits::NOTES_WRITTEN_TOGETHER) {
                    join_all(assets.iter().map(|(timestamp, asset)| async move {
                        let forgotten = shared.state.forget(peer, *asset).await;
                        tell(shared, peer, *timestamp, *asset, forgotten.map(|()| None)).await;
                    }))
                    .await;
                }
            }
        }
    }
    // The latest of each counts.
    together.extend(refused.into_iter().map(|((peer, asset), refusal)| -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = shared.state.keep_refusal(peer, asset, refusal).await {
                tracing::warn!(error = %causes(&error), "what a peer turned down could not be kept");
            }
        })
    }));
    join_all(together).await;
}

/// Returns the versions in the set towards a peer that differ from what is passed on to it.
pub(super) async fn exceptions(shared: &Shared, peer: HostId, passes: bool) -> Vec<(Timestamp, AssetId, Digest)> {
    shared.early.forget(peer);
    let (mut exceptions, mut after) = (Vec::new(), None);
    loop {
        let known = match shared.state.known_of_peer(peer, after, limits::PAGE_ROWS).await {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(peer = %peer.fmt_short(), error = %causes(&error), "what a peer has could not be read");
                return exceptions;
            }
        };
        let Some(last) = known.last() else { return exceptions };
        after = Some(last.key.id);
        for known in &known {
            shared.early.note(peer, known.key.id, &known.document, now_ms());
        }
        let ids: Vec<_> = known.iter().filter(|_| passes).map(|known| known.key.id).collect();
        let records = shared.store.records(&ids).await.unwrap_or_else(|error| {
            // The sets differ then, and reconciliation shows where.
            tracing::error!(peer = %peer.fmt_short(), error = %causes(&error), "documents could not be read");
            Vec::new()
        });
        let gone = records.iter().filter(|record| !record.presence.is_here()).map(|record| record.key.id).collect();
        let decisions = shared.state.decisions(gone).await.unwrap_or_default();
        let is_lost = |record: &&Record| push::is_lost(record, decisions.get(&(record.key.id, Way::Pull)));
        let lost: HashSet<AssetId> = records.iter().filter(is_lost).map(|record| record.key.id).collect();
        let passed = records.into_iter().filter_map(|record| offered(shared, record));
        let passed: HashMap<_, _> = passed.map(|offer| (offer.key.id, offer.document)).collect();
        exceptions.extend(known.iter().filter(|known| !lost.contains(&known.key.id)).filter_map(|known| {
            let version = exception(passed.get(&known.key.id), Some(&known.document))?;
            Some((known.key.timestamp, known.key.id, version))
        }));
    }
}

/// Returns the shared document of an asset that is passed on.
pub(super) async fn passed(shared: &Shared, key: AssetKey) -> Option<Document> {
    shared.replica().passes(key.timestamp, &key.id)?;
    let record = shared.store.record(&key.id).await.ok().flatten()?;
    offered(shared, record).map(|offer| offer.document)
}

/// Returns the offer of an asset, if this version of it is passed on. One that was not judged yet is not, and the one
/// that was is no longer there to be read.
pub(super) fn offered(shared: &Shared, record: Record) -> Option<Offer> {
    let offer = Offer::new(record.key, record.document.into_shared());
    let passed = shared.replica().passes(record.key.timestamp, &record.key.id);
    (passed == Some(offer.item())).then_some(offer)
}

async fn remember(
    shared: &Shared,
    peer: HostId,
    key: AssetKey,
    document: Document,
    replaces: bool,
) -> Result<Option<Digest>, StateError> {
    // Where nothing is passed on to the peer, its set holds only what it has itself.
    let passes = if shared.flow(peer).send { passed(shared, key).await } else { None };
    let keeps = passes.clone();
    let keep = move |known: &Document| exception(keeps.as_ref(), Some(known)).is_some();
    let known = shared.state.remember(peer, key, document, replaces, keep).await?;
    if let Some(known) = &known {
        shared.early.note(peer, key.id, known, now_ms());
    }
    Ok(exception(passes.as_ref(), known.as_ref()))
}

async fn tell(
    shared: &Shared,
    peer: HostId,
    timestamp: Timestamp,
    asset: AssetId,
    version: Result<Option<Digest>, StateError>,
) {
    let version = version.unwrap_or_else(|error| {
        // The sets differ then, and the next reconciliation brings it up again.
        tracing::error!(error = %crate::telemetry::causes(&error), "what a peer has could not be remembered");
        None
    });
    shared.tell(Input::Excepted { peer, timestamp, asset, version }).await;
}
