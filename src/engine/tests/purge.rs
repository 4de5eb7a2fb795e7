//! Purging: gone here, kept elsewhere, and back by hand alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::host::Host;
use super::host::in_sync;
use super::host::within;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::engine::Decided;
use crate::engine::Decision;
use crate::engine::PurgeError;
use crate::engine::Way;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::hook::scripted::Scripted;
use crate::state::HAND;
use crate::state::PURGE;
use crate::store::Store;
use crate::task::now_ms;

async fn purged_of(host: &Host) -> Vec<AssetId> {
    let declined = host.engine.declined(None, 100).await.unwrap();
    assert!(declined.iter().all(|decided| decided.decision == Decision::Drop && decided.reason == "purged by hand"));
    declined.iter().map(|decided| decided.key.id).collect()
}

/// A small content and a large one: one of them is a file on other stores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_purged_stays_away_through_changes_and_restarts_until_it_is_released() {
    let (a, b) = (Host::start(131).await, Host::start(132).await);
    let (small, large) = (a.ingest(100, "small").await, a.ingest(300_000, "large").await);
    b.engine.connect(a.ticket()).await;
    b.has(&small).await;
    b.has(&large).await;
    in_sync(&[(&a, &b)]).await;
    let whole = b.contents().await;

    for id in [small, large, small] {
        a.engine.purge(id, false).await.unwrap();
    }
    assert!(a.contents().await.is_empty());
    in_sync(&[(&a, &b)]).await;
    b.change(&small, Changes::new().add_tag("new")).await;
    in_sync(&[(&a, &b)]).await;
    let a = a.stop().await.again().await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    assert!(a.contents().await.is_empty());
    assert_eq!(purged_of(&a).await.len(), 2);
    assert_eq!(b.contents().await, whole, "others keep theirs");

    for id in [small, large] {
        a.engine.release(id).await.unwrap();
        a.has(&id).await;
    }
    in_sync(&[(&a, &b)]).await;
    assert_eq!(a.contents().await, whole);
    assert!(a.metadata(&small).await.tags.contains("new"));
    assert!(purged_of(&a).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_copy_is_purged_only_as_the_last_copy() {
    let (a, b) = (Host::start(133).await, Host::start(134).await);
    let mine = a.ingest(70_000, "mine").await;
    let refused = |error| matches!(error, Err(PurgeError::LastCopy(id)) if id == mine);
    assert!(refused(a.engine.purge(mine, false).await), "nobody is connected");
    // A peer that had it and has it no more does not count.
    b.engine.connect(a.ticket()).await;
    b.has(&mine).await;
    in_sync(&[(&a, &b)]).await;
    b.engine.purge(mine, false).await.unwrap();
    in_sync(&[(&a, &b)]).await;
    assert!(refused(a.engine.purge(mine, false).await), "the other has purged it");
    assert_eq!(a.contents().await.len(), 1);
    assert!(purged_of(&a).await.is_empty(), "a refusal leaves nothing behind");

    a.engine.purge(mine, true).await.unwrap();
    assert!(a.contents().await.is_empty());
    in_sync(&[(&a, &b)]).await;
    let unknown = AssetId::from_bytes([9; 32]);
    assert!(matches!(a.engine.purge(unknown, true).await, Err(PurgeError::NotHere(id)) if id == unknown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_again_after_it_was_purged_takes_part_again() {
    let (a, b) = (Host::start(135).await, Host::start(136).await);
    let at = now_ms();
    let id = a.ingest_at(at, 100, "again").await;
    b.engine.connect(a.ticket()).await;
    b.has(&id).await;
    in_sync(&[(&a, &b)]).await;
    a.engine.purge(id, false).await.unwrap();
    in_sync(&[(&a, &b)]).await;
    assert_eq!(a.ingest_at(at, 100, "again").await, id);
    within(async {
        while !purged_of(&a).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    b.change(&id, Changes::new().add_tag("from b")).await;
    a.metadata_is(&id, |metadata| metadata.tags.contains("from b")).await;
    in_sync(&[(&a, &b)]).await;
}

/// One script on two machines: each says that the other has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_that_purge_at_once_do_not_lose_the_asset() {
    let (a, b) = (Host::start(137).await, Host::start(138).await);
    b.engine.connect(a.ticket()).await;
    let mut purged = 0;
    for n in 0..20 {
        let id = a.ingest(100, &format!("asset {n}")).await;
        b.has(&id).await;
        in_sync(&[(&a, &b)]).await;
        let (at_a, at_b) = tokio::join!(a.engine.purge(id, false), b.engine.purge(id, false));
        let refused = |done: &Result<(), PurgeError>| matches!(done, Err(PurgeError::LastCopy(_)));
        assert!((at_a.is_ok() || refused(&at_a)) && (at_b.is_ok() || refused(&at_b)), "{at_a:?} {at_b:?}");
        purged += usize::from(at_a.is_ok()) + usize::from(at_b.is_ok());
        let copies = [&a, &b].map(async |host: &Host| host.contents().await.contains_key(&id));
        let [here, there] = copies;
        assert_eq!([here.await, there.await], [at_a.is_err(), at_b.is_err()]);
        assert!(at_a.is_err() || at_b.is_err(), "both have purged asset {n}");
    }
    in_sync(&[(&a, &b)]).await;
    assert_eq!(purged, purged_of(&a).await.len() + purged_of(&b).await.len());
}

/// A change of a peer is merged into what is being purged, or is declined; it undoes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_comes_while_an_asset_is_purged_does_not_bring_it_back() {
    let (a, b) = (Host::start(139).await, Host::start(140).await);
    b.engine.connect(a.ticket()).await;
    for n in 0..30 {
        let id = a.ingest(100, &format!("asset {n}")).await;
        b.has(&id).await;
        in_sync(&[(&a, &b)]).await;
        let changes = async {
            for tag in ["one", "two", "three"] {
                b.change(&id, Changes::new().add_tag(tag)).await;
                tokio::time::sleep(std::time::Duration::from_micros(300 * n)).await;
            }
        };
        let (done, ()) = tokio::join!(a.engine.purge(id, false), changes);
        done.unwrap();
        in_sync(&[(&a, &b)]).await;
        assert!(a.contents().await.is_empty(), "asset {n}");
    }
    assert_eq!(purged_of(&a).await.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_said_about_passing_it_on_outlives_a_purge() {
    let hook = Scripted::new("hold all", |asked| match asked.point {
        Point::BeforePush => Verdict::Hold("not yet".to_owned()),
        _ => Verdict::Pass,
    });
    let a = Host::start_with_hooks(141, Arc::new(hook)).await;
    let (at, mut ids) = (now_ms(), Vec::new());
    for name in ["held", "dropped"] {
        ids.push(a.ingest_at(at, 100, name).await);
    }
    within(async {
        while a.engine.held(None, 10).await.unwrap().len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    a.engine.drop_held(ids[1]).await.unwrap();
    for id in &ids {
        a.engine.purge(*id, true).await.unwrap();
    }
    assert!(a.engine.held(None, 10).await.unwrap().is_empty(), "nothing is left to be held");
    let declined = a.engine.declined(None, 10).await.unwrap();
    let kept_back: Vec<AssetId> =
        declined.iter().filter(|decided| decided.way == Way::Push).map(|decided| decided.key.id).collect();
    assert_eq!(kept_back, [ids[1]]);
    // What was refused by hand and never was here was not purged.
    assert!(matches!(a.engine.purge(AssetId::from_bytes([8; 32]), true).await, Err(PurgeError::NotHere(_))));
}

/// Between the decision and the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_a_crash_cut_off_has_not_happened() {
    let (a, b) = (Host::start(142).await, Host::start(143).await);
    let id = a.ingest(100, "whole").await;
    b.engine.connect(a.ticket()).await;
    b.has(&id).await;
    let record = a.store.record(&id).await.unwrap().unwrap();
    let a = a.stop().await;
    let decided = Decided {
        key: record.key,
        way: Way::Pull,
        point: Point::BeforePull,
        decision: Decision::Drop,
        decider: HAND.to_owned(),
        by: PURGE.to_owned(),
        standing: Standing::Firm,
        reason: "purged by hand".to_owned(),
        version: record.document.shared().digest(),
        at_ms: now_ms(),
        overruled: BTreeSet::new(),
    };
    a.decide(decided).await;
    let a = a.again().await;
    assert!(purged_of(&a).await.is_empty());
    b.engine.connect(a.ticket()).await;
    b.change(&id, Changes::new().add_tag("later")).await;
    a.metadata_is(&id, |metadata| metadata.tags.contains("later")).await;
    in_sync(&[(&a, &b)]).await;
}
