//! What can go wrong with a database.

use std::path::PathBuf;
use std::sync::Arc;

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

impl OpenError {
    /// Tells whether there was no space left.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.code() == Some(rusqlite::ErrorCode::DiskFull)
    }

    /// Tells whether the bytes of the file are what is wrong, not the way to them.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode;
        let damage = [ErrorCode::NotADatabase, ErrorCode::DatabaseCorrupt, ErrorCode::Unknown];
        self.code().is_some_and(|code| damage.contains(&code))
    }

    fn code(&self) -> Option<rusqlite::ErrorCode> {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code(),
            Self::Newer { .. } => None,
        }
    }
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
