//! Connections: their settings, and the layout they find.

use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;

use super::OpenError;

/// How long a connection waits for a lock; only a checkpoint ever holds one against a reader.
const BUSY: Duration = Duration::from_secs(10);

/// Prepared statements kept by a connection; more than any user has.
const STATEMENTS: usize = 64;

/// The steps from an empty file to the newest layout: the n-th makes version n of version n-1.
pub type Migrations = &'static [&'static str];

/// Opens a database, or makes one that only its owner can read; SQLite gives the files beside it the same mode.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let error = |source| OpenError::Sqlite { path: path.to_owned(), source };
    keep_private(path);
    let connection = Connection::open(path).map_err(error)?;
    prepare(&connection).map_err(error)?;
    Ok(connection)
}

/// Makes the file with a mode of its own, or gives it that. Where it cannot be done, opening it tells more.
fn keep_private(path: &Path) {
    let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    if let Ok(file) = made
        && file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    {
        let _ = file.set_permissions(std::fs::Permissions::from_mode(0o600));
    }
}

pub(super) fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Gives a connection that writes the settings all of them have.
pub(crate) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

pub(super) fn migrate(connection: &mut Connection, path: &Path, migrations: Migrations) -> Result<(), OpenError> {
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
