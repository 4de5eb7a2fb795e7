//! The tables: assets with what the service showed of them, intents, purged assets.

use prost::Message;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::params;

use super::convert;
use super::index::Writing;
use super::view::Mirror;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::ContentDigest;
use crate::asset::Digest;
use crate::asset::LocalDocument;
use crate::asset::Metadata;
use crate::asset::Timestamp;
use crate::database::Migrations;
use crate::proto::can::v1;
use crate::store::Arrival;
use crate::store::Inventory;
use crate::store::Order;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::Query;
use crate::store::Record;

/// The steps from an empty file to the newest tables.
pub(super) const MIGRATIONS: Migrations = &[
    "
    CREATE TABLE asset(
        id BLOB PRIMARY KEY, timestamp INTEGER NOT NULL, size INTEGER NOT NULL, content BLOB NOT NULL,
        document BLOB NOT NULL, digest BLOB NOT NULL, trashed INTEGER NOT NULL, origin INTEGER NOT NULL,
        presence INTEGER NOT NULL, arrival INTEGER NOT NULL,
        told BLOB NOT NULL, shown BLOB NOT NULL, writing BLOB, version BLOB NOT NULL, waiting INTEGER NOT NULL,
        -- JSON array of names; NULL for none
        left_out TEXT
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX asset_arrival ON asset(arrival);
    CREATE INDEX asset_time ON asset(presence, trashed, timestamp, id);
    CREATE INDEX asset_waiting ON asset(id) WHERE waiting = 1;
    CREATE INDEX asset_left_out ON asset(id) WHERE left_out IS NOT NULL;
    CREATE TABLE intent(
        id BLOB PRIMARY KEY, document BLOB NOT NULL, origin INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE purged(id BLOB PRIMARY KEY, version BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counter VALUES('arrival', 0);
",
    "
    -- With the size, so that what all are large together is told without a look at each.
    DROP INDEX asset_time;
    CREATE INDEX asset_time ON asset(presence, trashed, timestamp, id, size);
",
];

/// An asset and what is remembered about it at the service.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) mirror: Mirror,
    /// The version under which it was read last; empty when the service names none.
    pub(super) version: Vec<u8>,
    /// Whether its document still has to be written to the service.
    pub(super) waiting: bool,
}

pub(super) fn last_arrival(connection: &Connection) -> rusqlite::Result<Arrival> {
    connection.query_row("SELECT value FROM counter WHERE name='arrival'", [], |row| number(row, 0).map(Arrival))
}

/// Says where arrivals begin, unless one was given out.
pub(super) fn begin_arrivals(connection: &Connection, first: u64) -> rusqlite::Result<()> {
    connection.execute("UPDATE counter SET value=?1 WHERE name='arrival' AND value=0", [row_number(first)])?;
    Ok(())
}

/// Gives out the next arrival.
pub(super) fn next_arrival(connection: &Connection) -> rusqlite::Result<Arrival> {
    let sql = "UPDATE counter SET value=value+1 WHERE name='arrival' RETURNING value";
    connection.prepare_cached(sql)?.query_row([], |row| number(row, 0).map(Arrival))
}

const COLUMNS: &str =
    "id,timestamp,size,content,document,origin,presence,arrival,told,shown,writing,version,waiting,left_out";

fn damaged(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, error.into())
}

fn key(row: &Row<'_>) -> rusqlite::Result<AssetKey> {
    let timestamp = Timestamp::new(number(row, 1)?).map_err(|error| damaged(1, error))?;
    Ok(AssetKey { id: AssetId::from_bytes(row.get(0)?), timestamp, size: number(row, 2)? })
}

fn presence(column: usize, row: &Row<'_>) -> rusqlite::Result<Presence> {
    match row.get::<_, u8>(column)? {
        0 => Ok(Presence::Here),
        1 => Ok(Presence::Missing),
        2 => Ok(Presence::Quarantined),
        _ => Err(damaged(column, "no such presence")),
    }
}

fn presence_code(presence: Presence) -> u8 {
    match presence {
        Presence::Here => 0,
        Presence::Missing => 1,
        Presence::Quarantined => 2,
    }
}

fn origin(code: u8) -> Origin {
    if code == 0 { Origin::Here } else { Origin::Peer }
}

fn origin_code(origin: Origin) -> u8 {
    u8::from(origin == Origin::Peer)
}

fn document(column: usize, bytes: &[u8]) -> rusqlite::Result<LocalDocument> {
    LocalDocument::decode(bytes).map_err(|error| damaged(column, error))
}

fn view(column: usize, bytes: &[u8]) -> rusqlite::Result<Metadata> {
    v1::Metadata::decode(bytes).map(convert::from_wire).map_err(|error| damaged(column, error))
}

fn view_bytes(metadata: &Metadata) -> Vec<u8> {
    convert::to_wire(metadata).encode_to_vec()
}

fn names(column: usize, row: &Row<'_>) -> rusqlite::Result<Vec<String>> {
    let json: Option<String> = row.get(column)?;
    json.map_or(Ok(Vec::new()), |json| serde_json::from_str(&json).map_err(|error| damaged(column, error)))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let record = Record {
        key: key(row)?,
        content: ContentDigest::from_bytes(row.get(3)?),
        document: document(4, row.get_ref(4)?.as_blob()?)?,
        origin: origin(row.get(5)?),
        presence: presence(6, row)?,
        arrival: Arrival(number(row, 7)?),
    };
    let writing: Option<Vec<u8>> = row.get(10)?;
    let mirror = Mirror {
        told: view(8, row.get_ref(8)?.as_blob()?)?,
        shown: view(9, row.get_ref(9)?.as_blob()?)?,
        writing: writing.map(|writing| view(10, &writing)).transpose()?,
        left_out: names(13, row)?.into_iter().collect(),
    };
    Ok(Entry { record, mirror, version: row.get(11)?, waiting: row.get(12)? })
}

/// Returns one asset.
pub(super) fn get(connection: &Connection, id: &AssetId) -> rusqlite::Result<Option<Entry>> {
    let sql = format!("SELECT {COLUMNS} FROM asset WHERE id=?1");
    connection.prepare_cached(&sql)?.query_row([id.as_bytes()], entry).optional()
}

/// Tells whether an asset is here.
pub(super) fn is_here(connection: &Connection, id: &AssetId) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM asset WHERE id=?1 AND presence=0")?;
    statement.exists([id.as_bytes()])
}

/// Puts an asset in, whatever was there.
pub(super) fn put(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let (record, mirror) = (&entry.record, &entry.mirror);
    let left_out = (!mirror.left_out.is_empty()).then(|| serde_json::json!(mirror.left_out).to_string());
    let sql = "REPLACE INTO asset VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)";
    connection.prepare_cached(sql)?.execute(params![
        record.key.id.as_bytes(),
        row_number(record.key.timestamp.as_millis()),
        row_number(record.key.size),
        record.content.as_bytes(),
        record.document.encode(),
        record.document.shared().digest().as_bytes(),
        record.document.metadata().trashed,
        origin_code(record.origin),
        presence_code(record.presence),
        row_number(record.arrival.0),
        view_bytes(&mirror.told),
        view_bytes(&mirror.shown),
        mirror.writing.as_ref().map(view_bytes),
        entry.version,
        entry.waiting,
        left_out,
    ])?;
    Ok(())
}

/// Puts a changed asset in under a new arrival.
pub(super) fn arrive(writing: &mut Writing<'_>, entry: &mut Entry) -> rusqlite::Result<()> {
    entry.record.arrival = writing.arrive()?;
    put(writing.connection, entry)
}

pub(super) fn remove(connection: &Connection, id: &AssetId) -> rusqlite::Result<bool> {
    Ok(connection.prepare_cached("DELETE FROM asset WHERE id=?1")?.execute([id.as_bytes()])? > 0)
}

/// Returns assets by arrival; what is damaged is left out.
pub(super) fn arrivals(connection: &Connection, after: Arrival, limit: usize) -> rusqlite::Result<Vec<Record>> {
    // Without a limit of its own: behind what is damaged there may be more.
    let sql = format!("SELECT {COLUMNS} FROM asset WHERE arrival>?1 ORDER BY arrival");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query_map([row_number(after.0)], entry)?;
    let mut records = Vec::new();
    while records.len() < limit {
        match rows.next() {
            Some(Ok(entry)) => records.push(entry.record),
            Some(Err(error @ rusqlite::Error::FromSqlConversionFailure(..))) => {
                tracing::warn!(%error, "an asset is left out");
            }
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    Ok(records)
}

/// Returns assets in short by arrival.
pub(super) fn inventory(connection: &Connection, after: Arrival, limit: usize) -> rusqlite::Result<Vec<Inventory>> {
    let sql = "SELECT id,timestamp,size,digest,presence,arrival FROM asset WHERE arrival>?1 ORDER BY arrival LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![row_number(after.0), row_limit(limit)], |row| {
        Ok(Inventory {
            key: key(row)?,
            document: Digest::from_bytes(row.get(3)?),
            presence: presence(4, row)?,
            arrival: Arrival(number(row, 5)?),
        })
    })?;
    rows.collect()
}

/// Reads a number that is never negative.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|error| damaged(column, error))
}

fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn row_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What is here and what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) assets: u64,
    pub(super) bytes: u64,
    /// Assets whose content is not here, for whatever reason.
    pub(super) missing: u64,
    /// Those of them that vanished from the service.
    pub(super) lost: u64,
    /// Assets of which something stays at the service because no document may hold it.
    pub(super) left_out: u64,
    /// The first of them, and what that is.
    pub(super) first_left_out: Option<(AssetId, Vec<String>)>,
}

/// Counts assets.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    let count = |sql| connection.prepare_cached(sql)?.query_row([], |row| number(row, 0));
    let first = "SELECT id,left_out FROM asset WHERE left_out IS NOT NULL AND presence=0 ORDER BY id LIMIT 1";
    let mut first = connection.prepare_cached(first)?;
    Ok(Counts {
        assets: count("SELECT COUNT(*) FROM asset WHERE presence=0")?,
        bytes: count("SELECT COALESCE(SUM(size),0) FROM asset WHERE presence=0")?,
        missing: count("SELECT COUNT(*) FROM asset WHERE presence<>0")?,
        lost: count("SELECT COUNT(*) FROM asset WHERE presence=1")?,
        left_out: count("SELECT COUNT(*) FROM asset WHERE left_out IS NOT NULL AND presence=0")?,
        first_left_out: first.query_row([], |row| Ok((AssetId::from_bytes(row.get(0)?), names(1, row)?))).optional()?,
    })
}

/// Returns the ids of all assets that are here, in order.
pub(super) fn ids_here(connection: &Connection) -> rusqlite::Result<Vec<AssetId>> {
    let mut statement = connection.prepare_cached("SELECT id FROM asset WHERE presence=0 ORDER BY id")?;
    let rows = statement.query_map([], |row| row.get(0).map(AssetId::from_bytes))?;
    rows.collect()
}

/// Returns assets whose document waits to be written to the service.
pub(super) fn waiting(connection: &Connection, after: &AssetId, limit: usize) -> rusqlite::Result<Vec<AssetId>> {
    let sql = "SELECT id FROM asset WHERE waiting=1 AND id>?1 ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows =
        statement.query_map(params![after.as_bytes(), row_limit(limit)], |row| row.get(0).map(AssetId::from_bytes))?;
    rows.collect()
}

/// Goes through the assets that are here, in the order of timestamp and id or its reverse.
pub(super) fn each_here(
    connection: &Connection,
    trashed: bool,
    newest: bool,
    mut visit: impl FnMut(Record),
) -> rusqlite::Result<()> {
    let order = if newest { "timestamp DESC, id DESC" } else { "timestamp, id" };
    let sql = format!("SELECT {COLUMNS} FROM asset WHERE presence=0 AND trashed=?1 ORDER BY {order}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([trashed])?;
    while let Some(row) = rows.next()? {
        visit(entry(row)?.record);
    }
    Ok(())
}

/// Remembers that an asset is about to be handed to the service.
pub(super) fn put_intent(
    connection: &Connection,
    id: &AssetId,
    document: &LocalDocument,
    origin: Origin,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("REPLACE INTO intent VALUES(?1,?2,?3)")?;
    statement.execute(params![id.as_bytes(), document.encode(), origin_code(origin)])?;
    Ok(())
}

pub(super) fn intent(connection: &Connection, id: &AssetId) -> rusqlite::Result<Option<(LocalDocument, Origin)>> {
    let mut statement = connection.prepare_cached("SELECT document,origin FROM intent WHERE id=?1")?;
    statement
        .query_row([id.as_bytes()], |row| Ok((document(0, row.get_ref(0)?.as_blob()?)?, origin(row.get(1)?))))
        .optional()
}

pub(super) fn remove_intent(connection: &Connection, id: &AssetId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM intent WHERE id=?1")?.execute([id.as_bytes()])?;
    Ok(())
}

/// Returns the version a purged asset had at the service; `None` when it was not purged.
pub(super) fn purged(connection: &Connection, id: &AssetId) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT version FROM purged WHERE id=?1")?;
    statement.query_row([id.as_bytes()], |row| row.get(0)).optional()
}

pub(super) fn put_purged(connection: &Connection, id: &AssetId, version: &[u8]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("REPLACE INTO purged VALUES(?1,?2)")?;
    statement.execute(params![id.as_bytes(), version])?;
    Ok(())
}

pub(super) fn remove_purged(connection: &Connection, id: &AssetId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM purged WHERE id=?1")?.execute([id.as_bytes()])?;
    Ok(())
}

/// Counts the assets that are here, in the trash or outside it.
pub(super) fn count_here(connection: &Connection, trashed: bool) -> rusqlite::Result<u64> {
    let sql = "SELECT COUNT(*) FROM asset WHERE presence=0 AND trashed=?1";
    connection.prepare_cached(sql)?.query_row([trashed], |row| number(row, 0))
}

/// Returns a page of the assets that are here and one asset more, by order, cursor and offset alone.
pub(super) fn page_here(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Record>> {
    let newest = query.order == Order::Newest;
    let (order, behind) = if newest { ("timestamp DESC, id DESC", "<") } else { ("timestamp, id", ">") };
    let start = if newest { (i64::MAX, [0xff; 32]) } else { (i64::MIN, [0; 32]) };
    let cursor = query.after.map(|after| (row_number(after.timestamp.as_millis()), *after.id.as_bytes()));
    let (timestamp, id) = cursor.unwrap_or(start);
    let sql = format!(
        "SELECT {COLUMNS} FROM asset WHERE presence=0 AND trashed=?1 AND (timestamp,id){behind}(?2,?3)
         ORDER BY {order} LIMIT ?4 OFFSET ?5"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let limit = row_limit(query.limit.saturating_add(1));
    let rows = statement.query_map(params![query.trashed, timestamp, id, limit, row_number(query.offset)], entry)?;
    rows.map(|entry| entry.map(|entry| entry.record)).collect()
}
