//! Contents pass through the HTTP face and the embedded store in pieces: memory does not grow with their size.
//!
//! A test of its own process, since it reads the peak of the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on ends with a panic")]

use std::sync::Arc;

use can_sync::asset::HostId;
use can_sync::http::Listener;
use can_sync::http::can;
use can_sync::store::Store;
use can_sync::store::embedded::EmbeddedStore;
use can_sync::store::embedded::Options;
use can_sync::task::Group;
use futures_util::StreamExt;
use futures_util::stream;
use reqwest::Client;
use reqwest::multipart::Form;
use reqwest::multipart::Part;

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

/// Downloads a content of as many pieces, and compares every byte.
async fn download(client: &Client, url: &str, hash: &str, pieces: usize) {
    let answer = client.get(format!("{url}/asset/{hash}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.bytes_stream();
    let (mut n, mut expected) = (0, Vec::new());
    while let Some(bytes) = body.next().await {
        let bytes = bytes.unwrap();
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
    let url = format!("http://{}{}", listener.address(), can::PREFIX);
    let host = HostId::from_bytes([1; 32]);
    let api = can::router(can::Options { store: Arc::clone(&store) as _, host, sync_api_key: None });
    group.spawn("face", listener.served(api)(group.child("face")));
    let client = Client::builder().no_proxy().build().unwrap();

    // What every first time takes is no growth.
    let small = ingest(&client, &url, 16).await;
    download(&client, &url, small["hash"].as_str().unwrap(), 16).await;
    let before = peak();
    let large = ingest(&client, &url, PIECES).await;
    assert_eq!(large["size"], SIZE);
    download(&client, &url, large["hash"].as_str().unwrap(), PIECES).await;
    let grown = peak() - before;
    assert!(grown < GROWTH_BYTES, "the process grew by {grown} bytes while {SIZE} bytes passed through it");
    group.shut_down().await;
    store.close().await;
}
