//! Listing and searching.
//!
//! Every exact condition is a label, and the assets of a label lie in the order of listing. The page is read along the
//! rarest label; each further one is a look-up per asset passed. What it costs at a million assets: one label, at any
//! cursor, some look-ups; an offset or a time range, a walk along the label. A text that few assets contain costs a
//! look-up for each of them. One that many contain, or of fewer than three characters, costs one walk over all
//! searched text (some tenths of a second) for the total, which is remembered until something changes.

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::types::Value;

use super::index::Sums;
use super::labels::Kind;
use super::readers::index;
use super::row;
use super::row::signed;
use super::text;
use super::text::Hits;
use crate::limits;
use crate::store::Cursor;
use crate::store::Order;
use crate::store::Page;
use crate::store::Query;
use crate::store::ReadError;

/// Totals counted lately, each with the state of the index it was counted in; the newest last.
#[derive(Debug, Default)]
pub(super) struct Totals(Mutex<Vec<(Sums, Query, u64)>>);

impl Totals {
    /// Looks up a total, or has it counted. Every change of the index changes its sums: what is written has a new
    /// arrival, and what is purged is one asset less.
    fn get(&self, now: Sums, query: &Query, count: impl FnOnce() -> rusqlite::Result<u64>) -> rusqlite::Result<u64> {
        let unpaged = Query { after: None, offset: 0, limit: 0, order: Order::Newest, ..query.clone() };
        let known = self.0.lock();
        let total = known.iter().find(|(sums, query, _)| *sums == now && *query == unpaged).map(|(_, _, total)| *total);
        drop(known);
        if let Some(total) = total {
            return Ok(total);
        }
        let total = count()?;
        let mut known = self.0.lock();
        known.retain(|(sums, query, _)| *sums == now && *query != unpaged);
        if known.len() >= limits::TOTALS_KEPT {
            known.remove(0);
        }
        known.push((now, unpaged, total));
        Ok(total)
    }
}

/// Reads a page in the transaction of its connection.
pub(super) fn page(connection: &Connection, query: &Query, totals: &Totals) -> Result<Page, ReadError> {
    page_within(connection, query, totals, limits::TEXT_HITS)
}

/// The same; a text that more than `cap` assets contain is common.
pub(super) fn page_within(
    connection: &Connection,
    query: &Query,
    totals: &Totals,
    cap: usize,
) -> Result<Page, ReadError> {
    let empty = Page { records: Vec::new(), total: 0, next: None };
    let Some(labels) = find_labels(connection, query).map_err(index)? else { return Ok(empty) };
    let search = Search { query, labels, text: text_of(connection, query, cap).map_err(index)? };
    let total = total(connection, &search, totals).map_err(index)?;
    if total == 0 {
        return Ok(empty);
    }
    let limit = query.limit.min(limits::PAGE_ROWS);
    let numbers = numbers(connection, &search, limit + 1).map_err(index)?;
    let (mut records, mut last, mut bytes, mut read) = (Vec::with_capacity(numbers.len()), None, 0, 0);
    for number in numbers.iter().take(limit) {
        let stored = row::by_number(connection, *number).map_err(index)?;
        let stored = stored.ok_or_else(|| index(rusqlite::Error::QueryReturnedNoRows))?;
        last = Some(Cursor { timestamp: stored.key.timestamp, id: stored.key.id });
        bytes += stored.document_bytes();
        records.extend(stored.readable());
        read += 1;
        if bytes >= limits::PAGE_BYTES {
            break;
        }
    }
    Ok(Page { records, total, next: last.filter(|_| read < numbers.len()) })
}

/// A query whose labels and text were looked up.
struct Search<'a> {
    query: &'a Query,
    /// Rarest first, at least one.
    labels: Vec<Wanted>,
    text: Option<Text>,
}

/// The text of a query.
enum Text {
    /// The assets that contain it, as a JSON array.
    Rare(String),
    /// It has to be looked for in each asset passed.
    Common(String),
}

fn text_of(connection: &Connection, query: &Query, cap: usize) -> rusqlite::Result<Option<Text>> {
    let Some(text) = &query.text else { return Ok(None) };
    let needle = text::needle(text);
    Ok(Some(match text::hits(connection, &needle, query.trashed, cap)? {
        Hits::These(numbers) => Text::Rare(numbers),
        Hits::Many => Text::Common(needle),
    }))
}

/// A label of a query: its number and how many assets have it.
struct Wanted {
    kind: Kind,
    label: i64,
    count: u64,
}

/// Looks up the labels of a query, rarest first; none when no asset has one of them.
fn find_labels(connection: &Connection, query: &Query) -> rusqlite::Result<Option<Vec<Wanted>>> {
    let mut wanted: Vec<(Kind, &str)> = query.tags.iter().map(|tag| (Kind::Tag, tag.as_str())).collect();
    wanted.extend(query.application.iter().map(|value| (Kind::Application, value.as_str())));
    wanted.extend(query.user.iter().map(|value| (Kind::User, value.as_str())));
    wanted.extend(query.mime_type.iter().map(|value| {
        let kind = if value.ends_with('/') { Kind::MimeFirst } else { Kind::Mime };
        (kind, value.as_str())
    }));
    if wanted.is_empty() {
        wanted.push((Kind::All, ""));
    }
    wanted.sort_unstable();
    wanted.dedup();
    let column = if query.trashed { "trashed" } else { "listed" };
    let sql = format!("SELECT label, {column} FROM label WHERE kind = ?1 AND value = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Vec::new();
    for (kind, value) in wanted {
        let row = statement.query_row((kind as i64, value), |row| {
            Ok(Wanted { kind, label: row.get(0)?, count: row.get::<_, i64>(1)?.cast_unsigned() })
        });
        match row.optional()? {
            Some(label) if label.count > 0 => found.push(label),
            _ => return Ok(None),
        }
    }
    found.sort_by_key(|label| label.count);
    Ok(Some(found))
}

fn total(connection: &Connection, search: &Search<'_>, totals: &Totals) -> rusqlite::Result<u64> {
    let Search { query, labels, text } = search;
    let is_all = query.from.is_none() && query.to.is_none() && labels.len() == 1;
    if is_all && text.is_none() {
        return Ok(labels[0].count);
    }
    let now = Sums::load(connection)?;
    totals.get(now, query, || {
        if let Some(Text::Common(needle)) = text
            && is_all
            && labels[0].kind == Kind::All
        {
            return text::count(connection, needle, query.trashed);
        }
        let Conditions { from, condition, values } = conditions(search);
        let sql = format!("SELECT count(*) FROM {from} WHERE {condition}");
        let mut statement = connection.prepare_cached(&sql)?;
        let count: i64 = statement.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
        Ok(count.cast_unsigned())
    })
}

fn numbers(connection: &Connection, search: &Search<'_>, limit: usize) -> rusqlite::Result<Vec<i64>> {
    let Conditions { from, mut condition, mut values } = conditions(search);
    let query = search.query;
    let (direction, behind) = match query.order {
        Order::Newest => ("DESC", "<"),
        Order::Oldest => ("ASC", ">"),
    };
    if let Some(after) = query.after {
        condition.extend([" AND (l.timestamp, l.id) ", behind, " (?, ?)"]);
        values.push(Value::Integer(signed(after.timestamp.as_millis())));
        values.push(Value::Blob(after.id.as_bytes().to_vec()));
    }
    values.push(Value::Integer(signed(limit as u64)));
    values.push(Value::Integer(signed(query.offset)));
    let sql = format!(
        "SELECT l.number FROM {from} WHERE {condition} \
         ORDER BY l.timestamp {direction}, l.id {direction} LIMIT ? OFFSET ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
    rows.collect()
}

/// The parts of a statement that page and total have in common.
struct Conditions {
    from: &'static str,
    condition: String,
    values: Vec<Value>,
}

fn conditions(search: &Search<'_>) -> Conditions {
    let Search { query, labels, text } = search;
    let mut values = Vec::new();
    // Either along the rarest label, or along the assets that contain the text.
    let from = match text {
        Some(Text::Rare(numbers)) => {
            values.push(Value::Text(numbers.clone()));
            "json_each(?) AS hit CROSS JOIN asset AS a ON a.number = hit.value \
             CROSS JOIN labelled AS l ON l.timestamp = a.timestamp AND l.id = a.id"
        }
        _ => "labelled AS l",
    };
    let mut condition = "l.label = ? AND l.trashed = ?".to_owned();
    values.extend([Value::Integer(labels[0].label), Value::Integer(i64::from(query.trashed))]);
    for (bound, sign) in [(query.from, ">="), (query.to, "<=")] {
        if let Some(bound) = bound {
            condition.extend([" AND l.timestamp ", sign, " ?"]);
            values.push(Value::Integer(signed(bound)));
        }
    }
    for label in &labels[1..] {
        condition += " AND EXISTS (SELECT 1 FROM labelled AS m WHERE m.label = ? AND m.trashed = l.trashed \
                      AND m.timestamp = l.timestamp AND m.id = l.id)";
        values.push(Value::Integer(label.label));
    }
    if let Some(Text::Common(needle)) = text {
        condition += " AND instr((SELECT folded FROM text WHERE text.number = l.number), ?) > 0";
        values.push(Value::Blob(needle.clone().into_bytes()));
    }
    Conditions { from, condition, values }
}
