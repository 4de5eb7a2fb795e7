//! Opening the store: folders, database, and a first sweep over the service.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::FollowError;
use super::ServiceError;
use super::Shared;
use super::SyncKey;
use super::client::Client;
use super::client::Times;
use super::follow;
use super::index::Index;
use super::notice::Swept;
use crate::asset::HostId;
use crate::database;
use crate::limits;
use crate::store::Disk;
use crate::store::parts;
use crate::task::Backoff;
use crate::task::Group;
use crate::task::Locks;
use crate::telemetry::causes;

/// How a CAN Service is reached and followed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is, such as `http://127.0.0.1:3210`.
    pub url: String,
    /// Its `sync_api_key`.
    pub key: SyncKey,
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
    /// Time in which a call without content must be over: [`limits::SERVICE_CALL_TIME`], less in tests.
    pub call_time: Duration,
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
    Database(#[from] database::OpenError),
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

/// A CAN Service as a store.
pub struct CanService {
    pub(super) shared: Arc<Shared>,
    pub(super) group: Group,
}

impl Drop for CanService {
    /// Ends the tasks of a store that nobody closed; nothing that was answered is lost by that.
    fn drop(&mut self) {
        self.group.token().cancel();
    }
}

impl std::fmt::Debug for CanService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CanService").finish_non_exhaustive()
    }
}

impl CanService {
    /// Opens the store: reads the whole listing of the service, then follows it with tasks of `group`.
    ///
    /// # Errors
    /// [`OpenError`] when a folder or the database cannot be used, or the service does not answer in time.
    pub async fn open(options: Options, group: &Group) -> Result<Self, OpenError> {
        let Options { url, key, host, data_dir, spool_dir, poll_interval, sweep_interval, stall, call_time } = options;
        let client = Client::new(&url, &key, Times { stall, call: call_time }).map_err(OpenError::Client)?;
        let prepared = tokio::task::spawn_blocking({
            let spool_dir = spool_dir.clone();
            move || prepare(&data_dir, &spool_dir)
        });
        let index = prepared.await.expect("the work does not panic and is not cancelled")?;
        let shared = Arc::new(Shared {
            client,
            index,
            host,
            disk: Disk::default(),
            spool_dir,
            locks: Locks::default(),
            trouble: Mutex::default(),
            putting: Mutex::default(),
            unreadable: Mutex::default(),
        });
        let swept = first_sweep(&shared).await.map_err(|source| OpenError::Service { url, source })?;
        let group = group.child("can service");
        let removing = parts::keep_removing_old(shared.spool_dir.clone(), limits::PARTS_LOOKED_AT_EVERY);
        group.spawn_until_cancelled("parts", removing);
        follow::start(&group, &shared, swept, poll_interval, sweep_interval);
        Ok(Self { shared, group })
    }
}

/// Makes the folders, opens the database, and removes ingests that a crash left behind and parts nobody went on with.
fn prepare(data_dir: &Path, spool_dir: &Path) -> Result<Index, OpenError> {
    for path in [data_dir, spool_dir] {
        std::fs::create_dir_all(path).map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
    }
    let at_spool = |source| OpenError::Folder { path: spool_dir.to_owned(), source };
    for file in std::fs::read_dir(spool_dir).map_err(at_spool)?.flatten() {
        if file.path().extension().is_some_and(|extension| extension == "ingest") {
            let _ = std::fs::remove_file(file.path());
        }
    }
    parts::remove_old(spool_dir).map_err(at_spool)?;
    Ok(Index::open(&data_dir.join("can_service.db"))?)
}

/// Lists what is there, again and again until the service answers or the time is over.
async fn first_sweep(shared: &Shared) -> Result<Swept, FollowError> {
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
        tracing::warn!(error = %causes(&error), "the can service does not answer yet");
        tokio::time::sleep(pause).await;
    }
}
