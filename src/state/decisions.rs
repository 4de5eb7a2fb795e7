//! What was decided about assets: held, declined, kept back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::OptionalExtension;
use rusqlite::Row;

use super::State;
use super::StateError;
use super::count_rows;
use super::known::read_key;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Digest;

/// On which way an asset was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is here and not passed on.
    Push,
    /// It was offered and not taken.
    Pull,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Not at all: kept back, or declined.
    Drop,
    /// Not yet: held.
    Hold,
}

/// A decision that stopped an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Which asset.
    pub key: AssetKey,
    /// On which way.
    pub way: Way,
    /// What was decided.
    pub decision: Decision,
    /// Who decided: the name of a decider; [`HAND`] for a person.
    pub decider: String,
    /// Why, for people.
    pub reason: String,
    /// Which version was decided about.
    pub version: Digest,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// The decider of what a person decided; asked again only by hand.
pub const HAND: &str = "hand";

impl State {
    /// Returns what was decided about an asset on one way.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn decision(&self, asset: AssetId, way: Way) -> Result<Option<Decided>, StateError> {
        if self.decision_rows.load(Ordering::SeqCst) == 0 {
            return Ok(None);
        }
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = format!("SELECT {COLUMNS} FROM decision WHERE library = ?1 AND asset = ?2 AND way = ?3");
                let mut statement = connection.prepare_cached(&sql)?;
                Ok(statement.query_row((&library, asset.as_bytes(), way.text()), read).optional()?)
            })
            .await
    }

    /// Remembers a decision in place of an earlier one on the same way.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn decide(&self, decided: Decided) -> Result<(), StateError> {
        let (library, rows) = (Arc::clone(&self.library), Arc::clone(&self.decision_rows));
        self.database
            .write(move |connection| {
                let exists = "SELECT 1 FROM decision WHERE library = ?1 AND asset = ?2 AND way = ?3";
                let place = (&library, decided.key.id.as_bytes(), decided.way.text());
                let before = connection.prepare_cached(exists)?.exists(place)?;
                let sql = "INSERT OR REPLACE INTO decision
                           (library, asset, way, verdict, timestamp, size, decider, reason, version, decided_at)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
                connection.prepare_cached(sql)?.execute((
                    &library,
                    decided.key.id.as_bytes(),
                    decided.way.text(),
                    decided.decision.text(),
                    decided.key.timestamp.as_millis(),
                    decided.key.size,
                    &decided.decider,
                    &decided.reason,
                    decided.version.as_bytes(),
                    decided.at_ms,
                ))?;
                count_rows(&rows, before, true);
                Ok(())
            })
            .await
    }

    /// Takes a decision back; tells whether there was one.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn undecide(&self, asset: AssetId, way: Way) -> Result<bool, StateError> {
        if self.decision_rows.load(Ordering::SeqCst) == 0 {
            return Ok(false);
        }
        let (library, rows) = (Arc::clone(&self.library), Arc::clone(&self.decision_rows));
        self.database
            .write(move |connection| {
                let sql = "DELETE FROM decision WHERE library = ?1 AND asset = ?2 AND way = ?3";
                let gone = connection.prepare_cached(sql)?.execute((&library, asset.as_bytes(), way.text()))? > 0;
                count_rows(&rows, gone, false);
                Ok(gone)
            })
            .await
    }

    /// Counts the assets held and those declined or kept back.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn count_decisions(&self) -> Result<(u64, u64), StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT count(*) FILTER (WHERE verdict = 'hold'), count(*) FILTER (WHERE verdict = 'drop')
                           FROM decision WHERE library = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.query_row([&library], |row| Ok((row.get(0)?, row.get(1)?)))?)
            })
            .await
    }

    /// Returns the assets that are kept back from the library.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn kept_back(&self) -> Result<Vec<AssetId>, StateError> {
        if self.decision_rows.load(Ordering::SeqCst) == 0 {
            return Ok(Vec::new());
        }
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT asset FROM decision WHERE library = ?1 AND way = 'push'";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map([&library], |row| Ok(AssetId::from_bytes(row.get(0)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }
}

const COLUMNS: &str = "asset, timestamp, size, way, verdict, decider, reason, version, decided_at";

impl Way {
    fn text(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

impl Decision {
    fn text(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Hold => "hold",
        }
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Decided> {
    let (way, decision): (String, String) = (row.get(3)?, row.get(4)?);
    Ok(Decided {
        key: read_key(row.get(0)?, row.get(1)?, row.get(2)?)?,
        way: if way == Way::Push.text() { Way::Push } else { Way::Pull },
        decision: if decision == Decision::Hold.text() { Decision::Hold } else { Decision::Drop },
        decider: row.get(5)?,
        reason: row.get(6)?,
        version: Digest::from_bytes(row.get(7)?),
        at_ms: row.get(8)?,
    })
}
