//! Writes to the index inside one transaction of the writer.
//!
//! Sums and label counts are kept in memory while a transaction runs and written once before its commit.

use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::Connection;

use super::labels::Label;
use super::layout;
use super::listing::Listing;
use super::row;
use super::row::Stored;
use super::row::signed;
use super::schema::Place;
use super::whole::Whole;
use crate::asset::AssetId;
use crate::asset::LocalDocument;
use crate::asset::Verified;
use crate::store::Arrival;
use crate::store::Edit;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::WriteError;

/// Numbers of the labels seen lately.
pub(super) type LabelNumbers = HashMap<Label, i64>;

/// What is counted over all assets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) arrival: u64,
    pub(super) assets: u64,
    pub(super) bytes: u64,
    pub(super) missing: u64,
}

impl Sums {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut sums = Self::default();
        let mut statement = connection.prepare_cached("SELECT name, value FROM counter")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let value = row.get::<_, i64>(1)?.cast_unsigned();
            match row.get_ref(0)?.as_str()? {
                "arrival" => sums.arrival = value,
                "assets" => sums.assets = value,
                "bytes" => sums.bytes = value,
                "missing" => sums.missing = value,
                _ => {}
            }
        }
        Ok(sums)
    }
}

/// Content on its way into the index.
#[derive(Debug)]
pub(super) enum Incoming {
    Small(Bytes),
    Large(Whole),
}

/// Counts of labels that a transaction has changed, in order, so that those of a refused write can be taken back.
pub(super) type LabelChange = (i64, bool, i64);

/// The index while a transaction runs.
pub(super) struct Index<'a> {
    connection: &'a Connection,
    before: Sums,
    sums: Sums,
    pub(super) numbers: &'a mut LabelNumbers,
    pub(super) counts: Vec<LabelChange>,
    files: Vec<Whole>,
}

impl<'a> Index<'a> {
    pub(super) fn new(connection: &'a Connection, sums: Sums, numbers: &'a mut LabelNumbers) -> Self {
        Self { connection, before: sums, sums, numbers, counts: Vec::new(), files: Vec::new() }
    }

    /// Runs writes in one transaction and commits. An error means that none of them took place.
    ///
    /// A write is refused before it changes anything, so the others go on without it. One that breaks off in the middle
    /// fails all: a savepoint for each would copy every page it touches, a fifth of the work, for what does not happen.
    pub(super) fn write_all<F>(&mut self, writes: impl Iterator<Item = F>) -> rusqlite::Result<()>
    where
        F: FnOnce(&mut Self) -> bool,
    {
        self.execute("BEGIN IMMEDIATE")?;
        for write in writes {
            let (sums, counts, files) = (self.sums, self.counts.len(), self.files.len());
            let changes = self.connection.total_changes();
            if !write(self) {
                // SQLite may also have ended the transaction by itself, with everything that came before.
                if self.connection.is_autocommit() || self.connection.total_changes() != changes {
                    return Err(rusqlite::Error::SqliteFailure(
                        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
                        None,
                    ));
                }
                self.sums = sums;
                self.counts.truncate(counts);
                self.files.truncate(files);
                self.numbers.clear();
            }
        }
        self.write_counts()?;
        self.write_sums()?;
        self.execute("COMMIT")
    }

    /// Ends a transaction that was committed.
    pub(super) fn committed(self) -> Sums {
        self.files.into_iter().for_each(Whole::keep);
        self.sums
    }

    /// Ends a transaction that failed; returns the files that came with it.
    pub(super) fn abandon(self) -> Vec<Whole> {
        if !self.connection.is_autocommit() {
            // The connection is closed next, which rolls back too.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.files
    }

    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    pub(super) fn find(&self, id: &AssetId) -> Result<Option<Stored>, WriteError> {
        Ok(row::by_id(self.connection, id).map_err(index)?)
    }

    /// Takes in an asset, or gives one that is here the edit.
    pub(super) fn put(
        &mut self,
        verified: &Verified,
        incoming: Incoming,
        origin: Origin,
        edit: Edit,
    ) -> Result<Record, WriteError> {
        let key = verified.key();
        if let Some(stored) = self.find(&key.id)? {
            if stored.presence.is_here() {
                return self.change(&stored, edit);
            }
            return self.bring_back(&stored, incoming, edit);
        }
        let mut document = LocalDocument::default();
        edit(&mut document);
        let arrival = self.next_arrival();
        let record = Record { key, content: verified.content(), document, origin, presence: Presence::Here, arrival };
        let extension = layout::extension(&record.document);
        let number = self.insert(&record, &extension, incoming_place(&incoming))?;
        self.place(number, incoming)?;
        // The name of a purged file may be waited for again.
        let flat = layout::flat_name(&key, &extension);
        self.run("DELETE FROM doomed WHERE name = ?1", [flat])?;
        Ok(record)
    }

    /// Takes in an asset whose flat file is there, with its next arrival. A second file of it changes nothing.
    pub(super) fn adopt(&mut self, mut record: Record, extension: &str) -> Result<(), WriteError> {
        if self.find(&record.key.id)?.is_some() {
            return Ok(());
        }
        record.arrival = self.next_arrival();
        self.insert(&record, extension, Place::Flat).map(drop)
    }

    /// Writes a new row with its labels and sums; the content is the caller's business.
    fn insert(&mut self, record: &Record, extension: &str, place: Place) -> Result<i64, WriteError> {
        let Record { key, document, presence, .. } = record;
        let mut statement = self.prepare(
            "INSERT INTO asset (id, timestamp, size, content, origin, presence, place, arrival, extension, digest, \
             document) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        let number = statement.insert((
            key.id.as_bytes(),
            signed(key.timestamp.as_millis()),
            signed(key.size),
            record.content.as_bytes(),
            row::stored_origin(record.origin),
            row::stored_presence(*presence),
            place as i64,
            signed(record.arrival.0),
            extension,
            document.shared().digest().as_bytes(),
            document.encode(),
        ));
        let number = number.map_err(write)?;
        self.count(key.size, *presence, 1);
        if presence.is_here() {
            self.list(&Listing::of_new(record, number), None, Some(document))?;
        }
        Ok(number)
    }

    /// Applies an edit to the document of an asset.
    pub(super) fn change(&mut self, stored: &Stored, edit: Edit) -> Result<Record, WriteError> {
        let mut record = stored.record()?;
        let before = record.document.clone();
        edit(&mut record.document);
        if record.document == before {
            return Ok(record);
        }
        record.arrival = self.next_arrival();
        self.write_document(stored.number, &record)?;
        self.mark_stale(stored.number)?;
        if record.presence.is_here() {
            let listing = Listing::of(&record, stored.number);
            self.list(&listing, Some(&before), Some(&record.document))?;
        }
        Ok(record)
    }

    /// Removes an asset. Its files are removed by the write-back.
    pub(super) fn purge(&mut self, id: &AssetId) -> Result<bool, WriteError> {
        let Some(stored) = self.find(id)? else { return Ok(false) };
        if stored.presence.is_here() {
            let record = stored.record()?;
            self.list(&Listing::of(&record, stored.number), Some(&record.document), None)?;
        }
        self.count(stored.key.size, stored.presence, -1);
        self.doom_content(&stored)?;
        for table in ["small", "stale"] {
            self.run(&format!("DELETE FROM {table} WHERE number = ?1"), [stored.number])?;
        }
        self.run("DELETE FROM asset WHERE number = ?1", [stored.number])?;
        Ok(true)
    }

    /// Notes that the content of an asset is gone.
    pub(super) fn lose(&mut self, stored: &Stored, presence: Presence) -> Result<(), WriteError> {
        let mut record = stored.record()?;
        if !record.presence.is_here() {
            return Ok(());
        }
        self.list(&Listing::of(&record, stored.number), Some(&record.document), None)?;
        self.count(record.key.size, record.presence, -1);
        self.count(record.key.size, presence, 1);
        record.arrival = self.next_arrival();
        self.run(
            "UPDATE asset SET presence = ?2, arrival = ?3, place = ?4 WHERE number = ?1",
            (stored.number, row::stored_presence(presence), signed(record.arrival.0), Place::Flat as i64),
        )?;
        for table in ["small", "whole"] {
            self.run(&format!("DELETE FROM {table} WHERE number = ?1"), [stored.number])?;
        }
        Ok(())
    }

    /// Notes that a content is a flat file now, unless the asset has gone or was changed since.
    pub(super) fn settle(&mut self, number: i64, whole: Option<&str>) -> Result<(), WriteError> {
        let (from, known) = match whole {
            None => {
                let mut delete = self.prepare("DELETE FROM small WHERE number = ?1")?;
                (Place::Index, delete.execute([number]).map_err(write)?)
            }
            Some(name) => {
                let mut delete = self.prepare("DELETE FROM whole WHERE number = ?1 AND name = ?2")?;
                (Place::Spool, delete.execute((number, name)).map_err(write)?)
            }
        };
        if known == 0 {
            return Ok(());
        }
        self.run(
            "UPDATE asset SET place = ?2 WHERE number = ?1 AND place = ?3",
            (number, Place::Flat as i64, from as i64),
        )
    }

    pub(super) fn set_counter(&mut self, name: &str, value: i64) -> Result<(), WriteError> {
        self.run("INSERT OR REPLACE INTO counter VALUES (?1, ?2)", (name, value))
    }

    pub(super) fn run(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), WriteError> {
        self.prepare(sql)?.execute(values).map_err(write)?;
        Ok(())
    }

    fn bring_back(&mut self, stored: &Stored, incoming: Incoming, edit: Edit) -> Result<Record, WriteError> {
        let mut record = stored.record()?;
        edit(&mut record.document);
        record.arrival = self.next_arrival();
        self.count(record.key.size, record.presence, -1);
        record.presence = Presence::Here;
        self.count(record.key.size, record.presence, 1);
        self.write_document(stored.number, &record)?;
        let place = incoming_place(&incoming);
        self.run(
            "UPDATE asset SET presence = ?2, place = ?3 WHERE number = ?1",
            (stored.number, row::stored_presence(record.presence), place as i64),
        )?;
        // A file that was taken for lost may lie where the new one will, and is replaced then.
        self.place(stored.number, incoming)?;
        self.list(&Listing::of(&record, stored.number), None, Some(&record.document))?;
        Ok(record)
    }

    fn place(&mut self, number: i64, incoming: Incoming) -> Result<(), WriteError> {
        match incoming {
            Incoming::Small(bytes) => self.run("INSERT OR REPLACE INTO small VALUES (?1, ?2)", (number, &bytes[..])),
            Incoming::Large(whole) => {
                self.run("INSERT OR REPLACE INTO whole VALUES (?1, ?2)", (number, whole.name()))?;
                self.files.push(whole);
                Ok(())
            }
        }
    }

    fn doom_content(&mut self, stored: &Stored) -> Result<(), WriteError> {
        let flat = layout::flat_name(&stored.key, &stored.extension);
        self.run("INSERT OR REPLACE INTO doomed VALUES (?1)", [flat])?;
        self.run(
            "INSERT OR REPLACE INTO doomed SELECT '.spool/' || name FROM whole WHERE number = ?1",
            [stored.number],
        )?;
        self.run("DELETE FROM whole WHERE number = ?1", [stored.number])
    }

    fn write_document(&mut self, number: i64, record: &Record) -> Result<(), WriteError> {
        self.run(
            "UPDATE asset SET document = ?2, digest = ?3, arrival = ?4 WHERE number = ?1",
            (number, record.document.encode(), record.document.shared().digest().as_bytes(), signed(record.arrival.0)),
        )
    }

    fn mark_stale(&mut self, number: i64) -> Result<(), WriteError> {
        self.run("INSERT OR IGNORE INTO stale VALUES (?1)", [number])
    }

    fn next_arrival(&mut self) -> Arrival {
        self.sums.arrival += 1;
        Arrival(self.sums.arrival)
    }

    fn count(&mut self, size: u64, presence: Presence, by: i64) {
        if presence.is_here() {
            self.sums.assets = self.sums.assets.saturating_add_signed(by);
            self.sums.bytes = self.sums.bytes.saturating_add_signed(by * signed(size));
        } else {
            self.sums.missing = self.sums.missing.saturating_add_signed(by);
        }
    }

    fn write_sums(&self) -> rusqlite::Result<()> {
        let Sums { arrival, assets, bytes, missing } = self.sums;
        let mut statement = self.connection.prepare_cached("INSERT OR REPLACE INTO counter VALUES (?1, ?2)")?;
        let before = [self.before.arrival, self.before.assets, self.before.bytes, self.before.missing];
        let names = ["arrival", "assets", "bytes", "missing"];
        for ((name, value), before) in names.into_iter().zip([arrival, assets, bytes, missing]).zip(before) {
            if value != before {
                statement.execute((name, signed(value)))?;
            }
        }
        Ok(())
    }

    pub(super) fn prepare(&self, sql: &str) -> Result<rusqlite::CachedStatement<'a>, WriteError> {
        self.connection.prepare_cached(sql).map_err(write)
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

const fn incoming_place(incoming: &Incoming) -> Place {
    match incoming {
        Incoming::Small(_) => Place::Index,
        Incoming::Large(_) => Place::Spool,
    }
}

fn index(source: rusqlite::Error) -> ReadError {
    ReadError::Index(source.into())
}

/// Names the index as the cause.
pub(super) fn write(source: rusqlite::Error) -> WriteError {
    WriteError::Index(source.into())
}
