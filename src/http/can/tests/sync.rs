//! The sync part: key, cursors, bundles, metadata.

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use prost::Message;

use super::Answer;
use super::Face;
use crate::asset::AssetId;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::limits;
use crate::proto::can::v1;

const TIMESTAMP: u64 = 1_700_000_000_000;

fn asset(content: &[u8], metadata: v1::Metadata) -> v1::Asset {
    let mut verifier = Verifier::new(Timestamp::new(TIMESTAMP).unwrap());
    verifier.update(content);
    v1::Asset {
        hash: Bytes::copy_from_slice(verifier.id().as_bytes()),
        timestamp: TIMESTAMP,
        size: content.len() as u64,
        metadata: Some(metadata),
        version: Bytes::new(),
        content: Some(Bytes::copy_from_slice(content)),
    }
}

fn bundle(assets: &[v1::Asset]) -> Vec<u8> {
    v1::Bundle { assets: assets.to_vec(), count: Some(u32::try_from(assets.len()).unwrap()) }.encode_to_vec()
}

async fn post(face: &Face, path: &str, message: impl Into<Body>) -> Answer {
    face.call("POST", path, &[], message).await
}

fn decoded<M: Message + Default>(answer: &Answer) -> M {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(answer.header("content-type"), "application/x-protobuf");
    M::decode(answer.body.clone()).unwrap()
}

#[tokio::test]
async fn the_key_opens_and_nothing_else_does() {
    let face = Face::new();
    let closed = super::router(super::Options {
        store: std::sync::Arc::clone(&face.store) as _,
        host: crate::asset::HostId::from_bytes([3; 32]),
        sync_api_key: None,
    });
    let closed = Face { router: closed, store: std::sync::Arc::clone(&face.store) };
    for (method, path) in [
        ("POST", "/sync/hashes"),
        ("POST", "/sync/pull"),
        ("POST", "/sync/push"),
        ("POST", "/sync/meta"),
        ("GET", "/sync/events"),
    ] {
        for (key, status, part) in [
            (None, 403, "missing"),
            (Some(""), 403, "wrong"),
            (Some("the sync kez"), 403, "wrong"),
            (Some("the sync key "), 403, "wrong"),
        ] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(key) = key {
                request = request.header("x-sync-key", key);
            }
            let answer = face.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, status, "{path} {key:?}");
            assert!(answer.error().contains(part));
        }
        let answer = closed.call(method, path, &[], "").await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.error().contains("disabled"));
    }
}

#[tokio::test]
async fn what_is_pushed_can_be_pulled() {
    let face = Face::new();
    let metadata = v1::Metadata {
        mime_type: Some("text/x".into()),
        human_readable_path: Some("a/b".into()),
        tags: vec!["a".into(), "b".into()],
        trashed: true,
        ..v1::Metadata::default()
    };
    let large: Vec<u8> = (0..900_000_u32).map(|n| (n % 250) as u8).collect();
    let assets = [asset(b"", v1::Metadata::default()), asset(b"small", metadata.clone()), asset(&large, metadata)];
    for known in [false, true] {
        let pushed: v1::Pushed = decoded(&post(&face, "/sync/push", bundle(&assets)).await);
        let expected: Vec<_> = assets.iter().map(|asset| v1::PushResult { hash: asset.hash.clone(), known }).collect();
        assert_eq!(pushed.results, expected);
    }
    let mut hashes: Vec<Bytes> = assets.iter().map(|asset| asset.hash.clone()).collect();
    hashes.push(vec![9; 32].into());
    for metadata_only in [false, true] {
        let request = v1::PullRequest { hashes: hashes.clone(), metadata_only };
        let pulled: v1::Bundle = decoded(&post(&face, "/sync/pull", request.encode_to_vec()).await);
        assert_eq!(pulled.count, Some(3));
        for (pulled, mut asset) in pulled.assets.into_iter().zip(assets.clone()) {
            assert!(!pulled.version.is_empty());
            asset.version = pulled.version.clone();
            if metadata_only {
                asset.content = None;
            }
            assert!(pulled == asset, "{:?}", pulled.metadata);
        }
    }
}

#[tokio::test]
async fn what_is_pushed_is_checked() {
    let face = Face::new();
    let good = asset(b"good", v1::Metadata::default());
    let long = v1::Metadata { description: Some("x".repeat(limits::DESCRIPTION_BYTES + 1)), ..v1::Metadata::default() };
    let many =
        v1::Metadata { tags: (0..=limits::TAG_FIELDS).map(|n| n.to_string()).collect(), ..v1::Metadata::default() };
    let whole = bundle(std::slice::from_ref(&good));
    for (body, part) in [
        (bundle(&[v1::Asset { content: Some(Bytes::from_static(b"evil")), ..good.clone() }]), "does not match"),
        (bundle(&[v1::Asset { timestamp: TIMESTAMP + 1, ..good.clone() }]), "does not match"),
        (bundle(&[v1::Asset { timestamp: 5, ..good.clone() }]), "13 digits"),
        (bundle(&[v1::Asset { hash: Bytes::from_static(b"x"), ..good.clone() }]), "not of 32"),
        (bundle(&[v1::Asset { content: None, ..good.clone() }]), "no content"),
        (bundle(&[asset(b"long", long)]), "description has 65537 bytes"),
        (bundle(&[asset(b"many", many)]), "1025 tags"),
        (whole[..whole.len() - 3].to_vec(), "cut off"),
        (b"\xff\xff\xff".to_vec(), "could not be read"),
        (Vec::new(), "cut off"),
    ] {
        let answer = post(&face, "/sync/push", body).await;
        assert_eq!(answer.status, 400, "{part}");
        assert!(answer.error().contains(part), "{part}: {}", answer.error());
    }
    assert_eq!(face.get("/list").await.data()["total"], 0);
}

#[tokio::test]
async fn hashes_follow_the_order_of_arrival() {
    let face = Face::new();
    let mut all = Vec::new();
    for n in 0..5 {
        all.push(face.stored(&[n]).await.parse::<AssetId>().unwrap());
    }
    face.call("DELETE", &format!("/asset/{}", all[1]), &[], "").await;
    let trashed = all.remove(1);
    all.push(trashed);
    let (mut since, mut seen) = (0, Vec::new());
    loop {
        let hashes: v1::Hashes = decoded(&post(&face, &format!("/sync/hashes?since={since}&limit=2"), "").await);
        seen.extend(hashes.assets.iter().map(|held| AssetId::try_from(&held.hash[..]).unwrap()));
        since = hashes.cursor;
        assert_eq!(hashes.latest, 6);
        if !hashes.more {
            break;
        }
    }
    assert_eq!(seen, all);
    let late = asset(b"late, with an old timestamp", v1::Metadata::default());
    post(&face, "/sync/push", bundle(std::slice::from_ref(&late))).await;
    let hashes: v1::Hashes = decoded(&post(&face, &format!("/sync/hashes?since={since}"), "").await);
    assert_eq!(hashes.assets.len(), 1);
    assert_eq!(hashes.assets[0].hash, late.hash);
    assert_eq!(post(&face, "/sync/hashes?since=x", "").await.status, 400);
}

#[tokio::test]
async fn a_damaged_content_is_listed_as_missing_and_comes_back_by_push() {
    let face = Face::new();
    let good = asset(b"good", v1::Metadata::default());
    post(&face, "/sync/push", bundle(std::slice::from_ref(&good))).await;
    let id = AssetId::try_from(&good.hash[..]).unwrap();
    face.store.damage(&id);
    crate::store::Store::verify(&*face.store, &id).await.unwrap();
    for missing in [true, false] {
        let hashes: v1::Hashes = decoded(&post(&face, "/sync/hashes", "").await);
        assert_eq!(hashes.assets.len(), 1);
        assert_eq!(hashes.assets[0].missing, missing);
        let request = v1::PullRequest { hashes: vec![good.hash.clone()], metadata_only: true };
        let pulled: v1::Bundle = decoded(&post(&face, "/sync/pull", request.encode_to_vec()).await);
        assert_eq!(pulled.assets.is_empty(), missing);
        let pushed: v1::Pushed = decoded(&post(&face, "/sync/push", bundle(std::slice::from_ref(&good))).await);
        assert_eq!(pushed.results[0].known, !missing);
    }
}

#[tokio::test]
async fn metadata_is_changed_where_it_is_named() {
    let face = Face::new();
    let hash = face.stored(b"x").await;
    let id = hash.parse::<AssetId>().unwrap();
    let change = |fields: &[&str], metadata, add: &[&str], remove: &[&str]| v1::MetaChange {
        hash: Bytes::copy_from_slice(id.as_bytes()),
        fields: fields.iter().map(|&name| name.to_owned()).collect(),
        metadata: Some(metadata),
        add_tags: add.iter().map(|&tag| tag.to_owned()).collect(),
        remove_tags: remove.iter().map(|&tag| tag.to_owned()).collect(),
    };
    let metadata = v1::Metadata { user: Some("ann".into()), trashed: true, ..v1::Metadata::default() };
    let changes = vec![
        change(&["user", "human_file_name"], metadata.clone(), &["a", "b"], &[]),
        change(&["trashed"], metadata.clone(), &[], &["a"]),
        v1::MetaChange { hash: vec![9; 32].into(), ..v1::MetaChange::default() },
    ];
    let answer = post(&face, "/sync/meta", v1::MetaRequest { changes }.encode_to_vec()).await;
    let answer: v1::MetaAnswer = decoded(&answer);
    assert_eq!(answer.results.iter().map(|result| result.found).collect::<Vec<_>>(), [true, true, false]);
    let data = face.get(&format!("/asset/{hash}/meta")).await.data();
    assert_eq!(data["user"], "ann");
    assert_eq!(data["human_file_name"], serde_json::Value::Null);
    assert_eq!(data["tags"], serde_json::json!(["b"]));
    assert_eq!((&data["trashed"], &data["mime_type"]), (&true.into(), &"text/plain".into()));

    for (changes, part) in [
        (vec![change(&["size"], metadata.clone(), &[], &[])], "\"size\""),
        (vec![change(&[], metadata.clone(), &[""], &[])], "a tag is empty"),
        (vec![v1::MetaChange::default(); limits::SYNC_META_CHANGES + 1], "the limit"),
    ] {
        let answer = post(&face, "/sync/meta", v1::MetaRequest { changes }.encode_to_vec()).await;
        assert_eq!(answer.status, 400);
        assert!(answer.error().contains(part), "{}", answer.error());
    }
    let wanted = v1::PullRequest { hashes: vec![Bytes::new(); limits::SYNC_PULL_ASSETS + 1], metadata_only: true };
    assert!(post(&face, "/sync/pull", wanted.encode_to_vec()).await.error().contains("the limit"));
    let garbage = vec![0xff; 100];
    assert!(post(&face, "/sync/pull", garbage).await.error().contains("not the message"));
    assert_eq!(post(&face, "/sync/meta", vec![0; limits::SYNC_REQUEST_BYTES + 1]).await.status, 400);
}
