//! Plugins that keep, change their minds and are absent; and people who decide for them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use parking_lot::Mutex;

use super::host::Host;
use super::host::in_sync;
use super::host::ingest_into;
use super::host::within;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::names;
use crate::engine::HandError;
use crate::engine::Replayed;
use crate::engine::apply;
use crate::hook::Asked;
use crate::hook::BoxFuture;
use crate::hook::Chain;
use crate::hook::Hooks;
use crate::hook::Judgement;
use crate::hook::Occasion;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::hook::scripted::Scripted;
use crate::limits;
use crate::net::Head;
use crate::store::Store;
use crate::task::now_ms;

pub(super) fn named(asked: &Asked, name: &str) -> bool {
    asked.metadata.file_name.as_deref() == Some(name)
}

/// Holds one name at one point.
fn holds(point: Point, name: &'static str) -> impl Fn(&Asked) -> Verdict + Send + Sync + 'static {
    move |asked| if asked.point == point && named(asked, name) { Verdict::Hold("wait".into()) } else { Verdict::Pass }
}

fn pass(_: &Asked) -> Verdict {
    Verdict::Pass
}

/// Waits until a test says so, and not any longer when it has ended; others go on meanwhile.
fn wait(gate: &Mutex<std::sync::mpsc::Receiver<()>>) {
    let _ = tokio::task::block_in_place(|| gate.lock().recv());
}

/// Waits until a host holds and declines so many.
pub(super) async fn stopped(host: &Host, held: u64, declined: u64) {
    let reached = within(async {
        loop {
            let status = host.engine.status().await.unwrap();
            if (status.held, status.declined) == (held, declined) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    reached.await;
}

/// Waits until a host does not give another a content any more.
async fn gives_no_more(host: &Host, other: &Host, id: AssetId) {
    let reached = within(async {
        while other.ask_for(host, id).await != Head::NotHere(id) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    reached.await;
}

/// Waits until a host has asked so often about assets of a name.
async fn asked_about(hooks: &Scripted, name: &str, times: usize) {
    let reached = within(async {
        while hooks.asked().iter().filter(|asked| named(asked, name)).count() < times {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    reached.await;
}

/// Waits until a host has asked so often at a point; it must not be more.
pub(super) async fn asked(hooks: &Scripted, point: Point, times: usize) {
    let count = || hooks.asked().iter().filter(|asked| asked.point == point).count();
    let reached = within(async {
        while count() < times {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    reached.await;
    assert_eq!(count(), times, "{point:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_before_a_push_flows_when_it_is_released_and_is_judged_anew_when_it_changes() {
    let hooks = Arc::new(Scripted::new("holder", holds(Point::BeforePush, "secret")));
    let (a, b) = (Host::start_with_hooks(101, hooks.clone()).await, Host::start(102).await);
    let secret = a.ingest(100, "secret").await;
    let open = a.ingest(101, "open").await;
    b.engine.connect(a.ticket()).await;
    b.has(&open).await;
    stopped(&a, 1, 0).await;
    let held = a.engine.held(None, 10).await.unwrap();
    assert_eq!((held[0].key.id, held[0].by.as_str(), held[0].reason.as_str()), (secret, "holder", "wait"));
    assert_eq!(b.ask_for(&a, secret).await, Head::NotHere(secret));

    for _ in 0..2 {
        a.engine.release(secret).await.unwrap();
    }
    b.has(&secret).await;
    in_sync(&[(&a, &b)]).await;
    stopped(&a, 0, 0).await;
    // A restart asks nobody, and it goes on flowing.
    let before = hooks.asked().len();
    let a = a.stop().await.again().await;
    a.engine.connect(b.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!((a.engine.status().await.unwrap().library.summary.count, hooks.asked().len()), (2, before));
    // Another version is another question.
    a.change(&secret, Changes::new().set(names::PATH, "elsewhere")).await;
    stopped(&a, 1, 0).await;
    let unknown = AssetId::from_bytes([9; 32]);
    assert!(matches!(a.engine.release(unknown).await, Err(HandError::Unknown(id)) if id == unknown));
    assert!(matches!(a.engine.release(open).await, Err(HandError::NotStopped(id)) if id == open));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_on_the_way_in_is_fetched_when_it_is_released() {
    for (seed, point) in [(103, Point::BeforePull), (106, Point::AfterReceive)] {
        let hooks = Arc::new(Scripted::new("holder", holds(point, "odd")));
        let (a, b) = (Host::start(seed).await, Host::start_with_hooks(seed + 1, hooks.clone()).await);
        let odd = a.ingest(70_000, "odd").await;
        b.engine.connect(a.ticket()).await;
        stopped(&b, 1, 0).await;
        in_sync(&[(&a, &b)]).await;
        assert!(b.contents().await.is_empty());
        assert_eq!(b.engine.held(None, 10).await.unwrap()[0].point, point);
        // It is still held after a restart, and nobody is asked about it again.
        let before = hooks.asked().len();
        let b = b.stop().await.again().await;
        b.engine.connect(a.ticket()).await;
        in_sync(&[(&a, &b)]).await;
        assert_eq!(hooks.asked().len(), before);

        b.engine.release(odd).await.unwrap();
        b.has(&odd).await;
        in_sync(&[(&a, &b)]).await;
        stopped(&b, 0, 0).await;
        assert_eq!(a.contents().await, b.contents().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_drops_is_asked_about_again_by_hand_alone() {
    let hooks = Arc::new(Scripted::new("holder", |asked: &Asked| match asked.point {
        Point::BeforePush if named(asked, "mine") => Verdict::Hold("wait".into()),
        Point::BeforePull if named(asked, "theirs") => Verdict::Hold("wait".into()),
        _ => Verdict::Pass,
    }));
    let (a, b) = (Host::start(111).await, Host::start_with_hooks(112, hooks.clone()).await);
    let (theirs, mine) = (a.ingest(100, "theirs").await, b.ingest(101, "mine").await);
    b.engine.connect(a.ticket()).await;
    stopped(&b, 2, 0).await;
    for id in [mine, theirs, mine] {
        b.engine.drop_held(id).await.unwrap();
    }
    stopped(&b, 0, 2).await;
    assert_eq!(a.ask_for(&b, mine).await, Head::NotHere(mine));
    // Neither another chain nor another version nor a restart brings it up again.
    hooks.replace("other", pass);
    b.change(&mine, Changes::new().add_tag("new")).await;
    a.change(&theirs, Changes::new().add_tag("new")).await;
    let late = b.ingest(102, "late").await;
    a.has(&late).await;
    let b = b.stop().await.again().await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    stopped(&b, 0, 2).await;
    assert!(b.store.record(&theirs).await.unwrap().is_none());
    assert!(a.store.record(&mine).await.unwrap().is_none());

    b.engine.replay(mine).await.unwrap();
    b.engine.replay(theirs).await.unwrap();
    a.has(&mine).await;
    b.has(&theirs).await;
    in_sync(&[(&a, &b)]).await;
    stopped(&b, 0, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_chain_kept_flows_when_it_is_gone_while_running_and_after_a_restart() {
    for (seed, restart) in [(121, false), (124, true)] {
        let keeper = || {
            Arc::new(Scripted::new("keeper", |asked: &Asked| match asked.point {
                Point::BeforePush if named(asked, "mine") => Verdict::Drop("keep back".into()),
                Point::BeforePull if named(asked, "theirs") => Verdict::Drop("do not want".into()),
                Point::AfterReceive if named(asked, "odd") => Verdict::Hold("not yet".into()),
                _ => Verdict::Pass,
            }))
        };
        let hooks = keeper();
        let (a, b) = (Host::start(seed).await, Host::start_with_hooks(seed + 1, hooks.clone()).await);
        let (theirs, mine, odd) = (a.ingest(1, "theirs").await, b.ingest(2, "mine").await, a.ingest(3, "odd").await);
        let open = b.ingest(4, "open").await;
        b.engine.connect(a.ticket()).await;
        a.has(&open).await;
        stopped(&b, 1, 2).await;
        in_sync(&[(&a, &b)]).await;
        let b = if restart {
            let b = b.stop().await.with_hooks(Arc::new(crate::hook::NoHooks)).again().await;
            // What was shared stays in the set from the first moment.
            assert!(b.engine.status().await.unwrap().library.summary.count >= 1);
            b.engine.connect(a.ticket()).await;
            b
        } else {
            hooks.replace("nothing", pass);
            b
        };
        a.has(&mine).await;
        b.has(&theirs).await;
        b.has(&odd).await;
        in_sync(&[(&a, &b)]).await;
        stopped(&b, 0, 0).await;
        assert_eq!(a.contents().await.len(), 4);
        assert_eq!(a.contents().await, b.contents().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_never_met_anybody_judges_everything_by_new_plugins_before_it_offers_it() {
    let a = Host::start(127).await;
    let (secret, open) = (a.ingest(100, "secret").await, a.ingest(101, "open").await);
    let judged = within(async {
        while a.engine.status().await.unwrap().library.summary.count < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    judged.await;
    let (asked, first) = std::sync::mpsc::channel();
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let hooks = Arc::new(Scripted::new("keeper", move |asked_about: &Asked| {
        let _ = asked.send(());
        wait(&gate);
        holds(Point::BeforePush, "secret")(asked_about)
    }));
    let a = a.stop().await.with_hooks(hooks).again().await;
    // While the first of them is asked about, nothing is offered.
    tokio::task::spawn_blocking(move || first.recv().unwrap()).await.unwrap();
    assert_eq!(a.engine.status().await.unwrap().library.summary.count, 0);
    drop(go_on);
    let b = Host::start(128).await;
    b.engine.connect(a.ticket()).await;
    b.has(&open).await;
    stopped(&a, 1, 0).await;
    in_sync(&[(&a, &b)]).await;
    assert!(b.store.record(&secret).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_chain_judges_the_store_again_and_withholds_without_removing() {
    let hooks = Arc::new(Scripted::new("open", pass));
    let (a, b) = (Host::start_with_hooks(131, hooks.clone()).await, Host::start(132).await);
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(a.ingest(n, if n % 3 == 0 { "private" } else { "open" }).await);
    }
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    asked(&hooks, Point::BeforePush, 300).await;
    hooks.replace("strict", |asked| match asked.point {
        Point::BeforePush if named(asked, "private") => Verdict::Drop("private".into()),
        Point::BeforePush => Verdict::Edit(Changes::new().clear(names::PATH)),
        _ => Verdict::Pass,
    });
    stopped(&a, 0, 100).await;
    in_sync(&[(&a, &b)]).await;
    asked(&hooks, Point::BeforePush, 600).await;
    assert_eq!(b.contents().await.len(), 300, "what the other has stays there");
    assert!(a.contents().await.len() == 300 && a.engine.status().await.unwrap().library.review.is_none());
    // The edit comes too late for what was shared: its values stay as they are.
    assert_eq!(b.metadata(&ids[1]).await.path.as_deref(), Some("some/where"));
    assert_eq!(a.metadata(&ids[1]).await, b.metadata(&ids[1]).await);
    // Back to the first: nobody has to know more than it knew.
    hooks.replace("open", pass);
    stopped(&a, 0, 0).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!(a.engine.status().await.unwrap().library.summary.count, 300);
}

/// Switched off and on again while a page of the store is judged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_judged_while_a_chain_was_away_is_judged_by_it_again() {
    let hooks: Arc<std::sync::OnceLock<Arc<Scripted>>> = Arc::default();
    let keeper = |hooks: &Arc<std::sync::OnceLock<Arc<Scripted>>>| {
        let hooks = Arc::clone(hooks);
        move |asked: &Asked| {
            if named(asked, "first") && hooks.get().unwrap().asked().len() == 1 {
                let back = Arc::clone(&hooks);
                hooks.get().unwrap().replace("away", move |asked| {
                    if named(asked, "last") {
                        back.get().unwrap().replace("keeper", holds(Point::BeforePush, "secret"));
                    }
                    Verdict::Pass
                });
            }
            holds(Point::BeforePush, "secret")(asked)
        }
    };
    hooks.set(Arc::new(Scripted::new("keeper", keeper(&hooks)))).unwrap();
    let a = Host::start(143).await;
    for name in ["first", "secret", "last"] {
        a.ingest(100, name).await;
    }
    let scripted = Arc::clone(hooks.get().unwrap());
    let a = a.stop().await.with_hooks(scripted.clone()).again().await;
    stopped(&a, 1, 0).await;
    let library = within(async {
        loop {
            let library = a.engine.status().await.unwrap().library;
            if library.review.is_none() && library.summary.count == 2 {
                return library;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    library.await;
    // Each was asked about by those who were there, and what the others said stands for them alone.
    let times = |name: &str| scripted.asked().iter().filter(|asked| named(asked, name)).count();
    assert_eq!((times("first"), times("secret"), times("last")), (1, 2, 2));
    let a = a.stop().await.again().await;
    stopped(&a, 1, 0).await;
    assert_eq!(scripted.asked().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_twice_over_a_restart_a_reconnect_and_a_lost_position() {
    let hooks = Arc::new(Scripted::new("counts", |asked: &Asked| match asked.point {
        Point::AfterReceive => Verdict::Edit(Changes::new().add_tag("seen")),
        _ => Verdict::Pass,
    }));
    let (a, b) = (Host::start(141).await, Host::start_with_hooks(142, hooks.clone()).await);
    for n in 0..20 {
        a.ingest(n * 5_000, "theirs").await;
        b.ingest(n * 5_000 + 1, "mine").await;
    }
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    // The offer and the content that follows it are one question before the pull.
    for (point, times) in [(Point::BeforePull, 20), (Point::AfterReceive, 20), (Point::BeforePush, 40)] {
        asked(&hooks, point, times).await;
    }
    for question in hooks.asked() {
        assert_eq!(question.content.is_some(), question.point != Point::BeforePull);
        assert_eq!(question.peer.is_some(), question.point != Point::BeforePush);
        assert!(question.peer.is_none_or(|peer| peer.id == a.net.id() && peer.name == "host 141"));
    }
    let before = hooks.asked().len();
    let b = b.stop().await.again().await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!(hooks.asked().len(), before);
    // Everything is judged again by the same chain, as after a crash that lost the position.
    let b = b.stop().await;
    b.lose_position().await;
    let b = b.again().await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!(b.engine.status().await.unwrap().library.summary.count, 40);
    assert_eq!(hooks.asked().len(), before);
    // What happens from now on is live.
    let late = a.ingest(7, "late").await;
    b.has(&late).await;
    asked(&hooks, Point::BeforePush, 41).await;
    let live = hooks.asked().into_iter().filter(|asked| asked.key.id == late);
    assert!(live.map(|asked| asked.occasion).all(|occasion| occasion == Occasion::Live));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_absent_is_asked_again_and_who_failed_is_not() {
    let [holds, drops] = [Verdict::Hold, Verdict::Drop].map(|policy| policy("cannot say".into()));
    for (seed, standing, policy) in
        [(151, Standing::Absent, holds.clone()), (154, Standing::Failed, holds), (157, Standing::Failed, drops)]
    {
        let (held, declined) = if matches!(policy, Verdict::Hold(_)) { (2, 0) } else { (0, 2) };
        let rule = move |asked: &Asked| match asked.point {
            Point::BeforePush if named(asked, "mine") => policy.clone(),
            Point::BeforePull if named(asked, "theirs") => policy.clone(),
            _ => Verdict::Pass,
        };
        let hooks = Arc::new(Scripted::new("plugin", rule).standing(standing));
        let (a, b) = (Host::start(seed).await, Host::start_with_hooks(seed + 1, hooks.clone()).await);
        let (theirs, mine) = (a.ingest(1, "theirs").await, b.ingest(2, "mine").await);
        b.engine.connect(a.ticket()).await;
        stopped(&b, held, declined).await;
        in_sync(&[(&a, &b)]).await;
        let before = hooks.asked().len();
        // The same chain: it can be asked now, and would let everything pass.
        hooks.replace("plugin", pass);
        let late = b.ingest(3, "late").await;
        a.has(&late).await;
        if standing == Standing::Absent {
            a.has(&mine).await;
            b.has(&theirs).await;
            stopped(&b, 0, 0).await;
        } else {
            in_sync(&[(&a, &b)]).await;
            stopped(&b, held, declined).await;
            assert_eq!(hooks.asked().len(), before + 1);
            let steps: Vec<_> = b.engine.replay_held().await.unwrap().try_collect().await.unwrap();
            assert_eq!(steps, [Replayed { done: 0, total: 2 }, Replayed { done: 2, total: 2 }]);
            a.has(&mine).await;
            b.has(&theirs).await;
        }
        in_sync(&[(&a, &b)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_has_is_decided_again_once_for_all_who_wish_it() {
    let rule = |asked: &Asked| match asked.point {
        Point::BeforePull => Verdict::Hold("not there".into()),
        _ => Verdict::Pass,
    };
    let hooks = Arc::new(Scripted::new("plugin", rule).standing(Standing::Absent));
    let (a, b) = (Host::start(241).await, Host::start_with_hooks(242, hooks.clone()).await);
    for n in 0..3 {
        a.ingest(n, "theirs").await;
    }
    b.engine.connect(a.ticket()).await;
    stopped(&b, 3, 0).await;
    in_sync(&[(&a, &b)]).await;
    // What was begun at the connection has come to its end.
    apply::decide_again(&b.engine.shared, a.net.id()).await;
    let before = hooks.asked().len();
    join_all((0..8).map(|_| apply::decide_again(&b.engine.shared, a.net.id()))).await;
    // The first began before the others wished for it.
    assert_eq!(hooks.asked().len(), before + 2 * 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shared_stays_while_a_plugin_is_absent_and_goes_when_it_says_so() {
    let hooks = Arc::new(Scripted::new("open", pass));
    let (a, b) = (Host::start_with_hooks(157, hooks.clone()).await, Host::start(158).await);
    let old = a.ingest(100, "secret").await;
    b.engine.connect(a.ticket()).await;
    b.has(&old).await;
    in_sync(&[(&a, &b)]).await;
    // Another plugin joins while one is away: what it would have said of the new one is not known.
    hooks.replace_as(Standing::Absent, "two", |_| Verdict::Hold("not there".into()));
    let new = a.ingest(101, "secret").await;
    stopped(&a, 1, 0).await;
    let reviewed = within(async {
        while hooks.asked().iter().filter(|asked| asked.key.id == old).count() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    reviewed.await;
    assert_eq!(a.engine.held(None, 10).await.unwrap()[0].key.id, new);
    assert_eq!(a.engine.status().await.unwrap().library.summary.count, 1);
    assert_eq!(b.ask_for(&a, old).await, Head::Content(old, 0));
    // It is there again, under the same name: both are asked about, and both are its to keep back.
    hooks.replace("two", holds(Point::BeforePush, "secret"));
    stopped(&a, 2, 0).await;
    gives_no_more(&a, &b, old).await;
    in_sync(&[(&a, &b)]).await;
}

/// One that is away says nothing; the one behind it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shared_goes_when_a_plugin_says_so_though_another_is_absent() {
    let hooks = Arc::new(Scripted::new("open", pass));
    let (a, b) = (Host::start_with_hooks(155, hooks.clone()).await, Host::start(156).await);
    let old = a.ingest(100, "secret").await;
    b.engine.connect(a.ticket()).await;
    b.has(&old).await;
    in_sync(&[(&a, &b)]).await;
    let away = Scripted::new("away", pass).standing(Standing::Absent);
    hooks.replace_by(away.and("keeper", holds(Point::BeforePush, "secret")));
    stopped(&a, 1, 0).await;
    assert_eq!(a.engine.held(None, 10).await.unwrap()[0].by, "keeper");
    gives_no_more(&a, &b, old).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_from_a_peer_is_tagged_by_a_plugin_that_came_later_and_never_removed() {
    let hooks = Arc::new(Scripted::new("nothing", pass));
    let (a, b) = (Host::start(161).await, Host::start_with_hooks(162, hooks.clone()).await);
    let (theirs, mine) = (a.ingest(100, "theirs").await, b.ingest(101, "mine").await);
    let odd = a.ingest(102, "odd").await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    hooks.replace("tagger", |asked| match asked.point {
        Point::AfterReceive if named(asked, "odd") => Verdict::Drop("too late".into()),
        Point::AfterReceive => Verdict::Edit(Changes::new().add_tag("auto")),
        _ => Verdict::Pass,
    });
    b.metadata_is(&theirs, |metadata| metadata.tags.contains("auto")).await;
    in_sync(&[(&a, &b)]).await;
    assert!(!b.metadata(&mine).await.tags.contains("auto"));
    assert!(!a.metadata(&theirs).await.tags.contains("auto"));
    asked(&hooks, Point::AfterReceive, 4).await;
    assert!(b.contents().await.contains_key(&odd));
    let peers: Vec<_> = hooks.asked().into_iter().filter(|asked| asked.point == Point::AfterReceive).collect();
    assert!(peers.iter().all(|asked| asked.peer.as_ref().is_some_and(|peer| peer.id == a.net.id())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_can_read_the_content_where_there_is_one() {
    let hooks = Arc::new(Scripted::new("reader", pass));
    let (a, b) = (Host::start(171).await, Host::start_with_hooks(172, hooks.clone()).await);
    let sizes = [0, 10, 65_536, 65_537, 700_000];
    for size in sizes {
        a.ingest(size, "abc").await;
    }
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    asked(&hooks, Point::BeforePush, sizes.len()).await;
    let contents = b.contents().await;
    for asked in hooks.asked() {
        let whole = &contents[&asked.key.id];
        let Some(content) = asked.content else { continue };
        // Both the store's and what was received before it was stored.
        assert_eq!(content.read(0, usize::MAX).await.unwrap(), *whole);
        let from = whole.len() / 2;
        assert_eq!(content.read(from as u64, 7).await.unwrap(), whole[from..whole.len().min(from + 7)]);
        assert!(content.read(whole.len() as u64, 7).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_is_withheld_is_not_even_named_to_peers() {
    let hooks = Arc::new(Scripted::new("redact", |asked: &Asked| match asked.point {
        Point::BeforePush => Verdict::Edit(Changes::new().remove_tag("client-x")),
        _ => Verdict::Pass,
    }));
    let (a, b) = (Host::start_with_hooks(181, hooks.clone()).await, Host::start(182).await);
    b.engine.connect(a.ticket()).await;
    let id = a.ingest(100, "file").await;
    b.has(&id).await;
    let names_it = async |host: &Host| {
        let record = host.store.record(&id).await.unwrap().unwrap();
        record.document.shared().get("tag/client-x").is_some()
    };
    for (n, changes) in
        [Changes::new().add_tag("client-x"), Changes::new().remove_tag("client-x")].into_iter().enumerate()
    {
        let late = format!("late {n}");
        a.change(&id, changes.add_tag(&late)).await;
        b.metadata_is(&id, |metadata| metadata.tags.contains(&late)).await;
        in_sync(&[(&a, &b)]).await;
        assert_eq!(a.metadata(&id).await.tags.contains("client-x"), n == 0);
        assert!(!names_it(&a).await && !names_it(&b).await);
    }
}

/// Lets questions about some assets wait until a test lets them go on, one after the other.
fn gate(name: &'static str) -> (std::sync::mpsc::Sender<()>, impl Fn(&Asked) -> Verdict + Send + Sync + 'static) {
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let rule = move |asked: &Asked| {
        if asked.point == Point::BeforePush && named(asked, name) {
            wait(&gate);
        }
        holds(Point::BeforePush, "held")(asked)
    };
    (go_on, rule)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_plugin_holds_up_neither_what_was_judged_nor_a_person() {
    let (go_on, rule) = gate("slow");
    let hooks = Arc::new(Scripted::new("slow", rule));
    let (a, b) = (Host::start(195).await, Host::start(196).await);
    let (first, held) = (a.ingest(100, "first").await, a.ingest(101, "held").await);
    for n in 0..3 {
        a.ingest(200 + n, "slow").await;
    }
    let last = a.ingest(102, "last").await;
    let a = a.stop().await.with_hooks(hooks.clone()).again().await;
    b.engine.connect(a.ticket()).await;
    // The first slow one takes longer than others are to wait for those before it; the second one does not end.
    asked_about(&hooks, "slow", 1).await;
    tokio::time::sleep(limits::JUDGED_FOR).await;
    go_on.send(()).unwrap();
    b.has(&first).await;
    // Nor does a person wait for the rest of the page.
    asked_about(&hooks, "slow", 2).await;
    let releasing = a.engine.clone();
    let release = async { releasing.release(held).await.unwrap() };
    let go = async {
        within(async {
            while a.engine.shared.feed.capacity() == a.engine.shared.feed.max_capacity() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        go_on.send(()).unwrap();
    };
    within(async { tokio::join!(Box::pin(release), go) }).await;
    asked_about(&hooks, "slow", 3).await;
    assert!(b.store.record(&last).await.unwrap().is_none());
    b.has(&held).await;
    drop(go_on);
    b.has(&last).await;
    in_sync(&[(&a, &b)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_host_stops_in_the_middle_of_a_page_and_goes_on_there() {
    let (go_on, rule) = gate("slow");
    let hooks = Arc::new(Scripted::new("slow", rule));
    let a = Host::start(197).await;
    for n in 0..50 {
        a.ingest(200 + n, "slow").await;
    }
    let a = a.stop().await.with_hooks(hooks.clone()).again().await;
    go_on.send(()).unwrap();
    asked_about(&hooks, "slow", 2).await;
    // It is told to stop before the second one is answered.
    let (parts, ()) = within(async { tokio::join!(a.stop(), async { go_on.send(()).unwrap() }) }).await;
    asked(&hooks, Point::BeforePush, 2).await;
    drop(go_on);
    let a = parts.again().await;
    let count = within(async {
        while a.engine.status().await.unwrap().library.summary.count < 50 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    count.await;
    asked(&hooks, Point::BeforePush, 50).await;
}

/// A review that is under way when new assets come, and a host that stops in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_assets_pass_a_review_and_a_stop_does_not_end_it() {
    let hooks = Arc::new(Scripted::new("first", pass));
    let (a, b) = (Host::start_with_hooks(191, hooks.clone()).await, Host::start(192).await);
    Host::fill_equally(&[&a], 2_000).await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    asked(&hooks, Point::BeforePush, 2_000).await;
    // The second chain drops the whole store, slowly, but not what is new.
    let slow = |asked: &Asked| {
        if named(asked, "new") {
            return Verdict::Pass;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        Verdict::Drop("all of it".into())
    };
    hooks.replace("second", slow);
    let progress = within(async {
        loop {
            if let Some(review) = a.engine.status().await.unwrap().library.review.filter(|review| review.judged > 0) {
                return review;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    assert_eq!(progress.await.of, 2_000);
    let new = a.ingest(50, "new").await;
    b.has(&new).await;
    assert!(a.engine.status().await.unwrap().library.review.is_some(), "the new one did not wait for the review");
    let a = a.stop().await.again().await;
    stopped(&a, 0, 2_000).await;
    let count = within(async {
        loop {
            let library = a.engine.status().await.unwrap().library;
            if library.review.is_none() {
                return library.summary.count;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    assert_eq!(count.await, 1);
    asked(&hooks, Point::BeforePush, 4_001).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_exchanges_nothing_shows_what_is_held_and_lets_nothing_out() {
    let hooks = Arc::new(Scripted::new("holder", holds(Point::BeforePush, "held")));
    let (a, b) = (Host::start_with_hooks(201, hooks.clone()).await, Host::start(202).await);
    let (held, open) = (a.ingest(1, "held").await, a.ingest(2, "open").await);
    stopped(&a, 1, 0).await;
    let a = a.stop().await.silent().again().await;
    a.engine.connect(b.ticket()).await;
    let status = a.engine.status().await.unwrap();
    assert_eq!((status.held, status.library.summary.count, status.library.exchange), (1, 0, false));
    assert!(matches!(a.engine.release(held).await, Err(HandError::Silent)));
    assert!(matches!(a.engine.replay_held().await.err(), Some(HandError::Silent)));
    a.engine.drop_held(held).await.unwrap();
    stopped(&a, 0, 1).await;
    assert!(b.store.record(&open).await.unwrap().is_none() && b.engine.status().await.unwrap().peers.is_empty());
}

/// A plugin that is loaded after the feed has looked for plugins, and before it looks for assets.
struct Late {
    keeper: Scripted,
    /// What happens behind that look.
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    is_loaded: AtomicBool,
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.keeper.fmt(f)
    }
}

impl Hooks for Late {
    fn ask<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Judgement> {
        self.keeper.ask(asked)
    }

    fn chain(&self, point: Point, library: &str) -> Option<Chain> {
        let chain = if self.is_loaded.load(Ordering::SeqCst) { self.keeper.chain(point, library) } else { None };
        // The feed looks there last.
        let then = if point == Point::AfterReceive { self.then.lock().take() } else { None };
        if let Some(then) = then {
            self.is_loaded.store(true, Ordering::SeqCst);
            then();
        }
        chain
    }

    fn generation(&self) -> u64 {
        u64::from(self.is_loaded.load(Ordering::SeqCst))
    }

    fn changed(&self, seen: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.generation() == seen {
                std::future::pending::<()>().await;
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_slips_by_a_plugin_that_is_loaded_at_that_moment() {
    let passed: Arc<std::sync::OnceLock<Box<dyn Fn(&Asked) -> bool + Send + Sync>>> = Arc::default();
    let (looks, slipped) = (Arc::clone(&passed), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&slipped);
    let keeper = Scripted::new("keeper", move |asked: &Asked| {
        if !named(asked, "secret") {
            return Verdict::Pass;
        }
        // Long enough for the hub to hear what was told before.
        tokio::task::block_in_place(|| std::thread::sleep(std::time::Duration::from_millis(50)));
        seen.fetch_or(looks.get().is_some_and(|passed| passed(asked)), Ordering::SeqCst);
        Verdict::Hold("wait".into())
    });
    let late = Arc::new(Late { keeper, then: Mutex::default(), is_loaded: AtomicBool::new(false) });
    let a = Host::start_with_hooks(205, late.clone()).await;
    // Not held by what it holds itself.
    let shared = Arc::downgrade(&a.engine.shared);
    let _ = passed.set(Box::new(move |asked| {
        shared.upgrade().is_some_and(|shared| shared.replica().passes(asked.key.timestamp, &asked.key.id).is_some())
    }));
    let store = Arc::clone(&a.store);
    let ingest = move || {
        ingest_into(&store, now_ms(), 100, "secret").now_or_never().unwrap();
    };
    *late.then.lock() = Some(Box::new(ingest));
    a.ingest(100, "open").await;
    stopped(&a, 1, 0).await;
    assert!(late.is_loaded.load(Ordering::SeqCst) && !slipped.load(Ordering::SeqCst));
    let all = within(async {
        while a.engine.status().await.unwrap().library.summary.count == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    all.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_says_of_one_peers_offer_is_no_word_about_anothers() {
    let (a, c) = (Host::start(1).await, Host::start(3).await);
    let refused = a.net.id();
    let hooks = Arc::new(Scripted::new("by the peer", move |asked: &Asked| {
        let of_refused = asked.peer.as_ref().is_some_and(|peer| peer.id == refused);
        match asked.point {
            Point::BeforePull if of_refused => Verdict::Drop("not from there".into()),
            _ => Verdict::Pass,
        }
    }));
    let b = Host::start_with_hooks(2, hooks).await;
    let asset = ingest_into(&a.store, 1_700_000_000_000, 100, "both have it").await;
    assert_eq!(ingest_into(&c.store, 1_700_000_000_000, 100, "both have it").await, asset);
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    assert!(b.store.record(&asset).await.unwrap().is_none());
    b.engine.connect(c.ticket()).await;
    b.has(&asset).await;
    for host in [a, b, c] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_is_lost_comes_again_although_nothing_of_it_is_passed_on() {
    let keeper = Scripted::new("keeper", |asked: &Asked| match asked.point {
        Point::BeforePush => Verdict::Drop("stays here".into()),
        _ => Verdict::Pass,
    });
    let (a, b) = (Host::start(1).await, Host::start_with_hooks(2, Arc::new(keeper)).await);
    let asset = a.ingest(3_000, "lost twice").await;
    b.engine.connect(a.ticket()).await;
    for _ in 0..2 {
        b.has(&asset).await;
        in_sync(&[(&a, &b)]).await;
        assert!(b.store.damage(&asset));
        b.store.verify(&asset).await.unwrap();
        assert!(!b.store.record(&asset).await.unwrap().unwrap().presence.is_here());
    }
    b.has(&asset).await;
    for host in [a, b] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_strands_no_asset() {
    // While it is decided about, and when it is kept: at each of them once.
    for point in [Point::BeforePull, Point::AfterReceive] {
        let panicked = std::sync::atomic::AtomicBool::new(false);
        let hooks = Arc::new(Scripted::new("panics", move |asked: &Asked| {
            let first = asked.point == point && !panicked.swap(true, std::sync::atomic::Ordering::SeqCst);
            assert!(!first, "on purpose");
            Verdict::Pass
        }));
        let (a, b) = (Host::start(1).await, Host::start_with_hooks(2, hooks).await);
        let asset = a.ingest(100, "unlucky").await;
        a.engine.connect(b.ticket()).await;
        b.has(&asset).await;
        in_sync(&[(&a, &b)]).await;
        for host in [a, b] {
            host.stop().await;
        }
    }
}
