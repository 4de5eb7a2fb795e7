//! The memory over restarts.

use std::sync::Arc;

use super::*;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Digest;
use crate::asset::Document;
use crate::asset::Field;
use crate::asset::HostId;
use crate::asset::Stamp;
use crate::asset::Timestamp;
use crate::asset::Value;

fn key(n: u8) -> AssetKey {
    let timestamp = Timestamp::new(1_700_000_000_000).unwrap();
    AssetKey { id: AssetId::from_bytes([n; 32]), timestamp, size: 5 }
}

fn document(name: &str) -> Arc<Document> {
    let field = Field { value: Value::Text("x".into()), stamp: Stamp::ZERO };
    Arc::new([(name.to_owned(), field)].into_iter().collect())
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
    let known = state.known_of_peer(peer).await.unwrap();
    assert_eq!(known[0].document, document("a").merged(&document("b")));
    assert_eq!(state.known_of_asset(key(1).id).await.unwrap(), known);
    state.remember(peer, key(1), document("c"), true, |_| true).await.unwrap();
    assert_eq!(state.known_of_peer(peer).await.unwrap()[0].document, *document("c"));
    state.remember(peer, key(1), document("c"), true, |_| false).await.unwrap();
    assert!(state.known_of_peer(peer).await.unwrap().is_empty());
    state.remember(peer, key(2), document("c"), true, |_| true).await.unwrap();
    state.forget(peer, key(2).id).await.unwrap();
    assert!(state.known_of_asset(key(2).id).await.unwrap().is_empty());
    assert!(State::open(&path, "other").unwrap().known_of_peer(peer).await.unwrap().is_empty());
}

#[tokio::test]
async fn decisions_are_kept_counted_and_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join("state.db"), "mirror").unwrap();
    let decided = |n, way, decision| Decided {
        key: key(n),
        way,
        decision,
        decider: "test".to_owned(),
        reason: "because".to_owned(),
        version: Digest::from_bytes([n; 32]),
        at_ms: 7,
    };
    for decided in [
        decided(1, Way::Push, Decision::Hold),
        decided(1, Way::Push, Decision::Drop),
        decided(1, Way::Pull, Decision::Hold),
        decided(2, Way::Pull, Decision::Drop),
    ] {
        state.decide(decided.clone()).await.unwrap();
        assert_eq!(state.decision(decided.key.id, decided.way).await.unwrap(), Some(decided));
    }
    assert_eq!(state.count_decisions().await.unwrap(), (1, 2));
    assert_eq!(state.kept_back().await.unwrap(), [key(1).id]);
    assert!(state.undecide(key(1).id, Way::Push).await.unwrap());
    assert!(!state.undecide(key(1).id, Way::Push).await.unwrap());
    assert_eq!(state.count_decisions().await.unwrap(), (1, 1));
}

#[tokio::test]
async fn position_and_peers_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join("state.db"), "mirror").unwrap();
    assert_eq!(state.position("a").await.unwrap(), None);
    state.set_position(7, "a".into()).await.unwrap();
    state.set_position(9, "a".into()).await.unwrap();
    assert_eq!(state.position("a").await.unwrap(), Some(9));
    assert_eq!(state.position("b").await.unwrap(), None);
    let mut peer = Peer {
        id: HostId::from_bytes([3; 32]),
        name: "laptop".into(),
        version: "0.1.0".into(),
        addresses: vec!["127.0.0.1:1".into(), "[::1]:2".into()],
        relay: None,
        first_seen_ms: 1,
        last_seen_ms: 1,
    };
    state.saw_peer(peer.clone()).await.unwrap();
    peer.last_seen_ms = 5;
    state.saw_peer(Peer { first_seen_ms: 5, ..peer.clone() }).await.unwrap();
    assert_eq!(state.peers().await.unwrap(), [peer]);
}
