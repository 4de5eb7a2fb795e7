//! The memory over restarts.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Refusal;
use super::Refused;
use super::*;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::Digest;
use crate::asset::Document;
use crate::asset::Field;
use crate::asset::HostId;
use crate::asset::Stamp;
use crate::asset::Timestamp;
use crate::asset::Value;
use crate::hook::Chain;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Step;
use crate::hook::Verdict;
use crate::library::Role;
use crate::sync::Culprit;

fn key(n: u8) -> AssetKey {
    let timestamp = Timestamp::new(1_700_000_000_000).unwrap();
    AssetKey { id: AssetId::from_bytes([n; 32]), timestamp, size: 5 }
}

fn document(name: &str) -> Document {
    let field = Field { value: Value::Text("x".into()), stamp: Stamp::ZERO };
    [(name.to_owned(), field)].into_iter().collect()
}

#[tokio::test]
async fn what_peers_have_is_replaced_merged_and_forgotten_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let state = State::open(&path, "mirror").unwrap();
    let peer = HostId::from_bytes([1; 32]);
    state.remember(peer, key(1), document("a"), true, |_| true).await.unwrap();
    state.remember(peer, key(1), document("b"), false, |_| true).await.unwrap();
    state.close().await;

    let state = State::open(&path, "mirror").unwrap();
    let known = state.known_of_peer(peer, None, 10).await.unwrap();
    assert_eq!(known[0].document, document("a").merged(&document("b")));
    assert_eq!(state.known_of_asset(key(1).id).await.unwrap(), known);
    state.remember(peer, key(1), document("c"), true, |_| true).await.unwrap();
    assert_eq!(state.known_of_peer(peer, None, 10).await.unwrap()[0].document, document("c"));
    state.remember(peer, key(1), document("c"), true, |_| false).await.unwrap();
    assert!(state.known_of_peer(peer, None, 10).await.unwrap().is_empty());
    state.remember(peer, key(2), document("c"), true, |_| true).await.unwrap();
    state.forget(peer, key(2).id).await.unwrap();
    assert!(state.known_of_asset(key(2).id).await.unwrap().is_empty());
    // Page by page, and gone with the peer.
    for number in 1..=5 {
        state.remember(peer, key(number), document("c"), true, |_| true).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    while let [.., last] = &state.known_of_peer(peer, after, 2).await.unwrap()[..] {
        seen.extend(state.known_of_peer(peer, after, 2).await.unwrap().iter().map(|known| known.key.id));
        after = Some(last.key.id);
    }
    assert!(seen.len() == 5 && seen.is_sorted(), "{seen:?}");
    let refusal = Refusal { kind: Refused::Held, reason: "wait".to_owned(), at_ms: 7 };
    assert!(!state.has_refusals());
    for reason in ["first", "wait"] {
        let refusal = Refusal { reason: reason.to_owned(), ..refusal.clone() };
        state.keep_refusal(peer, key(1).id, Some(refusal)).await.unwrap();
    }
    state.keep_refusal(peer, key(2).id, Some(refusal.clone())).await.unwrap();
    state.keep_refusal(peer, key(2).id, None).await.unwrap();
    assert_eq!(state.refusal(peer, key(1).id).await.unwrap(), Some(refusal));
    assert!(state.refusal(peer, key(2).id).await.unwrap().is_none() && state.has_refusals());
    state.forget_peer(peer).await.unwrap();
    assert!(!state.has_refusals());
    assert!(state.known_of_peer(peer, None, 10).await.unwrap().is_empty());
    state.remember(peer, key(1), document("c"), true, |_| true).await.unwrap();
    assert_eq!(state.known_of_asset(key(1).id).await.unwrap().len(), 1);
    assert!(State::open(&path, "other").unwrap().known_of_peer(peer, None, 10).await.unwrap().is_empty());
}

async fn counted(state: &State) -> (u64, u64) {
    let counts = state.count_decisions().await.unwrap();
    assert_eq!(counts.held, counts.held_by.values().sum::<u64>());
    (counts.held, counts.declined)
}

#[tokio::test]
async fn decisions_are_kept_counted_and_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join("state.db"), "mirror").unwrap();
    let decided = |n, way, decision| Decided {
        key: key(n),
        way,
        point: if way == Way::Push { Point::BeforePush } else { Point::AfterReceive },
        decision,
        decider: "test".to_owned(),
        by: "plugin".to_owned(),
        standing: Standing::Absent,
        reason: "because".to_owned(),
        version: Digest::from_bytes([n; 32]),
        at_ms: 7,
        overruled: BTreeSet::new(),
    };
    for decided in [
        decided(1, Way::Push, Decision::Hold),
        decided(1, Way::Push, Decision::Drop),
        decided(1, Way::Pull, Decision::Hold),
        decided(2, Way::Pull, Decision::Drop),
    ] {
        assert!(state.decide(decided.clone(), false).await.unwrap());
        assert_eq!(state.decision(decided.key.id, decided.way).await.unwrap(), Some(decided));
    }
    assert_eq!(counted(&state).await, (1, 2));
    assert_eq!(state.count_decisions().await.unwrap().held_by, [("plugin".to_owned(), 1)].into());
    assert_eq!(state.kept_back().await.unwrap(), [key(1).id]);
    let other = Decided { decider: "other".to_owned(), ..decided(1, Way::Push, Decision::Drop) };
    assert!(!state.undecide(&other).await.unwrap());
    let said_by_another = Decided { by: "another".to_owned(), ..decided(1, Way::Push, Decision::Drop) };
    assert!(!state.undecide(&said_by_another).await.unwrap());
    assert!(state.undecide(&decided(1, Way::Push, Decision::Drop)).await.unwrap());
    assert!(!state.undecide(&decided(1, Way::Push, Decision::Drop)).await.unwrap());
    assert_eq!(counted(&state).await, (1, 1));
}

#[tokio::test]
async fn decisions_are_listed_oldest_first_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join("state.db"), "mirror").unwrap();
    for n in [3, 1, 2, 4] {
        let way = if n == 4 { Way::Push } else { Way::Pull };
        // Two of them in the same millisecond.
        state.decide(held(n, way, u64::from(n / 2)), false).await.unwrap();
    }
    state.decide(Decided { decision: Decision::Drop, ..held(9, Way::Pull, 0) }, false).await.unwrap();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = state.list_decisions(Decision::Hold, after, 2).await.unwrap();
        seen.extend(page.iter().map(|decided| decided.key.id.as_bytes()[0]));
        match page.last() {
            Some(last) => after = Some(DecisionMark { at_ms: last.at_ms, asset: last.key.id, way: last.way }),
            None => break,
        }
    }
    assert_eq!(seen, [1, 2, 3, 4]);
}

#[tokio::test]
async fn what_a_person_said_is_not_overruled_by_an_answer_that_comes_late() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join("state.db"), "mirror").unwrap();
    let late = held(1, Way::Push, 1);
    let overruled = BTreeSet::from([(Point::BeforePush, "plugin".to_owned())]);
    let released = Decided { decision: Decision::Pass, by: HAND.into(), overruled, ..late.clone() };
    assert!(state.decide(released.clone(), true).await.unwrap());
    assert!(!state.decide(late.clone(), false).await.unwrap());
    assert_eq!(state.decision(key(1).id, Way::Push).await.unwrap(), Some(released.clone()));
    assert_eq!((counted(&state).await, state.kept_back().await.unwrap()), ((0, 0), vec![]));
    // Until it was judged again it is kept back still.
    let not_judged = Decided { standing: Standing::Absent, ..released.clone() };
    assert!(state.decide(not_judged, true).await.unwrap());
    assert_eq!((counted(&state).await, state.kept_back().await.unwrap()), ((0, 0), vec![key(1).id]));
    // Somebody else may stop it who knew of the release.
    let also = Decided { by: "also".into(), overruled: released.overruled.clone(), ..late.clone() };
    assert!(state.decide(also.clone(), false).await.unwrap());
    assert_eq!(state.count_decisions().await.unwrap().held_by, [("also".to_owned(), 1)].into());
    assert_eq!(also.overruled_at(Point::BeforePush), ["plugin"]);
    assert!(also.overruled_at(Point::BeforePull).is_empty());
    // Another version is another thing.
    let next = Decided { version: Digest::from_bytes([7; 32]), ..late.clone() };
    assert!(state.decide(next, false).await.unwrap());
    let dropped = Decided { decision: Decision::Drop, decider: HAND.into(), ..late.clone() };
    assert!(state.decide(dropped.clone(), true).await.unwrap());
    assert!(!state.decide(late, false).await.unwrap());
    assert_eq!(state.decisions(vec![key(1).id, key(2).id]).await.unwrap().into_values().collect::<Vec<_>>(), [dropped]);
}

fn held(n: u8, way: Way, at_ms: u64) -> Decided {
    Decided {
        key: key(n),
        way,
        point: Point::BeforePull,
        decision: Decision::Hold,
        decider: "test".to_owned(),
        by: "plugin".to_owned(),
        standing: Standing::Firm,
        reason: "because".to_owned(),
        version: Digest::from_bytes([n; 32]),
        at_ms,
        overruled: BTreeSet::new(),
    }
}

fn kept(n: u8, point: Point, peer: Option<u8>, chain: u8, standing: Standing) -> Kept {
    let step = Step {
        plugin: "plugin".into(),
        verdict: Verdict::Edit(Changes::new().set("path", "new")),
        failure: None,
        took: Duration::from_micros(3),
    };
    Kept {
        asset: key(n).id,
        point,
        peer: peer.map(|peer| HostId::from_bytes([peer; 32])),
        key: VerdictKey([chain; 32]),
        chain: Chain::from_bytes([chain; 32]),
        standing,
        at_ms: 5,
        answered: Answered {
            verdict: step.verdict.clone(),
            steps: vec![step],
            before: vec![vec![Value::Text("old".into())]],
        },
    }
}

#[tokio::test]
async fn answers_are_kept_one_for_each_place_up_to_a_number_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let state = State::open(&path, "mirror").unwrap();
    let push = kept(1, Point::BeforePush, None, 1, Standing::Firm);
    let pull = kept(1, Point::BeforePull, Some(8), 1, Standing::Firm);
    let receive = kept(1, Point::AfterReceive, Some(9), 1, Standing::Absent);
    let all = vec![push.clone(), pull.clone(), receive.clone()];
    assert_eq!(state.keep_verdicts(all.clone(), 3).await.unwrap(), (3, 0));
    assert_eq!(state.keep_verdicts(all.clone(), 0).await.unwrap(), (0, 0));
    assert_eq!(
        state.keep_verdicts(vec![kept(2, Point::BeforePush, None, 1, Standing::Firm)], 0).await.unwrap(),
        (0, 1)
    );
    state.close().await;

    let state = State::open(&path, "mirror").unwrap();
    let id = key(1).id;
    for (wanted, found) in [
        (Wanted::Push, vec![push.clone()]),
        (Wanted::From(HostId::from_bytes([8; 32])), vec![pull]),
        (Wanted::From(HostId::from_bytes([7; 32])), vec![]),
        (Wanted::Received, vec![receive.clone()]),
        (Wanted::All, all),
    ] {
        assert_eq!(state.verdicts(vec![(id, wanted), (key(2).id, wanted)]).await.unwrap(), found);
    }
    assert_eq!(state.absent(AssetId::from_bytes([0; 32]), 10).await.unwrap(), [id]);
    assert_eq!(state.absent(id, 10).await.unwrap(), []);
    let newer = Kept { key: VerdictKey([2; 32]), ..push };
    state.keep_verdicts(vec![newer.clone()], 0).await.unwrap();
    assert_eq!(state.verdicts(vec![(id, Wanted::Push)]).await.unwrap(), [newer]);
    state.retire_verdicts(vec![id]).await.unwrap();
    assert_eq!(state.count_verdicts().await.unwrap(), 3);
    let all = state.verdicts(vec![(id, Wanted::All)]).await.unwrap();
    assert!(all.iter().all(|kept| kept.key == VerdictKey([0; 32]) && kept.chain == Chain::from_bytes([0; 32])));
}

#[tokio::test]
async fn answers_of_chains_that_are_gone_make_room_stretch_by_stretch() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join("state.db"), "mirror").unwrap();
    let rows = (1..=20).flat_map(|n| {
        let chain = n % 2;
        [
            kept(n, Point::BeforePush, None, chain, Standing::Firm),
            kept(n, Point::BeforePull, Some(1), 5, Standing::Firm),
        ]
    });
    state.keep_verdicts(rows.collect(), 100).await.unwrap();
    let (mut after, mut gone) = (AssetId::from_bytes([0; 32]), 0);
    let chains = [Some(Chain::from_bytes([1; 32])), Some(Chain::from_bytes([5; 32])), None];
    loop {
        let (end, of_these) = state.prune_verdicts(chains, after, 7).await.unwrap();
        gone += of_these;
        match end {
            Some(end) => after = end,
            None => break,
        }
    }
    assert_eq!((gone, state.count_verdicts().await.unwrap()), (10, 30));
    // Where nobody is asked any more, nothing is of today.
    let chains = [chains[0], None, None];
    let rest = state.prune_verdicts(chains, AssetId::from_bytes([0; 32]), 1000).await.unwrap();
    assert_eq!(rest, (None, 20));
}

#[tokio::test]
async fn position_and_peers_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join("state.db"), "mirror").unwrap();
    assert_eq!(state.position().await.unwrap(), None);
    let position = |arrival| Position { arrival, decider: "a".into(), receiver: "b".into() };
    state.set_position(position(7)).await.unwrap();
    state.set_position(position(9)).await.unwrap();
    assert_eq!(state.position().await.unwrap(), Some(position(9)));
    let mut peer = Peer {
        name: "laptop".into(),
        version: "0.1.0".into(),
        addresses: vec!["127.0.0.1:1".into(), "[::1]:2".into()],
        ..Peer::unknown(HostId::from_bytes([3; 32]), 1)
    };
    state.keep_peer(peer.clone()).await.unwrap();
    peer.last_seen_ms = 5;
    peer.ended = Some(("timed out".into(), 5));
    peer.settings = PeerSettings {
        name: Some("mine".into()),
        role: Role::ReceiveOnly,
        paused_until_ms: Some(u64::MAX >> 1),
        most_sent: Some(20_000),
        most_taken: None,
    };
    state.keep_peer(Peer { first_seen_ms: 5, ..peer.clone() }).await.unwrap();
    assert_eq!(state.peers().await.unwrap(), [peer]);
}

#[tokio::test]
async fn who_is_stopped_by_the_brake_stays_so_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || State::open(&dir.path().join("state.db"), "mirror").unwrap();
    let (author, peer) = (Culprit::Author(HostId::from_bytes([1; 32])), Culprit::Peer(HostId::from_bytes([1; 32])));
    let state = open();
    for culprit in [author, peer, peer] {
        state.set_braked(culprit, true).await.unwrap();
    }
    state.close().await;
    let state = open();
    assert_eq!(state.braked().await.unwrap(), [author, peer]);
    state.set_braked(author, false).await.unwrap();
    assert_eq!(state.braked().await.unwrap(), [peer]);
}
