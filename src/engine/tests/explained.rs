//! What people are told of one asset.

use std::sync::Arc;

use futures_util::FutureExt;

use super::host::Host;
use super::host::in_sync;
use super::plugins::asked;
use super::plugins::named;
use super::plugins::stopped;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::names;
use crate::engine::Difference;
use crate::engine::ExplainError;
use crate::engine::Refused;
use crate::hook::Asked;
use crate::hook::Chain;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::hook::scripted::Scripted;
use crate::state::Answered;
use crate::state::Kept;
use crate::state::VerdictKey;
use crate::state::Wanted;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asset_is_explained_with_every_step_and_what_it_changed() {
    let hooks = Arc::new(Scripted::new("editor", |asked: &Asked| match asked.point {
        Point::AfterReceive => Verdict::Edit(Changes::new().set(names::PATH, "inbox").add_tag("auto")),
        Point::BeforePush if named(asked, "held") => Verdict::Hold("wait".into()),
        _ => Verdict::Pass,
    }));
    let (a, b) = (Host::start(181).await, Host::start_with_hooks(182, hooks.clone()).await);
    let (id, held) = (a.ingest(100, "theirs").await, b.ingest(1, "held").await);
    b.engine.connect(a.ticket()).await;
    b.has(&id).await;
    stopped(&b, 1, 0).await;
    in_sync(&[(&a, &b)]).await;
    let explained = b.engine.explain(id).await.unwrap();
    let points: Vec<_> = explained.verdicts.iter().map(|verdict| verdict.point).collect();
    assert_eq!(points, [Point::BeforePull, Point::AfterReceive, Point::BeforePush]);
    let received = &explained.verdicts[1];
    assert_eq!(received.peer, Some((a.net.id(), "host 181".to_owned())));
    assert!(received.current && received.at_ms > 0);
    let difference = |field: &str, before: Option<&str>, after: Option<&str>| Difference {
        field: field.to_owned(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    let path = difference("path", Some("some/where"), Some("inbox"));
    assert_eq!(received.steps[0].plugin, "editor");
    assert_eq!(received.steps[0].changed, [path.clone(), difference("tag/auto", None, Some(""))]);
    let stored = explained.stored.unwrap();
    assert_eq!((stored.seen.path.as_deref(), stored.local.contains(&path)), (Some("inbox"), true));
    assert!(explained.passes && explained.decisions.is_empty());
    assert_eq!(explained.peers[0].version, Some(stored.version));

    let explained = b.engine.explain(held).await.unwrap();
    assert!(!explained.passes);
    assert_eq!((explained.decisions[0].by.as_str(), explained.peers[0].version), ("editor", None));
    assert!(matches!(b.engine.explain(AssetId::from_bytes([1; 32])).await, Err(ExplainError::Unknown(_))));
}

/// An edit that would be another one if it were made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_before_a_push_is_made_once_and_explained_with_what_it_replaced() {
    let hooks = Arc::new(Scripted::new("prefix", |asked: &Asked| match (asked.point, &asked.metadata.path) {
        (Point::BeforePush, Some(path)) => Verdict::Edit(Changes::new().set(names::PATH, format!("a/{path}"))),
        _ => Verdict::Pass,
    }));
    let (a, b) = (Host::start_with_hooks(185, hooks.clone()).await, Host::start(186).await);
    let id = a.ingest(100, "file").await;
    b.engine.connect(a.ticket()).await;
    b.has(&id).await;
    in_sync(&[(&a, &b)]).await;
    let a = a.stop().await;
    a.lose_position().await;
    let a = a.again().await;
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    asked(&hooks, Point::BeforePush, 1).await;
    assert_eq!(b.metadata(&id).await.path.as_deref(), Some("a/some/where"));
    assert_eq!(a.metadata(&id).await.path.as_deref(), Some("some/where"), "here it is seen as it was");
    let explained = a.engine.explain(id).await.unwrap();
    let [verdict] = &explained.verdicts[..] else { panic!("{:?}", explained.verdicts) };
    let path = |before: &str, after: &str| Difference {
        field: "path".to_owned(),
        before: Some(before.to_owned()),
        after: Some(after.to_owned()),
    };
    assert_eq!(verdict.steps[0].changed, [path("some/where", "a/some/where")]);
    assert_eq!(explained.stored.unwrap().local, [path("a/some/where", "some/where")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_edit_is_explained_with_what_the_first_had_left() {
    let rule = |path: &'static str, tag: &'static str, other: &'static str| {
        move |asked: &Asked| match asked.point {
            Point::AfterReceive => Verdict::Edit(Changes::new().set(names::PATH, path).add_tag(tag).remove_tag(other)),
            _ => Verdict::Pass,
        }
    };
    let hooks = Scripted::new("one", rule("first", "a", "b")).and("two", rule("second", "b", "a"));
    let (a, b) = (Host::start(189).await, Host::start_with_hooks(190, Arc::new(hooks)).await);
    let id = a.ingest(100, "file").await;
    b.engine.connect(a.ticket()).await;
    b.has(&id).await;
    in_sync(&[(&a, &b)]).await;
    let explained = b.engine.explain(id).await.unwrap();
    let received = explained.verdicts.iter().find(|verdict| verdict.point == Point::AfterReceive).unwrap();
    let difference = |field: &str, before: Option<&str>, after: Option<&str>| Difference {
        field: field.to_owned(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    let [one, two] = &received.steps[..] else { panic!("{:?}", received.steps) };
    let first = [
        difference("path", Some("some/where"), Some("first")),
        difference("tag/a", None, Some("")),
        difference("tag/b", None, None),
    ];
    let second = [
        difference("path", Some("first"), Some("second")),
        difference("tag/a", Some(""), None),
        difference("tag/b", None, Some("")),
    ];
    assert_eq!((one.plugin.as_str(), &one.changed[..]), ("one", &first[..]));
    assert_eq!((two.plugin.as_str(), &two.changed[..]), ("two", &second[..]));
    let seen = b.metadata(&id).await;
    assert_eq!((seen.path.as_deref(), seen.tags.contains("b"), seen.tags.contains("a")), (Some("second"), true, false));
}

/// What memory knew would have stood for answers that are written nowhere any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_plugins_say_that_are_back_is_explained_as_well() {
    let hooks = Arc::new(Scripted::new("one", |_| Verdict::Pass));
    let host = Host::start_with_hooks(187, hooks.clone()).await;
    let id = host.ingest(100, "file").await;
    for name in ["one", "two", "one"] {
        hooks.replace(name, |_| Verdict::Pass);
        let said = async {
            loop {
                let verdicts = host.engine.explain(id).await.unwrap().verdicts;
                if verdicts.first().is_some_and(|said| said.current && said.steps[0].plugin == name) {
                    return verdicts.len();
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        assert_eq!(super::host::within(said).await, 1, "{name}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_waits_while_its_asset_is_retired_is_not_kept() {
    let host = Host::start(188).await;
    let shared = Arc::clone(&host.engine.shared);
    let verdicts = &shared.verdicts;
    let asset = AssetId::from_bytes([1; 32]);
    let kept = Kept {
        asset,
        point: Point::BeforePush,
        peer: None,
        key: VerdictKey([7; 32]),
        chain: Chain::from_bytes([0; 32]),
        standing: Standing::Firm,
        at_ms: 0,
        answered: Answered { verdict: Verdict::Pass, steps: Vec::new(), before: Vec::new() },
    };
    let all = verdicts.fill().await;
    let mut waits = std::pin::pin!(verdicts.keep(kept.clone(), verdicts.epoch()));
    assert!(waits.as_mut().now_or_never().is_none());
    verdicts.retire(vec![asset]).await.unwrap();
    drop(all);
    waits.await;
    verdicts.flush().await;
    let written = async || shared.state.verdicts(vec![(asset, Wanted::All)]).await.unwrap().len();
    assert!(written().await == 0 && verdicts.get(&kept.key).is_none());
    // One that is asked after that is.
    verdicts.keep(kept, verdicts.epoch()).await;
    verdicts.flush().await;
    assert_eq!(written().await, 1);
    host.stop().await;
}

/// A peer that turned an asset down does not have it, and has it once it has fetched it after all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_turned_down_is_told_until_it_takes_it() {
    let hooks = Arc::new(Scripted::new("picky", |asked: &Asked| match asked.point {
        Point::BeforePull if named(asked, "unwanted") => Verdict::Drop("unwanted".into()),
        _ => Verdict::Pass,
    }));
    let (a, b) = (Host::start(189).await, Host::start_with_hooks(190, hooks.clone()).await);
    let (id, other) = (a.ingest(100, "unwanted").await, a.ingest(50, "other").await);
    b.engine.connect(a.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    b.has(&other).await;
    let of_peer = async |id: AssetId| a.engine.explain(id).await.unwrap().peers.remove(0);
    let is = async |what: &str, holds: fn(&crate::engine::ExplainedPeer) -> bool| {
        let waiting = async {
            while !holds(&of_peer(id).await) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await.is_ok(), "{what}");
    };
    is("it is told", |peer| peer.refusal.is_some()).await;
    let refused = of_peer(id).await;
    let refusal = refused.refusal.unwrap();
    assert_eq!((refused.version, refusal.kind), (None, Refused::Declined));
    assert!(refusal.reason.contains("unwanted") && refusal.at_ms > 0, "{refusal:?}");
    let taken = of_peer(other).await;
    assert!(taken.refusal.is_none() && taken.version.is_some());

    hooks.replace("easy", |_| Verdict::Pass);
    b.has(&id).await;
    is("it is forgotten", |peer| peer.refusal.is_none() && peer.version.is_some()).await;
    // Nor does it have what it has purged, although its set says so.
    b.engine.purge(id, false).await.unwrap();
    is("it is purged there", |peer| peer.version.is_none()).await;
    for host in [a, b] {
        host.stop().await;
    }
}
