//! Contents pass through the HTTP face, its bundles of protobuf, the client of a CAN Service and the embedded store in
//! pieces: memory does not grow with their size.
//!
//! A test of its own process, since it reads the peak of the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on ends with a panic")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use can_sync::asset::HostId;
use can_sync::asset::Timestamp;
use can_sync::http::Listener;
use can_sync::http::Secret;
use can_sync::http::can;
use can_sync::limits;
use can_sync::store::Origin;
use can_sync::store::Store;
use can_sync::store::can_service;
use can_sync::store::can_service::CanService;
use can_sync::store::can_service::SyncKey;
use can_sync::store::embedded::EmbeddedStore;
use can_sync::store::embedded::Options;
use can_sync::task::Group;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use reqwest::Client;
use reqwest::multipart::Form;
use reqwest::multipart::Part;

/// The key of the sync API.
const KEY: &str = "key";

const PIECE_BYTES: usize = 64 * 1024;
const PIECES: usize = 200 * 16;
const SIZE: usize = PIECES * PIECE_BYTES;

/// By how much the peak may grow; far below the content, and above what pieces under way and the index take.
const GROWTH_BYTES: u64 = 64 * 1024 * 1024;

/// The n-th piece; no two are the same.
fn piece(n: usize) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(n % 251).unwrap(); PIECE_BYTES];
    bytes[..8].copy_from_slice(&(n as u64).to_le_bytes());
    bytes
}

/// The most memory this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

async fn ingest(client: &Client, url: &str, pieces: usize) -> serde_json::Value {
    let body = stream::iter((0..pieces).map(|n| Ok::<_, std::io::Error>(piece(n))));
    let part = Part::stream_with_length(reqwest::Body::wrap_stream(body), (pieces * PIECE_BYTES) as u64);
    let form = Form::new().part("file", part.file_name("large.bin"));
    let answer = client.post(format!("{url}/ingest")).multipart(form).send().await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["status"], "success", "{answer}");
    answer["data"].clone()
}

/// Downloads a content of as many pieces.
async fn download(client: &Client, url: &str, hash: &str, pieces: usize) {
    let answer = client.get(format!("{url}/asset/{hash}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    compare(answer.bytes_stream().map(Result::unwrap), pieces).await;
}

/// Hands a content of as many pieces to the store behind a CAN Service and reads it back.
async fn through_bundles(store: &CanService, timestamp: u64, pieces: usize) {
    let mut spool = store.spool(Timestamp::new(timestamp).unwrap()).await.unwrap();
    for n in 0..pieces {
        spool = tokio::task::spawn_blocking(move || {
            spool.write(&piece(n)).unwrap();
            spool
        })
        .await
        .unwrap();
    }
    let spooled = tokio::task::spawn_blocking(move || spool.finish_ingest().unwrap()).await.unwrap();
    let record = store.put(spooled, Origin::Here, Box::new(|_| {})).await.unwrap();
    let content = store.open(&record.key.id, 0).await.unwrap().unwrap();
    compare(content.stream.map(Result::unwrap), pieces).await;
}

/// Compares every byte.
async fn compare(body: impl Stream<Item = Bytes>, pieces: usize) {
    let mut body = std::pin::pin!(body);
    let (mut n, mut expected) = (0, Vec::new());
    while let Some(bytes) = body.next().await {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            if expected.is_empty() {
                expected = piece(n);
                n += 1;
            }
            let length = rest.len().min(expected.len());
            assert!(rest[..length] == expected[..length], "piece {n}");
            expected.drain(..length);
            rest = &rest[length..];
        }
    }
    assert_eq!((n, expected.len()), (pieces, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_content_does_not_grow_the_process() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(Options::new(dir.path())).await.unwrap());
    let group = Group::new("test", Arc::new(|group, task, message| panic!("{group}/{task}: {message}")));
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.address();
    let url = format!("http://{address}{}", can::PREFIX);
    let host = HostId::from_bytes([1; 32]);
    let api = can::router(can::Options { store: Arc::clone(&store) as _, host, sync_api_key: Some(Secret::new(KEY)) });
    group.spawn("face", listener.served(api)(group.child("face")));
    let client = Client::builder().no_proxy().build().unwrap();
    let behind = can_service::Options {
        url: format!("http://{address}"),
        key: SyncKey::new(KEY),
        host: HostId::from_bytes([2; 32]),
        data_dir: dir.path().join("service/data"),
        spool_dir: dir.path().join("service/spool"),
        poll_interval: Duration::from_secs(3600),
        sweep_interval: Duration::from_secs(3600),
        stall: limits::SERVICE_STALL,
        call_time: limits::SERVICE_CALL_TIME,
    };
    let behind = CanService::open(behind, &group).await.unwrap();

    // What every first time takes is no growth.
    let small = ingest(&client, &url, 16).await;
    download(&client, &url, small["hash"].as_str().unwrap(), 16).await;
    through_bundles(&behind, 1_700_000_000_000, 16).await;
    let before = peak();
    let large = ingest(&client, &url, PIECES).await;
    assert_eq!(large["size"], SIZE);
    download(&client, &url, large["hash"].as_str().unwrap(), PIECES).await;
    let grown = peak() - before;
    assert!(grown < GROWTH_BYTES, "the process grew by {grown} bytes while {SIZE} bytes passed through it");
    through_bundles(&behind, 1_700_000_000_001, PIECES).await;
    let grown = peak() - before;
    assert!(grown < GROWTH_BYTES, "the process grew by {grown} bytes while {SIZE} bytes passed through in bundles");
    behind.close().await;
    group.shut_down().await;
    store.close().await;
}
