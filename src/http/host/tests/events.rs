//! `GET /events`.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt;
use serde_json::Value as Json;
use tower::ServiceExt;

use super::Face;
use super::TOKEN;
use super::install;

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_as_it_happens() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path());
    let face = Face::start(dir.path(), false).await;
    let request = Request::get("/events").header("authorization", format!("Bearer {TOKEN}"));
    let answer = face.host.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let private = face.ingest("mine", "private").await;
    let mut lines = answer.into_body().into_data_stream();
    let held = async {
        loop {
            let line: Json = serde_json::from_slice(&lines.next().await.unwrap().unwrap()).unwrap();
            if line["kind"] == "asset_held" {
                return line;
            }
        }
    };
    let held = tokio::time::timeout(Duration::from_mins(1), held).await.unwrap();
    assert_eq!(held["hash"], private);
    assert!(held["reason"].as_str().unwrap().contains("private") && held["at_ms"].is_u64(), "{held}");
    face.node.stop().await;
}
