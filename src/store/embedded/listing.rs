//! Keeping up with each change what listings and searches are read from: labels, their counts, and text.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use rusqlite::OptionalExtension;

use super::index;
use super::index::Index;
use super::labels;
use super::labels::Label;
use super::row::signed;
use crate::asset::AssetId;
use crate::asset::LocalDocument;
use crate::store::Record;
use crate::store::WriteError;

/// Most label numbers kept in memory. Beyond it they are forgotten and looked up again.
const LABELS_KEPT: usize = 10_000;

/// Where an asset stands in every listing.
pub(super) struct Listing {
    pub(super) number: i64,
    pub(super) id: AssetId,
    pub(super) timestamp: u64,
    /// It has never stood in any.
    pub(super) is_new: bool,
}

impl Listing {
    pub(super) fn of(record: &Record, number: i64) -> Self {
        Self { number, id: record.key.id, timestamp: record.key.timestamp.as_millis(), is_new: false }
    }

    /// The same for a row just made.
    pub(super) fn of_new(record: &Record, number: i64) -> Self {
        Self { is_new: true, ..Self::of(record, number) }
    }
}

impl Index<'_> {
    /// Brings labels and text of an asset from one document to another; none means not listed.
    pub(super) fn list(
        &mut self,
        listing: &Listing,
        before: Option<&LocalDocument>,
        after: Option<&LocalDocument>,
    ) -> Result<(), WriteError> {
        let side = |document: Option<&LocalDocument>| {
            document.map(LocalDocument::metadata).map_or((BTreeSet::new(), false, Vec::new()), |metadata| {
                (labels::of(&metadata), metadata.trashed, labels::folded(&metadata))
            })
        };
        let (old, was_trashed, old_text) = side(before);
        let (new, is_trashed, new_text) = side(after);
        let moved = was_trashed != is_trashed;
        for label in old.iter().filter(|label| moved || !new.contains(label)) {
            self.unlist_one(listing, label, was_trashed)?;
        }
        for label in new.iter().filter(|label| moved || !old.contains(label)) {
            self.list_one(listing, label, is_trashed)?;
        }
        if new_text == old_text {
            if moved && !new_text.is_empty() {
                self.run("UPDATE text SET trashed = ?2 WHERE number = ?1", (listing.number, is_trashed))?;
            }
            return Ok(());
        }
        if new_text.is_empty() {
            self.run("DELETE FROM text WHERE number = ?1", [listing.number])?;
        } else {
            self.run("INSERT OR REPLACE INTO text VALUES (?1, ?2, ?3)", (listing.number, is_trashed, new_text))?;
        }
        if listing.is_new {
            // Its number is above all that are indexed, which is mark enough.
            return Ok(());
        }
        self.run("INSERT OR IGNORE INTO unindexed VALUES (?1)", [listing.number])
    }

    fn list_one(&mut self, listing: &Listing, label: &Label, trashed: bool) -> Result<(), WriteError> {
        let number = self.label_number(label)?;
        self.run(
            "INSERT INTO labelled VALUES (?1, ?2, ?3, ?4, ?5)",
            (number, trashed, signed(listing.timestamp), listing.id.as_bytes(), listing.number),
        )?;
        self.counts.push((number, trashed, 1));
        Ok(())
    }

    fn unlist_one(&mut self, listing: &Listing, label: &Label, trashed: bool) -> Result<(), WriteError> {
        let number = self.label_number(label)?;
        self.run(
            "DELETE FROM labelled WHERE label = ?1 AND trashed = ?2 AND timestamp = ?3 AND id = ?4",
            (number, trashed, signed(listing.timestamp), listing.id.as_bytes()),
        )?;
        self.counts.push((number, trashed, -1));
        Ok(())
    }

    fn label_number(&mut self, label: &Label) -> Result<i64, WriteError> {
        if let Some(number) = self.numbers.get(label) {
            return Ok(*number);
        }
        let found = self
            .prepare("SELECT label FROM label WHERE kind = ?1 AND value = ?2")?
            .query_row((label.0 as i64, &label.1), |row| row.get(0))
            .optional()
            .map_err(index::write)?;
        let number = match found {
            Some(number) => number,
            None => self
                .prepare("INSERT INTO label (kind, value) VALUES (?1, ?2)")?
                .insert((label.0 as i64, &label.1))
                .map_err(index::write)?,
        };
        if self.numbers.len() >= LABELS_KEPT {
            self.numbers.clear();
        }
        self.numbers.insert(label.clone(), number);
        Ok(number)
    }

    pub(super) fn write_counts(&mut self) -> rusqlite::Result<()> {
        let mut changed: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for (label, trashed, by) in self.counts.drain(..) {
            let sums = changed.entry(label).or_default();
            *(if trashed { &mut sums.1 } else { &mut sums.0 }) += by;
        }
        let sql = "UPDATE label SET listed = listed + ?2, trashed = trashed + ?3 WHERE label = ?1";
        let mut statement = self.connection().prepare_cached(sql)?;
        for (label, (listed, trashed)) in changed {
            statement.execute((label, listed, trashed))?;
        }
        Ok(())
    }
}
