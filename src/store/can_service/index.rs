//! The index of this store: its database, and the counter of arrivals that belongs to it.
//!
//! How a database is written and read is the business of [`crate::database`]; here is only what the tables of this store
//! need beside it. Whoever follows the store is told of an arrival by the thread that made it durable, so also of one
//! whose caller has gone.

use std::path::Path;

use rusqlite::Connection;
use tokio::sync::watch;

use super::table;
use crate::database::Database;
use crate::database::DatabaseError;
use crate::database::OpenError;
use crate::store::Arrival;
use crate::task;

/// A transaction, and the last arrival it has given out.
pub(super) struct Writing<'a> {
    pub(super) connection: &'a Connection,
    last: Option<Arrival>,
}

impl Writing<'_> {
    /// Gives out the next arrival; undone with the transaction.
    pub(super) fn arrive(&mut self) -> rusqlite::Result<Arrival> {
        let arrival = table::next_arrival(self.connection)?;
        self.last = Some(arrival);
        Ok(arrival)
    }
}

/// An open index.
#[derive(Debug)]
pub(super) struct Index {
    database: Database,
    latest: watch::Sender<Arrival>,
}

impl Index {
    /// Opens or makes the index. Blocks.
    ///
    /// A new one counts on from the time, so that one made after a loss is above all arrivals of the one before.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let database = Database::open(path, table::MIGRATIONS)?;
        let last = Connection::open(path).and_then(|connection| {
            table::begin_arrivals(&connection, task::now_ms())?;
            table::last_arrival(&connection)
        });
        let last = last.map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        Ok(Self { database, latest: watch::Sender::new(last) })
    }

    /// Follows the latest arrival that is durable.
    pub(super) fn latest(&self) -> watch::Receiver<Arrival> {
        self.latest.subscribe()
    }

    /// Runs a function in a transaction, and answers when that is on stable storage.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let latest = self.latest.clone();
        let work = move |connection: &Connection| {
            let mut writing = Writing { connection, last: None };
            let done = work(&mut writing)?;
            Ok::<_, DatabaseError>((done, writing.last))
        };
        let tell = move |(_, last): &(T, Option<Arrival>)| {
            if let Some(last) = *last {
                latest.send_replace(last);
            }
        };
        self.database.write_and_tell(work, tell).await.map(|(done, _)| done)
    }

    /// Runs a function on a reading connection.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.database.read(|connection| Ok(work(connection)?)).await
    }

    /// Does what waits, and takes no more.
    pub(super) async fn close(&self) {
        self.database.close().await;
    }
}
