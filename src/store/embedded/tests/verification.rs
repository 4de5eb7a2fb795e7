//! Contents that are damaged or gone.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::content;
use super::damage;
use super::get;
use super::open;
use super::put;
use super::verify_all;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::event::Event;
use crate::store::Arrival;
use crate::store::Order;
use crate::store::Presence;
use crate::store::Query;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::Store;
use crate::store::Verification;
use crate::store::embedded::EmbeddedStore;
use crate::store::embedded::Notice;
use crate::store::embedded::Options;
use crate::store::embedded::layout;
use crate::store::embedded::schema;
use crate::store::embedded::verify;

#[tokio::test(flavor = "multi_thread")]
async fn verification_of_everything_finds_what_is_wrong_and_tells() {
    let dir = tempfile::tempdir().unwrap();
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let tell = Arc::clone(&told);
    let notice: Notice = Arc::new(move |event| tell.lock().push(event));
    let options = Options { notice, ..Options::new(dir.path()) };
    let store = EmbeddedStore::open(options.clone()).await.unwrap();
    let mut records = Vec::new();
    for n in 0..10 {
        records.push(put(&store, &content(1000 * (1 + 20 * n as usize), n), u64::from(n), Changes::new()).await);
    }
    store.close().await;
    damage(dir.path(), &records[3]);
    std::fs::remove_file(dir.path().join(layout::flat_name(&records[5].key, ""))).unwrap();
    let store = EmbeddedStore::open(options).await.unwrap();
    assert_eq!(verify_all(&store).await.len(), 10);
    let again = verify_all(&store).await.into_iter().filter(|(_, found)| *found == Verification::Missing);
    let missing: BTreeSet<AssetId> = again.map(|(id, _)| id).collect();
    assert_eq!(missing, BTreeSet::from([records[3].key.id, records[5].key.id]));
    let record = store.record(&records[5].key.id).await.unwrap().unwrap();
    assert_eq!(record.presence, Presence::Missing);
    assert!(matches!(&told.lock()[..], [Event::AssetQuarantined { id, .. }] if *id == records[3].key.id), "one event");
    assert_eq!(std::fs::read_dir(dir.path().join(".trash/quarantine")).unwrap().count(), 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_background_verifier_finds_damage_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let record = put(&store, &content(100_000, 1), 1, Changes::new()).await;
    store.close().await;
    damage(dir.path(), &record);
    let (told, mut events) = tokio::sync::mpsc::channel(8);
    let notice: Notice = Arc::new(move |event| drop(told.try_send(event)));
    let options = Options { notice, verify_interval: Some(Duration::from_millis(10)), ..Options::new(dir.path()) };
    let store = EmbeddedStore::open(options).await.unwrap();
    let event = tokio::time::timeout(Duration::from_mins(1), events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, Event::AssetQuarantined { id, .. } if id == record.key.id));
    assert_eq!(store.verify(&record.key.id).await.unwrap(), Some(Verification::Missing));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_file_is_noticed_when_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let record = put(&store, b"lost", 1, Changes::new()).await;
    store.close().await;
    std::fs::remove_file(dir.path().join(layout::flat_name(&record.key, ""))).unwrap();
    let store = open(dir.path()).await;
    assert!(get(&store, &record.key.id).await.is_none());
    let now = store.record(&record.key.id).await.unwrap().unwrap();
    assert_eq!(now.presence, Presence::Missing);
    assert_eq!(store.arrivals(record.arrival, 10).await.unwrap(), [now]);
    put(&store, b"lost", 1, Changes::new()).await;
    assert_eq!(get(&store, &record.key.id).await.unwrap(), b"lost");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_began_long_ago_is_followed_by_the_next_although_it_ended_just_now() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let record = put(&store, &content(100_000, 1), 1, Changes::new()).await;
    store.close().await;
    damage(dir.path(), &record);
    let now = i64::try_from(crate::task::now_ms()).unwrap();
    let index = schema::connect(&dir.path().join(".can.db")).unwrap();
    let two_hours_ago = now - 2 * 3_600_000;
    for (name, value) in [(verify::BEGAN, two_hours_ago), ("verify_ended_ms", now), ("verify_after", 0)] {
        index.execute("INSERT OR REPLACE INTO counter VALUES (?1, ?2)", (name, value)).unwrap();
    }
    drop(index);
    let (told, mut events) = tokio::sync::mpsc::channel(8);
    let notice: Notice = Arc::new(move |event| drop(told.try_send(event)));
    let options = Options { notice, verify_interval: Some(Duration::from_hours(1)), ..Options::new(dir.path()) };
    let store = EmbeddedStore::open(options).await.unwrap();
    let event = tokio::time::timeout(Duration::from_mins(1), events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, Event::AssetQuarantined { id, .. } if id == record.key.id));
    store.close().await;
    let index = schema::connect(&dir.path().join(".can.db")).unwrap();
    let sql = "SELECT value FROM counter WHERE name = ?1";
    let began: i64 = index.query_row(sql, [verify::BEGAN], |row| row.get(0)).unwrap();
    assert!(began >= now, "when it began is remembered over restarts");
}

#[tokio::test]
async fn a_document_that_cannot_be_read_keeps_no_other_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (first, second) =
        (put(&store, b"first", 1, Changes::new()).await, put(&store, b"second", 2, Changes::new()).await);
    store.close().await;
    let index = rusqlite::Connection::open(layout::Layout::new(dir.path()).index).unwrap();
    let damaged = index.execute("UPDATE asset SET document = x'ff' WHERE id = ?1", [first.key.id.as_bytes()]);
    assert_eq!(damaged.unwrap(), 1);
    drop(index);
    let store = open(dir.path()).await;
    assert_eq!(store.records(&[first.key.id, second.key.id]).await.unwrap(), [second]);
    assert!(matches!(store.record(&first.key.id).await, Err(ReadError::Document { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_whose_document_is_damaged_stops_nothing_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut records = Vec::new();
    for number in 1..=5_u8 {
        records.push(put(&store, &content(100, number), u64::from(number), Changes::new()).await);
    }
    store.close().await;
    let connection = rusqlite::Connection::open(layout::Layout::new(dir.path()).index).unwrap();
    for record in &records[1..3] {
        let damaged = connection.execute("UPDATE asset SET document = x'ff' WHERE id = ?1", [record.key.id.as_bytes()]);
        assert_eq!(damaged.unwrap(), 1);
    }
    drop(connection);
    let store = open(dir.path()).await;
    let left = |records: Vec<Record>| {
        records.into_iter().map(|record| record.key.timestamp.as_millis() % 1000).collect::<Vec<_>>()
    };
    assert_eq!(left(store.arrivals(Arrival(0), 2).await.unwrap()), [1, 4]);
    assert_eq!(left(store.arrivals(records[3].arrival, 2).await.unwrap()), [5]);
    let page = |limit, after| Query { order: Order::Oldest, limit, after, ..Query::default() };
    let first = store.page(&page(2, None)).await.unwrap();
    assert_eq!(left(first.records), [1]);
    let rest = store.page(&page(10, first.next)).await.unwrap();
    assert_eq!(left(rest.records), [4, 5]);
    store.close().await;
}

/// Puts a folder where the file of an asset was: it can be opened, and not be read.
fn make_unreadable(root: &Path, record: &Record) {
    let path = root.join(layout::flat_name(&record.key, ""));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
}

/// Some assets, of which the second and third cannot be verified and the fourth is damaged.
async fn with_unreadable_ones(root: &Path) -> Vec<Record> {
    let store = open(root).await;
    let mut records = Vec::new();
    for n in 1..=5_u8 {
        records.push(put(&store, &content(100_000, n), u64::from(n), Changes::new()).await);
    }
    store.close().await;
    make_unreadable(root, &records[1]);
    std::fs::remove_file(root.join(layout::flat_name(&records[2].key, ""))).unwrap();
    let index = rusqlite::Connection::open(layout::Layout::new(root).index).unwrap();
    index.execute("UPDATE asset SET document = x'ff' WHERE id = ?1", [records[2].key.id.as_bytes()]).unwrap();
    damage(root, &records[3]);
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_and_keeps_no_other_from_being_verified() {
    let dir = tempfile::tempdir().unwrap();
    let records = with_unreadable_ones(dir.path()).await;
    let store = open(dir.path()).await;
    let found = verify_all(&store).await;
    let ids: Vec<AssetId> = found.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, records.iter().map(|record| record.key.id).collect::<Vec<_>>());
    let [first, second, third, fourth, fifth] = [0, 1, 2, 3, 4].map(|n| &found[n].1);
    assert_eq!([first, fifth], [&Verification::Sound { bytes: 100_000 }; 2]);
    assert!(matches!(second, Verification::Unreadable { reason } if reason.contains("cannot read")), "{second:?}");
    assert!(matches!(third, Verification::Unreadable { .. }), "{third:?}");
    assert!(matches!(fourth, Verification::Quarantined { .. }), "{fourth:?}");
    let one = store.verify(&records[1].key.id).await.unwrap();
    assert!(matches!(one, Some(Verification::Unreadable { .. })), "{one:?}");
    assert!(dir.path().join(layout::flat_name(&records[1].key, "")).exists(), "it is left where it is");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_background_verifier_walks_past_what_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let records = with_unreadable_ones(dir.path()).await;
    let (told, mut events) = tokio::sync::mpsc::channel(8);
    let notice: Notice = Arc::new(move |event| drop(told.try_send(event)));
    let options = Options { notice, verify_interval: Some(Duration::from_hours(1)), ..Options::new(dir.path()) };
    let store = EmbeddedStore::open(options).await.unwrap();
    let event = tokio::time::timeout(Duration::from_mins(1), events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, Event::AssetQuarantined { id, .. } if id == records[3].key.id));
    store.close().await;
}
