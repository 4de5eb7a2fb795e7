//! The public part: ingest, listing, metadata.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::Value as Json;
use serde_json::json;

use super::Face;
use crate::asset::Changes;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::limits;
use crate::store::Store;

fn hash_of(timestamp: &Json, content: &[u8]) -> String {
    let mut verifier = Verifier::new(Timestamp::new(timestamp.as_u64().unwrap()).unwrap());
    verifier.update(content);
    verifier.id().to_string()
}

#[tokio::test]
async fn a_form_becomes_an_asset_whatever_the_order_of_its_parts() {
    let face = Face::new();
    let large = vec![7; 1_000_000];
    for (parts, content) in [
        (
            vec![
                ("tags", &b" sea, beach,,sea "[..]),
                ("file|x.png", b"content"),
                ("human_readable_path", b"a/b"),
                ("application", b"cam"),
                ("user", b"ann"),
                ("description", "gr\u{fc}n".as_bytes()),
                ("unknown", b"left out"),
            ],
            &b"content"[..],
        ),
        (
            vec![
                ("description", "gr\u{fc}n".as_bytes()),
                ("user", b"ann"),
                ("application", b"cam"),
                ("human_readable_path", b"a/b"),
                ("tags", b"beach,sea"),
                ("human_file_name", b"x.png"),
                ("file", &large),
            ],
            &large,
        ),
    ] {
        let data = face.ingest(&parts).await.data();
        assert_eq!(
            data,
            json!({
                "hash": hash_of(&data["timestamp"], content), "timestamp": data["timestamp"], "size": content.len(),
                "mime_type": "image/png", "human_file_name": "x.png", "human_readable_path": "a/b",
                "application": "cam", "user": "ann", "description": "gr\u{fc}n", "tags": ["beach", "sea"],
                "trashed": false,
            })
        );
        let hash = data["hash"].as_str().unwrap();
        assert_eq!(face.get(&format!("/asset/{hash}/meta")).await.data(), data);
        assert_eq!(face.get(&format!("/asset/{hash}")).await.body, content);
    }
}

#[tokio::test]
async fn what_is_not_given_is_null() {
    let face = Face::new();
    let data = face.ingest(&[("file", b""), ("user", b"")]).await.data();
    for field in ["human_file_name", "human_readable_path", "application", "user", "description"] {
        assert_eq!(data[field], Json::Null, "{field}");
    }
    assert_eq!((&data["size"], &data["tags"]), (&json!(0), &json!([])));
    assert_eq!(data["mime_type"], "application/octet-stream");
}

#[tokio::test]
async fn data_is_stored_exactly_as_it_was_sent() {
    let face = Face::new();
    for text in ["{\"b\" : 1.0,\n \"a\":[ ]}", "\"\\u00e9\"", "null", " 12 "] {
        let body = format!("{{\"tags\":\"a,b\",\"data\":{text},\"user\":\"ann\",\"other\":1}}");
        let data = face.call("POST", "/ingest/data", &[], body).await.data();
        assert_eq!((&data["mime_type"], &data["tags"]), (&json!("application/json"), &json!(["a", "b"])));
        assert_eq!(data["user"], "ann");
        let content = face.get(&format!("/asset/{}", data["hash"].as_str().unwrap())).await;
        assert_eq!(content.body, text.trim());
        assert_eq!(content.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn bad_requests_are_told_apart() {
    let face = Face::new();
    let hash = face.stored(b"x").await;
    let long = "x".repeat(limits::DESCRIPTION_BYTES + 1);
    let meta = format!("/asset/{hash}/meta");
    let form = [("content-type", "multipart/form-data; boundary=B")];
    let long_form = super::form(&[("file", b"x"), ("description", long.as_bytes())]);
    let huge_form = super::form(&[("description", &vec![b'x'; limits::DOCUMENT_BYTES + 1]), ("file", b"x")]);
    let many: Vec<_> = (0..=limits::MULTIPART_PARTS).map(|_| ("x", &b""[..])).collect();
    let mut endless = b"--B\r\nContent-Disposition: form-data; name=\"file\"\r\n".to_vec();
    endless.extend_from_slice(&vec![b'x'; 3 * 1024 * 1024]);
    let long_json = json!({ "data": 1, "description": long }).to_string();
    let tags: Vec<String> = (0..=limits::TAG_FIELDS).map(|n| n.to_string()).collect();
    let many_tags = json!({ "tags": tags }).to_string();
    let over = format!("{{\"data\":\"{}\"}}", "x".repeat(limits::JSON_BODY_BYTES));
    let none = "f".repeat(64);
    for (method, path, headers, body, status, part) in [
        ("POST", "/ingest", &[][..], Body::from("x"), 400, "boundary"),
        ("POST", "/ingest", &form, Body::from("x"), 400, "body could not be read"),
        ("POST", "/ingest", &form, super::form(&[("user", b"x")]).into(), 400, "no part named `file`"),
        ("POST", "/ingest", &form, super::form(&[("file", b"x"), ("file", b"y")]).into(), 400, "two parts"),
        ("POST", "/ingest", &form, super::form(&[("file", b"x"), ("user", b"\xff")]).into(), 400, "UTF-8"),
        ("POST", "/ingest", &form, super::form(&[("file", b"x")])[..50].to_vec().into(), 400, "body"),
        ("POST", "/ingest", &form, long_form.into(), 400, "65537 bytes, more than the limit of 65536"),
        ("POST", "/ingest", &form, huge_form.into(), 400, "the limit of 262144 bytes"),
        ("POST", "/ingest", &form, super::form(&many).into(), 400, "more than 64 parts"),
        ("POST", "/ingest", &form, endless.into(), 400, "between two parts"),
        ("POST", "/ingest/data", &[], Body::from("{}"), 400, "data"),
        ("POST", "/ingest/data", &[], Body::from("[]"), 400, "JSON"),
        ("POST", "/ingest/data", &[], Body::from("{\"data\":"), 400, "JSON"),
        ("POST", "/ingest/data", &[], long_json.into(), 400, "the limit of 65536"),
        ("POST", "/ingest/data", &[], over.into(), 400, "the limit of 16777216 bytes"),
        ("GET", "/list?limit=0", &[], Body::empty(), 400, "1 to 1000"),
        ("GET", "/list?limit=1001", &[], Body::empty(), 400, "1 to 1000"),
        ("GET", "/list?limit=x", &[], Body::empty(), 400, "limit"),
        ("GET", "/list?offset=-1", &[], Body::empty(), 400, "offset"),
        ("GET", "/list?offset=18446744073709551615", &[], Body::empty(), 400, "offset"),
        ("GET", "/list?order=up", &[], Body::empty(), 400, "order"),
        ("GET", "/list?trashed=maybe", &[], Body::empty(), 400, "trashed"),
        ("GET", "/list?cursor=17_x", &[], Body::empty(), 400, "cursor"),
        ("GET", "/list?limit=1&limit=2", &[], Body::empty(), 400, "limit"),
        ("GET", "/search?from=x", &[], Body::empty(), 400, "from"),
        ("GET", "/search?to=x", &[], Body::empty(), 400, "to"),
        ("GET", "/asset/xyz", &[], Body::empty(), 400, "64 hex characters"),
        ("GET", "/asset/xyz/meta", &[], Body::empty(), 400, "64 hex characters"),
        ("GET", "/asset/%ff", &[], Body::empty(), 400, "UTF-8"),
        ("PATCH", &meta, &[], Body::from("[]"), 400, "JSON object"),
        ("PATCH", &meta, &[], Body::from("{\"size\":1}"), 400, "cannot be changed"),
        ("PATCH", &meta, &[], Body::from("{\"user\":1}"), 400, "user must be a text"),
        ("PATCH", &meta, &[], Body::from("{\"tags\":1}"), 400, "tags must be"),
        ("PATCH", &meta, &[], Body::from("{\"tags\":[\"\"]}"), 400, "a tag is empty"),
        ("PATCH", &meta, &[], many_tags.into(), 400, "1025 tags, more than the limit of 1024"),
        ("GET", &format!("/asset/{none}"), &[], Body::empty(), 404, &none),
        ("HEAD", &format!("/asset/{none}"), &[], Body::empty(), 404, &none),
        ("GET", &format!("/asset/{none}/meta"), &[], Body::empty(), 404, &none),
        ("PATCH", &format!("/asset/{none}/meta"), &[], Body::from("{}"), 404, &none),
        ("DELETE", &format!("/asset/{none}"), &[], Body::empty(), 404, &none),
        ("POST", &format!("/asset/{none}/restore"), &[], Body::empty(), 404, &none),
        ("GET", "/nothing", &[], Body::empty(), 404, "nothing at this path"),
        ("GET", "", &[], Body::empty(), 404, "nothing at this path"),
        ("PUT", "/list", &[], Body::empty(), 405, "method"),
        ("GET", "/ingest", &[], Body::empty(), 405, "method"),
    ] {
        let answer = face.call(method, path, headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {part}");
        if method != "HEAD" {
            assert!(answer.error().contains(part), "{method} {path}: {}", answer.error());
        }
    }
    assert_eq!(face.get(&meta).await.data()["tags"], json!([]), "nothing was changed");
    assert_eq!(face.store.health().await.unwrap().assets, 1, "nothing was stored");
}

#[tokio::test]
async fn only_container_zero_is_there() {
    let face = Face::new();
    let request = axum::http::Request::builder().uri("/api/v1/can/1/list").body(Body::empty()).unwrap();
    assert_eq!(face.send(request).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn metadata_is_changed_field_by_field() {
    let face = Face::new();
    let hash = face.stored(b"x").await;
    let meta = format!("/asset/{hash}/meta");
    for (patch, expected) in [
        (json!({}), json!({ "human_file_name": "a.txt", "tags": [] })),
        (json!({ "user": "ann", "tags": ["a", "b"] }), json!({ "user": "ann", "tags": ["a", "b"] })),
        (json!({ "tags": "c, b" }), json!({ "user": "ann", "tags": ["b", "c"] })),
        (json!({ "add_tags": ["d"], "remove_tags": ["b"] }), json!({ "tags": ["c", "d"] })),
        (
            json!({ "user": null, "human_readable_path": "../x\u{0}" }),
            json!({ "user": null, "human_readable_path": "../x\u{0}" }),
        ),
        (json!({ "description": "", "mime_type": "text/x" }), json!({ "description": "", "mime_type": "text/x" })),
        (json!({ "tags": null }), json!({ "tags": [] })),
    ] {
        let data = face.call("PATCH", &meta, &[], patch.to_string()).await.data();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&data[field], value, "{patch}");
        }
        assert_eq!(face.get(&meta).await.data(), data);
    }
}

#[tokio::test]
async fn a_change_that_breaks_a_limit_as_a_whole_changes_nothing() {
    let face = Face::new();
    let hash = face.stored(b"x").await;
    let meta = format!("/asset/{hash}/meta");
    let tags: Vec<String> = (0..900).map(|n| format!("{n:0>250}")).collect();
    face.call("PATCH", &meta, &[], json!({ "tags": tags }).to_string()).await.error();
    assert_eq!(face.get(&meta).await.data()["tags"], json!([]));
}

#[tokio::test]
async fn what_hosts_have_made_too_large_together_can_be_made_smaller_and_be_trashed() {
    let face = Face::new();
    let hash = face.stored(b"x").await;
    let (path, meta) = (format!("/asset/{hash}"), format!("/asset/{hash}/meta"));
    let tags = (0..1000).map(|n| format!("{n:0>250}"));
    let merged = tags.fold(Changes::new(), |changes, tag| changes.add_tag(&tag));
    let edit = Box::new(move |document: &mut LocalDocument| document.see(&merged));
    face.store.edit(&hash.parse().unwrap(), edit).await.unwrap();

    face.call("PATCH", &meta, &[], r#"{"description":"more"}"#).await.error();
    for (method, path, trashed) in [("DELETE", path.clone(), true), ("POST", format!("{path}/restore"), false)] {
        assert_eq!(face.call(method, &path, &[], "").await.data()["trashed"], trashed);
    }
    let fewer = face.call("PATCH", &meta, &[], r#"{"tags":[]}"#).await.data();
    assert_eq!(fewer["tags"], json!([]));
}

#[tokio::test]
async fn the_trash_hides_from_lists_and_gives_back() {
    let face = Face::new();
    let hash = face.stored(b"x").await;
    let path = format!("/asset/{hash}");
    assert_eq!(face.call("DELETE", &path, &[], "").await.data()["trashed"], true);
    assert_eq!(face.get("/list").await.data()["total"], 0);
    assert_eq!(face.get("/list?trashed=true").await.data()["assets"][0]["hash"], json!(hash));
    assert_eq!(face.get(&path).await.body, "x", "it can still be read");
    assert_eq!(face.call("POST", &format!("{path}/restore"), &[], "").await.data()["trashed"], false);
    assert_eq!(face.get("/list").await.data()["total"], 1);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let face = Face::new();
    for n in 0..7_u8 {
        face.ingest(&[("file", &[n]), ("tags", if n % 2 == 0 { b"even" } else { b"odd" }), ("user", b"ann")]).await;
    }
    for order in ["newest", "oldest"] {
        let whole = face.get(&format!("/list?order={order}")).await.data();
        assert_eq!((&whole["total"], &whole["next"]), (&json!(7), &Json::Null));
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = face.get(&format!("/list?limit=3&order={order}&cursor={cursor}")).await.data();
            seen.extend(page["assets"].as_array().unwrap().clone());
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(Json::from(seen), whole["assets"]);
        let offset = face.get(&format!("/list?offset=5&order={order}")).await.data();
        assert_eq!(offset["assets"].as_array().unwrap()[..], whole["assets"].as_array().unwrap()[5..]);
    }
    for (query, total) in [
        ("tags=even", 4),
        ("tags=even,odd", 0),
        ("user=ann&tags=odd", 3),
        ("user=Ann", 0),
        ("application=x", 0),
        ("mime_type=application/", 7),
        ("q=EVEN", 4),
        ("from=1", 7),
        ("to=1", 0),
        ("tags=", 7),
        ("trashed=true", 0),
    ] {
        assert_eq!(face.get(&format!("/search?{query}")).await.data()["total"], total, "{query}");
    }
}
