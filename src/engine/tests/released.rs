//! What a person releases: it goes on past who stopped it, and past nobody else.

use std::sync::Arc;

use super::host::Host;
use super::host::in_sync;
use super::plugins::named;
use super::plugins::stopped;
use crate::asset::Changes;
use crate::asset::names;
use crate::hook::Asked;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::hook::scripted::Scripted;
use crate::net::Head;
use crate::store::Store;

/// A plugin: what it answers at one point about assets of one name, and nothing else.
fn at(point: Point, name: &'static str, verdict: Verdict) -> impl Fn(&Asked) -> Verdict + Send + Sync + 'static {
    move |asked| if asked.point == point && named(asked, name) { verdict.clone() } else { Verdict::Pass }
}

fn hold() -> Verdict {
    Verdict::Hold("wait".into())
}

fn clear_path() -> Verdict {
    Verdict::Edit(Changes::new().clear(names::PATH))
}

async fn held_by(host: &Host) -> Vec<String> {
    host.engine.held(None, 10).await.unwrap().into_iter().map(|held| held.by).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_released_before_a_push_is_redacted_still_wherever_the_holder_stands() {
    let keeper = |hooks: Scripted| hooks.and("keeper", at(Point::BeforePush, "secret", hold()));
    let redact = |hooks: Scripted| hooks.and("redact", at(Point::BeforePush, "secret", clear_path()));
    let nothing = || Scripted::new("nothing", |_: &Asked| Verdict::Pass);
    for (seed, hooks) in [(11, redact(keeper(nothing()))), (13, keeper(redact(nothing())))] {
        let hooks = Arc::new(hooks);
        let (a, b) = (Host::start_with_hooks(seed, hooks.clone()).await, Host::start(seed + 1).await);
        let secret = a.ingest(100, "secret").await;
        stopped(&a, 1, 0).await;
        b.engine.connect(a.ticket()).await;
        a.engine.release(secret).await.unwrap();
        b.has(&secret).await;
        in_sync(&[(&a, &b)]).await;
        assert_eq!(b.metadata(&secret).await.path, None);
        assert_eq!(a.metadata(&secret).await.path.as_deref(), Some("some/where"), "here it is seen as it was");
        // It stays released, and nobody is asked again, however often it is judged.
        let before = hooks.asked().len();
        let a = a.stop().await;
        a.lose_position().await;
        let a = a.again().await;
        a.engine.connect(b.ticket()).await;
        let open = a.ingest(10, "open").await;
        b.has(&open).await;
        in_sync(&[(&a, &b)]).await;
        assert_eq!((a.engine.status().await.unwrap().held, hooks.asked().len()), (0, before + 1));
        assert_eq!(b.ask_for(&a, secret).await, Head::Content(secret, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_holder_after_the_other_is_overruled_and_none_comes_back() {
    let hooks = Scripted::new("one", at(Point::BeforePush, "secret", hold()))
        .and("two", at(Point::BeforePush, "secret", hold()))
        .standing(Standing::Failed)
        .and("three", at(Point::BeforePush, "secret", Verdict::Drop("never".into())));
    let (a, b) = (Host::start_with_hooks(15, Arc::new(hooks)).await, Host::start(16).await);
    let secret = a.ingest(100, "secret").await;
    b.engine.connect(a.ticket()).await;
    stopped(&a, 1, 0).await;
    assert_eq!(held_by(&a).await, ["one"]);
    a.engine.release(secret).await.unwrap();
    assert_eq!(held_by(&a).await, ["two"]);
    a.engine.release(secret).await.unwrap();
    stopped(&a, 0, 1).await;
    assert_eq!(a.engine.declined(None, 10).await.unwrap()[0].by, "three");
    assert_eq!(b.ask_for(&a, secret).await, Head::NotHere(secret));
    // Who refuses it and thinks better of it has overruled them all.
    a.engine.drop_held(secret).await.unwrap();
    a.engine.release(secret).await.unwrap();
    b.has(&secret).await;
    stopped(&a, 0, 0).await;
    // Asked again, all of them count again.
    a.engine.replay(secret).await.unwrap();
    stopped(&a, 1, 0).await;
    assert_eq!(held_by(&a).await, ["one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_leaves_released_and_not_judged_is_judged_before_it_is_offered() {
    let hooks = Scripted::new("keeper", at(Point::BeforePush, "secret", hold()))
        .and("redact", at(Point::BeforePush, "secret", clear_path()));
    let (a, b) = (Host::start_with_hooks(17, Arc::new(hooks)).await, Host::start(18).await);
    let secret = a.ingest(100, "secret").await;
    stopped(&a, 1, 0).await;
    let held = a.engine.held(None, 10).await.unwrap().remove(0);
    let a = a.stop().await;
    let released = crate::state::Decided {
        decision: crate::state::Decision::Pass,
        by: crate::state::HAND.to_owned(),
        standing: Standing::Absent,
        overruled: [(Point::BeforePush, "keeper".to_owned())].into(),
        ..held
    };
    a.decide(released).await;
    let a = a.again().await;
    b.engine.connect(a.ticket()).await;
    b.has(&secret).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!(b.metadata(&secret).await.path, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_released_on_the_way_in_is_stopped_and_edited_by_others_still() {
    let drop = || Verdict::Drop("no".into());
    let hooks = Scripted::new("holder", at(Point::BeforePull, "odd", hold()))
        .and("reader", at(Point::AfterReceive, "odd", drop()))
        .and("tagger", at(Point::AfterReceive, "odd", Verdict::Edit(Changes::new().add_tag("auto"))));
    let (a, b) = (Host::start(19).await, Host::start_with_hooks(20, Arc::new(hooks)).await);
    let odd = a.ingest(70_000, "odd").await;
    b.engine.connect(a.ticket()).await;
    stopped(&b, 1, 0).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!(b.engine.held(None, 10).await.unwrap()[0].by, "holder");
    // Past the holder it is fetched, and who looks into it does not want it.
    b.engine.release(odd).await.unwrap();
    stopped(&b, 0, 1).await;
    let declined = b.engine.declined(None, 10).await.unwrap().remove(0);
    assert_eq!((declined.by.as_str(), declined.point), ("reader", Point::AfterReceive));
    assert!(b.store.record(&odd).await.unwrap().is_none());
    // Past both of them it is stored, with what the third one says.
    b.engine.release(odd).await.unwrap();
    b.has(&odd).await;
    in_sync(&[(&a, &b)]).await;
    stopped(&b, 0, 0).await;
    assert!(b.metadata(&odd).await.tags.contains("auto"));
}

/// The one and only holder at both points.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_before_a_fetch_says_nothing_about_what_was_fetched() {
    let hooks = Arc::new(Scripted::new("holder", |asked: &Asked| match asked.point {
        Point::BeforePush => Verdict::Pass,
        _ => hold(),
    }));
    let (a, b) = (Host::start(21).await, Host::start_with_hooks(22, hooks).await);
    let odd = a.ingest(100, "odd").await;
    b.engine.connect(a.ticket()).await;
    for point in [Point::BeforePull, Point::AfterReceive] {
        let held = super::host::within(async {
            loop {
                let held = b.engine.held(None, 10).await.unwrap();
                if held.first().is_some_and(|held| held.point == point) {
                    return held;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        assert_eq!(held.await.len(), 1);
        in_sync(&[(&a, &b)]).await;
        b.engine.release(odd).await.unwrap();
    }
    b.has(&odd).await;
    in_sync(&[(&a, &b)]).await;
    // A version of it is another thing.
    a.change(&odd, Changes::new().add_tag("new")).await;
    stopped(&b, 1, 0).await;
    in_sync(&[(&a, &b)]).await;
    b.engine.release(odd).await.unwrap();
    b.metadata_is(&odd, |metadata| metadata.tags.contains("new")).await;
}
