//! The tables of the index, and how a connection to it is made.
//!
//! - `asset`: one row per asset. `number` never changes and is never used again (the write-back relies on it);
//!   `arrival` changes with every change. `place` tells where the
//!   content lies (see [`Place`]), `presence` whether there is any.
//! - `label`, `labelled`: everything an asset can be searched by exactly is a label (a tag, an application, …, and one
//!   label that all have). `labelled` holds the assets of a label in the order of listing; `label` counts them, so the
//!   total of a listing by one label costs nothing.
//! - `text`: what a search for text looks through, in ASCII lower case, fields parted by a byte that no text has.
//!   `trigram`: an index of it, and `unindexed`: the rows it is behind with (see [`text`](super::text)).
//! - `small`: contents that are not flat files yet. `whole`: large ones that still have their spool name.
//!   `stale`: assets whose file attribute is behind their document. `doomed`: files to be removed. These four are the
//!   journal of the write-back; after a crash it goes on from them, so nobody ever searches the storage root.
//! - `counter`: sums, the last arrival given, and where the verifier is.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::OpenFlags;

use crate::database;
use crate::limits;

/// Version of the tables, kept in `user_version`. A later one is refused.
pub(super) const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE asset (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    timestamp INTEGER NOT NULL,
    size INTEGER NOT NULL,
    content BLOB NOT NULL,
    origin INTEGER NOT NULL,
    presence INTEGER NOT NULL,
    place INTEGER NOT NULL,
    arrival INTEGER NOT NULL,
    extension TEXT NOT NULL,
    digest BLOB NOT NULL,
    document BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX by_arrival ON asset (arrival, id, timestamp, size, digest, presence);
CREATE TABLE label (
    label INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    value TEXT NOT NULL,
    listed INTEGER NOT NULL DEFAULT 0,
    trashed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, value)
) STRICT;
CREATE TABLE labelled (
    label INTEGER NOT NULL,
    trashed INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (label, trashed, timestamp, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE text (number INTEGER PRIMARY KEY, trashed INTEGER NOT NULL, folded BLOB NOT NULL) STRICT;
CREATE VIRTUAL TABLE trigram USING fts5 (
    folded, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1'
);
CREATE TABLE unindexed (number INTEGER PRIMARY KEY) STRICT;
CREATE TABLE small (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE whole (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE stale (number INTEGER PRIMARY KEY) STRICT;
CREATE TABLE doomed (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Where the bytes of an asset lie, as stored in `place`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the flat file.
    Flat = 0,
    /// In the table `small`.
    Index = 1,
    /// In the spool folder under the name in `whole`, or already at its final one.
    Spool = 2,
}

/// The index is of a later version.
#[derive(Debug)]
pub(super) struct Newer(pub(super) i64);

/// Makes an index, or opens the one that is there.
pub(super) fn make(path: &Path) -> rusqlite::Result<Connection> {
    ready(Connection::open(path)?)
}

/// Opens a connection that writes. An index that is gone stays gone: a blank one would pass for that of a new store.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    ready(Connection::open_with_flags(path, flags)?)
}

fn ready(connection: Connection) -> rusqlite::Result<Connection> {
    database::prepare(&connection)?;
    set_up(&connection)?;
    connection.pragma_update(None, "wal_autocheckpoint", limits::WAL_PAGES)?;
    Ok(connection)
}

/// Gives a connection the settings that are the store's own.
pub(super) fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(limits::STATEMENTS_KEPT);
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16 * 1024)
}

/// Tells whether an index has no tables yet.
pub(super) fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).map(|version: i64| version == 0)
}

/// Makes the tables when there are none. `first_arrival` is where arrivals begin in a new index.
pub(super) fn prepare(connection: &mut Connection, first_arrival: u64) -> rusqlite::Result<Result<(), Newer>> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        VERSION => return Ok(Ok(())),
        0 => {}
        newer => return Ok(Err(Newer(newer))),
    }
    transaction.execute_batch(TABLES)?;
    transaction.execute("INSERT INTO counter VALUES ('arrival', ?1)", [first_arrival.cast_signed()])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(Ok(()))
}
