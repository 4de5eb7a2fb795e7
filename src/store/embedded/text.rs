//! Search for text.
//!
//! What a search looks through is in the table `text`, and is always current. Beside it `trigram`, an FTS5 index of
//! every three characters in a row, names the few rows that may contain a text; each is then looked at, so the index
//! may only ever name too many. It is filled in the background: `unindexed` and the counter `text_indexed` tell which
//! rows it does not know yet, and those are searched without it. Whatever becomes of the index, results do not change.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::types::Value;

use super::index;
use super::index::Index;
use super::labels;
use crate::limits;
use crate::store::WriteError;

/// The counter of the last row up to which all are in the index, but for those in `unindexed`.
const INDEXED: &str = "text_indexed";

/// Characters of a piece that the index knows.
const PIECE: usize = 3;

/// Which assets contain a text.
#[derive(Debug)]
pub(super) enum Hits {
    /// These and no others, as a JSON array of numbers.
    These(String),
    /// More than were asked for, or so it seems.
    Many,
}

/// Looks a text up, in the folded form of [`needle`], unless more than `cap` assets have it.
pub(super) fn hits(connection: &Connection, needle: &str, trashed: bool, cap: usize) -> rusqlite::Result<Hits> {
    let pieces = pieces(needle);
    let found = if pieces.is_empty() {
        let sql = "SELECT number FROM text WHERE trashed = ?2 AND instr(folded, ?1) > 0 LIMIT ?3";
        numbers(connection, sql, [bytes(needle), i64::from(trashed).into(), most(cap + 1)])?
    } else {
        match named(connection, needle, &pieces, cap)? {
            None => return Ok(Hits::Many),
            Some(mut found) => {
                found.extend(not_indexed(connection, needle, cap)?);
                found
            }
        }
    };
    if found.len() > cap {
        return Ok(Hits::Many);
    }
    let list: Vec<String> = found.iter().map(i64::to_string).collect();
    Ok(Hits::These(format!("[{}]", list.join(","))))
}

/// Counts all assets that contain a text: a walk over all searched text.
pub(super) fn count(connection: &Connection, needle: &str, trashed: bool) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM text WHERE trashed = ?2 AND instr(folded, ?1) > 0";
    let count: i64 = connection.prepare_cached(sql)?.query_row((needle.as_bytes(), trashed), |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// Brings a wanted text into the form in which texts are kept.
pub(super) fn needle(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// Asks the index which of its rows contain a text; none when they are too many to look at each.
fn named(connection: &Connection, needle: &str, pieces: &[String], cap: usize) -> rusqlite::Result<Option<Vec<i64>>> {
    let sql =
        "SELECT rowid FROM trigram WHERE trigram MATCH ?1 AND rowid NOT IN (SELECT number FROM unindexed) LIMIT ?2";
    let mut candidates = None;
    for piece in pieces {
        // One rare piece names them; walking along the common ones as well would only cost.
        let found = numbers(connection, sql, [piece.clone().into(), most(limits::TEXT_PIECE_RARE)])?;
        if found.len() < limits::TEXT_PIECE_RARE {
            candidates = Some(found);
            break;
        }
    }
    let candidates = match candidates {
        Some(candidates) => candidates,
        None => numbers(connection, sql, [pieces.join(" AND ").into(), most(cap + 1)])?,
    };
    if candidates.len() > cap {
        return Ok(None);
    }
    let mut look = connection.prepare_cached("SELECT 1 FROM text WHERE number = ?1 AND instr(folded, ?2) > 0")?;
    let mut found = Vec::new();
    for number in candidates {
        if look.exists((number, needle.as_bytes()))? {
            found.push(number);
        }
    }
    Ok(Some(found))
}

/// Looks through the rows that are not in the index yet.
fn not_indexed(connection: &Connection, needle: &str, cap: usize) -> rusqlite::Result<Vec<i64>> {
    let indexed = indexed(connection)?;
    let new = "SELECT number FROM text WHERE number > ?2 AND instr(folded, ?1) > 0 LIMIT ?3";
    let mut found = numbers(connection, new, [bytes(needle), indexed.into(), most(cap + 1)])?;
    let changed = "SELECT text.number FROM unindexed CROSS JOIN text USING (number) \
                   WHERE text.number <= ?2 AND instr(folded, ?1) > 0 LIMIT ?3";
    found.extend(numbers(connection, changed, [bytes(needle), indexed.into(), most(cap + 1)])?);
    Ok(found)
}

/// Cuts a text into the distinct pieces the index knows, as terms of its query language. They only narrow down, so a
/// piece may be left out: one the language cannot say, and those of a very long text.
fn pieces(needle: &str) -> Vec<String> {
    let chars: Vec<char> = needle.chars().collect();
    let mut pieces = Vec::new();
    for piece in chars.windows(PIECE).filter(|piece| !piece.contains(&'\0')) {
        let term = format!("\"{}\"", piece.iter().collect::<String>().replace('"', "\"\""));
        if !pieces.contains(&term) {
            pieces.push(term);
        }
        if pieces.len() == limits::TEXT_PIECES {
            break;
        }
    }
    pieces
}

fn numbers<const N: usize>(connection: &Connection, sql: &str, values: [Value; N]) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
    rows.collect()
}

fn bytes(needle: &str) -> Value {
    Value::Blob(needle.as_bytes().to_vec())
}

fn most(rows: usize) -> Value {
    Value::Integer(super::row::signed(rows as u64))
}

fn indexed(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("SELECT value FROM counter WHERE name = ?1")?;
    Ok(statement.query_row([INDEXED], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Tells whether the index does not know all texts yet.
pub(super) fn is_behind(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM unindexed) OR EXISTS (SELECT 1 FROM text WHERE number > ?1)";
    connection.prepare_cached(sql)?.query_row([indexed(connection)?], |row| row.get(0))
}

impl Index<'_> {
    /// Brings the index of text up to date with at most so many rows.
    pub(super) fn index_texts(&mut self, rows: usize) -> Result<(), WriteError> {
        let connection = self.connection();
        let left = rows - self.index_changed(rows).map_err(index::write)?;
        let mut last = indexed(connection).map_err(index::write)?;
        let before = last;
        let mut work = || -> rusqlite::Result<()> {
            let mut select = connection
                .prepare_cached("SELECT number, folded FROM text WHERE number > ?1 ORDER BY number LIMIT ?2")?;
            let mut insert = connection.prepare_cached("INSERT INTO trigram (rowid, folded) VALUES (?1, ?2)")?;
            let mut found = select.query((last, most(left)))?;
            while let Some(row) = found.next()? {
                last = row.get(0)?;
                insert.execute((last, labels::readable(row.get_ref(1)?.as_blob()?)))?;
            }
            Ok(())
        };
        work().map_err(index::write)?;
        if last != before {
            self.set_counter(INDEXED, last)?;
        }
        Ok(())
    }

    /// Does so for rows that were changed or removed; returns how many.
    fn index_changed(&self, rows: usize) -> rusqlite::Result<usize> {
        let connection = self.connection();
        let indexed = indexed(connection)?;
        let mut delete = connection.prepare_cached("DELETE FROM trigram WHERE rowid = ?1")?;
        let mut text = connection.prepare_cached("SELECT folded FROM text WHERE number = ?1")?;
        let mut insert = connection.prepare_cached("INSERT INTO trigram (rowid, folded) VALUES (?1, ?2)")?;
        let mut done = connection.prepare_cached("DELETE FROM unindexed WHERE number = ?1")?;
        let changed = numbers(connection, "SELECT number FROM unindexed LIMIT ?1", [most(rows)])?;
        for number in &changed {
            // A row above the mark is not in the index, and its turn comes.
            if *number <= indexed {
                delete.execute([number])?;
                let folded: Option<Vec<u8>> = text.query_row([number], |row| row.get(0)).optional()?;
                if let Some(folded) = folded {
                    insert.execute((number, labels::readable(&folded)))?;
                }
            }
            done.execute([number])?;
        }
        Ok(changed.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::index::LabelNumbers;
    use super::super::index::Sums;
    use super::super::row;
    use super::super::schema;
    use super::super::search;
    use super::super::search::Totals;
    use super::*;
    use crate::asset::AssetId;
    use crate::asset::AssetKey;
    use crate::asset::Changes;
    use crate::asset::ContentDigest;
    use crate::asset::LocalDocument;
    use crate::asset::Metadata;
    use crate::asset::Timestamp;
    use crate::asset::names;
    use crate::store::Arrival;
    use crate::store::Order;
    use crate::store::Origin;
    use crate::store::Presence;
    use crate::store::Query;
    use crate::store::Record;

    /// What happens to the rows before a search.
    #[derive(Debug, Clone)]
    enum Step {
        Adopt(String, String),
        Edit(usize, String),
        Trash(usize, bool),
        Purge(usize),
        Lose(usize),
        Index(usize),
    }

    /// Texts of few letters, so that they meet; quotes, a NUL, capitals, longer characters and words of the index's
    /// query language among them.
    fn texts() -> impl Strategy<Value = String> {
        let pieces = ["a", "b", "B", "\"", "*", "\0", "ä", "Ä", "\u{fffe}", "日本語", " AND ", "abc", "\n", "%"];
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..7).prop_map(|parts| parts.concat())
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (texts(), texts()).prop_map(|(a, b)| Step::Adopt(a, b)),
            2 => (0..20_usize, texts()).prop_map(|(n, text)| Step::Edit(n, text)),
            1 => (0..20_usize, any::<bool>()).prop_map(|(n, trashed)| Step::Trash(n, trashed)),
            1 => (0..20_usize).prop_map(Step::Purge),
            1 => (0..20_usize).prop_map(Step::Lose),
            2 => (1..10_usize).prop_map(Step::Index),
        ]
    }

    fn record(n: u8, changes: &Changes) -> Record {
        let mut document = LocalDocument::default();
        document.see(changes);
        let timestamp = Timestamp::new(1_700_000_000_000 + u64::from(n % 3)).unwrap();
        let key = AssetKey { id: AssetId::from_bytes([n; 32]), timestamp, size: 1 };
        let (content, presence) = (ContentDigest::of(&[n]), Presence::Here);
        Record { key, content, document, origin: Origin::Here, presence, arrival: Arrival(0) }
    }

    fn do_step(index: &mut Index<'_>, ids: &mut Vec<AssetId>, step: &Step) {
        let find = |index: &Index<'_>, n: usize| {
            let id = *ids.get(n % ids.len().max(1))?;
            index.find(&id).unwrap()
        };
        match step.clone() {
            Step::Adopt(name, description) => {
                let n = u8::try_from(ids.len()).unwrap();
                let changes = Changes::new().set(names::FILE_NAME, name).set(names::DESCRIPTION, description);
                let record = record(n, &changes.add_tag(if n % 2 == 0 { "even" } else { "odd" }));
                ids.push(record.key.id);
                index.adopt(record, "").unwrap();
            }
            Step::Edit(n, text) => {
                if let Some(stored) = find(index, n) {
                    let changes = Changes::new().set(names::PATH, text);
                    index.change(&stored, Box::new(move |document| document.see(&changes))).unwrap();
                }
            }
            Step::Trash(n, trashed) => {
                if let Some(stored) = find(index, n) {
                    let changes = Changes::new().trashed(trashed);
                    index.change(&stored, Box::new(move |document| document.see(&changes))).unwrap();
                }
            }
            Step::Purge(n) => drop(find(index, n).map(|stored| index.purge(&stored.key.id).unwrap())),
            Step::Lose(n) => drop(find(index, n).map(|stored| index.lose(&stored, Presence::Missing).unwrap())),
            Step::Index(rows) => index.index_texts(rows).unwrap(),
        }
    }

    fn contains(seen: &Metadata, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let texts = [&seen.file_name, &seen.path, &seen.description].into_iter().flatten();
        texts.chain(&seen.tags).any(|found| found.to_ascii_lowercase().contains(&text))
    }

    proptest! {
        #[test]
        fn whatever_is_indexed_the_plain_scan_finds_the_same(
            steps in proptest::collection::vec(steps(), 1..60),
            wanted in texts(),
            tag in proptest::option::of(Just("odd")),
            trashed in any::<bool>(),
            oldest in any::<bool>(),
            cap in 0..6_usize,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut connection = schema::make(&dir.path().join("index")).unwrap();
            connection.pragma_update(None, "synchronous", "OFF").unwrap();
            schema::prepare(&mut connection, 1).unwrap().unwrap();
            let (mut numbers, mut ids) = (LabelNumbers::new(), Vec::new());
            let mut index = Index::new(&connection, Sums::load(&connection).unwrap(), &mut numbers);
            index.write_all(std::iter::once(|index: &mut Index<'_>| {
                steps.iter().for_each(|step| do_step(index, &mut ids, step));
                true
            })).unwrap();
            index.committed();

            let mut expected = Vec::new();
            for id in &ids {
                let Some(stored) = row::by_id(&connection, id).unwrap() else { continue };
                let seen = stored.document().unwrap().metadata();
                let has_tag = tag.is_none_or(|tag| seen.tags.iter().any(|has| has == tag));
                if stored.presence.is_here() && seen.trashed == trashed && has_tag && contains(&seen, &wanted) {
                    expected.push((stored.key.timestamp, stored.key.id));
                }
            }
            expected.sort();
            if !oldest {
                expected.reverse();
            }
            let order = if oldest { Order::Oldest } else { Order::Newest };
            let tags = tag.into_iter().map(str::to_owned).collect();
            let query = Query { text: Some(wanted), tags, trashed, order, ..Query::default() };
            let page = search::page_within(&connection, &query, &Totals::default(), cap).unwrap();
            let found: Vec<_> = page.records.iter().map(|record| (record.key.timestamp, record.key.id)).collect();
            prop_assert_eq!(page.total, expected.len() as u64);
            prop_assert_eq!(found, expected);
        }
    }
}
