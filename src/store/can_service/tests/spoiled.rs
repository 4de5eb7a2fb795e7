//! The client against a service with contents that spoil what they touch.

use super::key_of;
use super::open;
use super::options;
use super::poor::Fault;
use super::poor::PoorService;
use super::timestamp;
use super::until;
use crate::asset::AssetKey;
use crate::proto::can::v1;
use crate::store::Store;

/// Puts assets into the service by hand, as many as fit one call.
fn fill(service: &PoorService, count: u64) -> Vec<AssetKey> {
    (0..count)
        .map(|n| {
            let content = format!("content {n}");
            let key = key_of(content.as_bytes(), timestamp(n));
            service.by_hand(key, content.as_bytes(), v1::Metadata::default());
            key
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_spoils_its_answer_keeps_back_no_other_and_is_not_read_at_every_event() {
    for fault in [Fault::Cuts, Fault::Fails] {
        let (service, url, group) = PoorService::start().await;
        let dir = tempfile::tempdir().unwrap();
        let keys = fill(&service, 20);
        // Ids are in no order of their own, so it stands anywhere among the others.
        let bad = keys[7];
        service.spoil(bad.id, Some(fault));
        let client = open(options(&url, dir.path()), &group).await.unwrap();
        for key in keys.iter().filter(|key| **key != bad) {
            until(&client, &key.id, "an asset beside the bad one", |record| record.is_some()).await;
        }
        let events: u64 = 30;
        for n in 0..events {
            let key = key_of(b"later", timestamp(1000 + n));
            service.by_hand(bad, b"content 7", v1::Metadata::default());
            service.by_hand(key, b"later", v1::Metadata::default());
            until(&client, &key.id, "an asset that came later", |record| record.is_some()).await;
        }
        let asked = service.asked(&bad.id);
        assert!(asked < 20, "{fault:?}: asked for {asked} times at {events} events");
        assert_eq!(client.record(&bad.id).await.unwrap(), None);
        let health = client.health().await.unwrap();
        assert_eq!((health.assets, health.trouble), (19 + events, None), "{fault:?}");
        assert!(health.notes[0].contains(&bad.id.to_string()), "{:?}", health.notes);

        // It comes by itself once it can be read: no poll and no sweep is near.
        service.spoil(bad.id, None);
        until(&client, &bad.id, "the one that was bad", |record| record.is_some()).await;
        assert_eq!(client.health().await.unwrap().notes, Vec::<String>::new());
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_is_not_the_assets_is_told_and_not_read_at_every_event() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    let bad = key_of(b"right", timestamp(1));
    let events = 30;
    for n in 0..events {
        service.by_hand(bad, b"wrong", v1::Metadata::default());
        let key = key_of(b"later", timestamp(1000 + n));
        service.by_hand(key, b"later", v1::Metadata::default());
        until(&client, &key.id, "an asset that came later", |record| record.is_some()).await;
    }
    let asked = service.asked(&bad.id);
    assert!((1..20).contains(&asked), "asked for {asked} times at {events} events");
    assert_eq!(client.record(&bad.id).await.unwrap(), None);
    let notes = client.health().await.unwrap().notes;
    assert!(notes[0].contains(&bad.id.to_string()), "{notes:?}");
    client.close().await;
}
