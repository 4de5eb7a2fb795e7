//! The client against a service that cuts, stalls, fails, forgets and cannot hold everything.

use std::time::Duration;

use futures_util::StreamExt;

use super::HANG;
use super::by_peer;
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
use crate::asset::names;
use crate::asset::validate_document;
use crate::limits;
use crate::proto::can::v1;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::Store;
use crate::store::Verification;

const MILLIS: u64 = 1_700_000_000_000;

fn tags(record: &Record) -> Vec<String> {
    record.document.metadata().tags.into_iter().collect()
}

fn has(record: Option<&Record>, tag: &str) -> bool {
    record.is_some_and(|record| record.document.metadata().tags.contains(tag))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_cannot_hold_stays_here_and_never_flaps() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&url, dir.path());
    options.poll_interval = Duration::from_millis(20);
    options.sweep_interval = Duration::from_millis(50);
    let client = open(options.clone(), &group).await.unwrap();
    let changes = Changes::new().set(names::PATH, "a/b").set(names::USER, "ann").add_tag("Beach");
    let record = put(&client, b"content", timestamp(1), by_peer(changes, MILLIS)).await;
    let id = record.key.id;
    let record = client.edit(&id, by_peer(Changes::new().add_tag("Sun").set(names::USER, "bob"), MILLIS + 1)).await;
    let record = record.unwrap().unwrap();
    assert_eq!(service.counts(), (1, 1), "one push, one write");
    let held = service.metadata(&id).unwrap();
    assert_eq!(
        (held.tags, held.human_readable_path, held.user.as_deref()),
        (vec!["beach".into(), "sun".into()], None, Some("bob"))
    );

    // A person's change is the clock: once it is here, listings and sweeps have passed.
    for n in 0..5 {
        let held = service.metadata(&id).unwrap();
        let tag = format!("hand{n}");
        let tags = held.tags.iter().cloned().chain([tag.clone()]).collect();
        service.by_hand(record.key, b"content", v1::Metadata { tags, ..held });
        until(&client, &id, "a tag by hand", |record| has(record, &tag)).await;
    }
    let now = client.record(&id).await.unwrap().unwrap();
    assert_eq!(service.counts(), (1, 1), "nothing was ever written again");
    assert_eq!(now.document.metadata().path.as_deref(), Some("a/b"));
    assert_eq!(tags(&now), ["Beach", "Sun", "hand0", "hand1", "hand2", "hand3", "hand4"]);
    assert!(!has(Some(&now), "beach"), "a spelling is not a change");

    // Nor after a restart, with a database that is there.
    client.close().await;
    let client = open(options, &group).await.unwrap();
    let held = service.metadata(&id).unwrap();
    service.by_hand(
        record.key,
        b"content",
        v1::Metadata { tags: vec!["sun".into()], user: Some("eve".into()), ..held },
    );
    until(&client, &id, "a change after a restart", |record| {
        record.is_some_and(|record| record.document.metadata().user.as_deref() == Some("eve"))
    })
    .await;
    let now = client.record(&id).await.unwrap().unwrap();
    assert_eq!(tags(&now), ["Sun"], "a tag removed there in its spelling is removed");
    assert_eq!(service.counts(), (1, 1));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_equal_whatever_fails_on_the_way() {
    for fault in [Fault::Fails, Fault::DoneAndFails, Fault::Cuts, Fault::CutsBehind, Fault::Stalls] {
        let (service, url, group) = PoorService::start().await;
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(&url, dir.path());
        options.poll_interval = Duration::from_millis(20);
        options.sweep_interval = Duration::from_millis(50);
        options.stall = Duration::from_millis(300);
        service.fail("/sync/hashes", &[fault, fault]);
        let client = open(options, &group).await.unwrap();
        for path in ["/sync/hashes", "/sync/pull", "/sync/meta", "/sync/events"] {
            service.fail(path, &[fault]);
        }
        let theirs = key_of(b"theirs", timestamp(2));
        service.by_hand(theirs, b"theirs", v1::Metadata { tags: vec!["x".into()], ..v1::Metadata::default() });
        until(&client, &theirs.id, "an ingest at the service", |record| has(record, "x")).await;
        for path in ["/sync/pull", "/sync/meta", "/sync/pull", "/sync/meta", "/sync/pull"] {
            service.fail(path, &[fault]);
        }
        let edit = by_peer(Changes::new().set(names::USER, "ann"), MILLIS);
        client.edit(&theirs.id, edit).await.unwrap().unwrap();
        // The person's change comes behind the write that failed, and both end on both sides.
        let taken = async {
            while service.metadata(&theirs.id).unwrap().user.as_deref() != Some("ann") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(HANG, taken).await.unwrap_or_else(|_| panic!("{fault:?}: the write never came"));
        let held = service.metadata(&theirs.id).unwrap();
        service.by_hand(theirs, b"theirs", v1::Metadata { description: Some("by hand".into()), ..held });
        until(&client, &theirs.id, "a change by hand", |record| {
            record.is_some_and(|record| record.document.metadata().description.as_deref() == Some("by hand"))
        })
        .await;
        let record = client.record(&theirs.id).await.unwrap().unwrap();
        let metadata = record.document.metadata();
        assert_eq!((metadata.user.as_deref(), tags(&record)), (Some("ann"), vec!["x".to_owned()]), "{fault:?}");
        let stamp = record.document.shared().get(names::USER).unwrap().stamp;
        assert_eq!(stamp.millis(), MILLIS, "the write was never taken for a change by a person");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_answer_was_lost_is_ours_when_it_is_found() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    service.fail("/sync/push", &[Fault::DoneAndFails]);
    let key = key_of(b"content", timestamp(1));
    let mut spool = client.resume(&key).await.unwrap();
    spool.write(b"content").unwrap();
    let changes = Changes::new().set(names::PATH, "a/b").add_tag("Beach");
    let spooled = spool.finish(&key.id).unwrap();
    client.put(spooled, Origin::Peer, by_peer(changes, MILLIS)).await.unwrap_err();
    client.close().await;
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    until(&client, &key.id, "the asset", |record| record.is_some()).await;
    let record = client.record(&key.id).await.unwrap().unwrap();
    assert_eq!(record.origin, Origin::Peer);
    assert_eq!(tags(&record), ["Beach"]);
    assert_eq!(record.document.shared().get("tag/Beach").unwrap().stamp.millis(), MILLIS);
    assert_eq!(service.counts(), (0, 1));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_lost_repeated_reordered_or_garbage_only_cost_time() {
    for telling in [Telling::Loses, Telling::Repeats, Telling::Reorders, Telling::Garbage] {
        let (service, url, group) = PoorService::start().await;
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(&url, dir.path());
        options.poll_interval = Duration::from_millis(50);
        let client = open(options, &group).await.unwrap();
        service.tell(telling);
        let keys: Vec<_> = (0..20_u8).map(|n| key_of(&[n], timestamp(100 - u64::from(n)))).collect();
        for (n, key) in keys.iter().enumerate() {
            service.by_hand(*key, &[u8::try_from(n).unwrap()], v1::Metadata::default());
        }
        for key in &keys {
            until(&client, &key.id, "an asset", |record| record.is_some()).await;
        }
        assert_eq!(client.health().await.unwrap().assets, 20, "{telling:?}");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_goes_on_behind_the_last_one() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    service.tell(Telling::Breaks);
    let again = async {
        let mut n = 0_u8;
        // An event that comes while nobody listens is lost, so there is one more until one is heard.
        while !service.streams().contains(&Some("0".to_owned())) {
            service.by_hand(key_of(&[n], timestamp(u64::from(n))), &[n], v1::Metadata::default());
            n += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(HANG, again).await.unwrap();
    assert_eq!(service.streams()[0], None, "the first begins at the beginning");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_are_never_handed_on_as_good() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    let record = put(&client, &vec![7; 600_000], timestamp(1), seen(Changes::new())).await;
    for (fault, offset) in [(Fault::Lies, 0), (Fault::Lies, 400_000), (Fault::Cuts, 0), (Fault::Cuts, 400_000)] {
        service.fail("/sync/pull", &[fault]);
        let content = client.open(&record.key.id, offset).await.unwrap().unwrap();
        let pieces: Vec<_> = content.stream.collect().await;
        match pieces.last() {
            Some(Err(ReadError::Damaged(_))) if fault == Fault::Lies => {}
            Some(Err(ReadError::Index(_))) if fault == Fault::Cuts => {}
            other => panic!("{fault:?} from {offset}: {other:?}"),
        }
    }
    service.fail("/sync/pull", &[Fault::Lies]);
    let found = client.verify(&record.key.id).await.unwrap();
    assert!(matches!(found, Some(Verification::Quarantined { .. })));
    assert!(client.open(&record.key.id, 0).await.unwrap().is_none());

    // An asset whose content is wrong from the start is never shown.
    let wrong = key_of(b"right", timestamp(2));
    service.by_hand(wrong, b"wrong", v1::Metadata::default());
    let after = key_of(b"after", timestamp(3));
    service.by_hand(after, b"after", v1::Metadata::default());
    until(&client, &after.id, "the asset behind it", |record| record.is_some()).await;
    assert_eq!(client.record(&wrong.id).await.unwrap(), None);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vanishes_from_the_trash_is_purged_and_what_vanishes_otherwise_is_missing() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&url, dir.path());
    options.sweep_interval = Duration::from_millis(30);
    let client = open(options, &group).await.unwrap();
    let kept = put(&client, b"kept", timestamp(1), seen(Changes::new())).await.key;
    let trashed = put(&client, b"trashed", timestamp(2), seen(Changes::new().trashed(true))).await.key;
    let lost = put(&client, b"lost", timestamp(3), seen(Changes::new().add_tag("x"))).await.key;
    service.remove(&trashed.id);
    service.remove(&lost.id);
    until(&client, &trashed.id, "the purge", |record| record.is_none()).await;
    until(&client, &lost.id, "the loss", |record| record.is_some_and(|record| record.presence == Presence::Missing))
        .await;
    let health = client.health().await.unwrap();
    assert_eq!((health.assets, health.missing, health.trouble), (1, 1, None));
    assert!(health.notes[0].contains("has lost 1 asset that nobody had trashed"), "{:?}", health.notes);
    assert!(client.open(&lost.id, 0).await.unwrap().is_none());
    assert!(client.record(&kept.id).await.unwrap().unwrap().presence.is_here());
    // It is pulled again, and has its document.
    let back = put(&client, b"lost", timestamp(3), seen(Changes::new())).await;
    assert_eq!((back.presence, tags(&back)), (Presence::Here, vec!["x".to_owned()]));
    assert_eq!(service.metadata(&lost.id).unwrap().tags, ["x"]);
    let health = client.health().await.unwrap();
    assert_eq!((health.assets, health.missing, health.notes), (2, 0, Vec::new()));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_was_cut_off_is_never_taken_for_a_wish_at_the_service() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&url, dir.path());
    options.sweep_interval = Duration::from_millis(30);
    let client = open(options, &group).await.unwrap();
    // The service has carried it out, and its answer was lost: it is taken back.
    let done = put(&client, b"done", timestamp(1), seen(Changes::new())).await.key;
    let arrival = *client.latest().borrow();
    service.fail("/sync/meta", &[Fault::DoneAndFails]);
    client.purge(&done.id).await.unwrap_err();
    assert!(service.metadata(&done.id).unwrap().trashed);
    let back = async {
        while service.metadata(&done.id).unwrap().trashed {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HANG, back).await.unwrap();
    assert!(!client.record(&done.id).await.unwrap().unwrap().document.metadata().trashed);
    assert_eq!(*client.latest().borrow(), arrival, "nobody has to hear of it");
    // It has not, so nothing has happened, and what is trashed next is trashed and no more.
    let not = put(&client, b"not", timestamp(2), seen(Changes::new())).await.key;
    service.fail("/sync/meta", &[Fault::Fails]);
    client.purge(&not.id).await.unwrap_err();
    client.edit(&not.id, by_peer(Changes::new().trashed(true), MILLIS)).await.unwrap().unwrap();
    let trashed = |record: Option<&Record>| record.is_some_and(|record| record.document.metadata().trashed);
    until(&client, &not.id, "it is trashed", trashed).await;
    // One that is in the trash already stays there.
    service.fail("/sync/meta", &[Fault::DoneAndFails]);
    client.purge(&not.id).await.unwrap_err();
    client.edit(&not.id, by_peer(Changes::new().add_tag("x"), MILLIS + 1)).await.unwrap().unwrap();
    assert!(trashed(client.record(&not.id).await.unwrap().as_ref()) && service.metadata(&not.id).unwrap().trashed);
    // And at last it is purged.
    assert!(client.purge(&not.id).await.unwrap());
    assert_eq!(client.record(&not.id).await.unwrap(), None);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_to_share_stays_at_the_service() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&url, dir.path());
    options.sweep_interval = Duration::from_millis(30);
    let client = open(options, &group).await.unwrap();
    let key = key_of(b"content", timestamp(1));
    let long = "x".repeat(limits::DESCRIPTION_BYTES + 1);
    let metadata =
        v1::Metadata { description: Some(long.clone()), user: Some("ann".into()), ..v1::Metadata::default() };
    service.by_hand(key, b"content", metadata.clone());
    until(&client, &key.id, "the asset", |record| record.is_some()).await;
    let record = client.record(&key.id).await.unwrap().unwrap();
    assert_eq!(record.document.metadata().user.as_deref(), Some("ann"));
    assert_eq!(record.document.metadata().description, None);
    service.by_hand(key, b"content", v1::Metadata { tags: vec!["x".into()], ..metadata });
    until(&client, &key.id, "a later change", |record| has(record, "x")).await;
    client.edit(&key.id, by_peer(Changes::new().add_tag("y"), MILLIS)).await.unwrap().unwrap();
    let held = service.metadata(&key.id).unwrap();
    assert_eq!((held.description.clone(), &held.tags[..]), (Some(long), &["x".to_owned(), "y".to_owned()][..]));
    let health = client.health().await.unwrap();
    assert_eq!((health.notes.len(), health.trouble), (1, None));
    let note = &health.notes[0];
    assert!(note.contains("1 asset:") && note.contains(&key.id.to_string()), "{note}");
    assert!(note.contains("description"), "{note}");

    // Shortened, it is a change as any other.
    service.by_hand(key, b"content", v1::Metadata { description: Some("short".into()), ..held });
    until(&client, &key.id, "a shorter description", |record| {
        record.is_some_and(|record| record.document.metadata().description.as_deref() == Some("short"))
    })
    .await;
    assert_eq!(client.health().await.unwrap().notes, [""; 0]);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_too_large_as_a_whole_is_shared_as_far_as_it_fits() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&url, dir.path());
    options.sweep_interval = Duration::from_millis(30);
    let client = open(options.clone(), &group).await.unwrap();
    let key = key_of(b"content", timestamp(1));
    // Each is allowed by itself.
    let many: Vec<String> = (0..1000).map(|n| format!("{n:0>250}")).collect();
    let metadata = v1::Metadata {
        description: Some("y".repeat(60_000)),
        user: Some("ann".into()),
        tags: many.clone(),
        ..v1::Metadata::default()
    };
    service.by_hand(key, b"content", metadata.clone());
    until(&client, &key.id, "the asset", |record| record.is_some()).await;
    let record = client.record(&key.id).await.unwrap().unwrap();
    let seen = record.document.metadata();
    assert_eq!((seen.user.as_deref(), seen.description.as_deref()), (Some("ann"), None));
    assert!(validate_document(record.document.shared()).is_ok());
    assert!(seen.tags.len() > 700 && seen.tags.len() < 1000, "{} tags", seen.tags.len());
    let note = client.health().await.unwrap().notes.remove(0);
    assert!(note.contains("1 asset:") && note.contains("description"), "{note}");

    // What did not fit stays at the service, also when something else is written there, and after a restart.
    client.edit(&key.id, by_peer(Changes::new().set(names::APPLICATION, "app"), MILLIS)).await.unwrap().unwrap();
    client.close().await;
    let client = open(options, &group).await.unwrap();
    let held = service.metadata(&key.id).unwrap();
    assert_eq!((held.tags.len(), held.description.as_ref(), held.application.as_deref()), {
        (1000, metadata.description.as_ref(), Some("app"))
    });
    assert_eq!(client.health().await.unwrap().notes, [note]);
    assert_eq!(service.counts(), (1, 0));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_has_as_many_pages_as_it_takes() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    service.list_by(3);
    service.tell(Telling::Mute);
    let add = |n: u8| {
        let key = key_of(&[n], timestamp(u64::from(n)));
        service.by_hand(key, &[n], v1::Metadata::default());
        key
    };
    let keys: Vec<_> = (0..20).map(add).collect();
    let mut options = options(&url, dir.path());
    options.poll_interval = Duration::from_millis(20);
    let client = open(options.clone(), &group).await.unwrap();
    assert!(service.pages() >= 7, "20 assets, three a page");
    for key in &keys {
        until(&client, &key.id, "an asset that was there", |record| record.is_some()).await;
    }
    // From the cursor on, again over several pages.
    let more: Vec<_> = (20..40).map(add).collect();
    for key in &more {
        until(&client, &key.id, "an asset that came later", |record| record.is_some()).await;
    }
    client.close().await;

    // What is gone is found by the end of all pages, and by nothing before it.
    service.remove(&keys[7].id);
    service.remove(&more[19].id);
    let client = open(options, &group).await.unwrap();
    let health = client.health().await.unwrap();
    assert_eq!((health.assets, health.missing), (38, 2));
    for id in [keys[7].id, more[19].id] {
        assert_eq!(client.record(&id).await.unwrap().unwrap().presence, Presence::Missing);
    }
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_ends_the_start_with_its_reason() {
    let (_service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&url, dir.path());
    options.key = super::SyncKey::new("a secret that is wrong");
    let error = open(options, &group).await.unwrap_err();
    let text = crate::telemetry::causes(&error);
    assert!(text.contains(&url) && text.contains("403"), "{text}");
    assert!(!text.contains("a secret"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_purged_is_not_read_again_while_it_lies_in_the_trash_of_a_service_without_versions() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let client = open(options(&url, dir.path()), &group).await.unwrap();
    let key = put(&client, b"content", timestamp(1), seen(Changes::new())).await.key;
    assert!(client.purge(&key.id).await.unwrap());
    for _ in 0..3 {
        let swept = client.shared.sweep().await.unwrap();
        assert_eq!(swept.unread, []);
    }
    // An event about it is no reason either: once the one behind it is here, it was looked at.
    let held = service.metadata(&key.id).unwrap();
    assert!(held.trashed);
    service.by_hand(key, b"content", held.clone());
    let after = key_of(b"after", timestamp(2));
    service.by_hand(after, b"after", v1::Metadata::default());
    until(&client, &after.id, "the asset behind it", |record| record.is_some()).await;
    assert_eq!((service.asked(&key.id), client.record(&key.id).await.unwrap()), (0, None));

    // Taken out of the trash there, it is wanted again; no event tells of that.
    service.tell(Telling::Mute);
    service.by_hand(key, b"content", v1::Metadata { trashed: false, ..held });
    let swept = client.shared.sweep().await.unwrap();
    assert_eq!(swept.unread, [key.id]);
    assert!(client.shared.read_contents(&swept.unread).await.unwrap().is_empty());
    assert!(client.record(&key.id).await.unwrap().unwrap().presence.is_here());
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_quarantined_is_read_again_by_and_by_at_a_service_without_versions() {
    let (service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&url, dir.path());
    options.sweep_interval = Duration::from_millis(30);
    let client = open(options, &group).await.unwrap();
    let key = put(&client, b"content", timestamp(1), seen(Changes::new())).await.key;
    service.tell(Telling::Mute);
    service.by_hand(key, b"damaged", v1::Metadata::default());
    assert!(matches!(client.verify(&key.id).await.unwrap(), Some(Verification::Quarantined { .. })));
    // A person puts the right content there, and nothing says so.
    service.by_hand(key, b"content", v1::Metadata::default());
    until(&client, &key.id, "what was mended there", |record| record.is_some_and(|record| record.presence.is_here()))
        .await;
    client.close().await;

    // As long as it is damaged, it is not read at every sweep.
    service.by_hand(key, b"damaged", v1::Metadata::default());
    let client = open(super::options(&url, dir.path()), &group).await.unwrap();
    assert!(matches!(client.verify(&key.id).await.unwrap(), Some(Verification::Quarantined { .. })));
    let before = service.asked(&key.id);
    for _ in 0..20 {
        let swept = client.shared.sweep().await.unwrap();
        client.shared.read_contents(&swept.unread).await.unwrap();
    }
    let asked = service.asked(&key.id) - before;
    assert!((1..10).contains(&asked), "read {asked} times in 20 sweeps");
    client.close().await;
}
