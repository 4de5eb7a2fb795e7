//! Listing and searching.

use super::Fixture;
use super::samples::changed;
use super::samples::ingest;
use super::samples::seen;
use super::samples::timestamp;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::names;
use crate::store::Order;
use crate::store::Page;
use crate::store::Query;
use crate::store::Record;
use crate::store::Store;

pub(super) async fn order_cursor_offset_and_limit(fixture: &Fixture) {
    let store = &*fixture.store;
    let mut records = Vec::new();
    for n in 0..30_u8 {
        // Five assets share each timestamp.
        records.push(ingest(store, &[n, 1], timestamp(u64::from(n) / 5), seen(Changes::new().add_tag("all"))).await);
    }
    records.sort_by_key(|record| (record.key.timestamp, record.key.id));
    let oldest: Vec<AssetId> = records.iter().map(|record| record.key.id).collect();
    let newest: Vec<AssetId> = oldest.iter().rev().copied().collect();
    for (order, expected) in [(Order::Oldest, &oldest), (Order::Newest, &newest)] {
        for tags in [vec![], vec!["all".to_owned()]] {
            for limit in [1, 7, 29, 30, 31] {
                let mut query = Query { order, limit, tags: tags.clone(), ..Query::default() };
                let mut all = Vec::new();
                loop {
                    let page = page(store, &query).await;
                    assert_eq!(page.total, 30, "the whole, on every page");
                    assert!(page.records.len() <= limit);
                    all.extend(ids(&page));
                    assert!(all.len() <= 30, "the cursor moves on");
                    match page.next {
                        Some(next) => query.after = Some(next),
                        None => break,
                    }
                }
                assert_eq!(&all, expected, "pages of {limit}");
                let query = Query { order, limit, tags: tags.clone(), offset: 4, ..Query::default() };
                let page = page(store, &query).await;
                assert_eq!(ids(&page), expected[4..30.min(4 + limit)]);
                assert_eq!(page.total, 30);
            }
        }
        let beyond = page(store, &Query { order, offset: 30, ..Query::default() }).await;
        assert_eq!((beyond.records.len(), beyond.total, beyond.next), (0, 30, None));
    }
}

pub(super) async fn filters(fixture: &Fixture) {
    let store = &*fixture.store;
    let mut made = Vec::new();
    let kinds = [
        Changes::new().set(names::MIME_TYPE, "image/png").set(names::FILE_NAME, "Holiday 100%.PNG").add_tag("a"),
        Changes::new().set(names::MIME_TYPE, "image/jpeg").set(names::APPLICATION, "cam").add_tag("a").add_tag("b"),
        Changes::new().set(names::MIME_TYPE, "imagery/x").set(names::USER, "ann").add_tag("b"),
        Changes::new().set(names::DESCRIPTION, "on holiday_at sea").set(names::APPLICATION, "cam"),
        Changes::new().set(names::PATH, "x/Holi").set(names::FILE_NAME, "day").set(names::USER, "Ann").add_tag("A"),
    ];
    for (n, changes) in kinds.into_iter().enumerate() {
        made.push(ingest(store, &[u8::try_from(n).expect("few"), 2], timestamp(n as u64), seen(changes)).await);
    }
    let tags = |tags: &[&str]| Query { tags: tags.iter().map(|&tag| tag.to_owned()).collect(), ..Query::default() };
    let mime = |wanted: &str| Query { mime_type: Some(wanted.to_owned()), ..Query::default() };
    let text = |wanted: &str| Query { text: Some(wanted.to_owned()), ..Query::default() };
    let user = |wanted: &str| Query { user: Some(wanted.to_owned()), ..Query::default() };
    let application = |wanted: &str| Query { application: Some(wanted.to_owned()), ..Query::default() };
    let cases: Vec<(Query, &[usize])> = vec![
        (tags(&["a"]), &[0, 1]),
        (tags(&["a", "b"]), &[1]),
        (tags(&["b", "a", "a"]), &[1]),
        (tags(&["A"]), &[4]),
        (tags(&["never"]), &[]),
        (tags(&["a", "never"]), &[]),
        (mime("image/png"), &[0]),
        (mime("image/"), &[0, 1]),
        (mime("image"), &[]),
        (application("cam"), &[1, 3]),
        (Query { tags: vec!["b".into()], ..application("cam") }, &[1]),
        (user("ann"), &[2]),
        (user("Ann"), &[4]),
        (text("holiday"), &[0, 3]),
        (text("HOLI"), &[0, 3, 4]),
        (text("100%"), &[0]),
        (text("holiday_"), &[3]),
        (text("b"), &[1, 2]),
        (text("holiday\\"), &[]),
        (Query { tags: vec!["a".into()], ..text("holi") }, &[0]),
        (Query { from: Some(timestamp(1).as_millis()), ..Query::default() }, &[1, 2, 3, 4]),
        (Query { to: Some(timestamp(1).as_millis()), ..Query::default() }, &[0, 1]),
        (Query { from: Some(timestamp(1).as_millis()), to: Some(timestamp(3).as_millis()), ..tags(&["b"]) }, &[1, 2]),
        (Query { from: Some(timestamp(9).as_millis()), ..Query::default() }, &[]),
        (Query { from: Some(u64::MAX), ..Query::default() }, &[]),
        (Query { to: Some(u64::MAX), ..tags(&["a"]) }, &[0, 1]),
    ];
    for (query, expected) in cases {
        let query = Query { order: Order::Oldest, ..query };
        let page = page(store, &query).await;
        let expected: Vec<AssetId> = expected.iter().map(|&n| made[n].key.id).collect();
        assert_eq!(ids(&page), expected, "{query:?}");
        assert_eq!((page.total, page.next), (expected.len() as u64, None), "{query:?}");
    }
}

pub(super) async fn trash_is_listed_apart(fixture: &Fixture) {
    let store = &*fixture.store;
    let kept = ingest(store, b"kept", timestamp(1), seen(Changes::new().add_tag("t"))).await;
    let trashed = ingest(store, b"trashed", timestamp(2), seen(Changes::new().add_tag("t"))).await;
    let edit = changed(Changes::new().trashed(true), 1_700_000_000_000);
    let trashed = store.edit(&trashed.key.id, edit).await.expect("an answer").expect("a record");
    for tags in [vec![], vec!["t".to_owned()]] {
        let query = Query { tags, ..Query::default() };
        let listed = page(store, &query).await;
        assert_eq!((listed.records, listed.total), (vec![kept.clone()], 1));
        let listed = page(store, &Query { trashed: true, ..query }).await;
        assert_eq!((listed.records, listed.total), (vec![trashed.clone()], 1));
    }
    let edit = changed(Changes::new().trashed(false), 1_700_000_000_001);
    store.edit(&trashed.key.id, edit).await.expect("an answer").expect("a record");
    assert_eq!(page(store, &Query::default()).await.total, 2);
    assert_eq!(page(store, &Query { trashed: true, ..Query::default() }).await.total, 0);
}

pub(super) async fn lists_follow_edits(fixture: &Fixture) {
    let store = &*fixture.store;
    let first = Changes::new().add_tag("old").set(names::MIME_TYPE, "text/plain").set(names::FILE_NAME, "first");
    let record = ingest(store, b"follow", timestamp(1), seen(first)).await;
    let second = Changes::new().remove_tag("old").add_tag("new").set(names::MIME_TYPE, "image/gif");
    let edit = changed(second.clear(names::FILE_NAME), 1_700_000_000_000);
    let record = store.edit(&record.key.id, edit).await.expect("an answer").expect("a record");
    let with = |query: Query| async move { found(&page(store, &query).await) };
    let (tag, mime) = (|tag: &str| vec![tag.to_owned()], |mime: &str| Some(mime.to_owned()));
    assert!(with(Query { tags: tag("old"), ..Query::default() }).await.is_empty());
    assert!(with(Query { mime_type: mime("text/plain"), ..Query::default() }).await.is_empty());
    assert!(with(Query { mime_type: mime("text/"), ..Query::default() }).await.is_empty());
    assert!(with(Query { text: Some("first".into()), ..Query::default() }).await.is_empty());
    assert_eq!(with(Query { tags: tag("new"), ..Query::default() }).await, std::slice::from_ref(&record));
    assert_eq!(with(Query { mime_type: mime("image/"), ..Query::default() }).await, [record]);
}

async fn page(store: &dyn Store, query: &Query) -> Page {
    store.page(query).await.expect("a page")
}

fn ids(page: &Page) -> Vec<AssetId> {
    page.records.iter().map(|record| record.key.id).collect()
}

fn found(page: &Page) -> Vec<Record> {
    assert_eq!(page.total, page.records.len() as u64);
    page.records.clone()
}
