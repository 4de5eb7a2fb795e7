//! The host API of a host that runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use serde_json::Value as Json;
use tower::ServiceExt;

use crate::auth::Phrase;
use crate::http::Secret;
use crate::limits;
use crate::net::Relay;
use crate::node::DataFolder;
use crate::node::Node;
use crate::node::Options;
use crate::node::PluginOptions;
use crate::node::StoreOptions;
use crate::plugin::Settings;

const TOKEN: &str = "the token";

/// Starts a host in a folder; nothing of it is served but what the test calls.
async fn host(dir: &std::path::Path) -> (Arc<Node>, Router) {
    let options = Options {
        folder: DataFolder::open(&dir.join("data")).unwrap(),
        store: StoreOptions::Embedded { storage_root: dir.join("store"), verify_interval: Duration::from_hours(1) },
        phrase: Phrase::parse("a phrase of a test").unwrap(),
        name: "test".to_owned(),
        bind_addr: Some("127.0.0.1:0".parse().unwrap()),
        relay: Relay::Off,
        poll_interval: Duration::from_hours(1),
        ticket_file: None,
        connect_ticket_file: None,
        plugins: PluginOptions {
            folder: dir.join("plugins"),
            settings: Arc::new(|_, _| Ok(Settings::default())),
            named: BTreeSet::new(),
            safe_mode: false,
        },
    };
    let node = Arc::new(Node::start(options).await.unwrap());
    let router = super::router(Arc::clone(&node), Secret::new(TOKEN));
    (node, router)
}

async fn verify(router: &Router, token: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::post("/verify").header("authorization", format!("Bearer {token}"));
    let answer = router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), limits::JSON_BODY_BYTES).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_answered_in_the_envelope() {
    let dir = tempfile::tempdir().unwrap();
    let (node, router) = host(dir.path()).await;
    let long = vec![b' '; limits::JSON_BODY_BYTES + 1];
    let limit = limits::JSON_BODY_BYTES.to_string();
    for (token, body, status, told) in [
        ("wrong", b"{\"all\":true}".to_vec(), StatusCode::UNAUTHORIZED, "api_token"),
        (TOKEN, b"{".to_vec(), StatusCode::BAD_REQUEST, "the body is"),
        (TOKEN, b"{}".to_vec(), StatusCode::BAD_REQUEST, "either `all` or some `hashes`"),
        (TOKEN, long, StatusCode::BAD_REQUEST, limit.as_str()),
    ] {
        let (answered, text) = verify(&router, token, body).await;
        let json: Json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no envelope: {text:?}"));
        assert_eq!((answered, &json["status"]), (status, &Json::from("error")), "{text}");
        assert!(json["error"].as_str().unwrap().contains(told), "{text}");
    }
    let (answered, text) = verify(&router, TOKEN, "{\"all\":true}").await;
    assert_eq!(answered, StatusCode::OK);
    assert!(text.ends_with("\"kind\":\"end\",\"missing\":0,\"sound\":0}\n"), "{text}");
    node.stop().await;
}
