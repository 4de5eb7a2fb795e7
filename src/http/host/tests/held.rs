//! `/held`, `/declined` and `/explain`.

use axum::http::StatusCode;
use serde_json::json;

use super::Face;
use super::TOKEN;
use super::install;
use crate::limits;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_is_listed_page_by_page_and_decided_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path());
    let face = Face::start(dir.path(), false).await;
    let open = face.ingest("open", "x").await;
    let mut private = Vec::new();
    for n in 0..3 {
        private.push(face.ingest(&format!("private {n}"), "private").await);
    }
    let all = face.until_held(3).await;
    assert!(all["next"].is_null(), "{all}");
    let first = &all["assets"][0];
    for (field, value) in [
        ("size", json!(9)),
        ("way", json!("push")),
        ("point", json!("before-push")),
        ("decision", json!("hold")),
        ("by", json!("keep-private")),
        ("reason", json!("the tag private is kept back")),
        ("standing", json!("firm")),
    ] {
        assert_eq!(first[field], value, "{first}");
    }
    let hashes = |page: &serde_json::Value| -> Vec<String> {
        page["assets"].as_array().unwrap().iter().map(|asset| asset["hash"].as_str().unwrap().to_owned()).collect()
    };
    let page = face.data("GET", "/held?limit=2").await;
    let next = page["next"].as_str().unwrap();
    let last = face.data("GET", &format!("/held?limit=2&cursor={next}")).await;
    assert!(last["next"].is_null(), "{last}");
    let mut listed = [hashes(&page), hashes(&last)].concat();
    assert_eq!(listed, hashes(&all));
    listed.sort();
    private.sort();
    assert_eq!(listed, private);
    assert_eq!(face.data("GET", "/declined").await, json!({ "assets": [], "next": null }));

    let explained = face.data("GET", &format!("/explain/{}", private[0])).await;
    assert_eq!((&explained["hash"], &explained["passes"]), (&json!(private[0]), &json!(false)), "{explained}");
    assert_eq!(explained["decisions"][0]["decision"], "hold");
    assert_eq!(explained["verdicts"][0]["steps"][0]["plugin"], "keep-private");
    assert_eq!(face.data("GET", &format!("/explain/{open}")).await["passes"], true);

    // Doing it twice is doing it once.
    for _ in 0..2 {
        let released = face.data("POST", &format!("/held/{}/release", private[0])).await;
        assert_eq!(released, json!({ "hash": private[0], "done": "released" }));
        let dropped = face.data("POST", &format!("/held/{}/drop", private[1])).await;
        assert_eq!(dropped, json!({ "hash": private[1], "done": "dropped" }));
    }
    assert_eq!(hashes(&face.until_held(1).await), [private[2].as_str()]);
    let declined = face.data("GET", "/declined").await;
    assert_eq!(hashes(&declined), [private[1].as_str()]);
    assert_eq!((&declined["assets"][0]["by"], &declined["assets"][0]["decision"]), (&json!("hand"), &json!("drop")));
    let explained = face.data("GET", &format!("/explain/{}", private[0])).await;
    assert_eq!((&explained["passes"], &explained["decisions"][0]["decision"]), (&json!(true), &json!("pass")));

    // Asked again, the plugin says what it said.
    let replayed = face.data("POST", &format!("/held/{}/replay", private[1])).await;
    assert_eq!(replayed, json!({ "hash": private[1], "done": "replayed" }));
    face.until_held(2).await;
    let (answered, text) = face.call("POST", "/held/replay", Some(TOKEN), "").await;
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let progress = |done| json!({ "kind": "progress", "done": done, "total": 2 });
    assert_eq!(answered, StatusCode::OK, "{text}");
    assert_eq!(lines, [progress(0), progress(2), json!({ "kind": "end", "replayed": 2 })]);
    face.until_held(2).await;
    face.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path());
    let face = Face::start(dir.path(), false).await;
    let open = face.ingest("open", "x").await;
    face.until(&format!("/explain/{open}"), |explained| explained["passes"] == true).await;
    let unknown = "ab".repeat(32);
    let (bad, none, method) = (StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED);
    let too_many = format!("/held?limit={}", limits::PAGE_ROWS + 1);
    for (verb, path, status, told) in [
        ("GET", "/held?limit=0".to_owned(), bad, "limit is \"0\"; it must be 1 to 1000"),
        ("GET", too_many, bad, "limit is \"1001\"; it must be 1 to 1000"),
        ("GET", "/declined?limit=-1".to_owned(), bad, "limit is \"-1\""),
        ("GET", "/declined?limit=many".to_owned(), bad, "limit is \"many\""),
        ("GET", "/held?page=2".to_owned(), bad, "unknown field `page`"),
        ("GET", "/held?cursor=".to_owned(), bad, "`cursor` is the `next` of a page before"),
        ("GET", format!("/held?cursor=1-{unknown}-sideways"), bad, "`cursor`"),
        ("GET", format!("/held?cursor=1-{unknown}-push-x"), bad, "`cursor`"),
        ("GET", format!("/declined?cursor=x-{unknown}-push"), bad, "`cursor`"),
        ("POST", "/held".to_owned(), method, "method"),
        ("GET", format!("/held/{open}/release"), method, "method"),
        ("DELETE", format!("/explain/{open}"), method, "method"),
        ("POST", "/held/zz/release".to_owned(), bad, "64"),
        ("POST", "/held/%ff/release".to_owned(), bad, "UTF-8"),
        ("GET", "/explain/%ff".to_owned(), bad, "UTF-8"),
        ("GET", "/peers/%ff".to_owned(), bad, "UTF-8"),
        ("POST", "/plugins/%ff/enable".to_owned(), bad, "UTF-8"),
        ("POST", "/held/zz/drop".to_owned(), bad, "64"),
        ("POST", "/held/zz/replay".to_owned(), bad, "64"),
        ("GET", format!("/explain/{}", "AB".repeat(31)), bad, "64"),
        ("POST", format!("/held/{unknown}/release"), none, "is not in the store"),
        ("POST", format!("/held/{unknown}/drop"), none, "is not in the store"),
        ("POST", format!("/held/{unknown}/replay"), none, "is not in the store"),
        ("GET", format!("/explain/{unknown}"), none, unknown.as_str()),
        ("POST", format!("/held/{open}/release"), StatusCode::CONFLICT, "neither held nor declined"),
        ("POST", format!("/held/{open}/drop"), StatusCode::CONFLICT, "neither held nor declined"),
        ("POST", "/purge/zz".to_owned(), bad, "64"),
        ("POST", format!("/purge/{unknown}"), none, "is not in the store"),
        ("POST", format!("/purge/{open}"), StatusCode::CONFLICT, "may be its last copy"),
        ("POST", format!("/held/{open}/burn"), none, "nothing at this path"),
    ] {
        let (answered, text) = face.refused(verb, &path, Some(TOKEN)).await;
        assert_eq!(answered, status, "{verb} {path}: {text}");
        assert!(text.contains(told), "{verb} {path}: {text}");
    }
    for (verb, path) in [
        ("GET", "/held"),
        ("GET", "/declined"),
        ("GET", &format!("/explain/{open}")),
        ("POST", "/held/replay"),
        ("POST", &format!("/held/{open}/release")),
        ("POST", &format!("/held/{open}/drop")),
        ("POST", &format!("/held/{open}/replay")),
        ("POST", &format!("/purge/{open}")),
        ("GET", "/plugins"),
        ("POST", "/plugins/keep-private/disable"),
        ("GET", "/metrics"),
    ] {
        for token in [None, Some(""), Some("the toke"), Some("the token2")] {
            let (answered, text) = face.refused(verb, path, token).await;
            assert_eq!(answered, StatusCode::UNAUTHORIZED, "{verb} {path}: {text}");
            assert!(text.contains("api_token"), "{text}");
        }
    }
    assert_eq!(face.data("GET", "/plugins").await["plugins"][0]["state"], "loaded");
    face.node.stop().await;
}
