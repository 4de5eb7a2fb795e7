//! Two hosts and three: what travels, what is merged, what is kept back.

use std::sync::Arc;
use std::time::Duration;

use super::host;
use super::host::Host;
use super::host::in_sync;
use super::host::within;
use super::member::Member;
use crate::asset::Changes;
use crate::asset::names;
use crate::engine::RateLimit;
use crate::event::Event;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::hook::scripted::Scripted;
use crate::library::Role;
use crate::limits;
use crate::net::Head;
use crate::store::Presence;
use crate::store::Store;
use crate::task::now_ms;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_end_with_every_asset_of_both() {
    let (a, b) = (Host::start(1).await, Host::start(2).await);
    for size in [0, 1, 5_000, 65_536, 65_537, 1_000_000, 3_000_000] {
        a.ingest(size, "from a").await;
        b.ingest(size + 11, "from b").await;
    }
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!(a.contents().await, b.contents().await);
    assert_eq!(a.contents().await.len(), 14);

    // Live: what comes later travels by itself.
    let late = a.ingest(10_000, "late").await;
    b.has(&late).await;
    in_sync(&[(&a, &b)]).await;
    let status = a.engine.status().await.unwrap();
    assert_eq!((status.library.summary.count, status.library.in_sync, status.library.behind), (15, true, 0));
    assert_eq!((status.peers[0].kept, status.peers[0].direct), ((15, 15), Some(true)));
}

/// Small and large contents both ways, and a change while they travel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_bulk_connection_can_be_made_the_control_connection_carries_the_contents() {
    let (a, b) = (Host::start(5).await, Host::start(6).await);
    a.net.refuse_bulk();
    b.net.refuse_bulk();
    for size in [0, 5_000, 65_537, 3_000_000] {
        a.ingest(size, "from a").await;
        b.ingest(size + 11, "from b").await;
    }
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!(a.contents().await, b.contents().await);
    assert_eq!(a.contents().await.len(), 8);
    let late = a.ingest(2_000_000, "late").await;
    b.has(&late).await;
    in_sync(&[(&a, &b)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_made_apart_are_merged_and_trash_and_restore_travel() {
    let (a, b) = (Host::start(3).await, Host::start(4).await);
    let id = a.ingest(100, "shared").await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;

    let (a, b) = (a.stop().await, b.stop().await);
    let (a, b) = (a.again().await, b.again().await);
    a.change(&id, Changes::new().add_tag("one").set(names::DESCRIPTION, "by a")).await;
    b.change(&id, Changes::new().add_tag("two").trashed(true)).await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    let seen = a.metadata(&id).await;
    assert_eq!(seen, b.metadata(&id).await);
    assert_eq!(seen.tags.iter().collect::<Vec<_>>(), ["made-by-test", "one", "two"]);
    assert!(seen.trashed);

    a.change(&id, Changes::new().trashed(false)).await;
    b.metadata_is(&id, |metadata| !metadata.trashed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_learns_nothing_and_is_counted() {
    let a = Host::start(5).await;
    a.ingest(100, "private").await;
    let mut events = a.events.subscribe();
    let stranger = Host::start_with_secret(6, [9; 32]).await;
    stranger.engine.connect(a.ticket()).await;
    loop {
        if matches!(host::within(events.recv()).await.unwrap(), Event::Refused { .. }) {
            break;
        }
    }
    assert!(a.engine.status().await.unwrap().refused > 0);
    assert!(stranger.contents().await.is_empty());
    assert!(stranger.engine.status().await.unwrap().peers.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_memory_brings_no_old_value_back() {
    let (a, b) = (Host::start(7).await, Host::start(8).await);
    let id = a.ingest(100, "first").await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    let a = a.stop().await;
    b.change(&id, Changes::new().set(names::PATH, "second").remove_tag("made-by-test")).await;

    let a = a.without_memory().again().await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!(a.metadata(&id).await.path.as_deref(), Some("second"));
    assert_eq!(a.metadata(&id).await, b.metadata(&id).await);
}

/// A, B and C in a line. B keeps one asset back, holds one, declines one, edits one and tags what it gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_middle_of_three_decides_holds_and_all_end_equal_pair_by_pair() {
    let middle = || {
        Arc::new(Scripted::new("middle", |asked| {
            let is = |name: &str| asked.metadata.file_name.as_deref() == Some(name);
            match asked.point {
                Point::BeforePush if is("dropped") => Verdict::Drop("keep back".into()),
                Point::BeforePush if is("held") => Verdict::Hold("wait".into()),
                Point::BeforePush if is("edited") => Verdict::Edit(Changes::new().clear(names::PATH)),
                Point::BeforePull if is("declined") => Verdict::Drop("do not want".into()),
                Point::BeforePull if is("later") => Verdict::Hold("not yet".into()),
                Point::BeforePull if is("changed") => Verdict::Edit(Changes::new().add_tag("asked-for-by-b")),
                Point::AfterReceive if is("unwanted") => Verdict::Drop("not as it is".into()),
                Point::AfterReceive if is("unsure") => Verdict::Hold("somebody must look".into()),
                Point::AfterReceive => Verdict::Edit(Changes::new().add_tag("seen-by-b")),
                _ => Verdict::Pass,
            }
        }))
    };
    let (a, c) = (Host::start(11).await, Host::start(13).await);
    let b = Host::start_with_hooks(12, middle()).await;
    let (dropped, held) = (a.ingest(200, "dropped").await, a.ingest(201, "held").await);
    let (declined, later) = (a.ingest(202, "declined").await, a.ingest(203, "later").await);
    let (unwanted, unsure) = (a.ingest(206, "unwanted").await, a.ingest(207, "unsure").await);
    let (passed, changed) = (a.ingest(204, "passed").await, a.ingest(208, "changed").await);
    let edited = b.ingest(205, "edited").await;
    b.engine.connect(a.ticket()).await;
    c.engine.connect(b.ticket()).await;

    let check = async |a: &Host, b: &Host, c: &Host| {
        in_sync(&[(a, b), (b, c)]).await;
        let ids = async |host: &Host| host.contents().await.into_keys().collect::<Vec<_>>();
        assert_eq!(ids(a).await.len(), 9);
        let mut at_b = vec![dropped, held, passed, changed, edited];
        at_b.sort();
        assert_eq!(ids(b).await, at_b);
        let mut at_c = vec![passed, changed, edited];
        at_c.sort();
        assert_eq!(ids(c).await, at_c);
        // The edit before the push: the path stays here. The edit after the receive: the tag stays here.
        assert!(b.metadata(&edited).await.path.is_some());
        assert_eq!((a.metadata(&edited).await.path, c.metadata(&edited).await.path), (None, None));
        assert!(b.metadata(&passed).await.tags.contains("seen-by-b"));
        assert!(!c.metadata(&passed).await.tags.contains("seen-by-b"));
        // So does that of the edit before the pull.
        let tags = b.metadata(&changed).await.tags;
        assert!(tags.contains("asked-for-by-b") && tags.contains("seen-by-b"), "{tags:?}");
        assert_eq!(a.metadata(&changed).await.tags, c.metadata(&changed).await.tags);
        assert!(!c.metadata(&changed).await.tags.contains("asked-for-by-b"));
        let status = b.engine.status().await.unwrap();
        assert_eq!((status.held, status.declined), (3, 3));
    };
    check(&a, &b, &c).await;
    // Whoever asks for what was kept back is told the same as for an unknown id.
    for id in [dropped, held, declined, later, unwanted, unsure, crate::asset::AssetId::from_bytes([9; 32])] {
        assert_eq!(c.ask_for(&b, id).await, crate::net::Head::NotHere(id));
    }
    assert!(matches!(c.ask_for(&b, passed).await, crate::net::Head::Content(..)));

    let b = b.stop().await.with_hooks(middle()).again().await;
    b.engine.connect(a.ticket()).await;
    c.engine.connect(b.ticket()).await;
    check(&a, &b, &c).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_content_is_never_stored_and_comes_from_another_host() {
    let (a, b, c) = (Host::start(21).await, Host::start(22).await, Host::start(23).await);
    let (small, large) = (a.ingest(3_000, "small").await, a.ingest(2_000_000, "large").await);
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    assert!(a.store.damage(&small) && a.store.damage(&large));
    c.engine.connect(a.ticket()).await;
    c.engine.connect(b.ticket()).await;
    c.has(&small).await;
    c.has(&large).await;
    assert_eq!(c.contents().await, b.contents().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_turns_out_damaged_while_it_is_sent_is_had_no_more() {
    let (a, b) = (Host::start(26).await, Host::start(27).await);
    for size in [3_000, 2_000_000] {
        let asset = a.ingest(size, "rotten").await;
        assert!(a.store.damage(&asset));
        b.engine.connect(a.ticket()).await;
        let moved_aside = async {
            while a.store.record(&asset).await.unwrap().unwrap().presence != Presence::Quarantined {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(moved_aside).await;
        assert_eq!(b.ask_for(&a, asset).await, Head::NotHere(asset));
        in_sync(&[(&a, &b)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_nothing_changed_offers_nothing() {
    let (a, b) = (Host::start(31).await, Host::start(32).await);
    for n in 0..50 {
        a.ingest(n, "many").await;
    }
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    let b = b.stop().await.again().await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    let status = b.engine.status().await.unwrap();
    // Fifty offers are more than 10,000 bytes; a greeting and two summaries are not.
    assert!(status.peers[0].bytes_in < 10_000, "{} bytes", status.peers[0].bytes_in);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_differences_in_a_hundred_thousand_cost_less_than_100_kib_on_the_wire() {
    let (a, b) = (Host::start(41).await, Host::start(42).await);
    Host::fill_equally(&[&a, &b], 100_000).await;
    for n in 0..5 {
        a.ingest(n + 1, "a only").await;
        b.ingest(n + 1, "b only").await;
    }
    let (a, b) = (a.stop().await.again().await, b.stop().await.again().await);
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    let status = b.engine.status().await.unwrap();
    assert_eq!(status.library.summary.count, 100_010);
    let bytes = status.peers[0].bytes_in + status.peers[0].bytes_out;
    assert!(bytes < 100 * 1024, "{bytes} bytes, contents and all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_from_the_future_is_taken_when_its_time_has_come() {
    let (a, b) = (Host::start(51).await, Host::start(52).await);
    let id = a.ingest(10, "early").await;
    let due_ms = crate::task::now_ms() + 3_000;
    let stamped_ms = due_ms + crate::limits::STAMP_AHEAD_MS;
    a.change_at(&id, Changes::new().set(names::PATH, "tomorrow").add_tag("t"), stamped_ms).await;
    a.change(&id, Changes::new().set(names::USER, "now")).await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    let seen = b.metadata(&id).await;
    assert_eq!(seen.user.as_deref(), Some("now"));
    // A slow machine may have come here after that time.
    assert!(seen.path.is_none() || crate::task::now_ms() >= due_ms);
    b.metadata_is(&id, |metadata| metadata.path.as_deref() == Some("tomorrow")).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!(a.metadata(&id).await, b.metadata(&id).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_for_contents_is_forgotten_when_it_has_ended() {
    let (a, b) = (Host::start(55).await, Host::start(56).await);
    let id = a.ingest(10, "asked for").await;
    a.until(|a| a.engine.shared.replica().summary().count == 1).await;
    assert_eq!(b.ask_for(&a, id).await, Head::Content(id, 0));
    a.until(|a| a.engine.shared.served.is_empty()).await;
    for host in [a, b] {
        host.stop().await;
    }
}

/// A store may hold what no message can; it must not end every connection before anything else is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_passed_on_holds_nothing_else_up() {
    let (a, b) = (Host::start(53).await, Host::start(54).await);
    let now = crate::task::now_ms();
    let large = a.ingest_at(now - 2000, 10, "large").await;
    a.change(&large, Changes::new().set(names::USER, "x".repeat(limits::CONTROL_FRAME_BYTES))).await;
    let other = a.ingest_at(now - 1000, 10, "other").await;
    b.engine.connect(a.ticket()).await;
    b.has(&other).await;
    assert_eq!(b.store.record(&large).await.unwrap(), None);
    for host in [a, b] {
        host.stop().await;
    }
}

/// Both dial at the same moment, again and again: one connection stays, and both take it for the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_that_dial_each_other_at_once_end_with_one_connection() {
    let (a, b) = (Host::start(61).await, Host::start(62).await);
    let (at_a, at_b) = (a.ticket(), b.ticket());
    tokio::join!(a.engine.connect(at_b), b.engine.connect(at_a));
    in_sync(&[(&a, &b)]).await;
    for round in 0..5 {
        // The connection ends, and both dial anew.
        a.engine.pause(b.net.id(), None).await.unwrap();
        a.until(|a| a.engine.shared.connected.is_empty()).await;
        b.until(|b| b.engine.shared.connected.is_empty()).await;
        a.engine.resume(b.net.id()).await.unwrap();
        let asset = a.ingest(10 + round, "round").await;
        b.has(&asset).await;
        in_sync(&[(&a, &b)]).await;
        let dialled = |host: &Host| host.engine.shared.connected.iter().next().unwrap().dialled;
        a.until(|a| dialled(a) != dialled(&b)).await;
    }
    for host in [a, b] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_whose_connection_is_made_again_in_its_middle_goes_on() {
    let (a, b) = (Host::start(1).await, Host::start(2).await);
    a.engine.connect(b.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    a.engine.limit(b.net.id(), RateLimit::BytesPerSec(4_000_000), RateLimit::AsItWas).await.unwrap();
    let large = a.ingest(12_000_000, "in pieces").await;
    let received = || b.engine.shared.traffic(a.net.id()).received.load(std::sync::atomic::Ordering::Relaxed);
    for round in 1..=4 {
        b.until(|_| received() > round * 2_000_000).await;
        // The old lane ends with the old connection; the new one goes on where it was.
        b.engine.set_role(a.net.id(), Role::Mirror).await.unwrap();
    }
    b.has(&large).await;
    in_sync(&[(&a, &b)]).await;
    assert!(received() < 14_000_000, "{} bytes for 12,000,000", received());
    for host in [a, b] {
        host.stop().await;
    }
}

/// Noting who is connected takes a write, which a slow disk holds up for longer than the pause after which a host is
/// dialled again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_slow_to_note_a_connection_does_not_make_another() {
    let host = Host::start(28).await;
    let busy = host.with_busy_state();
    let mut member = Member::of(&host, 29, now_ms()).await;
    tokio::time::sleep(2 * limits::REDIAL_PAUSE).await;
    assert!(host.engine.shared.connected.is_empty());
    drop(busy);
    host.until(|host| !host.engine.shared.connected.is_empty()).await;
    assert!(member.links.try_recv().is_err(), "it dialled once more");
    member.leave().await;
    host.stop().await;
}
