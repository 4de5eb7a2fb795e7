//! The contract of a store, kept with a CAN Service.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::watch;

use super::CanService;
use super::FollowError;
use super::ServiceError;
use super::Shared;
use super::contents::hashed;
use super::listing;
use super::notice;
use super::notice::Shown;
use super::pull::Pulled;
use super::table;
use super::unreadable::Fault;
use super::view::Mirror;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::LocalDocument;
use crate::asset::Metadata;
use crate::asset::Timestamp;
use crate::asset::Verified;
use crate::asset::Verifier;
use crate::database::DatabaseError;
use crate::limits;
use crate::store::Arrival;
use crate::store::Content;
use crate::store::ContentStream;
use crate::store::Edit;
use crate::store::Health;
use crate::store::Inventory;
use crate::store::Origin;
use crate::store::Page;
use crate::store::Presence;
use crate::store::Query;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::Spool;
use crate::store::SpoolError;
use crate::store::Spooled;
use crate::store::SpooledBytes;
use crate::store::Store;
use crate::store::Verification;
use crate::store::WriteError;
use crate::telemetry::causes;

impl From<ServiceError> for ReadError {
    fn from(error: ServiceError) -> Self {
        Self::Index(Box::new(error))
    }
}

impl From<ServiceError> for WriteError {
    fn from(error: ServiceError) -> Self {
        Self::Index(Box::new(error))
    }
}

impl From<FollowError> for ReadError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Service(error) => error.into(),
            FollowError::Database(error) => error.into(),
        }
    }
}

impl From<FollowError> for WriteError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Service(error) => error.into(),
            FollowError::Database(error) => error.into(),
        }
    }
}

impl CanService {
    /// Hands a verified content to the service, unless it has it.
    async fn store(
        &self,
        verified: &Verified,
        bytes: &SpooledBytes,
        origin: Origin,
        edit: Edit,
    ) -> Result<Record, WriteError> {
        let key = verified.key();
        let shared = &self.shared;
        let _turn = shared.lock(&key.id).await;
        let known = shared.entry(&key.id).await?;
        if known.is_some_and(|entry| entry.record.presence.is_here()) {
            let record = shared.edit(&key.id, edit).await?;
            return record.ok_or(WriteError::Closed);
        }
        shared.putting.lock().insert(key.id);
        let _putting = Putting { shared: Arc::clone(shared), id: key.id };
        shared.put(verified, bytes, origin, edit).await
    }
}

#[async_trait]
impl Store for CanService {
    fn kind(&self) -> &'static str {
        "can-service"
    }

    async fn health(&self) -> Result<Health, ReadError> {
        let counts = self.shared.index.read(table::counts).await?;
        let trouble = self.shared.trouble.lock().clone();
        let table::Counts { assets, bytes, missing, .. } = counts;
        let notes = notes(&counts).into_iter().chain(self.shared.unreadable.lock().in_words()).collect();
        Ok(Health { trouble, notes, assets, bytes, missing })
    }

    async fn record(&self, id: &AssetId) -> Result<Option<Record>, ReadError> {
        Ok(self.shared.entry(id).await?.map(|entry| entry.record))
    }

    async fn records(&self, ids: &[AssetId]) -> Result<Vec<Record>, ReadError> {
        let ids = ids.to_vec();
        let read = self.shared.index.read(move |connection| {
            let mut records = Vec::with_capacity(ids.len());
            for id in &ids {
                match table::get(connection, id) {
                    Ok(entry) => records.extend(entry.map(|entry| entry.record)),
                    Err(error @ rusqlite::Error::FromSqlConversionFailure(..)) => {
                        tracing::warn!(asset = %id, %error, "an asset is left out");
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(records)
        });
        Ok(read.await?)
    }

    async fn page(&self, query: &Query) -> Result<Page, ReadError> {
        let query = query.clone();
        Ok(self.shared.index.read(move |connection| listing::page(connection, &query)).await?)
    }

    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<Record>, ReadError> {
        let limit = limit.clamp(1, limits::PAGE_ROWS);
        Ok(self.shared.index.read(move |connection| table::arrivals(connection, after, limit)).await?)
    }

    async fn inventory(&self, after: Arrival, limit: usize) -> Result<Vec<Inventory>, ReadError> {
        Ok(self.shared.index.read(move |connection| table::inventory(connection, after, limit)).await?)
    }

    fn latest(&self) -> watch::Receiver<Arrival> {
        self.shared.index.latest()
    }

    async fn open(&self, id: &AssetId, offset: u64) -> Result<Option<Content>, ReadError> {
        let Some(entry) = self.shared.entry(id).await? else { return Ok(None) };
        let record = entry.record;
        if !record.presence.is_here() {
            return Ok(None);
        }
        if offset >= record.key.size && self.shared.read(id).await?.is_some() {
            // Nothing of it is wanted, so nothing is read of it.
            let (key, digest) = (record.key, record.content);
            return Ok(Some(Content { key, digest, offset: key.size, stream: stream::empty().boxed() }));
        }
        let mut pulled = match self.shared.client.contents(&[*id]).await {
            Ok(pulled) => pulled,
            Err(error) => return Err(self.shared.broke_off(*id, error).await),
        };
        let head = match pulled.next().await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.shared.broke_off(*id, error).await),
        };
        if head.content.is_none() {
            let source = "it holds no content".into();
            return Err(ServiceError::Malformed { call: "/sync/pull", source }.into());
        }
        let whole = Content {
            key: record.key,
            digest: record.content,
            offset: 0,
            stream: contents(Arc::clone(&self.shared), *id, pulled),
        };
        let offset = offset.min(record.key.size);
        // Read from the beginning whatever the offset: only a whole content can be checked.
        let stream = behind(whole.checked(), offset);
        Ok(Some(Content { key: record.key, digest: record.content, offset, stream }))
    }

    async fn spool(&self, timestamp: Timestamp) -> Result<Spool, SpoolError> {
        Ok(Spool::begin(self.shared.disk.clone(), &self.shared.spool_dir, timestamp))
    }

    async fn resume(&self, key: &AssetKey) -> Result<Spool, SpoolError> {
        let (disk, dir, key) = (self.shared.disk.clone(), self.shared.spool_dir.clone(), *key);
        let opened = tokio::task::spawn_blocking(move || Spool::resume(disk, &dir, &key)).await;
        opened.unwrap_or_else(|error| {
            let path = self.shared.spool_dir.clone();
            Err(SpoolError::File { path, source: std::io::Error::other(error) })
        })
    }

    async fn put(&self, spooled: Spooled, origin: Origin, edit: Edit) -> Result<Record, WriteError> {
        let (verified, bytes) = spooled.into_parts();
        let stored = self.store(&verified, &bytes, origin, edit).await;
        if stored.is_err() {
            // It need not come again.
            bytes.leave();
        }
        stored
    }

    async fn edit(&self, id: &AssetId, edit: Edit) -> Result<Option<Record>, WriteError> {
        let _turn = self.shared.lock(id).await;
        self.shared.edit(id, edit).await
    }

    async fn purge(&self, id: &AssetId) -> Result<bool, WriteError> {
        let shared = &self.shared;
        let _turn = shared.lock(id).await;
        let Some(entry) = shared.entry(id).await? else { return Ok(false) };
        // The service has no call that removes a content for good: it goes to its trash, and stays forgotten here
        // unless somebody takes it out of there.
        let id = *id;
        let mut version = entry.version.clone();
        if entry.record.presence.is_here() {
            // Before the service hears of it, as before any write: where it is cut off, what the service shows is explained
            // by it and no wish of somebody there, and is written back.
            let mut purging = entry;
            let before = purging.mirror.writing.take().unwrap_or_else(|| purging.mirror.shown.clone());
            purging.mirror.writing = Some(Metadata { trashed: true, ..before });
            purging.waiting = true;
            shared.index.write(move |writing| table::put(writing.connection, &purging)).await?;
            let write = super::view::Write { fields: vec!["trashed".to_owned()], ..super::view::Write::default() };
            let trashed = Metadata { trashed: true, ..Metadata::default() };
            shared.noted(shared.client.meta(write.to_wire(id.as_bytes(), &trashed)).await)?;
            version = shared.read(&id).await?.map_or_else(Vec::new, |seen| seen.version);
        }
        let removed = shared.index.write(move |writing| {
            table::put_purged(writing.connection, &id, &version)?;
            table::remove(writing.connection, &id)
        });
        Ok(removed.await?)
    }

    async fn verify(&self, id: &AssetId) -> Result<Option<Verification>, ReadError> {
        let shared = &self.shared;
        let Some(entry) = shared.entry(id).await? else { return Ok(None) };
        if !entry.record.presence.is_here() {
            return Ok(Some(Verification::Missing));
        }
        let found = match shared.verify(&entry.record.key).await {
            Ok(found) => found,
            Err(error) => match shared.read(id).await {
                Ok(None) => Verification::Quarantined { reason: "the CAN Service gave it up".to_owned() },
                _ => Verification::Unreadable { reason: shared.of_asset(error).await? },
            },
        };
        let presence = match &found {
            Verification::Sound { .. } | Verification::Unreadable { .. } => return Ok(Some(found)),
            Verification::Quarantined { .. } => Presence::Quarantined,
            Verification::Missing => Presence::Missing,
        };
        let (_turn, id) = (shared.lock(id).await, *id);
        let noted = shared.index.write(move |writing| {
            if let Some(mut entry) =
                table::get(writing.connection, &id)?.filter(|entry| entry.record.presence.is_here())
            {
                entry.record.presence = presence;
                table::arrive(writing, &mut entry)?;
            }
            Ok(())
        });
        noted.await?;
        Ok(Some(found))
    }

    async fn close(&self) {
        self.group.shut_down().await;
        self.shared.index.close().await;
    }
}

/// Says in words what people may want to do something about at the service.
fn notes(counts: &table::Counts) -> Vec<String> {
    let assets = |count: u64| if count == 1 { "1 asset".to_owned() } else { format!("{count} assets") };
    let lost = (counts.lost > 0).then(|| {
        let lost = assets(counts.lost);
        format!("the CAN Service has lost {lost} that nobody had trashed; what was lost is fetched from peers again")
    });
    let left_out = counts.first_left_out.as_ref().map(|(id, names)| {
        let (count, names) = (assets(counts.left_out), names.join(", "));
        format!(
            "the CAN Service holds metadata that is too large to be shared, of {count}: it stays there until it is \
             shortened (the first is {id}: {names})"
        )
    });
    lost.into_iter().chain(left_out).collect()
}

/// Takes an asset off the list of those being handed over, also when the call is cancelled.
struct Putting {
    shared: Arc<Shared>,
    id: AssetId,
}

impl Drop for Putting {
    fn drop(&mut self) {
        self.shared.putting.lock().remove(&self.id);
    }
}

impl Shared {
    async fn entry(&self, id: &AssetId) -> Result<Option<table::Entry>, DatabaseError> {
        let id = *id;
        self.index.read(move |connection| table::get(connection, &id)).await
    }

    /// Hands an asset to the service whose content is not there. The caller holds the asset's lock.
    async fn put(
        &self,
        verified: &Verified,
        bytes: &SpooledBytes,
        origin: Origin,
        edit: Edit,
    ) -> Result<Record, WriteError> {
        let (key, content) = (verified.key(), verified.content());
        let id = key.id;
        let intent = self.index.write(move |writing| {
            let known = table::get(writing.connection, &id)?;
            let purged = table::purged(writing.connection, &id)?.is_some();
            let mut document =
                known.as_ref().map_or_else(LocalDocument::default, |known| known.record.document.clone());
            edit(&mut document);
            let origin = known.as_ref().map_or(origin, |known| known.record.origin);
            table::put_intent(writing.connection, &id, &document, origin)?;
            let quarantined = known.is_some_and(|known| known.record.presence == Presence::Quarantined);
            Ok((document, origin, quarantined, purged))
        });
        let (mut document, origin, quarantined, purged) = intent.await?;
        let (known, told) = self.push(&key, &document.metadata(), bytes).await?;
        // A service that has the asset keeps the bytes it has, and nobody here has read them as sound: else it would be
        // here, and nothing would have been pushed.
        let found = if known { Some(self.verify(&key).await?) } else { None };
        let Some(seen) = self.read(&id).await? else {
            return Err(WriteError::Index("the CAN Service answered a push and does not have the asset".into()));
        };
        match found {
            None | Some(Verification::Sound { .. }) => {}
            Some(Verification::Missing) => {
                let text = "the CAN Service knows the asset and does not hand out its content; remove it there";
                return Err(WriteError::Index(text.into()));
            }
            Some(Verification::Quarantined { reason } | Verification::Unreadable { reason }) => {
                self.unreadable.lock().note(id, seen.version, Fault::Unsound, reason);
                let text = "the CAN Service keeps a damaged content and does not take the right one; remove it there";
                return Err(WriteError::Index(text.into()));
            }
        }
        let mut mirror = Mirror::seen(seen.metadata.clone());
        if !known {
            mirror.told = told;
        } else if !purged && !quarantined {
            let (fits, left_out) = super::view::fitting(&super::convert::wishes(&seen.metadata), &document);
            document.see(&fits);
            mirror.left_out = left_out.iter().map(|name| super::view::shortened(name)).collect();
        }
        let seen = Shown { key, ..seen };
        let stored = self.index.write(move |writing| {
            let mut entry = notice::entry(&seen, content, document, origin, mirror);
            entry.waiting = entry.mirror.settle(&entry.record.document.metadata());
            table::remove_intent(writing.connection, &id)?;
            table::remove_purged(writing.connection, &id)?;
            table::arrive(writing, &mut entry)?;
            Ok(entry.record)
        });
        let record = stored.await?;
        self.unreadable.lock().forget(&id);
        self.write_out_or_later(&id).await;
        Ok(record)
    }

    /// Changes a document. The caller holds the asset's lock.
    async fn edit(&self, id: &AssetId, edit: Edit) -> Result<Option<Record>, WriteError> {
        let Some(entry) = self.entry(id).await? else { return Ok(None) };
        let here = entry.record.presence.is_here();
        // A change made at the service before this one must not look as if it came after it.
        if here && self.trouble.lock().is_none() {
            match self.read(id).await {
                Ok(seen) => {
                    if let Some(seen) = seen
                        && (seen.metadata != entry.mirror.shown || entry.mirror.writing.is_some())
                    {
                        self.take_in(seen, false).await?;
                    }
                }
                Err(error) => tracing::debug!(%error, "change is made without a look at the can service"),
            }
        }
        let id = *id;
        let changed = self.index.write(move |writing| {
            let Some(mut entry) = table::get(writing.connection, &id)? else { return Ok(None) };
            let before = entry.record.document.clone();
            edit(&mut entry.record.document);
            if entry.record.document != before {
                entry.waiting = entry.mirror.settle(&entry.record.document.metadata());
                table::arrive(writing, &mut entry)?;
            }
            Ok(Some(entry.record))
        });
        let record = changed.await?;
        if here {
            self.write_out_or_later(&id).await;
        }
        Ok(record)
    }

    /// Writes a document to the service; the document itself is durable here, so a failure only puts it off.
    async fn write_out_or_later(&self, id: &AssetId) {
        if let Err(error) = self.write_out(id).await {
            tracing::warn!(asset = %id, error = %causes(&error), "metadata is written to the can service later");
        }
    }

    /// Tells why a content broke off: a service that has the asset no longer has found it to be damaged.
    async fn broke_off(&self, id: AssetId, error: ServiceError) -> ReadError {
        match self.read(&id).await {
            Ok(None) => ReadError::Damaged(id),
            _ => error.into(),
        }
    }

    /// Reads a content of the service and hashes it.
    async fn verify(&self, key: &AssetKey) -> Result<Verification, ServiceError> {
        let verifying = async {
            let mut pulled = self.client.contents(&[key.id]).await?;
            if pulled.next().await?.is_none() {
                return Ok(Verification::Missing);
            }
            let mut verifier = Verifier::new(key.timestamp);
            while let Some(piece) = pulled.content().await? {
                verifier = hashed(verifier, piece).await;
            }
            Ok(match verifier.finish(&key.id) {
                Ok(proof) => Verification::Sound { bytes: proof.key().size },
                Err(mismatch) => Verification::Quarantined { reason: mismatch.to_string() },
            })
        };
        self.noted(verifying.await)
    }
}

/// Turns the content that an answer has come to into a stream.
fn contents(shared: Arc<Shared>, id: AssetId, pulled: Pulled) -> ContentStream {
    stream::unfold(Some((shared, pulled)), move |reading| async move {
        let (shared, mut pulled) = reading?;
        match pulled.content().await {
            Ok(Some(piece)) => Some((Ok(piece), Some((shared, pulled)))),
            Ok(None) => None,
            Err(error) => Some((Err(shared.broke_off(id, error).await), None)),
        }
    })
    .boxed()
}

/// Leaves out the first bytes of a content.
fn behind(stream: ContentStream, offset: u64) -> ContentStream {
    let mut left = offset;
    let rest = stream.map(move |piece| {
        piece.map(|mut piece: Bytes| {
            let skipped = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            left -= skipped as u64;
            piece.split_off(skipped)
        })
    });
    rest.filter(|piece| std::future::ready(!matches!(piece, Ok(piece) if piece.is_empty()))).boxed()
}
