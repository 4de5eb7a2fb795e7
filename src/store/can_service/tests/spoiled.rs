//! The client against a service with contents that spoil what they touch.

use super::key_of;
use super::open;
use super::options;
use super::poor::Fault;
use super::poor::PoorService;
use super::poor::Telling;
use super::put;
use super::seen;
use super::timestamp;
use super::until;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::proto::can::v1;
use crate::store::Origin;
use crate::store::Store;
use crate::telemetry::causes;

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
    for fault in [Fault::Cuts, Fault::Fails, Fault::Refuses] {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_content_that_the_service_keeps_is_never_answered_as_stored() {
    // Whether it was read before the peer's copy came, or is seen for the first time then.
    for read_before in [true, false] {
        let (service, url, group) = PoorService::start().await;
        let dir = tempfile::tempdir().unwrap();
        service.tell(if read_before { Telling::Straight } else { Telling::Mute });
        let client = open(options(&url, dir.path()), &group).await.unwrap();
        let bad = key_of(b"right", timestamp(1));
        service.by_hand(bad, b"wrong", v1::Metadata::default());
        if read_before {
            let after = key_of(b"after", timestamp(2));
            service.by_hand(after, b"after", v1::Metadata::default());
            until(&client, &after.id, "the asset behind it", |record| record.is_some()).await;
            assert!(service.asked(&bad.id) > 0);
        }
        let mut spool = client.resume(&bad).await.unwrap();
        spool.write(b"right").unwrap();
        let answer = client.put(spool.finish(&bad.id).unwrap(), Origin::Peer, seen(Changes::new())).await;
        let error = causes(&answer.expect_err("the service has kept the wrong bytes"));
        assert!(error.contains("damaged content") && error.contains("remove it there"), "{error}");
        assert_eq!(client.record(&bad.id).await.unwrap(), None);
        let notes = client.health().await.unwrap().notes;
        assert!(notes[0].contains(&bad.id.to_string()), "{notes:?}");

        // Once it is removed there, the right one is taken.
        service.remove(&bad.id);
        let record = put(&client, b"right", timestamp(1), seen(Changes::new())).await;
        assert!(record.presence.is_here());
        assert_eq!(client.health().await.unwrap().notes, [""; 0]);
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_the_service_had_already_is_read_once_before_it_counts() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    service.tell(Telling::Mute);
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    // Nobody else reads it, as a listing would that is still to come.
    client.group.shut_down().await;
    let key = key_of(b"content", timestamp(1));
    service.by_hand(key, b"content", v1::Metadata { tags: vec!["theirs".into()], ..v1::Metadata::default() });
    for tag in ["ours", "again"] {
        let record = put(&client, b"content", timestamp(1), seen(Changes::new().add_tag(tag))).await;
        assert!(record.presence.is_here());
    }
    assert_eq!(service.asked(&key.id), 1, "what is known to be sound is not read again");
    let fresh = put(&client, b"fresh", timestamp(2), seen(Changes::new())).await.key;
    assert_eq!(service.asked(&fresh.id), 0, "nor is what it took from here");
    client.close().await;
}
