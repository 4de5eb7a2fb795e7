//! The trait, on top of the index and the files.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::watch;

use super::index::Incoming;
use super::index::Sums;
use super::layout;
use super::layout::Layout;
use super::open;
use super::open::Notice;
use super::open::OpenError;
use super::open::Options;
use super::readers::Readers;
use super::readers::index;
use super::reading;
use super::reading::Opened;
use super::row;
use super::search;
use super::search::Totals;
use super::verify;
use super::whole::Whole;
use super::write_back::WriteBack;
use super::writer::Writer;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Timestamp;
use crate::event::Event;
use crate::limits;
use crate::store::Arrival;
use crate::store::Content;
use crate::store::Disk;
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
use crate::store::parts;
use crate::task::Group;

/// Nothing can be written any more, and nothing else would tell.
const WRITER_ENDED: &str = "the thread that writes the index has ended; start the host again";

/// About what a row and its labels put into the index beside the content, in bytes.
const ROW_BYTES: usize = 1024;

/// A store in a folder. [`close`](Store::close) it before it is dropped, else what waits is done at the next start.
#[derive(Debug)]
pub struct EmbeddedStore {
    pub(super) inner: Arc<Inner>,
    tasks: Group,
}

/// What the store, its threads and its tasks share.
pub(super) struct Inner {
    pub(super) layout: Layout,
    pub(super) disk: Disk,
    pub(super) readers: Arc<Readers>,
    pub(super) writer: Writer,
    pub(super) write_back: WriteBack,
    pub(super) notice: Notice,
    /// The storage root, open since before anything was written, so that a flush tells of every failure.
    pub(super) root: File,
    /// One flush of the file system covers all files.
    pub(super) flushes_whole: bool,
    totals: Totals,
    closed: AtomicBool,
    lock: Mutex<Option<File>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("root", &self.layout.root).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens the store in a folder, or makes a new one.
    ///
    /// # Errors
    /// [`OpenError`] when the folder cannot be written, is in use, or holds an index that cannot be used.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let root = options.storage_root.clone();
        let work = tokio::task::spawn_blocking(move || Self::open_here(&options));
        work.await.map_err(|error| OpenError::Index { path: root, source: error.into() })?
    }

    fn open_here(options: &Options) -> Result<Self, OpenError> {
        let opened = open::open(options)?;
        let at_index = |source| OpenError::Index { path: opened.layout.index.clone(), source };
        let writer = Writer::start(opened.layout.index.clone(), opened.connection).map_err(at_index)?;
        let inner = Arc::new(Inner {
            readers: Arc::new(Readers::new(opened.layout.index.clone())),
            writer,
            write_back: WriteBack::default(),
            layout: opened.layout.clone(),
            disk: options.disk.clone(),
            notice: Arc::clone(&options.notice),
            flushes_whole: options.disk.flushes_whole(&opened.root),
            root: opened.root,
            totals: Totals::default(),
            closed: AtomicBool::new(false),
            lock: Mutex::new(Some(opened.lock)),
        });
        WriteBack::start(&inner)
            .map_err(|source| OpenError::Index { path: inner.layout.index.clone(), source: source.into() })?;
        let notice = Arc::clone(&options.notice);
        let on_panic = move |group: &'static str, task: &'static str, message: &str| {
            notice(Event::TaskPanicked { task: format!("{group}/{task}"), message: message.to_owned() });
        };
        let tasks = Group::new("store", Arc::new(on_panic));
        if let Some(interval) = options.verify_interval {
            let walk = verify::background(Arc::clone(&inner), interval, options.verify_bytes_per_sec);
            tasks.spawn_until_cancelled("verifier", walk);
        }
        let removing = parts::keep_removing_old(inner.layout.spool.clone(), limits::PARTS_LOOKED_AT_EVERY);
        tasks.spawn_until_cancelled("parts", removing);
        Ok(Self { inner, tasks })
    }

    async fn read<T, F>(&self, query: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    {
        self.inner.read(query).await
    }
}

impl Inner {
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    {
        if self.is_closed() {
            return Err(ReadError::Closed);
        }
        self.readers.run(query).await
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn check_open(&self) -> Result<(), WriteError> {
        if self.is_closed() { Err(WriteError::Closed) } else { Ok(()) }
    }

    /// Refuses what would use up the last of the disk. Between two commits, which look at it, only files come that use
    /// up much.
    fn check_space(&self, bytes: u64) -> Result<(), WriteError> {
        if bytes <= limits::SMALL_CONTENT_BYTES && !self.writer.is_low() {
            return Ok(());
        }
        let path = &self.layout.root;
        let full = match layout::free_bytes(path) {
            Ok(free) if free >= limits::DISK_RESERVE_BYTES => return Ok(()),
            Ok(_) => std::io::ErrorKind::StorageFull.into(),
            Err(error) => error,
        };
        Err(WriteError::File { path: path.clone(), source: full })
    }

    /// Notes that the file of an asset is gone, unless the asset has changed since that was seen.
    async fn note_lost(&self, id: AssetId, seen: Arrival) {
        let noted = self.writer.run(ROW_BYTES, move |index| match index.find(&id)? {
            Some(stored) if stored.arrival == seen => index.lose(&stored, Presence::Missing),
            _ => Ok(()),
        });
        match noted.await {
            Ok(()) => tracing::warn!(asset = %id, "the file of an asset is gone"),
            // The next reader or verifier finds it again.
            Err(error) => tracing::warn!(asset = %id, %error, "the file of an asset is gone, and that was not noted"),
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.tasks.token().cancel();
        self.inner.write_back.abandon();
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    async fn health(&self) -> Result<Health, ReadError> {
        let sums = self.read(|connection| Sums::load(connection).map_err(index)).await?;
        let ended = || self.inner.writer.has_ended().then(|| WRITER_ENDED.to_owned());
        let trouble = self.inner.write_back.trouble().or_else(ended);
        Ok(Health { trouble, notes: Vec::new(), assets: sums.assets, bytes: sums.bytes, missing: sums.missing })
    }

    async fn record(&self, id: &AssetId) -> Result<Option<Record>, ReadError> {
        let id = *id;
        self.read(move |connection| {
            let stored = row::by_id(connection, &id).map_err(index)?;
            stored.map(|stored| stored.record()).transpose()
        })
        .await
    }

    async fn records(&self, ids: &[AssetId]) -> Result<Vec<Record>, ReadError> {
        let ids = ids.to_vec();
        self.read(move |connection| {
            let mut records = Vec::with_capacity(ids.len());
            for id in &ids {
                records.extend(row::by_id(connection, id).map_err(index)?.and_then(|stored| stored.readable()));
            }
            Ok(records)
        })
        .await
    }

    async fn page(&self, query: &Query) -> Result<Page, ReadError> {
        let (query, inner) = (query.clone(), Arc::clone(&self.inner));
        self.read(move |connection| search::page(connection, &query, &inner.totals)).await
    }

    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<Record>, ReadError> {
        let limit = limit.clamp(1, limits::PAGE_ROWS);
        self.read(move |connection| row::arrived(connection, after, limit).map_err(index)).await
    }

    async fn inventory(&self, after: Arrival, limit: usize) -> Result<Vec<Inventory>, ReadError> {
        self.read(move |connection| row::inventory(connection, after, limit).map_err(index)).await
    }

    fn latest(&self) -> watch::Receiver<Arrival> {
        self.inner.writer.latest()
    }

    async fn open(&self, id: &AssetId, offset: u64) -> Result<Option<Content>, ReadError> {
        let opened = self.open_all(&[(*id, offset)]).await?.pop();
        opened.expect("one was asked for, so one is answered")
    }

    async fn open_all(&self, wanted: &[(AssetId, u64)]) -> Result<Vec<Result<Option<Content>, ReadError>>, ReadError> {
        let (layout, asked) = (self.inner.layout.clone(), wanted.to_vec());
        let found = self.read(move |connection| {
            let open = |(id, offset): &(AssetId, u64)| reading::open(connection, &layout, id, *offset);
            Ok(asked.iter().map(open).collect::<Vec<_>>())
        });
        let mut opened = Vec::with_capacity(wanted.len());
        for ((id, _), found) in wanted.iter().zip(found.await?) {
            opened.push(match found {
                Ok(Opened::Content(content)) => Ok(Some(content)),
                Ok(Opened::Nothing) => Ok(None),
                Ok(Opened::Lost(seen)) => {
                    self.inner.note_lost(*id, seen).await;
                    Ok(None)
                }
                Err(error) => Err(error),
            });
        }
        Ok(opened)
    }

    async fn spool(&self, timestamp: Timestamp) -> Result<Spool, SpoolError> {
        Ok(Spool::begin(self.inner.disk.clone(), &self.inner.layout.spool, timestamp))
    }

    async fn resume(&self, key: &AssetKey) -> Result<Spool, SpoolError> {
        let (disk, dir, key) = (self.inner.disk.clone(), self.inner.layout.spool.clone(), *key);
        if key.size <= limits::SMALL_CONTENT_BYTES {
            // It stays in memory; there is no disk to wait for.
            return Spool::resume(disk, &dir, &key);
        }
        let path = dir.clone();
        let work = tokio::task::spawn_blocking(move || Spool::resume(disk, &dir, &key));
        work.await.map_err(|error| SpoolError::File { path, source: std::io::Error::other(error) })?
    }

    async fn put(&self, spooled: Spooled, origin: Origin, edit: Edit) -> Result<Record, WriteError> {
        if let Err(error) = self.inner.check_open().and_then(|()| self.inner.check_space(spooled.key().size)) {
            // It need not come again.
            spooled.leave();
            return Err(error);
        }
        let (verified, bytes) = spooled.into_parts();
        let (incoming, bytes) = match bytes {
            SpooledBytes::Memory(content) => {
                let length = content.len();
                (Incoming::Small(content), length)
            }
            SpooledBytes::File(file) => {
                let (disk, dir, key) = (self.inner.disk.clone(), self.inner.layout.spool.clone(), verified.key());
                let flush = tokio::task::spawn_blocking(move || Whole::from_spool(&disk, &dir, &key, file));
                (Incoming::Large(flush.await.map_err(|error| WriteError::Index(error.into()))??), 0)
            }
        };
        let stored =
            self.inner.writer.run(ROW_BYTES + bytes, move |index| index.put(&verified, incoming, origin, edit)).await?;
        self.inner.write_back.wake(bytes as u64);
        Ok(stored)
    }

    async fn edit(&self, id: &AssetId, edit: Edit) -> Result<Option<Record>, WriteError> {
        self.inner.check_open()?;
        let id = *id;
        let edited = self.inner.writer.run(ROW_BYTES, move |index| match index.find(&id)? {
            Some(stored) => index.change(&stored, edit).map(Some),
            None => Ok(None),
        });
        let edited = edited.await?;
        self.inner.write_back.wake(0);
        Ok(edited)
    }

    async fn purge(&self, id: &AssetId) -> Result<bool, WriteError> {
        self.inner.check_open()?;
        let id = *id;
        let purged = self.inner.writer.run(ROW_BYTES, move |index| index.purge(&id)).await?;
        self.inner.write_back.wake(0);
        Ok(purged)
    }

    async fn verify(&self, id: &AssetId) -> Result<Option<Verification>, ReadError> {
        verify::one(&self.inner, *id).await
    }

    async fn close(&self) {
        if self.inner.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.tasks.shut_down().await;
        let inner = Arc::clone(&self.inner);
        let ended = tokio::task::spawn_blocking(move || {
            inner.write_back.finish();
            if let Some(thread) = inner.writer.stop()
                && thread.join().is_err()
            {
                tracing::error!("the writer of the store ended in a panic");
            }
        });
        if ended.await.is_err() {
            tracing::error!("closing the store ended in a panic");
        }
        self.inner.readers.close().await;
        self.inner.lock.lock().take();
    }
}
