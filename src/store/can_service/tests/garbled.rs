//! The client against a service with metadata that spoils what it touches, and one that answers nothing any more.

use std::time::Duration;

use super::HANG;
use super::key_of;
use super::open;
use super::options;
use super::poor::Fault;
use super::poor::PoorService;
use super::poor::Telling;
use super::timestamp;
use super::until;
use crate::asset::AssetKey;
use crate::limits;
use crate::proto::can::v1;
use crate::store::Record;
use crate::store::Store;
use crate::telemetry::causes;

/// How the metadata of an asset is bad: by a fault of its answer, or because it is beyond what is read.
#[derive(Debug, Clone, Copy)]
enum Bad {
    By(Fault),
    TooLong,
}

const BAD: [Bad; 4] = [Bad::By(Fault::Fails), Bad::By(Fault::Cuts), Bad::By(Fault::Lies), Bad::TooLong];

/// Puts assets into the service by hand, as many as fit one call.
fn fill(service: &PoorService, count: u8) -> Vec<AssetKey> {
    let keys: Vec<AssetKey> = (0..count).map(|n| key_of(&[n], timestamp(n.into()))).collect();
    keys.iter().enumerate().for_each(|(n, _)| describe(service, &keys, n, "before"));
    keys
}

/// A person gives the n-th asset another description.
fn describe(service: &PoorService, keys: &[AssetKey], n: usize, description: &str) {
    let metadata = v1::Metadata { description: Some(description.to_owned()), ..v1::Metadata::default() };
    service.by_hand(keys[n], &[u8::try_from(n).unwrap()], metadata);
}

fn spoil(service: &PoorService, keys: &[AssetKey], n: usize, bad: Bad) {
    match bad {
        Bad::By(fault) => {
            service.garble(keys[n].id, Some(fault));
            describe(service, keys, n, "garbled");
        }
        Bad::TooLong => describe(service, keys, n, &"x".repeat(limits::BUNDLE_HEAD_BYTES + 1)),
    }
}

fn mend(service: &PoorService, keys: &[AssetKey], n: usize) {
    service.garble(keys[n].id, None);
    describe(service, keys, n, "mended");
}

fn is_described(description: &str) -> impl Fn(Option<&Record>) -> bool {
    move |record| record.is_some_and(|record| record.document.metadata().description.as_deref() == Some(description))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_cannot_be_read_keeps_back_no_change_of_another_asset_and_no_start() {
    for bad in BAD {
        let (service, url, group) = PoorService::start().await;
        let dir = tempfile::tempdir().unwrap();
        let keys = fill(&service, 20);
        let mut options = options(&url, dir.path());
        options.sweep_interval = Duration::from_millis(50);
        let client = open(options.clone(), &group).await.unwrap();
        for key in &keys {
            until(&client, &key.id, "an asset", is_described("before")).await;
        }
        // Ids are in no order of their own, so both stand anywhere among the others.
        for n in [7, 12] {
            spoil(&service, &keys, n, bad);
        }
        for n in [0, 3, 19] {
            describe(&service, &keys, n, "after");
            until(&client, &keys[n].id, "a change beside the bad ones", is_described("after")).await;
        }
        let kept = client.record(&keys[7].id).await.unwrap();
        assert!(is_described("before")(kept.as_ref()) && kept.unwrap().presence.is_here(), "{bad:?}");
        let named = async {
            loop {
                let health = client.health().await.unwrap();
                assert_eq!((health.assets, health.missing), (20, 0), "{bad:?}");
                if health.notes.iter().any(|note| note.contains("2 assets whose metadata cannot be read")) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(HANG, named).await.unwrap();
        client.close().await;

        // It starts as well, and goes on.
        let client = open(options, &group).await.unwrap();
        describe(&service, &keys, 5, "later");
        until(&client, &keys[5].id, "a change after a restart", is_described("later")).await;
        for n in [7, 12] {
            mend(&service, &keys, n);
            until(&client, &keys[n].id, "the mended metadata", is_described("mended")).await;
        }
        until(&client, &keys[5].id, "a later change", is_described("later")).await;
        let health = client.health().await.unwrap();
        assert_eq!((health.assets, health.notes), (20, Vec::new()), "{bad:?}");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asset_that_is_put_off_is_looked_at_again_without_a_listing() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let keys = fill(&service, 3);
    // No poll and no sweep is near.
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    for key in &keys {
        until(&client, &key.id, "an asset", is_described("before")).await;
    }
    spoil(&service, &keys, 1, Bad::By(Fault::Fails));
    describe(&service, &keys, 2, "after");
    until(&client, &keys[2].id, "a change behind it", is_described("after")).await;
    // Nothing tells of this but the clock.
    service.garble(keys[1].id, None);
    until(&client, &keys[1].id, "what could not be read", is_described("garbled")).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_asset_whose_metadata_cannot_be_read_keeps_back_no_other() {
    for bad in BAD {
        let (service, url, group) = PoorService::start().await;
        let dir = tempfile::tempdir().unwrap();
        let keys = fill(&service, 20);
        for n in [7, 12] {
            spoil(&service, &keys, n, bad);
        }
        let client = open(options(&url, dir.path()), &group).await.unwrap();
        let is_bad = |key: &AssetKey| *key == keys[7] || *key == keys[12];
        for key in keys.iter().filter(|key| !is_bad(key)) {
            until(&client, &key.id, "an asset beside the bad ones", |record| record.is_some()).await;
        }
        let asked = |service: &PoorService| -> usize {
            keys.iter().filter(|key| !is_bad(key)).map(|key| service.asked(&key.id)).sum()
        };
        let before = asked(&service);
        for n in 0..10 {
            let key = key_of(b"later", timestamp(1000 + n));
            spoil(&service, &keys, 7, bad);
            service.by_hand(key, b"later", v1::Metadata::default());
            until(&client, &key.id, "an asset that came later", |record| record.is_some()).await;
        }
        assert_eq!(asked(&service), before, "{bad:?}: what is here is not read again");
        assert_eq!(client.record(&keys[7].id).await.unwrap(), None);
        let health = client.health().await.unwrap();
        assert_eq!((health.assets, health.trouble), (28, None), "{bad:?}");
        assert!(health.notes[0].contains("2 contents that cannot be read"), "{:?}", health.notes);
        for n in [7, 12] {
            mend(&service, &keys, n);
            until(&client, &keys[n].id, "the mended one", is_described("mended")).await;
        }
        assert_eq!(client.health().await.unwrap().notes, [""; 0]);
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_answers_no_call_at_all_is_the_trouble_and_no_asset_is() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let keys = fill(&service, 200);
    service.tell(Telling::Mute);
    // No poll and no sweep comes by itself.
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    for key in &keys {
        until(&client, &key.id, "an asset", is_described("before")).await;
    }
    let calls = 1000;
    service.fail("/sync/pull", &vec![Fault::Fails; 1000]);
    let error = client.shared.sweep().await.unwrap_err();
    assert!(causes(&error).contains("500"), "{error}");
    // It asks in halves once, and for nothing.
    assert!(calls - service.left("/sync/pull") <= 10, "{} calls were made", calls - service.left("/sync/pull"));
    let health = client.health().await.unwrap();
    assert_eq!((health.assets, health.missing, health.notes), (200, 0, Vec::new()), "no asset is blamed");
    assert!(health.trouble.is_some());
    service.forgive("/sync/pull");
    describe(&service, &keys, 4, "after");
    client.shared.sweep().await.unwrap();
    until(&client, &keys[4].id, "a change when it is up again", is_described("after")).await;
    assert_eq!(client.health().await.unwrap().trouble, None);
    client.close().await;
}
