//! The host API of a host that runs: every path, every status code.

mod events;
mod held;
mod metrics;
mod plugins;
mod verify;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use serde_json::Value as Json;
use serde_json::json;
use tower::ServiceExt;

use crate::auth::Phrase;
use crate::engine::RelayPolicy;
use crate::engine::Role;
use crate::http::Secret;
use crate::http::can;
use crate::library::Relay;
use crate::limits;
use crate::node::BrakeLimits;
use crate::node::DataFolder;
use crate::node::DiscoveryOptions;
use crate::node::Node;
use crate::node::Options;
use crate::node::PluginOptions;
use crate::node::StoreOptions;
use crate::plugin::Settings;

const TOKEN: &str = "the token";

/// Keeps back what is tagged `private`; in these tests it holds it instead.
const KEEP_PRIVATE: &[u8] = include_bytes!("../../../plugins/prebuilt/keep-private.wasm");

/// A host, and its APIs; nothing of them is served but what the test calls.
struct Face {
    node: Arc<Node>,
    host: Router,
    can: Router,
}

/// Puts the plugin into the folder of a host that is to start.
fn install(dir: &Path) {
    std::fs::create_dir_all(dir.join("plugins")).unwrap();
    std::fs::write(dir.join("plugins/keep-private.wasm"), KEEP_PRIVATE).unwrap();
}

impl Face {
    /// Starts a host in a folder.
    async fn start(dir: &Path, safe_mode: bool) -> Self {
        let holding = Settings { configuration: json!({ "answer": "hold" }), ..Settings::default() };
        let options = Options {
            folder: DataFolder::open(&dir.join("data")).unwrap(),
            store: StoreOptions::Embedded { storage_root: dir.join("store"), verify_interval: Duration::from_hours(1) },
            phrase: Some(Phrase::parse("a phrase of a test").unwrap()),
            role: Role::default(),
            relay_policy: RelayPolicy::default(),
            brake: BrakeLimits::default(),
            name: "test".to_owned(),
            bind_addr: Some("127.0.0.1:0".parse().unwrap()),
            relay: Relay::Off,
            poll_interval: Duration::from_hours(1),
            ticket_file: None,
            connect_ticket_file: None,
            discovery: DiscoveryOptions::default(),
            plugins: PluginOptions {
                folder: dir.join("plugins"),
                settings: Arc::new(move |_, _| Ok(holding.clone())),
                named: BTreeSet::new(),
                safe_mode,
            },
        };
        let node = Arc::new(Node::start(options).await.unwrap());
        let can = can::Options { store: node.store(), host: node.id(), sync_api_key: None };
        Self { host: super::router(Arc::clone(&node), Secret::new(TOKEN)), can: can::router(can), node }
    }

    async fn call(&self, method: &str, path: &str, token: Option<&str>, body: impl Into<Body>) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        answered(&self.host, request.body(body.into()).unwrap()).await
    }

    /// Asks for something, and returns the data of the answer.
    async fn data(&self, method: &str, path: &str) -> Json {
        let (status, text) = self.call(method, path, Some(TOKEN), "").await;
        let json: Json = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &json["status"]), (StatusCode::OK, &json!("success")), "{method} {path}: {text}");
        json["data"].clone()
    }

    /// Asks for something that is refused; returns the status and the text of the error.
    async fn refused(&self, method: &str, path: &str, token: Option<&str>) -> (StatusCode, String) {
        let (status, text) = self.call(method, path, token, "").await;
        let json: Json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: {status} {text:?}"));
        assert_eq!((&json["status"], json.as_object().unwrap().len()), (&json!("error"), 2), "{text}");
        (status, json["error"].as_str().unwrap().to_owned())
    }

    /// Ingests a content with tags, and returns its hash.
    async fn ingest(&self, content: &str, tags: &str) -> String {
        let part =
            |name: &str, value: &str| format!("--B\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n");
        let body = format!("{}{}--B--\r\n", part("tags", tags), part("\"file\"; filename=\"a\"", content));
        let request = Request::post(format!("{}/ingest", can::PREFIX));
        let request = request.header("content-type", "multipart/form-data; boundary=B").body(body.into()).unwrap();
        let (status, text) = answered(&self.can, request).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let json: Json = serde_json::from_str(&text).unwrap();
        json["data"]["hash"].as_str().unwrap().to_owned()
    }

    /// Waits until what a path answers is as wished, and returns it.
    async fn until(&self, path: &str, wished: impl Fn(&Json) -> bool) -> Json {
        let waiting = async {
            loop {
                let data = self.data("GET", path).await;
                if wished(&data) {
                    return data;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), waiting).await;
        waited.unwrap_or_else(|_| panic!("{path} does not become as wished"))
    }

    /// Waits until so many assets are held.
    async fn until_held(&self, count: usize) -> Json {
        self.until("/held", |held| held["assets"].as_array().unwrap().len() == count).await
    }
}

async fn answered(router: &Router, request: Request<Body>) -> (StatusCode, String) {
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), limits::JSON_BODY_BYTES).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
