//! Content in, content out.

use super::Fixture;
use super::samples::bytes;
use super::samples::changed;
use super::samples::drain;
use super::samples::ingest;
use super::samples::key_of;
use super::samples::opened;
use super::samples::seen;
use super::samples::timestamp;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::ContentDigest;
use crate::asset::names;
use crate::limits;
use crate::store::Arrival;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::Query;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::SpoolError;
use crate::store::Verification;

/// The largest content that is small.
fn small() -> usize {
    usize::try_from(limits::SMALL_CONTENT_BYTES).expect("64 KiB fit")
}

pub(super) async fn sizes_and_offsets(fixture: &Fixture) {
    let store = &*fixture.store;
    let chunk = limits::CONTENT_CHUNK_BYTES;
    for (n, size) in [0, 1, small() - 1, small(), small() + 1, chunk, chunk + 1, 3 * chunk + 77_777].iter().enumerate()
    {
        let content = bytes(*size, 3);
        let time = timestamp(n as u64);
        let record = ingest(store, &content, time, seen(Changes::new())).await;
        assert_eq!(record.key, key_of(&content, time));
        assert_eq!(record.content, ContentDigest::of(&content));
        assert_eq!(record.presence, Presence::Here);
        assert_eq!(record.origin, Origin::Here);
        assert_eq!(store.record(&record.key.id).await.expect("a readable store"), Some(record.clone()));
        for offset in [0, 1, size / 2, chunk - 1, chunk, chunk + 1, size.saturating_sub(1), *size] {
            if offset > *size {
                continue;
            }
            let from = opened(store, &record.key.id, offset as u64).await;
            assert_eq!((from.key, from.offset), (record.key, offset as u64));
            assert_eq!(from.digest, record.content);
            assert!(drain(from).await.expect("a whole content") == content[offset..], "{size} bytes from {offset}");
        }
    }
}

pub(super) async fn ingest_makes_the_same_asset_as_a_known_key(fixture: &Fixture) {
    let store = &*fixture.store;
    for (n, size) in [10, 200_000].into_iter().enumerate() {
        let content = bytes(size, 9);
        let key = key_of(&content, timestamp(n as u64));
        let mut spool = store.resume(&key).await.expect("a spool");
        assert_eq!(spool.offset(), 0);
        spool.write(&content).expect("a written piece");
        let spooled = spool.finish(&key.id).expect("the right content");
        let first = store.put(spooled, Origin::Peer, seen(Changes::new().add_tag("a"))).await.expect("a stored asset");
        assert_eq!((first.key, first.origin), (key, Origin::Peer));
        let again = ingest(store, &content, key.timestamp, seen(Changes::new().add_tag("a"))).await;
        assert_eq!(again, first, "nothing has changed");
    }
    assert_eq!(store.health().await.expect("a readable store").assets, 2);
}

pub(super) async fn unknown_ids(fixture: &Fixture) {
    let store = &*fixture.store;
    let id = AssetId::from_bytes([7; 32]);
    assert_eq!(store.record(&id).await.expect("a readable store"), None);
    assert!(store.open(&id, 0).await.expect("a readable store").is_none());
    assert_eq!(store.edit(&id, changed(Changes::new().add_tag("a"), 1)).await.expect("an answer"), None);
    assert_eq!(store.verify(&id).await.expect("a readable store"), None);
    assert!(!store.purge(&id).await.expect("an answer"));
    assert!(store.arrivals(Arrival(0), 10).await.expect("a readable store").is_empty());
}

pub(super) async fn wrong_content_is_refused(fixture: &Fixture) {
    let store = &*fixture.store;
    for size in [100, 200_000] {
        let content = bytes(size, 5);
        let key = key_of(&content, timestamp(1));
        let mut spool = store.resume(&key).await.expect("a spool");
        spool.write(&bytes(size, 6)).expect("a written piece");
        assert!(matches!(spool.write(b"x"), Err(SpoolError::TooLong { .. })));
        assert!(matches!(spool.finish(&key.id), Err(SpoolError::Mismatch(_))));
        assert!(store.open(&key.id, 0).await.expect("a readable store").is_none());
        assert_eq!(store.resume(&key).await.expect("a spool").offset(), 0, "nothing of it is kept");
    }
}

pub(super) async fn a_part_resumes_after_a_drop(fixture: &Fixture) {
    let store = &*fixture.store;
    let content = bytes(2_000_000, 8);
    let key = key_of(&content, timestamp(2));
    let mut spool = store.resume(&key).await.expect("a spool");
    spool.write(&content[..1_300_000]).expect("a written piece");
    drop(spool);
    assert!(store.open(&key.id, 0).await.expect("a readable store").is_none(), "half a content is not here");
    let mut spool = store.resume(&key).await.expect("a spool");
    assert_eq!(spool.offset(), 1_300_000);
    spool.write(&content[1_300_000..]).expect("a written piece");
    let spooled = spool.finish(&key.id).expect("the right content");
    store.put(spooled, Origin::Peer, seen(Changes::new())).await.expect("a stored asset");
    let read = drain(opened(store, &key.id, 0).await).await.expect("a whole content");
    assert!(read == content);
}

pub(super) async fn several_are_read_at_once_in_the_order_asked(fixture: &Fixture) {
    let store = &*fixture.store;
    let mut stored = Vec::new();
    for (n, size) in [0, 20, 70_000, 1_500_000].into_iter().enumerate() {
        stored.push(ingest(store, &bytes(size, 21), timestamp(n as u64), seen(Changes::new())).await);
    }
    let unknown = key_of(b"never stored", timestamp(1)).id;
    let mut ids: Vec<_> = stored.iter().rev().map(|record| record.key.id).collect();
    ids.insert(2, unknown);
    stored.reverse();
    assert_eq!(store.records(&ids).await.expect("a readable store"), stored);
    assert!(store.records(&[]).await.expect("a readable store").is_empty());
    let wanted: Vec<_> = ids.iter().map(|id| (*id, 15)).collect();
    let mut found = Vec::new();
    for opened in store.open_all(&wanted).await.expect("a readable store") {
        match opened.expect("a readable content") {
            Some(content) => found.push(Some((content.key.id, drain(content).await.expect("a whole content").len()))),
            None => found.push(None),
        }
    }
    let left = |record: &Record| {
        let size = usize::try_from(record.key.size).expect("it was in memory");
        Some((record.key.id, size.saturating_sub(15)))
    };
    let mut expected: Vec<_> = stored.iter().map(left).collect();
    expected.insert(2, None);
    assert_eq!(found, expected);
}

pub(super) async fn verify_finds_sound_content(fixture: &Fixture) {
    let store = &*fixture.store;
    for size in [0, 10, 300_000] {
        let record = ingest(store, &bytes(size, 1), timestamp(3), seen(Changes::new())).await;
        let found = store.verify(&record.key.id).await.expect("a readable store");
        assert_eq!(found, Some(Verification::Sound { bytes: size as u64 }));
        assert_eq!(store.record(&record.key.id).await.expect("a readable store"), Some(record), "nothing has changed");
    }
}

pub(super) async fn damaged_content_is_never_handed_out(fixture: &Fixture) {
    let Some(damage) = &fixture.damage else { return };
    let store = &*fixture.store;
    for size in [1, 10_000, 700_000] {
        let record = ingest(store, &bytes(size, 2), timestamp(4), seen(Changes::new())).await;
        damage(&record);
        match store.open(&record.key.id, 0).await {
            Ok(Some(content)) => match drain(content).await {
                Err(ReadError::Damaged(id)) => assert_eq!(id, record.key.id),
                other => panic!("a damaged content of {size} bytes was read: {:?}", other.map(|all| all.len())),
            },
            Ok(None) | Err(ReadError::Damaged(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

pub(super) async fn damaged_content_is_moved_aside_and_comes_back_by_put(fixture: &Fixture) {
    let Some(damage) = &fixture.damage else { return };
    let store = &*fixture.store;
    for (n, size) in [50, 400_000].into_iter().enumerate() {
        let content = bytes(size, 4);
        let time = timestamp(n as u64);
        let record = ingest(store, &content, time, seen(Changes::new().set(names::USER, "ann"))).await;
        let before = store.health().await.expect("a readable store");
        damage(&record);
        let found = store.verify(&record.key.id).await.expect("a readable store");
        assert!(matches!(found, Some(Verification::Quarantined { .. })), "{found:?}");
        let gone = store.record(&record.key.id).await.expect("a readable store").expect("its record stays");
        assert_eq!((gone.presence, &gone.document), (Presence::Quarantined, &record.document));
        assert!(gone.arrival > record.arrival, "it is a new arrival");
        assert!(store.open(&record.key.id, 0).await.expect("a readable store").is_none());
        assert_eq!(store.verify(&record.key.id).await.expect("a readable store"), Some(Verification::Missing));
        let listed = store.page(&Query::default()).await.expect("a page");
        assert!(listed.records.iter().all(|listed| listed.key != record.key), "it is not listed");
        let health = store.health().await.expect("a readable store");
        assert_eq!((health.assets + 1, health.missing), (before.assets, before.missing + 1));

        let back = ingest(store, &content, time, seen(Changes::new())).await;
        assert_eq!((back.presence, &back.document), (Presence::Here, &record.document));
        assert!(back.arrival > gone.arrival);
        let read = drain(opened(store, &record.key.id, 0).await).await.expect("a whole content");
        assert!(read == content);
        let found = store.verify(&record.key.id).await.expect("a readable store");
        assert_eq!(found, Some(Verification::Sound { bytes: size as u64 }));
        assert_eq!(store.health().await.expect("a readable store"), before);
    }
}

pub(super) async fn concurrent_puts_of_one_asset(fixture: &Fixture) {
    let store = &*fixture.store;
    for size in [500, 500_000] {
        let content = bytes(size, 7);
        let puts = (0..16).map(|n| {
            let edit = seen(Changes::new().add_tag(&format!("t{n:02}")));
            ingest(store, &content, timestamp(5), edit)
        });
        let records = futures_util::future::join_all(puts).await;
        let id = records[0].key.id;
        assert!(records.iter().all(|record| record.key.id == id));
        let record = store.record(&id).await.expect("a readable store").expect("a record");
        assert_eq!(record.document.metadata().tags.len(), 16);
        let read = drain(opened(store, &id, 0).await).await.expect("a whole content");
        assert!(read == content);
        assert_eq!(store.verify(&id).await.expect("an answer"), Some(Verification::Sound { bytes: size as u64 }));
    }
    assert_eq!(store.arrivals(Arrival(0), 100).await.expect("a readable store").len(), 2);
}

pub(super) async fn purge_forgets(fixture: &Fixture) {
    let store = &*fixture.store;
    for size in [20, 300_000] {
        let content = bytes(size, 11);
        let record = ingest(store, &content, timestamp(6), seen(Changes::new().add_tag("gone"))).await;
        let latest = *store.latest().borrow();
        assert!(store.purge(&record.key.id).await.expect("an answer"));
        assert!(!store.purge(&record.key.id).await.expect("an answer"));
        assert_eq!(store.record(&record.key.id).await.expect("a readable store"), None);
        assert!(store.open(&record.key.id, 0).await.expect("a readable store").is_none());
        assert!(store.arrivals(Arrival(0), 10).await.expect("a readable store").is_empty());
        let page = store.page(&Query { tags: vec!["gone".into()], ..Query::default() }).await.expect("a page");
        assert_eq!((page.total, page.records.len()), (0, 0));
        let health = store.health().await.expect("a readable store");
        assert_eq!((health.assets, health.bytes, health.missing), (0, 0, 0));

        let again = ingest(store, &content, timestamp(6), seen(Changes::new())).await;
        assert!(again.arrival > latest, "arrivals are never used twice");
        assert!(again.document.is_empty(), "nothing of the old document is left");
        let read = drain(opened(store, &record.key.id, 0).await).await.expect("a whole content");
        assert!(read == content);
        assert!(store.purge(&record.key.id).await.expect("an answer"));
    }
}
