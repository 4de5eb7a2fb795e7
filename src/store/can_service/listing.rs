//! Listing and searching in the database of this host.

use rusqlite::Connection;

use super::table;
use crate::asset::Metadata;
use crate::store::Cursor;
use crate::store::Order;
use crate::store::Page;
use crate::store::Query;
use crate::store::Record;

/// Answers a query: from the index when nothing but the trash restricts it, else by looking at every asset.
pub(super) fn page(connection: &Connection, query: &Query) -> rusqlite::Result<Page> {
    let restricted = Query { trashed: query.trashed, ..Query::default() };
    let plain = Query { order: Order::Newest, after: None, offset: 0, limit: restricted.limit, ..query.clone() };
    if plain == restricted {
        let total = table::count_here(connection, query.trashed)?;
        let records = table::page_here(connection, query)?;
        return Ok(finished(query, records, total));
    }
    let (mut total, mut left_out, mut records) = (0, 0, Vec::new());
    table::each_here(connection, query.trashed, query.order == Order::Newest, |record| {
        if !matches(query, &record) {
            return;
        }
        total += 1;
        if !behind(query, &record) || records.len() > query.limit {
            return;
        }
        if left_out < query.offset {
            left_out += 1;
            return;
        }
        records.push(record);
    })?;
    Ok(finished(query, records, total))
}

/// Cuts a page that was read with one asset more, by which the next one is known.
fn finished(query: &Query, mut records: Vec<Record>, total: u64) -> Page {
    let more = records.len() > query.limit;
    records.truncate(query.limit);
    let last = records.last().filter(|_| more);
    let next = last.map(|last| Cursor { timestamp: last.key.timestamp, id: last.key.id });
    Page { records, total, next }
}

fn behind(query: &Query, record: &Record) -> bool {
    let at = (record.key.timestamp, record.key.id);
    query.after.is_none_or(|after| match query.order {
        Order::Newest => at < (after.timestamp, after.id),
        Order::Oldest => at > (after.timestamp, after.id),
    })
}

fn matches(query: &Query, record: &Record) -> bool {
    let millis = record.key.timestamp.as_millis();
    if query.from.is_some_and(|from| millis < from) || query.to.is_some_and(|to| millis > to) {
        return false;
    }
    let seen = record.document.metadata();
    let is = |wanted: &Option<String>, value: &Option<String>| wanted.is_none() || wanted == value;
    query.tags.iter().all(|tag| seen.tags.contains(tag))
        && is(&query.application, &seen.application)
        && is(&query.user, &seen.user)
        && query.mime_type.as_deref().is_none_or(|wanted| is_of_type(wanted, seen.mime_type.as_deref()))
        && query.text.as_deref().is_none_or(|text| has_text(&seen, text))
}

fn is_of_type(wanted: &str, found: Option<&str>) -> bool {
    found.is_some_and(|found| if wanted.ends_with('/') { found.starts_with(wanted) } else { found == wanted })
}

fn has_text(seen: &Metadata, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let texts = [&seen.file_name, &seen.path, &seen.description].into_iter().flatten().chain(&seen.tags);
    texts.into_iter().any(|found| found.to_ascii_lowercase().contains(&text))
}
