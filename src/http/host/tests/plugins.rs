//! `/plugins`, with plugins and in safe mode.

use axum::http::StatusCode;
use serde_json::Value as Json;
use serde_json::json;

use super::Face;
use super::TOKEN;
use super::install;

async fn plugin(face: &Face) -> Json {
    let plugins = face.data("GET", "/plugins").await["plugins"].clone();
    assert_eq!(plugins.as_array().unwrap().len(), 1, "{plugins}");
    plugins[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_shown_switched_and_loaded_again() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path());
    let face = Face::start(dir.path(), false).await;
    face.ingest("private", "private").await;
    face.until_held(1).await;
    let shown = plugin(&face).await;
    for (field, value) in [
        ("name", json!("keep-private")),
        ("state", json!("loaded")),
        ("trouble", Json::Null),
        ("title", json!("keep-private")),
        ("hooks", json!(["before-push", "before-pull"])),
        ("order", json!(0)),
        ("grants", json!([])),
        ("libraries", Json::Null),
        ("on_failure", json!("hold")),
        ("breaker", json!({ "state": "closed", "rest_ms": 0 })),
        ("last_failure", Json::Null),
        ("calls", json!(1)),
        ("verdicts", json!({ "pass": 0, "drop": 0, "hold": 1, "edit": 0 })),
        ("held", json!(1)),
        ("failures", json!(0)),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(face.data("GET", "/status").await["plugins"][0]["held"], 1);

    for (action, state) in [("disable", "disabled"), ("enable", "loaded"), ("reload", "loaded")] {
        let answered = face.data("POST", &format!("/plugins/keep-private/{action}")).await;
        assert_eq!((&answered["name"], &answered["state"]), (&json!("keep-private"), &json!(state)), "{action}");
        assert_eq!(plugin(&face).await["state"], state);
    }
    let (none, method) = (StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED);
    for (verb, path, status, told) in [
        ("POST", "/plugins/keep/disable", none, "there is no plugin keep"),
        ("POST", "/plugins/..%2fkeep-private/enable", none, "there is no plugin ../keep-private"),
        ("POST", "/plugins/keep-private.wasm/reload", none, "there is no plugin"),
        ("GET", "/plugins/keep-private/enable", method, "method"),
        ("POST", "/plugins", method, "method"),
        ("POST", "/plugins/keep-private/explode", none, "nothing at this path"),
        ("GET", "/plugins/keep-private", none, "nothing at this path"),
    ] {
        let (answered, text) = face.refused(verb, path, Some(TOKEN)).await;
        assert_eq!(answered, status, "{verb} {path}: {text}");
        assert!(text.contains(told), "{verb} {path}: {text}");
    }
    face.node.stop().await;
}

/// A plugin that was active and is gone stops everything; switching it off in safe mode is the way out.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_missing_can_be_switched_off_in_safe_mode() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path());
    let face = Face::start(dir.path(), false).await;
    assert_eq!(plugin(&face).await["state"], "loaded");
    face.node.stop().await;
    drop(face);
    std::fs::remove_dir_all(dir.path().join("plugins")).unwrap();

    let face = Face::start(dir.path(), true).await;
    let shown = plugin(&face).await;
    assert_eq!((&shown["state"], &shown["hooks"]), (&json!("failing"), &json!(["before-push", "before-pull"])));
    assert_eq!(shown["trouble"], "the host runs in safe mode");
    assert_eq!(face.data("GET", "/status").await["libraries"][0]["exchange"], false);
    let (answered, text) = face.refused("POST", "/plugins/keep-private/reload", Some(TOKEN)).await;
    assert_eq!(answered, StatusCode::CONFLICT, "{text}");
    assert!(text.contains("--safe-mode"), "{text}");
    let (answered, text) = face.refused("POST", "/plugins/other/disable", Some(TOKEN)).await;
    assert_eq!(answered, StatusCode::NOT_FOUND, "{text}");
    for (action, state) in [("disable", "disabled"), ("enable", "failing"), ("disable", "disabled")] {
        let answered = face.data("POST", &format!("/plugins/keep-private/{action}")).await;
        assert_eq!(answered["state"], state, "{action}");
    }
    // Nothing flows all the same before the next start.
    assert_eq!(face.data("GET", "/status").await["libraries"][0]["exchange"], false);
    face.node.stop().await;
    drop(face);

    let face = Face::start(dir.path(), false).await;
    assert_eq!(plugin(&face).await["state"], "disabled");
    let private = face.ingest("private", "private").await;
    let explained = face.until(&format!("/explain/{private}"), |explained| explained["passes"] == true).await;
    assert_eq!(explained["decisions"], json!([]));
    face.node.stop().await;
    drop(face);

    // With nothing left to miss, safe mode stops nothing.
    let face = Face::start(dir.path(), true).await;
    assert_eq!(face.data("GET", "/status").await["libraries"][0]["exchange"], true);
    face.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_plugins_has_none_to_switch() {
    let dir = tempfile::tempdir().unwrap();
    for safe_mode in [false, true] {
        let face = Face::start(dir.path(), safe_mode).await;
        assert_eq!(face.data("GET", "/plugins").await, json!({ "plugins": [] }));
        let (answered, text) = face.refused("POST", "/plugins/keep-private/disable", Some(TOKEN)).await;
        assert_eq!(answered, StatusCode::NOT_FOUND, "{text}");
        face.node.stop().await;
    }
}
