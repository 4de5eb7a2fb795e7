//! The database of this store: one thread that writes, a few connections that read.
//!
//! Connections never cross an await: writes are functions sent to the thread, reads run on blocking threads.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::Transaction;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

use super::table;
use crate::limits;
use crate::store::Arrival;

/// The database could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// `SQLite` refused.
    #[error("cannot use {path}")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The folder of the database cannot be used.
    #[error("cannot use {path}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It was closed, or the function that was to run in it failed.
    #[error("the database is closed")]
    Closed,
}

/// A transaction, and the counter of arrivals that belongs to it.
pub(super) struct Writing<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    last: u64,
}

impl Writing<'_> {
    /// Gives out the next arrival.
    pub(super) fn arrive(&mut self) -> Arrival {
        self.last += 1;
        Arrival(self.last)
    }
}

type Job = Box<dyn FnOnce(&mut Writing<'_>) -> rusqlite::Result<Box<dyn FnOnce(rusqlite::Result<()>) + Send>> + Send>;

/// An open database. Dropped, it ends its thread when the last write is done.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    /// `None` once closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    readers: Arc<Mutex<Vec<Connection>>>,
    reading: Arc<Semaphore>,
    latest: watch::Receiver<Arrival>,
}

impl Database {
    /// Opens or makes the database. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let error = |source| DatabaseError::Sqlite { path: path.to_owned(), source };
        let connection = connect(path).map_err(error)?;
        table::create(&connection).map_err(error)?;
        let last = table::last_arrival(&connection).map_err(error)?;
        let (told, latest) = watch::channel(Arrival(last));
        let (jobs, queue) = mpsc::channel(limits::WRITES_QUEUED);
        let owned = path.to_owned();
        std::thread::Builder::new()
            .name("can-service-db".to_owned())
            .spawn(move || write_all(&owned, connection, queue, &told))
            .map_err(|source| DatabaseError::Folder { path: path.to_owned(), source })?;
        let reading = Arc::new(Semaphore::new(limits::READERS));
        Ok(Self { path: path.to_owned(), jobs: Mutex::new(Some(jobs)), readers: Arc::default(), reading, latest })
    }

    /// Follows the latest arrival that is durable.
    pub(super) fn latest(&self) -> watch::Receiver<Arrival> {
        self.latest.clone()
    }

    /// Runs a function in a transaction of its own and answers when that is on stable storage.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |writing| {
            let done = work(writing)?;
            Ok(Box::new(move |committed| drop(answer.send(committed.map(|()| done)))))
        });
        let (failed, failure) = oneshot::channel();
        let job: Job = Box::new(move |writing| match job(writing) {
            Ok(finish) => Ok(finish),
            Err(error) => {
                drop(failed.send(error));
                Err(rusqlite::Error::InvalidQuery)
            }
        });
        let sender = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sender.ok_or(DatabaseError::Closed)?.send(job).await.map_err(|_| DatabaseError::Closed)?;
        let error = |source| DatabaseError::Sqlite { path: self.path.clone(), source };
        match answered.await {
            Ok(done) => done.map_err(error),
            Err(_) => Err(failure.await.map_or(DatabaseError::Closed, error)),
        }
    }

    /// Runs a function on a reading connection.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        if self.jobs.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err(DatabaseError::Closed);
        }
        let permit = Arc::clone(&self.reading).acquire_owned().await.map_err(|_| DatabaseError::Closed)?;
        let (readers, path) = (Arc::clone(&self.readers), self.path.clone());
        let done = tokio::task::spawn_blocking(move || {
            let free = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = free.map_or_else(|| connect(&path), Ok)?;
            let done = work(&connection)?;
            readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            Ok(done)
        });
        let done = done.await.map_err(|_| DatabaseError::Closed)?;
        done.map_err(|source| DatabaseError::Sqlite { path: self.path.clone(), source })
    }

    /// Takes no more writes; those that wait are still done.
    pub(super) fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(limits::SERVICE_CALL_TIME)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// The writing thread: one transaction for each function that waits, until nobody can send any more.
fn write_all(path: &Path, connection: Connection, mut queue: mpsc::Receiver<Job>, latest: &watch::Sender<Arrival>) {
    let mut connection = Some(connection);
    while let Some(job) = queue.blocking_recv() {
        let Some(mut open) = connection.take().or_else(|| connect(path).ok()) else {
            // The callers learn it from their dropped answers, and the next write tries again.
            tracing::error!(path = %path.display(), "database cannot be opened again");
            continue;
        };
        match transact(&mut open, job, latest) {
            Ok(()) => connection = Some(open),
            // After a failed commit the connection is not to be trusted.
            Err(error) => tracing::warn!(%error, "write to the database failed"),
        }
    }
}

fn transact(connection: &mut Connection, job: Job, latest: &watch::Sender<Arrival>) -> rusqlite::Result<()> {
    let before = *latest.borrow();
    let transaction = connection.transaction()?;
    let mut writing = Writing { transaction: &transaction, last: before.0 };
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| job(&mut writing)));
    let last = Arrival(writing.last);
    let Ok(Ok(finish)) = done else { return transaction.rollback() };
    if last > before {
        table::set_last_arrival(&transaction, last.0)?;
    }
    match transaction.commit() {
        Ok(()) => {
            if last > before {
                latest.send_replace(last);
            }
            finish(Ok(()));
            Ok(())
        }
        Err(error) => {
            let text = error.to_string();
            let copy = match &error {
                rusqlite::Error::SqliteFailure(failure, _) => rusqlite::Error::SqliteFailure(*failure, Some(text)),
                _ => rusqlite::Error::InvalidQuery,
            };
            finish(Err(copy));
            Err(error)
        }
    }
}
