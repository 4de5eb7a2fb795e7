//! What this host remembers besides its store: how far it has followed the store, what peers are known to have, what
//! plugins answered, what was decided about assets, and the peers themselves.
//!
//! It knows no store, no network and no plugin. All of it can be lost: the store is followed from the beginning again,
//! and reconciliation shows what peers have. Called by `engine` and `node`.

mod answer;
mod braked;
mod decisions;
mod known;
mod layout;
mod peers;
mod position;
mod refusals;
#[cfg(test)]
mod tests;
mod verdicts;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use crate::asset::DecodeError;
use crate::database::Database;
use crate::database::DatabaseError;
use crate::database::OpenError;

pub use answer::{Answered, DecodeAnswerError};
pub use decisions::{Decided, Decision, DecisionCounts, DecisionMark, HAND, PURGE, Way};
pub use known::Known;
pub use peers::{Peer, PeerSettings};
pub use position::Position;
pub use refusals::{Refusal, Refused};
pub use verdicts::{Kept, VerdictKey, Wanted};

/// The memory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The database refused.
    #[error("the host's state cannot be used")]
    Database(#[from] DatabaseError),
    /// A remembered document cannot be understood.
    #[error("a remembered document cannot be read")]
    Document(#[from] DecodeError),
    /// A remembered answer of a plugin cannot be understood.
    #[error("a remembered verdict cannot be read")]
    Answer(#[from] DecodeAnswerError),
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The memory of one host about one library.
#[derive(Debug, Clone)]
pub struct State {
    database: Database,
    library: Arc<str>,
    /// Rows about what peers have; while there are none, nothing needs to be asked.
    known_rows: Arc<AtomicU64>,
    /// Rows about decisions; while there are none, nothing needs to be asked.
    decision_rows: Arc<AtomicU64>,
    /// Rows about what peers turned down; while there are none, none need to be forgotten.
    refusal_rows: Arc<AtomicU64>,
    /// Whether an answer was ever kept; until then, nothing needs to be asked.
    has_verdicts: Arc<AtomicBool>,
}

impl State {
    /// Opens or makes the memory. Blocks.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be used, or is of a later version.
    pub fn open(path: &Path, library: &str) -> Result<Self, OpenError> {
        let database = Database::open(path, layout::MIGRATIONS)?;
        let ask = |sql: String| -> rusqlite::Result<u64> {
            Connection::open(path)?.query_row(&sql, [library], |row| row.get(0))
        };
        let count = |table: &str| ask(format!("SELECT count(*) FROM {table} WHERE library = ?1"));
        let has_verdicts = || ask("SELECT EXISTS (SELECT 1 FROM verdict WHERE library = ?1)".to_owned());
        let error = |source| OpenError::Sqlite { path: path.to_owned(), source };
        Ok(Self {
            database,
            library: library.into(),
            known_rows: Arc::new(AtomicU64::new(count("known").map_err(error)?)),
            decision_rows: Arc::new(AtomicU64::new(count("decision").map_err(error)?)),
            refusal_rows: Arc::new(AtomicU64::new(count("refusal").map_err(error)?)),
            has_verdicts: Arc::new(AtomicBool::new(has_verdicts().map_err(error)? > 0)),
        })
    }

    /// Commits what waits and closes; later calls fail.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// Adjusts a count of rows by what a write has done that is durable: a count that is too low hides what is there.
fn count_rows(rows: &AtomicU64, before: bool, after: bool) {
    match (before, after) {
        (false, true) => rows.fetch_add(1, Ordering::SeqCst),
        (true, false) => rows.fetch_sub(1, Ordering::SeqCst),
        _ => 0,
    };
}
