//! SQLite, as this program uses it: one thread writes and groups commits, a few connections read.
//!
//! It knows no table. A write is answered when its commit is on stable storage; no connection crosses an await.
//! Used by everything that keeps a database: `state` and the stores.

mod pool;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::OpenFlags;

pub(crate) use pool::Pool;
use writer::Writer;

/// A database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// SQLite refused.
    #[error("cannot open {path}")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A later version of the program wrote the file.
    #[error("{path} has version {found}, this can-sync knows {known}; start the newer can-sync that wrote it")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Version of the file.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
}

/// A read or a write failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// SQLite refused this one.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The commit that this write shared with others failed; nothing of it is stored.
    #[error("commit failed: {0}")]
    Commit(Arc<rusqlite::Error>),
    /// The write panicked; nothing of it is stored.
    #[error("a write to the database panicked")]
    Panicked,
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
}

impl DatabaseError {
    /// Tells whether there was no space left, which may pass.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let error = match self {
            Self::Sqlite(error) => error,
            Self::Commit(error) => error.as_ref(),
            Self::Panicked | Self::Closed => return false,
        };
        error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
    }
}

/// An open database. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Database {
    writer: Writer,
    pool: Arc<Pool>,
}

/// The steps from an empty file to the newest layout: the n-th makes version n of version n-1.
pub type Migrations = &'static [&'static str];

impl Database {
    /// Opens or makes a database and brings its layout up to date. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be used, or is of a later version.
    pub fn open(path: &Path, migrations: Migrations) -> Result<Self, OpenError> {
        let mut connection = connect(path)?;
        migrate(&mut connection, path, migrations)?;
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

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let error = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let connection = Connection::open(path).map_err(error)?;
    prepare(&connection).map_err(error)?;
    Ok(connection)
}

fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// How long a connection waits for a lock; only a checkpoint ever holds one against a reader.
const BUSY: std::time::Duration = std::time::Duration::from_secs(10);

/// Prepared statements kept by a connection; more than any user has.
const STATEMENTS: usize = 64;

/// Gives a connection that writes the settings all of them have.
pub(crate) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path, migrations: Migrations) -> Result<(), OpenError> {
    let error = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let known = u32::try_from(migrations.len()).expect("few migrations");
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(error)?;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    for (version, migration) in (1..).zip(migrations).skip(found as usize) {
        let step = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()
        };
        let mut step = step;
        step().map_err(error)?;
    }
    Ok(())
}
