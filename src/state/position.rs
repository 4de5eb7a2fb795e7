//! How far the store was followed, and by whom it was judged.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::State;
use super::StateError;

/// How far the store was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The arrival up to which everything was judged.
    pub arrival: u64,
    /// Who decided before a push about all of it.
    pub decider: String,
    /// Who decided after a receive about all of it that came from peers.
    pub receiver: String,
}

impl State {
    /// Returns how far the store was judged, and by whom; `None` when it never was.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn position(&self) -> Result<Option<Position>, StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT arrival, decider, receiver FROM position WHERE library = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                let read = |row: &rusqlite::Row<'_>| {
                    Ok(Position { arrival: row.get(0)?, decider: row.get(1)?, receiver: row.get(2)? })
                };
                Ok(statement.query_row([&library], read).optional()?)
            })
            .await
    }

    /// Remembers how far the store was judged, and by whom.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn set_position(&self, position: Position) -> Result<(), StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .write(move |connection| {
                let sql = "INSERT OR REPLACE INTO position (library, arrival, decider, receiver)
                           VALUES (?1, ?2, ?3, ?4)";
                let Position { arrival, decider, receiver } = &position;
                connection.prepare_cached(sql)?.execute((&library, arrival, decider, receiver))?;
                Ok(())
            })
            .await
    }
}
