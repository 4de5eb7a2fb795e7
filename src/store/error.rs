//! What can go wrong with a store.

use std::path::PathBuf;

use crate::asset::AssetId;
use crate::asset::DecodeError;
use crate::asset::InvalidMetadata;
use crate::database::DatabaseError;

/// The cause inside a backend: SQLite, HTTP or the file system.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A store could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The index or the service did not answer.
    #[error("the store cannot be read")]
    Index(#[source] Cause),
    /// A content file could not be read.
    #[error("cannot read {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A content turned out damaged.
    #[error("the content of asset {0} is damaged; `can-sync verify {0}` moves it aside and fetches it again")]
    Damaged(AssetId),
    /// A stored document cannot be understood.
    #[error(
        "the stored document of asset {id} cannot be read; `can-sync store rebuild` makes a new index from the files"
    )]
    Document {
        /// Of which asset.
        id: AssetId,
        /// Why.
        source: DecodeError,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl ReadError {
    /// Tells whether it is about one asset alone, and all others can be read.
    #[must_use]
    pub const fn is_about_one(&self) -> bool {
        match self {
            Self::File { .. } | Self::Damaged(_) | Self::Document { .. } => true,
            Self::Index(_) | Self::Closed => false,
        }
    }
}

/// Something could not be stored. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The index or the service refused the write.
    #[error("the store cannot be written")]
    Index(#[source] Cause),
    /// A content file could not be made durable.
    #[error("cannot write {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The metadata is not allowed.
    #[error(transparent)]
    Invalid(#[from] InvalidMetadata),
    /// What is there already could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl WriteError {
    /// Tells whether there was no space left, which may pass.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                return io.kind() == std::io::ErrorKind::StorageFull;
            }
            if let Some(error) = error.downcast_ref::<DatabaseError>() {
                return error.is_disk_full();
            }
            if let Some(rusqlite::Error::SqliteFailure(failure, _)) = error.downcast_ref() {
                return failure.code == rusqlite::ErrorCode::DiskFull;
            }
            cause = error.source();
        }
        false
    }
}

impl From<DatabaseError> for ReadError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Closed => Self::Closed,
            error => Self::Index(Box::new(error)),
        }
    }
}

impl From<DatabaseError> for WriteError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Closed => Self::Closed,
            error => Self::Index(Box::new(error)),
        }
    }
}
