//! The listener: who is answered, on every path, and how it ends.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Face;
use crate::http::Listener;
use crate::limits;
use crate::task::Group;

const PATHS: [(&str, &str); 15] = [
    ("POST", "/api/v1/can/0/ingest"),
    ("POST", "/api/v1/can/0/ingest/data"),
    ("GET", "/api/v1/can/0/list"),
    ("GET", "/api/v1/can/0/search"),
    ("GET", "/api/v1/can/0/asset/00"),
    ("DELETE", "/api/v1/can/0/asset/00"),
    ("PATCH", "/api/v1/can/0/asset/00/meta"),
    ("POST", "/api/v1/can/0/asset/00/restore"),
    ("GET", "/api/v1/can/0/events"),
    ("POST", "/sync/hashes"),
    ("POST", "/sync/pull"),
    ("POST", "/sync/push"),
    ("POST", "/sync/meta"),
    ("GET", "/sync/events"),
    ("OPTIONS", "/anything"),
];

pub(super) async fn serve(face: &Face, group: &Group) -> u16 {
    serve_at("127.0.0.1:0", face, group).await
}

async fn serve_at(address: &str, face: &Face, group: &Group) -> u16 {
    let listener = Listener::bind(address).await.unwrap();
    let port = listener.address().port();
    let served = listener.served(face.router.clone());
    group.spawn("face", served(group.child("face")));
    port
}

pub(super) fn group() -> Group {
    Group::new("test", Arc::new(|group, task, message| panic!("{group}/{task}: {message}")))
}

/// Sends the head of a request and returns the answer up to the end of the connection.
async fn answer(port: u16, head: &str) -> String {
    answer_at(Ipv4Addr::LOCALHOST, port, head).await
}

async fn answer_at(address: Ipv4Addr, port: u16, head: &str) -> String {
    let mut stream = TcpStream::connect((address, port)).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A stream of events has no end; its head is enough.
    let mut piece = [0; 4096];
    loop {
        let n = stream.read(&mut piece).await.unwrap();
        answer.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&answer);
        if n == 0 || text.contains("text/event-stream") {
            return text.into_owned();
        }
    }
}

#[tokio::test]
async fn no_path_answers_a_foreign_host_or_page() {
    let (face, group) = (Face::new(), group());
    let port = serve(&face, &group).await;
    let own = format!("127.0.0.1:{port}");
    for (method, path) in PATHS {
        for (host, more, refused) in [
            (own.as_str(), "", false),
            ("localhost", "", false),
            ("evil.example", "", true),
            ("evil.example:80", "Origin: http://evil.example\r\n", true),
            (&own, "Origin: http://evil.example\r\n", true),
            (&own, "Origin: null\r\n", true),
            (&own, "Sec-Fetch-Site: cross-site\r\n", true),
            (&own, "Sec-Fetch-Site: same-site\r\n", true),
            (&own, &format!("Origin: http://{own}\r\nSec-Fetch-Site: same-origin\r\n"), false),
        ] {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Sync-Key: {}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n",
                super::KEY
            );
            let answer = answer(port, &head).await;
            assert_eq!(answer.starts_with("HTTP/1.1 403"), refused, "{method} {path} {host} {more}: {answer}");
            assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
            assert!(answer.contains("{\"status\":\"") || !refused, "{answer}");
        }
    }
    group.shut_down().await;
}

/// A page that may not speak here could take all places else, by asking again and again.
#[tokio::test]
async fn who_is_refused_keeps_no_place() {
    let (face, group) = (Face::new(), group());
    let port = serve(&face, &group).await;
    let began = std::time::Instant::now();
    let refused = answer(port, "GET /api/v1/can/0/list HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("connection: close"), "{refused}");
    assert!(began.elapsed() < limits::HTTP_HEAD_TIME, "it was closed for being idle");
    group.shut_down().await;
}

#[tokio::test]
async fn an_open_event_stream_does_not_hold_up_the_end() {
    let (face, group) = (Face::new(), group());
    let port = serve(&face, &group).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET /api/v1/can/0/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut head = [0; 16];
    stream.read_exact(&mut head).await.unwrap();
    group.shut_down().await;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let first = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = first.address().to_string();
    let error = Listener::bind(&address).await.unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn a_listener_everywhere_answers_to_the_address_it_was_reached_at() {
    let (face, group) = (Face::new(), group());
    let (everywhere, here) = (serve_at("0.0.0.0:0", &face, &group).await, serve(&face, &group).await);
    // Every 127.x.y.z is this machine; the second stands for its address in a network.
    let (loopback, network) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    for (at, port, host, answered) in [
        (network, everywhere, format!("127.0.0.2:{everywhere}"), true),
        (network, everywhere, "127.0.0.2".to_owned(), true),
        (network, everywhere, format!("127.0.0.3:{everywhere}"), false),
        (network, everywhere, format!("evil.example:{everywhere}"), false),
        (loopback, everywhere, format!("127.0.0.2:{everywhere}"), false),
        (loopback, here, format!("127.0.0.2:{here}"), false),
    ] {
        let head = format!("GET /api/v1/can/0/list HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = answer_at(at, port, &head).await;
        let status = if answered { "HTTP/1.1 200" } else { "HTTP/1.1 403" };
        assert!(answer.starts_with(status), "{at} {host}: {answer}");
    }
    group.shut_down().await;
}
