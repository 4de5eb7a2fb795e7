//! Documents and arrivals.

use std::time::Duration;

use super::Fixture;
use super::samples::bytes;
use super::samples::changed;
use super::samples::drain;
use super::samples::ingest;
use super::samples::opened;
use super::samples::seen;
use super::samples::timestamp;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::Document;
use crate::asset::Field;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::asset::LocalValue;
use crate::asset::Stamp;
use crate::asset::Value;
use crate::asset::names;
use crate::limits;
use crate::store::Arrival;
use crate::store::Inventory;
use crate::store::Record;
use crate::store::Store;

/// Time within which a follower must be woken.
const WAKE: Duration = Duration::from_secs(30);

pub(super) async fn a_second_put_applies_the_edit_and_keeps_the_content(fixture: &Fixture) {
    let store = &*fixture.store;
    for size in [30, 300_000] {
        let content = bytes(size, 1);
        let first = ingest(store, &content, timestamp(1), seen(Changes::new().add_tag("a"))).await;
        let second = ingest(store, &content, timestamp(1), seen(Changes::new().add_tag("b"))).await;
        assert_eq!(second.document.metadata().tags.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(second.arrival > first.arrival);
        assert_eq!(second.origin, first.origin);
        assert!(drain(opened(store, &first.key.id, 0).await).await.expect("a whole content") == content);
    }
    assert_eq!(store.health().await.expect("a readable store").assets, 2);
}

pub(super) async fn an_edit_that_changes_nothing_makes_no_arrival(fixture: &Fixture) {
    let store = &*fixture.store;
    let record = ingest(store, b"same", timestamp(1), seen(Changes::new().add_tag("a"))).await;
    let latest = store.latest();
    let edited = store.edit(&record.key.id, changed(Changes::new().add_tag("a"), 5)).await.expect("an answer");
    assert_eq!(edited, Some(record.clone()));
    let again = ingest(store, b"same", timestamp(1), seen(Changes::new())).await;
    assert_eq!(again, record);
    assert_eq!(*latest.borrow(), record.arrival);
    assert_eq!(all_arrivals(store).await, [record]);
}

pub(super) async fn arrivals_are_ordered_paged_and_unique(fixture: &Fixture) {
    let store = &*fixture.store;
    let mut ids = Vec::new();
    for n in 0..25 {
        ids.push(ingest(store, &[n], timestamp(100 - u64::from(n)), seen(Changes::new())).await.key.id);
    }
    for (step, n) in [3_usize, 7, 3].into_iter().enumerate() {
        let edit = changed(Changes::new().set(names::PATH, format!("step {step}")), 1_700_000_000_000);
        store.edit(&ids[n], edit).await.expect("an answer").expect("a record");
    }
    let mut expected: Vec<AssetId> = ids.clone();
    for n in [3_usize, 7, 3] {
        expected.retain(|id| *id != ids[n]);
        expected.push(ids[n]);
    }
    let records = all_arrivals(store).await;
    assert_eq!(records.iter().map(|record| record.key.id).collect::<Vec<_>>(), expected);
    assert!(records.is_sorted_by(|a, b| a.arrival < b.arrival), "each arrival is given once");
    assert_eq!(records.last().map(|last| last.arrival), Some(*store.latest().borrow()));

    let inventory = store.inventory(Arrival(0), usize::MAX).await.expect("an inventory");
    let from_records: Vec<Inventory> = records.iter().map(in_short).collect();
    assert_eq!(inventory, from_records);
    let middle = records[10].arrival;
    let part = store.inventory(middle, 5).await.expect("an inventory");
    assert_eq!(part, from_records[11..16]);
    assert_eq!(store.inventory(*store.latest().borrow(), 5).await.expect("an inventory"), []);
}

pub(super) async fn latest_wakes_after_a_write(fixture: &Fixture) {
    let store = &*fixture.store;
    let mut latest = store.latest();
    latest.mark_unchanged();
    let record = ingest(store, b"wake", timestamp(1), seen(Changes::new())).await;
    tokio::time::timeout(WAKE, latest.wait_for(|arrival| *arrival >= record.arrival))
        .await
        .expect("it wakes")
        .expect("the store is open");
    let edit = changed(Changes::new().trashed(true), 1_700_000_000_000);
    let record = store.edit(&record.key.id, edit).await.expect("an answer").expect("a record");
    tokio::time::timeout(WAKE, latest.wait_for(|arrival| *arrival >= record.arrival))
        .await
        .expect("it wakes")
        .expect("the store is open");
}

pub(super) async fn documents_come_back_whole(fixture: &Fixture) {
    let store = &*fixture.store;
    let host = HostId::from_bytes([9; 32]);
    let stamp = Stamp::above(Stamp::ZERO, 1_700_000_000_123, host);
    let mut shared = Document::new();
    let text = |text: &str| Value::Text(text.to_owned());
    shared.insert(names::MIME_TYPE, Field { value: text("image/png"), stamp: Stamp::ZERO });
    shared.insert(names::PATH, Field { value: Value::Absent, stamp });
    shared.insert(names::DESCRIPTION, Field { value: text(&"long ".repeat(10_000)), stamp });
    shared.insert(names::tag("Beach"), Field { value: text(""), stamp });
    shared.insert(names::tag("gone"), Field { value: Value::Absent, stamp });
    shared.insert("a field of a later version", Field { value: text("kept"), stamp });
    let local = [
        (names::USER.to_owned(), LocalValue { value: text("seen here"), over: Stamp::ZERO }),
        (names::MIME_TYPE.to_owned(), LocalValue { value: text("image/x-here"), over: Stamp::ZERO }),
    ];
    let document = LocalDocument::from_parts(shared, local);
    let wanted = document.clone();
    let edit = Box::new(move |empty: &mut LocalDocument| {
        assert!(empty.is_empty(), "an asset the store did not have");
        *empty = wanted;
    });
    let record = ingest(store, b"document", timestamp(1), edit).await;
    assert_eq!(record.document, document);
    let read = store.record(&record.key.id).await.expect("a readable store").expect("a record");
    assert_eq!(read.document, document);
    assert_eq!(all_arrivals(store).await, [read]);
}

pub(super) async fn names_are_data(fixture: &Fixture) {
    let store = &*fixture.store;
    let nasty = ["../../etc/passwd", "/abs", "nul\0byte", "\u{1b}[31m\r\n\t", "a/../b.p/../ng", "\u{202e}gpj.exe", "."];
    for (n, name) in nasty.iter().enumerate() {
        for size in [10, 100_000] {
            let changes = Changes::new().set(names::FILE_NAME, *name).set(names::PATH, *name).add_tag(name);
            let content = bytes(size, u8::try_from(n).expect("few names"));
            let record = ingest(store, &content, timestamp(n as u64), seen(changes)).await;
            let found = store.record(&record.key.id).await.expect("a readable store").expect("a record");
            let metadata = found.document.metadata();
            assert_eq!(metadata.file_name.as_deref(), Some(*name));
            assert_eq!(metadata.path.as_deref(), Some(*name));
            assert!(metadata.tags.contains(*name));
            assert!(drain(opened(store, &record.key.id, 0).await).await.expect("a whole content") == content);
        }
    }
}

pub(super) async fn concurrent_edits_of_one_asset_lose_nothing(fixture: &Fixture) {
    let store = &*fixture.store;
    let record = ingest(store, b"edited", timestamp(1), seen(Changes::new())).await;
    let edits = (0..40_u64).map(|n| {
        let edit = changed(Changes::new().add_tag(&format!("t{n:02}")), 1_700_000_000_000 + n);
        store.edit(&record.key.id, edit)
    });
    let arrivals: std::collections::BTreeSet<Arrival> = futures_util::future::join_all(edits)
        .await
        .into_iter()
        .map(|edited| edited.expect("an answer").expect("a record").arrival)
        .collect();
    assert_eq!(arrivals.len(), 40, "each change has its own arrival");
    let found = store.record(&record.key.id).await.expect("a readable store").expect("a record");
    assert_eq!(found.document.metadata().tags.len(), 40);
    assert_eq!(Some(&found.arrival), arrivals.last());
}

pub(super) async fn health_counts(fixture: &Fixture) {
    let store = &*fixture.store;
    let health = store.health().await.expect("a readable store");
    assert_eq!((health.trouble, health.assets, health.bytes, health.missing), (None, 0, 0, 0));
    for size in [0, 10, 100_000] {
        ingest(store, &bytes(size, 1), timestamp(1), seen(Changes::new())).await;
    }
    let health = store.health().await.expect("a readable store");
    assert_eq!((health.trouble, health.assets, health.bytes, health.missing), (None, 3, 100_010, 0));
}

/// All arrivals, collected in pages of four.
async fn all_arrivals(store: &dyn Store) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let after = all.last().map_or(Arrival(0), |last| last.arrival);
        let page = store.arrivals(after, 4).await.expect("a readable store");
        let ended = page.len() < 4;
        all.extend(page);
        if ended {
            let whole = store.arrivals(Arrival(0), limits::PAGE_ROWS).await.expect("a readable store");
            assert_eq!(whole, all, "the size of the pages makes no difference");
            return all;
        }
    }
}

fn in_short(record: &Record) -> Inventory {
    Inventory {
        key: record.key,
        document: record.document.shared().digest(),
        presence: record.presence,
        arrival: record.arrival,
    }
}
