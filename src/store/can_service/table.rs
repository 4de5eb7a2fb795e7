//! The tables: assets with what the service showed of them, intents, purged assets.

use prost::Message;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::params;

use super::convert;
use super::database::Writing;
use super::view::Mirror;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::ContentDigest;
use crate::asset::Digest;
use crate::asset::LocalDocument;
use crate::asset::Metadata;
use crate::asset::Timestamp;
use crate::proto::can::v1;
use crate::store::Arrival;
use crate::store::Inventory;
use crate::store::Order;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::Query;
use crate::store::Record;

/// Version of the tables.
const VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE asset(
        id BLOB PRIMARY KEY, timestamp INTEGER NOT NULL, size INTEGER NOT NULL, content BLOB NOT NULL,
        document BLOB NOT NULL, digest BLOB NOT NULL, trashed INTEGER NOT NULL, origin INTEGER NOT NULL,
        presence INTEGER NOT NULL, arrival INTEGER NOT NULL,
        told BLOB NOT NULL, shown BLOB NOT NULL, writing BLOB, version BLOB NOT NULL, waiting INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX asset_arrival ON asset(arrival);
    CREATE INDEX asset_time ON asset(presence, trashed, timestamp, id);
    CREATE INDEX asset_waiting ON asset(id) WHERE waiting = 1;
    CREATE TABLE intent(
        id BLOB PRIMARY KEY, document BLOB NOT NULL, origin INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE purged(id BLOB PRIMARY KEY, version BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counter VALUES('arrival', 0);
";

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

/// Makes the tables where there are none.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        connection.execute_batch(&format!("BEGIN IMMEDIATE;{SCHEMA};PRAGMA user_version={VERSION};COMMIT;"))?;
    } else if version != VERSION {
        return Err(damaged(
            0,
            format!("the database has version {version}, this program knows {VERSION}; it was made by a later one"),
        ));
    }
    Ok(())
}

pub(super) fn last_arrival(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT value FROM counter WHERE name='arrival'", [], |row| number(row, 0))
}

pub(super) fn set_last_arrival(connection: &Connection, last: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counter SET value=?1 WHERE name='arrival'")?.execute([row_number(last)])?;
    Ok(())
}

const COLUMNS: &str = "id,timestamp,size,content,document,origin,presence,arrival,told,shown,writing,version,waiting";

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
    };
    Ok(Entry { record, mirror, version: row.get(11)?, waiting: row.get(12)? })
}

/// Returns one asset.
pub(super) fn get(connection: &Connection, id: &AssetId) -> rusqlite::Result<Option<Entry>> {
    let sql = format!("SELECT {COLUMNS} FROM asset WHERE id=?1");
    connection.prepare_cached(&sql)?.query_row([id.as_bytes()], entry).optional()
}

/// Puts an asset in, whatever was there.
pub(super) fn put(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let (record, mirror) = (&entry.record, &entry.mirror);
    let sql = "REPLACE INTO asset VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)";
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
    ])?;
    Ok(())
}

/// Puts a changed asset in under a new arrival.
pub(super) fn arrive(writing: &mut Writing<'_>, entry: &mut Entry) -> rusqlite::Result<()> {
    entry.record.arrival = writing.arrive();
    put(writing.transaction, entry)
}

pub(super) fn remove(connection: &Connection, id: &AssetId) -> rusqlite::Result<bool> {
    Ok(connection.prepare_cached("DELETE FROM asset WHERE id=?1")?.execute([id.as_bytes()])? > 0)
}

/// Returns assets by arrival.
pub(super) fn arrivals(connection: &Connection, after: Arrival, limit: usize) -> rusqlite::Result<Vec<Record>> {
    let sql = format!("SELECT {COLUMNS} FROM asset WHERE arrival>?1 ORDER BY arrival LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![row_number(after.0), row_limit(limit)], entry)?;
    rows.map(|entry| entry.map(|entry| entry.record)).collect()
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

/// Counts assets that are here, their bytes, and those that are not.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<(u64, u64, u64)> {
    let here = "SELECT COUNT(*), COALESCE(SUM(size),0) FROM asset WHERE presence=0";
    let (assets, bytes) = connection.query_row(here, [], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
    let missing = connection.query_row("SELECT COUNT(*) FROM asset WHERE presence<>0", [], |row| number(row, 0))?;
    Ok((assets, bytes, missing))
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
