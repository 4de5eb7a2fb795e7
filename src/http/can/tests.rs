//! The API over a store in memory: every path, every status code.

mod contents;
mod guarded;
mod public;
mod refused;
mod streams;
mod sync;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::Request;
use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::Value as Json;
use tower::ServiceExt;

use super::Options;
use super::PREFIX;
use super::router;
use crate::asset::HostId;
use crate::http::Secret;
use crate::store::memory::MemoryStore;

const KEY: &str = "the sync key";

/// The API of one store.
struct Face {
    router: Router,
    store: Arc<MemoryStore>,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Face {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new().unwrap());
        let options = Options {
            store: Arc::clone(&store) as _,
            host: HostId::from_bytes([3; 32]),
            sync_api_key: Some(Secret::new(KEY)),
        };
        Self { router: router(options), store }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Calls a path; one that begins with `/sync` shows the key.
    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method);
        request = if path.starts_with("/sync") {
            request.uri(path).header("x-sync-key", KEY)
        } else {
            request.uri(format!("{PREFIX}{path}"))
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    /// Ingests a form; a part named `file` has a file name behind a `|`.
    async fn ingest(&self, parts: &[(&str, &[u8])]) -> Answer {
        let headers = [("content-type", "multipart/form-data; boundary=B")];
        self.call("POST", "/ingest", &headers, form(parts)).await
    }

    /// Ingests a content and returns its hash.
    async fn stored(&self, content: &[u8]) -> String {
        let answer = self.ingest(&[("file|a.txt", content)]).await;
        answer.data()["hash"].as_str().unwrap().to_owned()
    }
}

impl Answer {
    /// The data of a success.
    fn data(&self) -> Json {
        let json: Json = serde_json::from_slice(&self.body).unwrap();
        assert_eq!((self.status, &json["status"]), (StatusCode::OK, &Json::from("success")), "{json}");
        json["data"].clone()
    }

    /// The text of an error.
    fn error(&self) -> String {
        let json: Json = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} without an envelope: {:?}", self.status, self.body));
        assert_eq!(json["status"], "error", "{json}");
        assert_eq!(json.as_object().unwrap().len(), 2);
        json["error"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parts {
        let (name, file) = name.split_once('|').map_or((*name, None), |(name, file)| (name, Some(file)));
        let file = file.map_or(String::new(), |file| format!("; filename=\"{file}\""));
        body.extend_from_slice(
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    body
}
