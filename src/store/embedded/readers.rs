//! A few connections that read, used from blocking threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::schema;
use crate::limits;
use crate::store::ReadError;

/// The pool. It makes a connection when one is wanted and all others are busy, up to [`limits::READERS`].
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default(), permits: Arc::new(Semaphore::new(limits::READERS)) }
    }

    /// Runs a query on a blocking thread; it sees one state of the index from begin to end.
    pub(super) async fn run<T, F>(self: &Arc<Self>, query: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| ReadError::Closed)?;
        let pool = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let answer = pool.run_here(query);
            drop(permit);
            answer
        });
        work.await.map_err(|error| ReadError::Index(error.into()))?
    }

    /// Runs a query on this thread, for threads of the store's own.
    pub(super) fn run_here<T>(&self, query: impl FnOnce(&Connection) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => schema::connect(&self.path).map_err(index)?,
        };
        let transaction = connection.transaction().map_err(index)?;
        let answer = query(&transaction);
        // A connection that cannot even end a read is not used again.
        transaction.commit().map_err(index)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        answer
    }

    /// Does something that is no query, such as a checkpoint, outside any transaction.
    pub(super) fn run_outside(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::connect(&self.path)?,
        };
        work(&connection)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(())
    }

    /// Refuses queries from now on and closes the idle connections.
    pub(super) async fn close(&self) {
        // Waits for the queries that run.
        let all = self.permits.acquire_many(u32::try_from(limits::READERS).expect("few readers")).await;
        self.permits.close();
        drop(all);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Names the index as the cause.
pub(super) fn index(source: rusqlite::Error) -> ReadError {
    ReadError::Index(source.into())
}
