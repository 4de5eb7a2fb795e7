//! The client against a service whose answers are too slow, too long, or not what was asked for.

use std::time::Duration;

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
use crate::asset::Changes;
use crate::limits;
use crate::proto::can::v1;
use crate::store::Presence;
use crate::store::Store;
use crate::store::Verification;
use crate::store::can_service::ServiceError;

/// Less than the bytes of an answer take that trickles.
const CALL_TIME: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_trickles_is_given_up_although_it_never_stalls() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&url, dir.path());
    options.call_time = CALL_TIME;
    let client = open(options, &group).await.unwrap();
    let key = put(&client, b"content", timestamp(1), seen(Changes::new())).await.key;
    // Nobody else asks, so that what is to happen happens to this call.
    client.group.shut_down().await;
    service.fail("/sync/pull", &[Fault::Trickles]);
    let error = client.shared.read(&key.id).await.unwrap_err();
    assert!(matches!(error, ServiceError::Slow { time: CALL_TIME, .. }), "{error}");
    // Nor does the text of an error hold anybody up.
    service.fail("/sync/pull", &[Fault::FailsSlowly]);
    let error = client.shared.read(&key.id).await.unwrap_err();
    assert!(matches!(error, ServiceError::Slow { time: CALL_TIME, .. }), "{error}");
    assert!(client.shared.read(&key.id).await.unwrap().is_some());
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_trickles_holds_up_no_other() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    service.tell(Telling::Mute);
    let keys: Vec<_> = (0..20_u8).map(|n| key_of(&[n; 100], timestamp(n.into()))).collect();
    for (n, key) in (0..).zip(&keys) {
        service.by_hand(*key, &[n; 100], v1::Metadata::default());
    }
    let bad = keys[7];
    service.spoil(bad.id, Some(Fault::Trickles));
    let mut options = options(&url, dir.path());
    options.call_time = CALL_TIME;
    let client = open(options, &group).await.unwrap();
    for key in keys.iter().filter(|key| **key != bad) {
        until(&client, &key.id, "an asset beside the slow one", |record| record.is_some()).await;
    }
    assert_eq!(client.record(&bad.id).await.unwrap(), None);
    service.spoil(bad.id, None);
    until(&client, &bad.id, "the slow one", |record| record.is_some()).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_that_was_not_asked_for() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    let key = put(&client, b"content", timestamp(1), seen(Changes::new())).await.key;
    let other = put(&client, b"other", timestamp(2), seen(Changes::new())).await.key;
    // Nobody else asks, so that what is to happen happens to this call.
    client.group.shut_down().await;
    service.fail("/sync/pull", &[Fault::Repeats]);
    let error = client.shared.heads(&[key.id, other.id]).await.unwrap_err();
    assert!(matches!(error, ServiceError::Malformed { .. }), "{error}");
    // It says nothing about the content that was asked for.
    service.fail("/sync/pull", &[Fault::Swaps(other.id)]);
    let verified = client.verify(&key.id).await.unwrap();
    assert!(matches!(verified, Some(Verification::Unreadable { .. })), "{verified:?}");
    assert_eq!(client.record(&key.id).await.unwrap().unwrap().presence, Presence::Here);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_held_only_up_to_a_limit_and_more_of_it_comes_in_parts() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    let key = put(&client, b"content", timestamp(1), seen(Changes::new())).await.key;
    // Nobody else asks, so that what is to happen happens to this call.
    client.group.shut_down().await;
    service.fail("/sync/pull", &[Fault::Floods]);
    let error = client.shared.read(&key.id).await.unwrap_err();
    assert!(matches!(error, ServiceError::TooLarge { limit: limits::SERVICE_ANSWER_BYTES, .. }), "{error}");

    let mut keys = Vec::new();
    for n in 0..20_u8 {
        keys.push(put(&client, &[n], timestamp(100 + u64::from(n)), seen(Changes::new())).await.key);
    }
    service.tell(Telling::Mute);
    let long = "x".repeat(limits::SERVICE_ANSWER_BYTES / 16);
    for (n, key) in (0..).zip(&keys) {
        let metadata = v1::Metadata { description: Some(long.clone()), tags: vec!["x".into()], ..Default::default() };
        service.by_hand(*key, &[n], metadata);
    }
    let swept = client.shared.sweep().await.unwrap();
    assert!(swept.put_off.is_empty() && swept.unread.is_empty());
    for key in &keys {
        let record = client.record(&key.id).await.unwrap().unwrap();
        assert!(record.document.metadata().tags.contains("x"));
    }
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_is_asked_for_in_pages_that_are_within_the_limit_of_an_answer() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    // In one answer it would be 20 MiB and more.
    service.list_empty(20_500);
    let key = key_of(b"content", timestamp(1));
    service.by_hand(key, b"content", v1::Metadata::default());
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    until(&client, &key.id, "what stands on the last page", |record| record.is_some()).await;
    assert!(service.pages() >= 3, "{} pages", service.pages());
    client.close().await;
}
