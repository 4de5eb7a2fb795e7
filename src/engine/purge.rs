//! Purging: a person removes an asset from this host for good. Others keep theirs, and this one declines it from then on.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::MutexGuard;
use tokio::sync::Mutex;
use tokio::sync::RwLock;
use tokio::sync::RwLockReadGuard;
use tokio::sync::oneshot;

use super::apply::ApplyError;
use super::feed::FeedError;
use super::shared::Engine;
use super::shared::Shared;
use super::shared::StartError;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::HostId;
use crate::hook::Point;
use crate::hook::Standing;
use crate::limits;
use crate::net::FrameError;
use crate::net::Head;
use crate::net::Line;
use crate::net::Piece;
use crate::state::Decided;
use crate::state::Decision;
use crate::state::DecisionMark;
use crate::state::HAND;
use crate::state::PURGE;
use crate::state::State;
use crate::state::StateError;
use crate::state::Way;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::Store;
use crate::store::WriteError;
use crate::task::now_ms;
use crate::telemetry::causes;

/// The reason that is given for what was purged.
pub(super) const PURGED: &str = "purged by hand";

/// An asset could not be purged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// There is nothing to purge.
    #[error("asset {0} is not in the store of this host; check the hash")]
    NotHere(AssetId),
    /// Nobody else is known to hold its content.
    #[error(
        "no connected device has asset {0} to give, so this may be its last copy; connect one that has it, or purge it \
         as the last copy (`--last-copy`)"
    )]
    LastCopy(AssetId),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The state could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Keeps purges apart from each other, and from what would store the asset again.
#[derive(Debug, Default)]
pub(super) struct Purges {
    /// One after the other.
    turn: Mutex<()>,
    /// What is being purged. Nobody is told that it is here: two hosts that each purge it as something the other has
    /// would lose it.
    about: parking_lot::Mutex<Option<AssetId>>,
    /// How many there were.
    count: AtomicU64,
    /// Each for a part of the assets: held while one of them is removed and, to read, while one is stored.
    locks: [RwLock<()>; 16],
}

/// Has nobody told any longer that an asset is being purged, however that ends.
struct About<'a>(&'a Purges);

impl Drop for About<'_> {
    fn drop(&mut self) {
        *self.0.about() = None;
    }
}

impl Purges {
    /// Tells how many there were, to be looked at before decisions are.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Keeps purges away while an asset is stored or changed whose decision was read when there were `before` of them;
    /// `None` when it was purged since.
    pub(super) async fn keep_off(
        &self,
        shared: &Shared,
        asset: AssetId,
        before: u64,
    ) -> Result<Option<RwLockReadGuard<'_, ()>>, ApplyError> {
        let apart = self.lock(&asset).read().await;
        let purged = self.count() != before
            && shared.state.decision(asset, Way::Pull).await?.is_some_and(|decided| decided.is_purged())
            && !is_here(shared, &asset).await?;
        Ok((!purged).then_some(apart))
    }

    /// Tells whether an asset is being purged.
    pub(super) fn is_about(&self, asset: &AssetId) -> bool {
        *self.about() == Some(*asset)
    }

    fn begin(&self, asset: AssetId) -> About<'_> {
        *self.about() = Some(asset);
        About(self)
    }

    fn about(&self) -> MutexGuard<'_, Option<AssetId>> {
        self.about.lock()
    }

    fn lock(&self, asset: &AssetId) -> &RwLock<()> {
        &self.locks[usize::from(asset.as_bytes()[0]) % self.locks.len()]
    }
}

async fn is_here(shared: &Shared, asset: &AssetId) -> Result<bool, ReadError> {
    Ok(shared.store.record(asset).await?.is_some_and(|record| record.presence.is_here()))
}

/// Takes a purge back where the asset was stored after it: the later wish counts.
pub(super) async fn take_back(shared: &Shared, purged: &Decided) -> Result<(), FeedError> {
    let _apart = shared.purges.lock(&purged.key.id).read().await;
    if is_here(shared, &purged.key.id).await? {
        shared.state.undecide(purged).await?;
    }
    Ok(())
}

/// Takes purges back that a crash has cut off, and those of assets that were stored again and not judged since.
pub(super) async fn settle(store: &dyn Store, state: &State) -> Result<(), StartError> {
    let mut after = None;
    loop {
        let page = state.list_decisions(Decision::Drop, after, limits::PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(DecisionMark { at_ms: last.at_ms, asset: last.key.id, way: last.way });
        let purged: Vec<Decided> = page.into_iter().filter(Decided::is_purged).collect();
        let ids: Vec<AssetId> = purged.iter().map(|decided| decided.key.id).collect();
        let records = store.records(&ids).await?;
        let here: HashSet<AssetId> =
            records.iter().filter(|record| record.presence.is_here()).map(|record| record.key.id).collect();
        for decided in purged.iter().filter(|decided| here.contains(&decided.key.id)) {
            state.undecide(decided).await?;
        }
    }
}

impl Engine {
    /// Removes content and metadata of an asset from this host and declines it from then on, until a person releases it
    /// or stores it again. Unless `last_copy`, a connected peer must have its content to give. Doing it twice is doing
    /// it once, and what was begun ends, whoever waits.
    ///
    /// # Errors
    /// [`PurgeError`] when it is not here, or may be the last copy, or store or state cannot be used.
    pub async fn purge(&self, asset: AssetId, last_copy: bool) -> Result<(), PurgeError> {
        let (engine, (told, done)) = (self.clone(), oneshot::channel());
        self.group.spawn("purge", async move {
            let _turn = engine.shared.purges.turn.lock().await;
            let purged = engine.purge_now(asset, last_copy).await;
            // Whoever asked may have gone.
            let _ = told.send(purged);
        });
        done.await.unwrap_or(Err(PurgeError::Write(WriteError::Closed)))
    }

    async fn purge_now(&self, asset: AssetId, last_copy: bool) -> Result<(), PurgeError> {
        let shared = &self.shared;
        match shared.store.record(&asset).await? {
            Some(record) => {
                let _about = shared.purges.begin(asset);
                if record.presence.is_here() && !last_copy && !self.is_held_elsewhere(&record.key).await {
                    return Err(PurgeError::LastCopy(asset));
                }
                self.remove(&record).await?;
            }
            None if shared.state.decision(asset, Way::Pull).await?.is_some_and(|before| before.is_purged()) => {}
            None => return Err(PurgeError::NotHere(asset)),
        }
        self.judge_again(vec![asset], false).await;
        // Nothing is left to be kept back; what a person said about passing it on stands for when it comes again.
        if let Some(kept_back) = shared.state.decision(asset, Way::Push).await?.filter(|before| before.decider != HAND)
        {
            shared.state.undecide(&kept_back).await?;
        }
        tracing::info!(asset = %asset.fmt_short(), "purged by hand");
        Ok(())
    }

    /// Declines an asset and removes it from the store.
    async fn remove(&self, record: &Record) -> Result<(), PurgeError> {
        let (shared, asset) = (&self.shared, record.key.id);
        let _alone = shared.purges.lock(&asset).write().await;
        let decided = Decided {
            key: record.key,
            way: Way::Pull,
            point: Point::BeforePull,
            decision: Decision::Drop,
            decider: HAND.to_owned(),
            by: PURGE.to_owned(),
            standing: Standing::Firm,
            reason: PURGED.to_owned(),
            version: record.document.shared().digest(),
            at_ms: now_ms(),
            overruled: BTreeSet::new(),
        };
        let before = shared.state.decision(asset, Way::Pull).await?;
        // Before it is gone, so that no crash in between has it fetched again.
        shared.state.decide(decided.clone(), true).await?;
        let removed = shared.store.purge(&asset).await;
        // At the end, so that it is not counted by who saw only a part of it.
        shared.purges.count.fetch_add(1, Ordering::SeqCst);
        if let Err(error) = removed {
            // It is here still, and so is what was decided about it.
            let undone = match before {
                Some(before) => shared.state.decide(before, true).await,
                None => shared.state.undecide(&decided).await,
            };
            if let Err(error) = undone {
                tracing::warn!(asset = %asset.fmt_short(), error = %causes(&error), "a purge that failed is listed as done");
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// Asks all connected peers whether they have a content to give.
    async fn is_held_elsewhere(&self, key: &AssetKey) -> bool {
        let lines: Vec<(HostId, Line)> =
            self.shared.connected.iter().map(|entry| (*entry.key(), entry.value().line.clone())).collect();
        let mut asking: FuturesUnordered<_> = lines
            .into_iter()
            .map(|(peer, line)| async move {
                let answer = tokio::time::timeout(limits::STALL, has(&line, key)).await;
                (peer, answer.unwrap_or(Err(FrameError::Ended)))
            })
            .collect();
        while let Some((peer, answer)) = asking.next().await {
            match answer {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(peer = %peer.fmt_short(), error = %causes(&error), "a peer does not say what it has");
                }
            }
        }
        false
    }
}

/// Asks a peer for the end of a content, behind its last byte: it answers as it would to whoever fetches it, and nothing
/// travels.
pub(super) async fn has(line: &Line, key: &AssetKey) -> Result<bool, FrameError> {
    let (mut wants, mut replies) = line.open_lane().await?;
    wants.want(&key.id, key.size).await?;
    wants.flush().await?;
    let there = match replies.head().await? {
        Head::Content(id, offset) => id == key.id && offset == key.size,
        Head::NotHere(_) => false,
    };
    Ok(there && matches!(replies.piece().await?, Piece::End))
}
