//! An open database, as its users hold it.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::DatabaseError;
use super::Migrations;
use super::OpenError;
use super::Pool;
use super::connection;
use super::writer::Writer;

/// An open database. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Database {
    writer: Writer,
    pool: Arc<Pool>,
}

impl Database {
    /// Opens or makes a database and brings its layout up to date. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be used, or is of a later version.
    pub fn open(path: &Path, migrations: Migrations) -> Result<Self, OpenError> {
        let mut connection = connection::connect(path)?;
        connection::migrate(&mut connection, path, migrations)?;
        let writer = Writer::start(path.to_owned(), connection);
        Ok(Self { writer, pool: Arc::new(Pool::new(path.to_owned())) })
    }

    /// Writes in a transaction that other writes may share, and returns when it is durable. A write that fails is
    /// undone alone.
    ///
    /// # Errors
    /// What the write itself returns, or [`DatabaseError::Commit`].
    ///
    /// # Cancel safety
    /// The write may still happen.
    pub async fn write<T, E, F>(&self, write: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        self.writer.write(write, |_| ()).await
    }

    /// Writes as [`write`](Self::write) does, and calls `tell` with what the write returned once that is durable, before
    /// it is answered: on the writing thread, in the order of the writes, and also when whoever asked is gone. It must
    /// not wait.
    ///
    /// # Errors
    /// What the write itself returns, or [`DatabaseError::Commit`]; `tell` is not called then.
    ///
    /// # Cancel safety
    /// The write may still happen, and then it is told.
    pub async fn write_and_tell<T, E, F, G>(&self, write: F, tell: G) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        G: FnOnce(&T) + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        self.writer.write(write, tell).await
    }

    /// Reads on a connection of the pool, on a blocking thread; sees every write that was answered.
    ///
    /// # Errors
    /// What the read itself returns.
    pub async fn read<T, E, F>(&self, read: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        let pool = Arc::clone(&self.pool);
        let joined = tokio::task::spawn_blocking(move || pool.with(read)).await;
        joined.unwrap_or_else(|_| Err(DatabaseError::Closed.into()))
    }

    /// Commits what waits and closes; later calls fail.
    pub async fn close(&self) {
        self.pool.close();
        self.writer.close().await;
    }
}
