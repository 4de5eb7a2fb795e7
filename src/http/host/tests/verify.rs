//! `POST /verify`.

use axum::http::StatusCode;
use serde_json::Value as Json;

use super::Face;
use super::TOKEN;
use crate::limits;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_answered_in_the_envelope() {
    let dir = tempfile::tempdir().unwrap();
    let face = Face::start(dir.path(), false).await;
    let long = vec![b' '; limits::JSON_BODY_BYTES + 1];
    let limit = limits::JSON_BODY_BYTES.to_string();
    for (token, body, status, told) in [
        ("wrong", b"{\"all\":true}".to_vec(), StatusCode::UNAUTHORIZED, "api_token"),
        (TOKEN, b"{".to_vec(), StatusCode::BAD_REQUEST, "the body is"),
        (TOKEN, b"{}".to_vec(), StatusCode::BAD_REQUEST, "either `all` or some `hashes`"),
        (TOKEN, long, StatusCode::BAD_REQUEST, limit.as_str()),
    ] {
        let (answered, text) = face.call("POST", "/verify", Some(token), body).await;
        let json: Json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no envelope: {text:?}"));
        assert_eq!((answered, &json["status"]), (status, &Json::from("error")), "{text}");
        assert!(json["error"].as_str().unwrap().contains(told), "{text}");
    }
    let (answered, text) = face.call("POST", "/verify", Some(TOKEN), "{\"all\":true}").await;
    assert_eq!(answered, StatusCode::OK);
    assert!(text.ends_with("\"kind\":\"end\",\"missing\":0,\"sound\":0,\"unreadable\":0}\n"), "{text}");
    face.node.stop().await;
}
