//! A store in maps, for tests: forgets everything, keeps the whole contract until then.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::watch;

use super::Arrival;
use super::Content;
use super::Cursor;
use super::Disk;
use super::Edit;
use super::Health;
use super::Inventory;
use super::Order;
use super::Origin;
use super::Page;
use super::Presence;
use super::Query;
use super::ReadError;
use super::Record;
use super::Spool;
use super::SpoolError;
use super::Spooled;
use super::SpooledBytes;
use super::Store;
use super::Verification;
use super::WriteError;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::LocalDocument;
use crate::asset::Metadata;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::limits;

/// The store in memory. Its spool lies in a temporary folder that goes with it.
#[derive(Debug)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    latest: watch::Sender<Arrival>,
    spool: PathBuf,
}

#[derive(Debug, Default)]
struct Inner {
    assets: BTreeMap<AssetId, Asset>,
    /// The assets in the order in which they arrived last.
    arrived: BTreeMap<Arrival, AssetId>,
    last: u64,
    closed: bool,
}

#[derive(Debug)]
struct Asset {
    record: Record,
    content: Option<Bytes>,
}

impl MemoryStore {
    /// Makes an empty store.
    ///
    /// # Errors
    /// What the file system says when the temporary folder cannot be made.
    pub fn new() -> std::io::Result<Self> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(std::io::Error::other)?;
        let spool = std::env::temp_dir().join(format!("can-sync-memory-{}", data_encoding::HEXLOWER.encode(&name)));
        std::fs::create_dir_all(&spool)?;
        Ok(Self { inner: Mutex::default(), latest: watch::Sender::new(Arrival(0)), spool })
    }

    /// Flips a bit of a content, as a bad disk would; tells whether there was one.
    pub fn damage(&self, id: &AssetId) -> bool {
        let mut inner = self.lock();
        let Some(content) = inner.assets.get_mut(id).and_then(|asset| asset.content.as_mut()) else { return false };
        let mut bytes = content.to_vec();
        match bytes.first_mut() {
            Some(first) => *first ^= 1,
            None => bytes.push(0),
        }
        *content = bytes.into();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn read(&self) -> Result<MutexGuard<'_, Inner>, ReadError> {
        let inner = self.lock();
        if inner.closed { Err(ReadError::Closed) } else { Ok(inner) }
    }

    fn write(&self) -> Result<MutexGuard<'_, Inner>, WriteError> {
        let inner = self.lock();
        if inner.closed { Err(WriteError::Closed) } else { Ok(inner) }
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        // What stays behind is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.spool);
    }
}

impl Inner {
    /// Gives a changed asset its arrival and tells the followers.
    fn arrive(&mut self, id: &AssetId, latest: &watch::Sender<Arrival>) -> Option<Record> {
        let asset = self.assets.get_mut(id)?;
        self.last += 1;
        self.arrived.remove(&asset.record.arrival);
        self.arrived.insert(Arrival(self.last), *id);
        asset.record.arrival = Arrival(self.last);
        latest.send_replace(asset.record.arrival);
        Some(asset.record.clone())
    }

    /// Goes through the assets behind an arrival.
    fn behind(&self, after: Arrival) -> impl Iterator<Item = &Record> {
        let behind = self.arrived.range((Bound::Excluded(after), Bound::Unbounded));
        behind.filter_map(|(_, id)| self.assets.get(id)).map(|asset| &asset.record)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn health(&self) -> Result<Health, ReadError> {
        let inner = self.read()?;
        let here = inner.assets.values().filter(|asset| asset.record.presence.is_here());
        let (assets, bytes) = here.fold((0, 0), |(n, bytes), asset| (n + 1, bytes + asset.record.key.size));
        Ok(Health { trouble: None, notes: Vec::new(), assets, bytes, missing: inner.assets.len() as u64 - assets })
    }

    async fn record(&self, id: &AssetId) -> Result<Option<Record>, ReadError> {
        Ok(self.read()?.assets.get(id).map(|asset| asset.record.clone()))
    }

    async fn records(&self, ids: &[AssetId]) -> Result<Vec<Record>, ReadError> {
        let inner = self.read()?;
        Ok(ids.iter().filter_map(|id| inner.assets.get(id)).map(|asset| asset.record.clone()).collect())
    }

    async fn page(&self, query: &Query) -> Result<Page, ReadError> {
        let inner = self.read()?;
        let mut all: Vec<&Record> =
            inner.assets.values().map(|asset| &asset.record).filter(|record| matches(query, record)).collect();
        all.sort_by_key(|record| (record.key.timestamp, record.key.id));
        if query.order == Order::Newest {
            all.reverse();
        }
        let total = all.len() as u64;
        let behind = |record: &&Record| {
            let at = (record.key.timestamp, record.key.id);
            query.after.is_none_or(|after| match query.order {
                Order::Newest => at < (after.timestamp, after.id),
                Order::Oldest => at > (after.timestamp, after.id),
            })
        };
        let limit = query.limit.min(limits::PAGE_ROWS);
        let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
        let mut rest = all.into_iter().filter(behind).skip(offset);
        let records: Vec<Record> = rest.by_ref().take(limit).cloned().collect();
        let more = rest.next().is_some();
        let last = records.last().map(|last| Cursor { timestamp: last.key.timestamp, id: last.key.id });
        Ok(Page { records, total, next: last.filter(|_| more) })
    }

    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<Record>, ReadError> {
        Ok(self.read()?.behind(after).take(limit.clamp(1, limits::PAGE_ROWS)).cloned().collect())
    }

    async fn inventory(&self, after: Arrival, limit: usize) -> Result<Vec<Inventory>, ReadError> {
        let inner = self.read()?;
        let rows = inner.behind(after).take(limit).map(|record| Inventory {
            key: record.key,
            document: record.document.shared().digest(),
            presence: record.presence,
            arrival: record.arrival,
        });
        Ok(rows.collect())
    }

    fn latest(&self) -> watch::Receiver<Arrival> {
        self.latest.subscribe()
    }

    async fn open(&self, id: &AssetId, offset: u64) -> Result<Option<Content>, ReadError> {
        let inner = self.read()?;
        let Some((record, content)) = inner.assets.get(id).and_then(|a| Some((&a.record, a.content.clone()?))) else {
            return Ok(None);
        };
        let offset = offset.min(record.key.size);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let sound = crate::asset::ContentDigest::of(&content) == record.content;
        let rest = content.slice(start..);
        let cut = |at: usize| Ok(rest.slice(at..rest.len().min(at + limits::CONTENT_CHUNK_BYTES)));
        let mut pieces: Vec<Result<Bytes, ReadError>> =
            (0..rest.len()).step_by(limits::CONTENT_CHUNK_BYTES).map(cut).collect();
        if !sound {
            // As where it lies in a file: a large one turns out damaged at its end.
            let known_before = record.key.size <= limits::SMALL_CONTENT_BYTES;
            pieces.truncate(if known_before { 0 } else { pieces.len().saturating_sub(1) });
            pieces.push(Err(ReadError::Damaged(*id)));
        }
        let stream = futures_util::stream::iter(pieces).boxed();
        Ok(Some(Content { key: record.key, digest: record.content, offset, stream }))
    }

    async fn spool(&self, timestamp: Timestamp) -> Result<Spool, SpoolError> {
        Ok(Spool::begin(Disk::default(), &self.spool, timestamp))
    }

    async fn resume(&self, key: &AssetKey) -> Result<Spool, SpoolError> {
        Spool::resume(Disk::default(), &self.spool, key)
    }

    async fn put(&self, spooled: Spooled, origin: Origin, edit: Edit) -> Result<Record, WriteError> {
        let (verified, bytes) = spooled.into_parts();
        let content = match bytes {
            SpooledBytes::Memory(content) => content,
            SpooledBytes::File(file) => {
                let path = file.path().to_owned();
                std::fs::read(&path).map_err(|source| WriteError::File { path, source })?.into()
            }
        };
        let key = verified.key();
        let mut inner = self.write()?;
        let asset = inner.assets.entry(key.id).or_insert_with(|| Asset {
            record: Record {
                key,
                content: verified.content(),
                document: LocalDocument::default(),
                origin,
                presence: Presence::Missing,
                arrival: Arrival(0),
            },
            content: None,
        });
        let mut document = asset.record.document.clone();
        edit(&mut document);
        if asset.content.is_some() && document == asset.record.document {
            return Ok(asset.record.clone());
        }
        asset.record.document = document;
        asset.record.presence = Presence::Here;
        asset.content.get_or_insert(content);
        Ok(inner.arrive(&key.id, &self.latest).expect("it was put in above"))
    }

    async fn edit(&self, id: &AssetId, edit: Edit) -> Result<Option<Record>, WriteError> {
        let mut inner = self.write()?;
        let Some(asset) = inner.assets.get_mut(id) else { return Ok(None) };
        let mut document = asset.record.document.clone();
        edit(&mut document);
        if document == asset.record.document {
            return Ok(Some(asset.record.clone()));
        }
        asset.record.document = document;
        Ok(inner.arrive(id, &self.latest))
    }

    async fn purge(&self, id: &AssetId) -> Result<bool, WriteError> {
        let mut inner = self.write()?;
        let Some(asset) = inner.assets.remove(id) else { return Ok(false) };
        inner.arrived.remove(&asset.record.arrival);
        Ok(true)
    }

    async fn verify(&self, id: &AssetId) -> Result<Option<Verification>, ReadError> {
        let mut inner = self.read()?;
        let Some(asset) = inner.assets.get_mut(id) else { return Ok(None) };
        let Some(content) = &asset.content else { return Ok(Some(Verification::Missing)) };
        let mut verifier = Verifier::new(asset.record.key.timestamp);
        verifier.update(content);
        match verifier.finish(id) {
            Ok(proof) => Ok(Some(Verification::Sound { bytes: proof.key().size })),
            Err(mismatch) => {
                asset.content = None;
                asset.record.presence = Presence::Quarantined;
                inner.arrive(id, &self.latest);
                Ok(Some(Verification::Quarantined { reason: mismatch.to_string() }))
            }
        }
    }

    async fn close(&self) {
        self.lock().closed = true;
    }
}

/// Tells whether a query has an asset; the plainest possible reading of [`Query`].
fn matches(query: &Query, record: &Record) -> bool {
    let seen = record.document.metadata();
    let exactly =
        |wanted: &Option<String>, value: &Option<String>| wanted.as_ref().is_none_or(|w| value.as_ref() == Some(w));
    let millis = record.key.timestamp.as_millis();
    record.presence.is_here()
        && seen.trashed == query.trashed
        && query.tags.iter().all(|tag| seen.tags.contains(tag))
        && exactly(&query.application, &seen.application)
        && exactly(&query.user, &seen.user)
        && query.mime_type.as_deref().is_none_or(|wanted| is_of_type(wanted, seen.mime_type.as_deref()))
        && query.text.as_deref().is_none_or(|text| contains_text(&seen, text))
        && query.from.is_none_or(|from| from <= millis)
        && query.to.is_none_or(|to| millis <= to)
}

fn is_of_type(wanted: &str, found: Option<&str>) -> bool {
    found.is_some_and(|found| if wanted.ends_with('/') { found.starts_with(wanted) } else { found == wanted })
}

fn contains_text(seen: &Metadata, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let texts = [&seen.file_name, &seen.path, &seen.description].into_iter().flatten();
    texts.chain(&seen.tags).any(|found| found.to_ascii_lowercase().contains(&text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::conformance;
    use super::*;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        conformance::run(async || {
            let store = Arc::new(MemoryStore::new().unwrap());
            let damaged = Arc::clone(&store);
            let damage = move |record: &Record| assert!(damaged.damage(&record.key.id));
            conformance::Fixture::new(store).with_damage(damage)
        })
        .await;
    }
}
