//! Event streams.

use std::time::Duration;

use axum::body::Body;
use axum::body::BodyDataStream;
use axum::http::Request;
use futures_util::StreamExt;
use serde_json::Value as Json;
use tower::ServiceExt;

use super::Face;
use super::KEY;
use super::PREFIX;
use crate::limits;

/// An open stream of events.
struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    async fn open(face: &Face, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::builder().uri(path).header("x-sync-key", KEY);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = face.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// Returns id and data of the next event.
    async fn next(&mut self) -> (String, Json) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(data) = field("data: ") {
                    assert_eq!(field("event: ").as_deref(), Some("new_asset"));
                    return (field("id: ").unwrap(), serde_json::from_str(&data).unwrap());
                }
                continue;
            }
            let piece = tokio::time::timeout(Duration::from_secs(60), self.body.next()).await;
            self.text.push_str(std::str::from_utf8(&piece.expect("an event").unwrap().unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn events_carry_the_asset_and_resume_where_they_stopped() {
    let face = Face::new();
    let before = face.stored(b"before").await;
    for path in [&format!("{PREFIX}/events"), "/sync/events"] {
        let mut events = Events::open(&face, path, None).await;
        let hash = face.stored(path.as_bytes()).await;
        let (id, data) = events.next().await;
        assert_eq!(data, face.get(&format!("/asset/{hash}/meta")).await.data());
        drop(events);

        let missed = face.stored(format!("{path} missed").as_bytes()).await;
        let mut resumed = Events::open(&face, path, Some(&id)).await;
        assert_eq!(resumed.next().await.1["hash"], missed);
        let mut all = Events::open(&face, path, Some("0")).await;
        assert_eq!(all.next().await.1["hash"], before);
    }
    // An id from another life of the store counts as now.
    let mut events = Events::open(&face, "/sync/events", Some("999999")).await;
    let hash = face.stored(b"after").await;
    assert_eq!(events.next().await.1["hash"], hash);
}

#[tokio::test]
async fn event_streams_are_counted() {
    let face = Face::new();
    let path = format!("{PREFIX}/events");
    let mut open = Vec::new();
    for _ in 0..limits::EVENT_STREAMS {
        open.push(Events::open(&face, &path, None).await);
    }
    let answer = face.get("/events").await;
    assert_eq!(answer.status, 500);
    assert!(answer.error().contains("event streams"));
    open.pop();
    open.push(Events::open(&face, &path, None).await);
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_carries_a_comment() {
    let face = Face::new();
    let mut events = Events::open(&face, "/sync/events", None).await;
    for _ in 0..3 {
        assert_eq!(events.body.next().await.unwrap().unwrap(), ":\n\n");
    }
}
