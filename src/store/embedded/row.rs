//! One row of `asset`, and how it becomes a record.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::types::Type;

use super::schema::Place;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::ContentDigest;
use crate::asset::Digest;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::store::Arrival;
use crate::store::Inventory;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::ReadError;
use crate::store::Record;
use crate::telemetry::causes;

/// Asks for whole rows.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT number, id, timestamp, size, content, origin, presence, place, arrival, extension, document \
             FROM asset ",
            $which
        )
    };
}

/// A row as it is stored; the document is decoded only when it is wanted.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) number: i64,
    pub(super) key: AssetKey,
    pub(super) content: ContentDigest,
    pub(super) origin: Origin,
    pub(super) presence: Presence,
    pub(super) place: Place,
    pub(super) arrival: Arrival,
    pub(super) extension: String,
    document: Vec<u8>,
}

impl Stored {
    pub(super) fn document(&self) -> Result<LocalDocument, ReadError> {
        LocalDocument::decode(&self.document).map_err(|source| ReadError::Document { id: self.key.id, source })
    }

    /// Returns how many bytes the document takes as it is stored.
    pub(super) const fn document_bytes(&self) -> usize {
        self.document.len()
    }

    /// Returns the record, unless it is damaged: one such asset stops nothing that goes through many.
    pub(super) fn readable(&self) -> Option<Record> {
        let record = self.record();
        record
            .inspect_err(|error| tracing::warn!(asset = %self.key.id, error = %causes(error), "an asset is left out"))
            .ok()
    }

    pub(super) fn record(&self) -> Result<Record, ReadError> {
        Ok(Record {
            key: self.key,
            content: self.content,
            document: self.document()?,
            origin: self.origin,
            presence: self.presence,
            arrival: self.arrival,
        })
    }
}

pub(super) fn by_id(connection: &Connection, id: &AssetId) -> rusqlite::Result<Option<Stored>> {
    let mut statement = connection.prepare_cached(select!("WHERE id = ?1"))?;
    statement.query_row([id.as_bytes()], read).optional()
}

pub(super) fn by_number(connection: &Connection, number: i64) -> rusqlite::Result<Option<Stored>> {
    let mut statement = connection.prepare_cached(select!("WHERE number = ?1"))?;
    statement.query_row([number], read).optional()
}

/// Returns what arrived after something else, oldest first; what is damaged is left out.
pub(super) fn arrived(connection: &Connection, after: Arrival, limit: usize) -> rusqlite::Result<Vec<Record>> {
    // Without a limit of its own: behind what is damaged there may be more.
    let mut statement = connection.prepare_cached(select!("WHERE arrival > ?1 ORDER BY arrival"))?;
    let mut rows = statement.query_map([signed(after.0)], read)?;
    let mut records = Vec::new();
    while records.len() < limit {
        let Some(stored) = rows.next() else { break };
        records.extend(stored?.readable());
    }
    Ok(records)
}

pub(super) fn numbered(connection: &Connection, after: i64, limit: usize) -> rusqlite::Result<Vec<(i64, AssetId)>> {
    let mut statement =
        connection.prepare_cached("SELECT number, id FROM asset WHERE number > ?1 ORDER BY number LIMIT ?2")?;
    let rows = statement.query_map((after, signed(limit as u64)), |row| Ok((row.get(0)?, id(row, 1)?)))?;
    rows.collect()
}

pub(super) fn inventory(connection: &Connection, after: Arrival, limit: usize) -> rusqlite::Result<Vec<Inventory>> {
    // Answered from the index alone, without touching the table.
    let mut statement = connection.prepare_cached(
        "SELECT arrival, id, timestamp, size, digest, presence FROM asset INDEXED BY by_arrival \
         WHERE arrival > ?1 ORDER BY arrival LIMIT ?2",
    )?;
    let rows = statement.query_map((signed(after.0), signed(limit as u64)), |row| {
        Ok(Inventory {
            key: AssetKey { id: id(row, 1)?, timestamp: timestamp(row, 2)?, size: unsigned(row, 3)? },
            document: Digest::from_bytes(row.get(4)?),
            presence: presence(row, 5)?,
            arrival: Arrival(unsigned(row, 0)?),
        })
    })?;
    rows.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        number: row.get(0)?,
        key: AssetKey { id: id(row, 1)?, timestamp: timestamp(row, 2)?, size: unsigned(row, 3)? },
        content: ContentDigest::from_bytes(row.get(4)?),
        origin: match row.get(5)? {
            0_i64 => Origin::Here,
            1 => Origin::Peer,
            other => return Err(strange(5, other)),
        },
        presence: presence(row, 6)?,
        place: match row.get(7)? {
            0_i64 => Place::Flat,
            1 => Place::Index,
            2 => Place::Spool,
            other => return Err(strange(7, other)),
        },
        arrival: Arrival(unsigned(row, 8)?),
        extension: row.get(9)?,
        document: row.get(10)?,
    })
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<AssetId> {
    Ok(AssetId::from_bytes(row.get(column)?))
}

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let millis = unsigned(row, column)?;
    Timestamp::new(millis).map_err(|_| strange(column, signed(millis)))
}

fn presence(row: &Row<'_>, column: usize) -> rusqlite::Result<Presence> {
    match row.get(column)? {
        0_i64 => Ok(Presence::Here),
        1 => Ok(Presence::Missing),
        2 => Ok(Presence::Quarantined),
        other => Err(strange(column, other)),
    }
}

pub(super) const fn stored_presence(presence: Presence) -> i64 {
    match presence {
        Presence::Here => 0,
        Presence::Missing => 1,
        Presence::Quarantined => 2,
    }
}

pub(super) const fn stored_origin(origin: Origin) -> i64 {
    match origin {
        Origin::Here => 0,
        Origin::Peer => 1,
    }
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| strange(column, value))
}

/// A number as `SQLite` holds it; what does not fit is beyond anything stored.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn strange(column: usize, value: i64) -> rusqlite::Error {
    let message = format!("the index holds {value} where no such number belongs; see `can-sync store rebuild`");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, message.into())
}
