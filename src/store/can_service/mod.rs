//! The store that is a CAN Service beside this program, spoken to over HTTP.
//!
//! Contents lie at the service and only there; documents, intents and what the service showed lie in a database of this
//! host. An asset is shown to the rest of the program once its content was read and verified: so nothing is ever offered
//! that is not sound, at the price of reading each asset once when it is first seen. What the service then hands out is
//! checked against the BLAKE3 that was kept.
//!
//! It is no cache: a content that is not at the service is not here. Built by `node`. One task follows the service:
//! events shorten the wait, a listing from a cursor finds what they lost, a sweep over everything finds the rest.

pub mod bundle;
mod client;
pub mod convert;
mod database;
mod follow;
mod listing;
mod notice;
mod outgoing;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod view;

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

pub use client::ServiceError;
pub use database::DatabaseError;

use self::client::Client;
use self::database::Database;
use super::Disk;
use crate::asset::AssetId;
use crate::asset::HostId;
use crate::limits;
use crate::task::Backoff;
use crate::task::Group;

/// How a CAN Service is reached and followed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is, such as `http://127.0.0.1:3210`.
    pub url: String,
    /// Its `sync_api_key`.
    pub key: String,
    /// The host in whose name changes made at the service are stamped.
    pub host: HostId,
    /// Folder for the database, made when missing.
    pub data_dir: PathBuf,
    /// Folder for contents on their way in, made when missing.
    pub spool_dir: PathBuf,
    /// Pause between two listings from the cursor.
    pub poll_interval: Duration,
    /// Pause between two sweeps over everything.
    pub sweep_interval: Duration,
    /// Time without a byte of an answer after which a call has failed: [`limits::SERVICE_STALL`], less in tests.
    pub stall: Duration,
}

/// A CAN Service could not be used as a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A folder cannot be used.
    #[error("cannot use {path}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The key or the TLS library is unfit.
    #[error("calls to the CAN Service cannot be made; is sync_api_key plain text?")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The service did not answer when the host started.
    #[error("the CAN Service at {url} cannot be used")]
    Service {
        /// Where it should be.
        url: String,
        /// Why.
        source: FollowError,
    },
}

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

/// A CAN Service as a store.
pub struct CanService {
    shared: Arc<Shared>,
    group: Group,
}

impl std::fmt::Debug for CanService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CanService").finish_non_exhaustive()
    }
}

/// What the store and the task that follows the service share.
struct Shared {
    client: Client,
    database: Database,
    host: HostId,
    disk: Disk,
    spool_dir: PathBuf,
    /// One at a time changes an asset, here and at the service.
    locks: Vec<tokio::sync::Mutex<()>>,
    /// Why the service did not answer last, for people.
    trouble: Mutex<Option<String>>,
    /// Assets that are being handed to the service right now.
    putting: Mutex<HashSet<AssetId>>,
    /// Contents at the service that did not match their id, by the version they had; not read again until it changes.
    unsound: Mutex<HashMap<AssetId, Vec<u8>>>,
}

impl CanService {
    /// Opens the store: reads the whole listing of the service, then follows it with tasks of `group`.
    ///
    /// # Errors
    /// [`OpenError`] when a folder or the database cannot be used, or the service does not answer in time.
    pub async fn open(options: Options, group: &Group) -> Result<Self, OpenError> {
        let Options { url, key, host, data_dir, spool_dir, poll_interval, sweep_interval, stall } = options;
        let client = Client::new(&url, &key, stall).map_err(OpenError::Client)?;
        let prepared = tokio::task::spawn_blocking({
            let spool_dir = spool_dir.clone();
            move || prepare(&data_dir, &spool_dir)
        });
        let database = prepared.await.map_err(|_| OpenError::Database(DatabaseError::Closed))??;
        let shared = Arc::new(Shared {
            client,
            database,
            host,
            disk: Disk::default(),
            spool_dir,
            locks: (0..64).map(|_| tokio::sync::Mutex::default()).collect(),
            trouble: Mutex::default(),
            putting: Mutex::default(),
            unsound: Mutex::default(),
        });
        let swept = first_sweep(&shared).await.map_err(|source| OpenError::Service { url, source })?;
        let group = group.child("can service");
        follow::start(&group, &shared, swept, poll_interval, sweep_interval);
        Ok(Self { shared, group })
    }
}

/// Makes the folders, opens the database, and removes ingests that a crash left behind.
fn prepare(data_dir: &Path, spool_dir: &Path) -> Result<Database, OpenError> {
    for path in [data_dir, spool_dir] {
        std::fs::create_dir_all(path).map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
    }
    let listed = std::fs::read_dir(spool_dir);
    for file in listed.map_err(|source| OpenError::Folder { path: spool_dir.to_owned(), source })?.flatten() {
        if file.path().extension().is_some_and(|extension| extension == "ingest") {
            let _ = std::fs::remove_file(file.path());
        }
    }
    Ok(Database::open(&data_dir.join("can_service.db"))?)
}

/// Lists what is there, again and again until the service answers or the time is over.
async fn first_sweep(shared: &Shared) -> Result<notice::Swept, FollowError> {
    let started = tokio::time::Instant::now();
    let mut pauses = Backoff::new(limits::SERVICE_PAUSE, limits::SERVICE_PAUSE_MOST);
    loop {
        let error = match shared.sweep().await {
            Ok(swept) => return Ok(swept),
            Err(error) => error,
        };
        let pause = pauses.pause();
        let refused = matches!(&error, FollowError::Service(ServiceError::Refused { status: 401..=404, .. }));
        if refused || started.elapsed() + pause > limits::SERVICE_START_TIME {
            return Err(error);
        }
        tracing::warn!(error = %follow::in_one_line(&error), "the can service does not answer yet");
        tokio::time::sleep(pause).await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Waits until nobody else changes the asset.
    async fn lock(&self, id: &AssetId) -> tokio::sync::MutexGuard<'_, ()> {
        self.locks[usize::from(id.as_bytes()[0]) % self.locks.len()].lock().await
    }

    /// Notes whether the service can be used.
    fn noted<T>(&self, result: Result<T, ServiceError>) -> Result<T, ServiceError> {
        *locked(&self.trouble) = match &result {
            Err(error) if !error.is_refusal() => Some(follow::in_one_line(error)),
            _ => None,
        };
        result
    }
}
