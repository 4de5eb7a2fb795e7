//! What peers answered to offers and did not store, for people: nothing is decided by it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use rusqlite::OptionalExtension;

use super::State;
use super::StateError;
use super::count_rows;
use crate::asset::AssetId;
use crate::asset::HostId;

/// How a peer turned an offer down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It waits for a decision there.
    Held,
    /// A plugin, a filter or a person there does not want it.
    Declined,
    /// It is not allowed, or its content was wrong.
    Invalid,
}

impl Refused {
    const ALL: [(Self, i64); 3] = [(Self::Held, 1), (Self::Declined, 2), (Self::Invalid, 3)];

    fn number(self) -> i64 {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(3, |(_, number)| *number)
    }

    fn of(number: i64) -> Self {
        Self::ALL.iter().find(|(_, of)| *of == number).map_or(Self::Invalid, |(kind, _)| *kind)
    }
}

/// A peer's answer to an offer that it did not store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// How it turned the offer down.
    pub kind: Refused,
    /// Why, as it says.
    pub reason: String,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

impl State {
    /// Tells whether any refusal is kept.
    #[must_use]
    pub fn has_refusals(&self) -> bool {
        self.refusal_rows.load(Ordering::SeqCst) > 0
    }

    /// Keeps how a peer turned an asset down, in place of what it said before; without a refusal it is forgotten, since the
    /// peer has the asset.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn keep_refusal(&self, peer: HostId, asset: AssetId, refusal: Option<Refusal>) -> Result<(), StateError> {
        let (library, rows) = (Arc::clone(&self.library), Arc::clone(&self.refusal_rows));
        let write = move |connection: &Connection| {
            let place = (&library, asset.as_bytes(), peer.as_bytes());
            let sql = "DELETE FROM refusal WHERE library = ?1 AND asset = ?2 AND peer = ?3";
            let before = connection.prepare_cached(sql)?.execute(place)? > 0;
            if let Some(Refusal { kind, reason, at_ms }) = &refusal {
                let sql = "INSERT INTO refusal (library, asset, peer, kind, reason, refused_at)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                let row = (&library, asset.as_bytes(), peer.as_bytes(), kind.number(), reason, at_ms);
                connection.prepare_cached(sql)?.execute(row)?;
            }
            Ok::<_, StateError>((before, refusal.is_some()))
        };
        let tell = move |(before, after): &(bool, bool)| count_rows(&rows, *before, *after);
        self.database.write_and_tell(write, tell).await.map(drop)
    }

    /// Returns how a peer turned an asset down, if that is what it answered last.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn refusal(&self, peer: HostId, asset: AssetId) -> Result<Option<Refusal>, StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT kind, reason, refused_at FROM refusal
                           WHERE library = ?1 AND asset = ?2 AND peer = ?3";
                let place = (&library, asset.as_bytes(), peer.as_bytes());
                let refusal = connection.prepare_cached(sql)?.query_row(place, |row| {
                    Ok(Refusal { kind: Refused::of(row.get(0)?), reason: row.get(1)?, at_ms: row.get(2)? })
                });
                Ok(refusal.optional()?)
            })
            .await
    }
}
