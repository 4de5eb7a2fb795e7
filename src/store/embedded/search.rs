//! Listing and searching.
//!
//! Every exact condition is a label, and the assets of a label lie in the order of listing. The page is read along the
//! rarest label; each further one is a look-up per asset passed. What it costs at a million assets: one label, at any
//! cursor, some look-ups; an offset or a time range, a walk along the label; text, a walk over all searched text.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::types::Value;

use super::labels::Kind;
use super::readers::index;
use super::row;
use super::row::signed;
use crate::limits;
use crate::store::Cursor;
use crate::store::Order;
use crate::store::Page;
use crate::store::Query;
use crate::store::ReadError;

pub(super) fn page(connection: &Connection, query: &Query) -> Result<Page, ReadError> {
    let empty = Page { records: Vec::new(), total: 0, next: None };
    let Some(labels) = find_labels(connection, query).map_err(index)? else { return Ok(empty) };
    let total = total(connection, query, &labels).map_err(index)?;
    let limit = query.limit.min(limits::PAGE_ROWS);
    let mut numbers = numbers(connection, query, &labels, limit + 1).map_err(index)?;
    let more = numbers.len() > limit;
    numbers.truncate(limit);
    let mut records = Vec::with_capacity(numbers.len());
    for number in numbers {
        let stored = row::by_number(connection, number).map_err(index)?;
        records.push(stored.ok_or_else(|| index(rusqlite::Error::QueryReturnedNoRows))?.record()?);
    }
    let last = records.last().map(|last| Cursor { timestamp: last.key.timestamp, id: last.key.id });
    Ok(Page { records, total, next: last.filter(|_| more) })
}

/// A label of a query: its number and how many assets have it.
struct Wanted {
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
            Ok(Wanted { label: row.get(0)?, count: row.get::<_, i64>(1)?.cast_unsigned() })
        });
        match row.optional()? {
            Some(label) if label.count > 0 => found.push(label),
            _ => return Ok(None),
        }
    }
    found.sort_by_key(|label| label.count);
    Ok(Some(found))
}

fn total(connection: &Connection, query: &Query, labels: &[Wanted]) -> rusqlite::Result<u64> {
    if let [only] = labels
        && query.from.is_none()
        && query.to.is_none()
        && query.text.is_none()
    {
        return Ok(only.count);
    }
    let (condition, values) = condition(query, labels);
    let mut statement = connection.prepare_cached(&format!("SELECT count(*) FROM labelled AS l WHERE {condition}"))?;
    let count: i64 = statement.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

fn numbers(connection: &Connection, query: &Query, labels: &[Wanted], limit: usize) -> rusqlite::Result<Vec<i64>> {
    let (mut condition, mut values) = condition(query, labels);
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
        "SELECT l.number FROM labelled AS l WHERE {condition} \
         ORDER BY l.timestamp {direction}, l.id {direction} LIMIT ? OFFSET ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
    rows.collect()
}

/// Writes the conditions of a query that hold for the total too; the first label is the one that is walked along.
fn condition(query: &Query, labels: &[Wanted]) -> (String, Vec<Value>) {
    let mut sql = "l.label = ? AND l.trashed = ?".to_owned();
    let mut values = vec![Value::Integer(labels[0].label), Value::Integer(i64::from(query.trashed))];
    for (bound, sign) in [(query.from, ">="), (query.to, "<=")] {
        if let Some(bound) = bound {
            sql.extend([" AND l.timestamp ", sign, " ?"]);
            values.push(Value::Integer(signed(bound)));
        }
    }
    for label in &labels[1..] {
        sql += " AND EXISTS (SELECT 1 FROM labelled AS m WHERE m.label = ? AND m.trashed = l.trashed \
                 AND m.timestamp = l.timestamp AND m.id = l.id)";
        values.push(Value::Integer(label.label));
    }
    if let Some(text) = &query.text {
        sql += " AND l.number IN (SELECT number FROM text WHERE instr(folded, ?) > 0)";
        values.push(Value::Blob(text.to_ascii_lowercase().into_bytes()));
    }
    (sql, values)
}
