//! Looking at assets that changed: reading their metadata, taking in changes, writing what waits, noting what is gone.
//!
//! Many come in one answer. One whose metadata cannot be read must not keep back the others: the answer is asked for in
//! halves until that one stands alone, and only it waits for a better time. From then on it is asked for alone.

use super::FollowError;
use super::ServiceError;
use super::Shared;
use super::notice::Shown;
use super::table;
use super::unreadable::Fault;
use crate::asset::AssetId;
use crate::limits;
use crate::telemetry::causes;

/// What came of looking at assets.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Those that are not here, whose content must be read before they are shown.
    pub(super) unknown: Vec<AssetId>,
    /// Those that are here and could not be looked at, to be tried again at a later time.
    pub(super) put_off: Vec<AssetId>,
}

impl Shared {
    /// Looks at assets: takes in changes, writes what waits, notes what is gone.
    pub(super) async fn look(&self, ids: &[AssetId]) -> Result<Looked, FollowError> {
        let mut looked = Looked::default();
        for batch in ids.chunks(limits::SERVICE_BATCH) {
            let mut calls = {
                let unreadable = self.unreadable.lock();
                let (alone, together): (Vec<AssetId>, _) = batch.iter().partition(|id| unreadable.spoils(id));
                alone.into_iter().map(|id| vec![id]).chain([together]).collect::<Vec<_>>()
            };
            while let Some(mut wanted) = calls.pop() {
                let Some(first) = wanted.first().copied() else { continue };
                match self.heads(&wanted).await {
                    Ok(there) => {
                        self.noted(Ok(()))?;
                        self.compare_each(&wanted, there, &mut looked).await?;
                    }
                    Err(error) if error.is_answer() && wanted.len() > 1 => {
                        let rest = wanted.split_off(wanted.len() / 2);
                        calls.extend([rest, wanted]);
                    }
                    Err(error) => self.put_off(first, error, &mut looked).await?,
                }
            }
        }
        Ok(looked)
    }

    /// Takes in what one answer shows of the assets that were asked for.
    async fn compare_each(
        &self,
        wanted: &[AssetId],
        there: Vec<Shown>,
        looked: &mut Looked,
    ) -> Result<(), FollowError> {
        for id in wanted.iter().filter(|id| !there.iter().any(|shown| shown.key.id == **id)) {
            match self.look_for(id).await {
                Ok(()) => self.unreadable.lock().forget(id),
                Err(FollowError::Service(error)) => self.put_off(*id, error, looked).await?,
                Err(error) => return Err(error),
            }
        }
        for seen in there {
            let id = seen.key.id;
            match self.look_at(seen).await {
                Ok(is_unknown) => {
                    self.unreadable.lock().forget_untold(&id);
                    if is_unknown {
                        looked.unknown.push(id);
                    }
                }
                Err(FollowError::Service(error)) => self.put_off(id, error, looked).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks whether an asset that did not come is gone.
    async fn look_for(&self, id: &AssetId) -> Result<(), FollowError> {
        let _turn = self.lock(id).await;
        // It may have come back while we waited.
        if self.read(id).await?.is_none() {
            self.gone(id).await?;
        }
        Ok(())
    }

    /// Takes in what changed of an asset, and writes what waits. Tells whether it is not here and may have to be.
    async fn look_at(&self, seen: Shown) -> Result<bool, FollowError> {
        let id = seen.key.id;
        let _turn = self.lock(&id).await;
        let known = self.index.read(move |connection| {
            let purged = table::purged(connection, &id)?;
            Ok((table::get(connection, &id)?, purged))
        });
        let (known, purged) = known.await?;
        let Some(entry) = known.filter(|entry| entry.record.presence.is_here()) else {
            self.unreadable.lock().listed(&id, &seen.version);
            let Some(purged) = purged.filter(|_| seen.metadata.trashed) else { return Ok(true) };
            if purged != seen.version {
                self.index.write(move |writing| table::put_purged(writing.connection, &id, &seen.version)).await?;
            }
            return Ok(false);
        };
        // What was read before the turn came may be older than what was written since.
        let fresh = entry.mirror.shown == seen.metadata && entry.version == seen.version;
        if !fresh && let Some(seen) = self.read(&id).await? {
            self.take_in(seen, false).await?;
        }
        self.write_out(&id).await?;
        Ok(false)
    }

    /// Notes an asset that cannot be looked at, so that the rest goes on.
    ///
    /// # Errors
    /// [`FollowError`] when it is not the asset that fails, but the service.
    async fn put_off(&self, id: AssetId, error: ServiceError, looked: &mut Looked) -> Result<(), FollowError> {
        let reason = self.of_asset(error).await?;
        let (fault, later) = match self.index.read(move |connection| table::is_here(connection, &id)).await? {
            true => (Fault::Untold, &mut looked.put_off),
            false => (Fault::BrokeOff, &mut looked.unknown),
        };
        later.push(id);
        let mut unreadable = self.unreadable.lock();
        // Whatever points at it before its time has come is no further failure.
        if unreadable.pausing(&id).is_none() && unreadable.note(id, Vec::new(), fault, reason.clone()) {
            tracing::warn!(asset = %id, reason, "an asset of the can service cannot be looked at; the rest goes on, it is tried again later");
        }
        Ok(())
    }

    /// Returns in words what is wrong with the one asset that was asked for.
    ///
    /// # Errors
    /// [`ServiceError`] when it is not the asset that fails: the service does not answer, not even to a call for nothing.
    pub(super) async fn of_asset(&self, error: ServiceError) -> Result<String, ServiceError> {
        if !error.is_answer() {
            return self.noted(Err(error));
        }
        let reason = causes(&error);
        match self.heads(&[]).await {
            Err(error) if !error.is_refusal() => self.noted(Err(error)),
            _ => self.noted(Ok(reason)),
        }
    }
}
