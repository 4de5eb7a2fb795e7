//! Opening the store: the folders, the lock, the index, and what a crash left behind.

use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::layout;
use super::layout::Layout;
use super::row;
use super::schema;
use crate::event::Event;
use crate::store::Cause;
use crate::store::Disk;
use crate::store::parts;
use crate::task;

/// Told of what the store finds by itself.
pub type Notice = Arc<dyn Fn(Event) + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The folder of the store; made when missing.
    pub storage_root: PathBuf,
    /// Does the file operations.
    pub disk: Disk,
    /// Time from the beginning of one walk of the background verifier to that of the next; `None` for none.
    pub verify_interval: Option<Duration>,
    /// Bytes a second that it hashes.
    pub verify_bytes_per_sec: u64,
    /// Told of contents moved aside and of tasks that panic.
    pub notice: Notice,
}

impl Options {
    /// Makes the options of a store that tells nobody and verifies only when asked.
    #[must_use]
    pub fn new(storage_root: impl Into<PathBuf>) -> Self {
        Self {
            storage_root: storage_root.into(),
            disk: Disk::default(),
            verify_interval: None,
            verify_bytes_per_sec: crate::limits::VERIFY_BYTES_PER_SEC,
            notice: Arc::new(|_| {}),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("storage_root", &self.storage_root).finish_non_exhaustive()
    }
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A folder or file could not be used.
    #[error("cannot use {path}; `storage_root` must be a folder this user may write")]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another store has the folder open.
    #[error("{0} is in use by another can-sync; stop it, or give this one a `storage_root` of its own")]
    Locked(PathBuf),
    /// The index was written by a later version.
    #[error("{path} has version {found}, this can-sync knows up to {known}; use the newer can-sync")]
    Newer {
        /// Which index.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The highest version known here.
        known: i64,
    },
    /// The index cannot be used.
    #[error("cannot open the index {path}; if it is damaged, `can-sync store rebuild` makes a new one from the files")]
    Index {
        /// Which index.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// There are assets, but the index is gone.
    #[error("{0} holds assets but no index; `can-sync store rebuild` makes one from the files")]
    NoIndex(PathBuf),
}

/// What an opened folder comes to.
pub(super) struct Opened {
    pub(super) layout: Layout,
    pub(super) connection: Connection,
    /// The storage root.
    pub(super) root: File,
    /// Holds the lock.
    pub(super) lock: File,
}

/// Makes the folders, takes the lock, opens the index and removes what a crash left. Blocks on the disk.
pub(super) fn open(options: &Options) -> Result<Opened, OpenError> {
    let layout = Layout::new(&options.storage_root);
    let lock = lock(&layout, &options.disk)?;
    let at_index = |source: Cause| OpenError::Index { path: layout.index.clone(), source };
    let holds_assets = || holds_assets(&layout).map_err(folder(&layout.root));
    if !layout.index.exists() && holds_assets()? {
        return Err(OpenError::NoIndex(layout.root));
    }
    let mut connection = schema::make(&layout.index).map_err(|source| at_index(source.into()))?;
    if schema::is_blank(&connection).map_err(|source| at_index(source.into()))? && holds_assets()? {
        return Err(OpenError::NoIndex(layout.root));
    }
    // A new index counts on from the time, so that one made from files is above all arrivals of the one before.
    let prepared = schema::prepare(&mut connection, task::now_ms()).map_err(|source| at_index(source.into()))?;
    if let Err(schema::Newer(found)) = prepared {
        return Err(OpenError::Newer { path: layout.index, found, known: schema::VERSION });
    }
    options.disk.sync_dir(&layout.root).map_err(folder(&layout.root))?;
    reclaim(&layout, &connection).map_err(at_index)?;
    // Not the one that holds the lock, which ends with it.
    let root = File::open(&layout.root).map_err(folder(&layout.root))?;
    Ok(Opened { layout, connection, root, lock })
}

/// Makes the folders and takes the lock, which ends with the returned file.
pub(super) fn lock(layout: &Layout, disk: &Disk) -> Result<File, OpenError> {
    for path in [&layout.root, &layout.spool, &layout.quarantine, &layout.thumbs] {
        disk.create_dir(path).map_err(folder(path))?;
    }
    let lock = File::open(&layout.root).map_err(folder(&layout.root))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(OpenError::Locked(layout.root.clone())),
        Err(errno) => return Err(folder(&layout.root)(errno.into())),
    }
    // Whether files can be made shows best by making one.
    let probe = layout.spool.join(format!("{}.ingest", layout::random_suffix()));
    disk.create(&probe).map_err(folder(&layout.spool))?;
    disk.remove(&probe).map_err(folder(&layout.spool))?;
    Ok(lock)
}

pub(super) fn folder(path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Folder { path: path.clone(), source }
}

/// Looks for one flat file, or one that waits in the spool folder to be one; stops at the first.
fn holds_assets(layout: &Layout) -> io::Result<bool> {
    let is_asset = |name: &str| layout::parse_name(name).is_some();
    Ok(holds(&layout.root, is_asset)? || holds(&layout.spool, |name| is_asset(name) && layout::is_whole(name))?)
}

fn holds(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        if entry?.file_name().to_str().is_some_and(&wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes what a crash left in the spool folder: ingests, whole files that no row knows, parts of stored assets, and
/// parts that nobody went on with.
fn reclaim(layout: &Layout, connection: &Connection) -> Result<(), Cause> {
    let mut known = connection.prepare("SELECT 1 FROM whole WHERE name = ?1")?;
    for entry in std::fs::read_dir(&layout.spool)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_left_over = match name.rsplit_once('.') {
            Some((_, "ingest")) => true,
            Some((_, "whole")) => !known.exists([name])?,
            Some((_, "part")) => match layout::parse_name(name) {
                Some((_, id)) => row::by_id(connection, &id)?.is_some_and(|stored| stored.presence.is_here()),
                None => false,
            },
            _ => false,
        };
        if is_left_over {
            std::fs::remove_file(entry.path())?;
            tracing::info!(file = name, "removed what a crash left behind");
        }
    }
    parts::remove_old(&layout.spool)?;
    Ok(())
}
