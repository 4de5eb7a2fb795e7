//! Versions that peers are known to have.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;

use super::State;
use super::StateError;
use super::count_rows;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Document;
use crate::asset::HostId;
use crate::asset::Timestamp;

/// A version that a peer is known to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Which peer.
    pub peer: HostId,
    /// Which asset.
    pub key: AssetKey,
    /// The version.
    pub document: Document,
}

impl State {
    /// Returns what each peer is known to have of an asset, where anything is remembered.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn known_of_asset(&self, asset: AssetId) -> Result<Vec<Known>, StateError> {
        if self.known_rows.load(Ordering::SeqCst) == 0 {
            return Ok(Vec::new());
        }
        let library = Arc::clone(&self.library);
        let rows = self.database.read(move |connection| {
            let sql = "SELECT peer, asset, timestamp, size, document FROM known WHERE library = ?1 AND asset = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map((&library, asset.as_bytes()), read)?.collect::<Result<Vec<_>, _>>()?;
            Ok::<_, StateError>(rows)
        });
        rows.await?.into_iter().collect()
    }

    /// Returns what each peer is known to have of some assets, where anything is remembered.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn known_of_assets(&self, assets: Vec<AssetId>) -> Result<HashMap<AssetId, Vec<Known>>, StateError> {
        if self.known_rows.load(Ordering::SeqCst) == 0 {
            return Ok(HashMap::new());
        }
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT peer, asset, timestamp, size, document FROM known WHERE library = ?1 AND asset = ?2";
                let mut statement = connection.prepare_cached(sql)?;
                let mut known: HashMap<AssetId, Vec<Known>> = HashMap::new();
                for asset in assets {
                    for row in statement.query_map((&library, asset.as_bytes()), read)? {
                        known.entry(asset).or_default().push(row??);
                    }
                }
                Ok(known)
            })
            .await
    }

    /// Returns what a peer is known to have, where it is remembered: by id, at most `limit` behind an asset.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn known_of_peer(
        &self,
        peer: HostId,
        after: Option<AssetId>,
        limit: usize,
    ) -> Result<Vec<Known>, StateError> {
        if self.known_rows.load(Ordering::SeqCst) == 0 {
            return Ok(Vec::new());
        }
        let library = Arc::clone(&self.library);
        let rows = self.database.read(move |connection| {
            let sql = "SELECT peer, asset, timestamp, size, document FROM known
                       WHERE library = ?1 AND peer = ?2 AND asset > ?3 ORDER BY asset LIMIT ?4";
            let mut statement = connection.prepare_cached(sql)?;
            // Shorter than every id, so before all of them.
            let after = after.as_ref().map_or(&[][..], |after| after.as_bytes());
            let place = (&library, peer.as_bytes(), after, limit);
            let rows = statement.query_map(place, read)?.collect::<Result<Vec<_>, _>>()?;
            Ok::<_, StateError>(rows)
        });
        rows.await?.into_iter().collect()
    }

    /// Remembers a version that a peer has: in place of what was known (`replaces`), or merged with it. `keep` tells of
    /// the result whether it must be remembered; if not, the row goes. Returns what is remembered now.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn remember(
        &self,
        peer: HostId,
        key: AssetKey,
        document: Document,
        replaces: bool,
        keep: impl FnOnce(&Document) -> bool + Send + 'static,
    ) -> Result<Option<Document>, StateError> {
        let (library, rows) = (Arc::clone(&self.library), Arc::clone(&self.known_rows));
        let write = move |connection: &Connection| {
            let sql = "SELECT peer, asset, timestamp, size, document FROM known
                           WHERE library = ?1 AND asset = ?2 AND peer = ?3";
            let place = (&library, key.id.as_bytes(), peer.as_bytes());
            let before = connection.prepare_cached(sql)?.query_row(place, read).optional()?.transpose()?;
            let after = match &before {
                Some(before) if !replaces => before.document.merged(&document),
                _ => document,
            };
            let kept = keep(&after);
            if kept {
                let sql = "INSERT INTO known (library, asset, peer, timestamp, size, document)
                               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                               ON CONFLICT (library, asset, peer) DO UPDATE SET document = excluded.document";
                let (timestamp, encoded) = (key.timestamp.as_millis(), after.encode());
                let row = (&library, key.id.as_bytes(), peer.as_bytes(), timestamp, key.size, encoded);
                connection.prepare_cached(sql)?.execute(row)?;
            } else if before.is_some() {
                let sql = "DELETE FROM known WHERE library = ?1 AND asset = ?2 AND peer = ?3";
                connection.prepare_cached(sql)?.execute(place)?;
            }
            Ok::<_, StateError>((before.is_some(), kept.then_some(after)))
        };
        let tell = move |(before, kept): &(bool, Option<Document>)| count_rows(&rows, *before, kept.is_some());
        Ok(self.database.write_and_tell(write, tell).await?.1)
    }

    /// Forgets what a peer was known to have of an asset.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn forget(&self, peer: HostId, asset: AssetId) -> Result<(), StateError> {
        let (library, rows) = (Arc::clone(&self.library), Arc::clone(&self.known_rows));
        let write = move |connection: &Connection| {
            let sql = "DELETE FROM known WHERE library = ?1 AND asset = ?2 AND peer = ?3";
            let gone = connection.prepare_cached(sql)?.execute((&library, asset.as_bytes(), peer.as_bytes()))?;
            Ok::<_, StateError>(gone > 0)
        };
        self.database.write_and_tell(write, move |gone| count_rows(&rows, *gone, false)).await.map(drop)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<Known, StateError>> {
    let encoded: Vec<u8> = row.get(4)?;
    let key = read_key(row.get(1)?, row.get(2)?, row.get(3)?)?;
    let peer = HostId::from_bytes(row.get(0)?);
    Ok(Document::decode(&encoded).map(|document| Known { peer, key, document }).map_err(StateError::from))
}

/// Puts an asset's key together from its columns.
pub(super) fn read_key(id: [u8; 32], timestamp: u64, size: u64) -> rusqlite::Result<AssetKey> {
    let timestamp = Timestamp::new(timestamp).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Integer, Box::new(error))
    })?;
    Ok(AssetKey { id: AssetId::from_bytes(id), timestamp, size })
}
