//! Requests that are refused while their body is still on its way: the answer arrives nevertheless.

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Face;
use super::KEY;
use super::guarded::group;
use super::guarded::serve;
use crate::limits;
use crate::proto::can::v1;
use crate::store::can_service::bundle;

/// More than any buffer on the way takes.
const REST: usize = 16 * 1024 * 1024;

/// Sends a whole request, and only then reads the answer.
async fn answer(port: u16, method: &str, path: &str, start: &[u8], length: usize) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Sync-Key: {KEY}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(start).await?;
        stream.write_all(&vec![b' '; length - start.len()]).await
    };
    sent.await.unwrap_or_else(|error| panic!("{method} {path} was cut off while it was sent: {error}"));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_body_beyond_its_limit_is_answered_and_not_cut_off() {
    let (face, group) = (Face::new(), group());
    let hash = face.stored(b"content").await;
    let port = serve(&face, &group).await;
    let meta = format!("/api/v1/can/0/asset/{hash}/meta");
    for (method, path, limit) in [
        ("POST", "/api/v1/can/0/ingest/data", limits::JSON_BODY_BYTES),
        ("PATCH", meta.as_str(), limits::JSON_BODY_BYTES),
        ("POST", "/sync/pull", limits::SYNC_REQUEST_BYTES),
        ("POST", "/sync/meta", limits::SYNC_REQUEST_BYTES),
    ] {
        let answer = answer(port, method, path, b"{", limit + REST).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(answer.contains(&format!("longer than the limit of {limit} bytes")), "{path}: {answer}");
    }
    group.shut_down().await;
}

#[tokio::test]
async fn a_push_that_is_refused_by_its_head_is_answered_and_not_cut_off() {
    let (face, group) = (Face::new(), group());
    let port = serve(&face, &group).await;
    let head = v1::Asset {
        hash: Bytes::from(vec![1; 32]),
        timestamp: 1_700_000_000_000,
        size: REST as u64,
        metadata: Some(v1::Metadata {
            description: Some("x".repeat(limits::DESCRIPTION_BYTES + 1)),
            ..v1::Metadata::default()
        }),
        ..v1::Asset::default()
    };
    let start = bundle::begin_asset(&head, Some(REST as u64));
    let length = start.len() + REST + bundle::end(1).len();
    let answer = answer(port, "POST", "/sync/push", &start, length).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("the metadata of asset 0101"), "{answer}");
    // Not metadata, but a hash that is none.
    let head = v1::Asset { hash: Bytes::from_static(b"short"), metadata: None, ..head };
    let start = bundle::begin_asset(&head, Some(REST as u64));
    let length = start.len() + REST + bundle::end(1).len();
    let answer = self::answer(port, "POST", "/sync/push", &start, length).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("a hash of 5 bytes"), "{answer}");
    group.shut_down().await;
}
