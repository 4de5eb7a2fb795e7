//! Reading the index, from blocking threads, over the connections of [`database`](crate::database).

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::schema;
use crate::database::DatabaseError;
use crate::database::Pool;
use crate::limits;
use crate::store::ReadError;

/// The pool, and permits by which no blocking thread waits for one of its connections.
#[derive(Debug)]
pub(super) struct Readers {
    pool: Pool,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { pool: Pool::with_set_up(path, schema::set_up), permits: Arc::new(Semaphore::new(limits::READERS)) }
    }

    /// Runs a query on a blocking thread; it sees one state of the index from begin to end.
    pub(super) async fn run<T, F>(self: &Arc<Self>, query: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| ReadError::Closed)?;
        let this = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let answer = this.run_here(query);
            drop(permit);
            answer
        });
        work.await.map_err(|error| ReadError::Index(error.into()))?
    }

    /// Runs a query on this thread, for threads of the store's own.
    pub(super) fn run_here<T>(&self, query: impl FnOnce(&Connection) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let answer = self.pool.with(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let answer = query(&transaction);
            transaction.commit()?;
            Ok::<_, DatabaseError>(answer)
        });
        answer.map_err(|error| match error {
            DatabaseError::Closed => ReadError::Closed,
            other => ReadError::Index(other.into()),
        })?
    }

    /// Refuses queries from now on and closes the connections.
    pub(super) async fn close(&self) {
        // Waits for the queries that run.
        let all = self.permits.acquire_many(u32::try_from(limits::READERS).expect("few readers")).await;
        self.permits.close();
        drop(all);
        self.pool.close();
    }
}

/// Names the index as the cause.
pub(super) fn index(source: rusqlite::Error) -> ReadError {
    ReadError::Index(source.into())
}
