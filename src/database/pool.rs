//! Connections that read.

use std::path::PathBuf;

use parking_lot::Condvar;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::DatabaseError;
use super::connection::connect_to_read;
use crate::limits;

/// Up to [`limits::READERS`] connections, opened when first needed.
#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    /// Done to each connection after it was opened.
    set_up: fn(&Connection) -> rusqlite::Result<()>,
    idle: Mutex<Idle>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Idle {
    connections: Vec<Connection>,
    open: usize,
    closed: bool,
}

impl Pool {
    pub(super) fn new(path: PathBuf) -> Self {
        Self::with_set_up(path, |_| Ok(()))
    }

    /// Makes a pool whose connections have settings of their own.
    pub(crate) fn with_set_up(path: PathBuf, set_up: fn(&Connection) -> rusqlite::Result<()>) -> Self {
        Self { path, set_up, idle: Mutex::default(), returned: Condvar::new() }
    }

    /// Calls `read` with a connection, waiting for one if all are busy. Blocks.
    pub(crate) fn with<T, E: From<DatabaseError>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let lent = Lent { connection: Some(self.take()?), pool: self };
        read(lent.connection.as_ref().expect("present until it is dropped"))
    }

    /// Lends no more connections, and closes those that are idle; the others close when they come back.
    pub(crate) fn close(&self) {
        let mut idle = self.idle.lock();
        idle.closed = true;
        idle.connections.clear();
        self.returned.notify_all();
    }

    fn take(&self) -> Result<Connection, DatabaseError> {
        let mut idle = self.idle.lock();
        loop {
            if idle.closed {
                return Err(DatabaseError::Closed);
            }
            if let Some(connection) = idle.connections.pop() {
                return Ok(connection);
            }
            if idle.open < limits::READERS {
                let connection = connect_to_read(&self.path)?;
                (self.set_up)(&connection)?;
                idle.open += 1;
                return Ok(connection);
            }
            self.returned.wait(&mut idle);
        }
    }
}

/// A connection that goes back to the pool, also when its reader panics.
struct Lent<'a> {
    connection: Option<Connection>,
    pool: &'a Pool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock();
        let returned = self.connection.take().filter(|_| !idle.closed);
        idle.connections.extend(returned);
        self.pool.returned.notify_one();
    }
}
