//! Contents: headers, ranges, conditions, damage.

use axum::http::StatusCode;
use proptest::prelude::*;

use super::Face;
use crate::store::Presence;
use crate::store::Store;

#[tokio::test]
async fn a_content_comes_with_its_headers_and_head_gives_them_alone() {
    let face = Face::new();
    let hash = face.stored(b"0123456789").await;
    for method in ["GET", "HEAD"] {
        let answer = face.call(method, &format!("/asset/{hash}"), &[], "").await;
        assert_eq!(answer.status, StatusCode::OK);
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-length", "10"),
            ("etag", &format!("\"{hash}\"")),
            ("accept-ranges", "bytes"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox"),
            ("content-disposition", "inline; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
            ("content-range", ""),
            ("access-control-allow-origin", ""),
        ] {
            assert_eq!(answer.header(name), value, "{method} {name}");
        }
        assert_eq!(answer.body, if method == "GET" { "0123456789" } else { "" });
    }
}

#[tokio::test]
async fn conditions_and_ranges() {
    let face = Face::new();
    let hash = face.stored(b"0123456789").await;
    let path = format!("/asset/{hash}");
    let (tag, weak) = (format!("\"{hash}\""), format!("\"x\", W/\"{hash}\""));
    for (headers, status, range, body) in [
        (vec![("if-none-match", tag.as_str())], 304, "", ""),
        (vec![("if-none-match", &weak)], 304, "", ""),
        (vec![("if-none-match", "*")], 304, "", ""),
        (vec![("if-none-match", "\"x\"")], 200, "", "0123456789"),
        (vec![("range", "bytes=2-4")], 206, "bytes 2-4/10", "234"),
        (vec![("range", "bytes=8-")], 206, "bytes 8-9/10", "89"),
        (vec![("range", "bytes=-1")], 206, "bytes 9-9/10", "9"),
        (vec![("range", "bytes=0-1,3-4")], 200, "", "0123456789"),
        (vec![("range", "bytes=2-4"), ("if-range", &tag)], 206, "bytes 2-4/10", "234"),
        (vec![("range", "bytes=2-4"), ("if-range", "\"x\"")], 200, "", "0123456789"),
    ] {
        let answer = face.call("GET", &path, &headers, "").await;
        assert_eq!((answer.status.as_u16(), answer.header("content-range")), (status, range), "{headers:?}");
        assert_eq!(answer.body, body, "{headers:?}");
        assert_eq!(answer.header("etag"), tag);
    }
    let answer = face.call("GET", &path, &[("range", "bytes=10-")], "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-range")), (416, "bytes */10"));
    assert!(answer.error().contains("10 bytes"));
    let answer = face.call("HEAD", &path, &[("range", "bytes=2-4")], "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, "10"));
}

#[test]
fn ranges_are_slices() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let content: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    let face = Face::new();
    let hash = runtime.block_on(face.stored(&content));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    runner
        .run(&(0..content.len() + 10, 0..content.len() + 10), |(first, last)| {
            let range = format!("bytes={first}-{last}");
            let answer = runtime.block_on(face.call("GET", &format!("/asset/{hash}"), &[("range", &range)], ""));
            if first > last {
                prop_assert_eq!(answer.status.as_u16(), 200);
            } else if first >= content.len() {
                prop_assert_eq!(answer.status.as_u16(), 416);
            } else {
                prop_assert_eq!(answer.status.as_u16(), 206);
                prop_assert!(answer.body == content[first..=last.min(content.len() - 1)]);
                prop_assert_eq!(answer.header("content-length"), answer.body.len().to_string());
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn what_is_known_to_be_damaged_is_not_begun() {
    for method in ["GET", "HEAD"] {
        let face = Face::new();
        let hash = face.stored(b"a few bytes").await;
        let id = hash.parse().unwrap();
        assert!(face.store.damage(&id));
        let answer = face.call(method, &format!("/asset/{hash}"), &[], "").await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{method}");
        assert_eq!(face.store.record(&id).await.unwrap().unwrap().presence, Presence::Quarantined);
        let answer = face.call(method, &format!("/asset/{hash}"), &[], "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method}");
    }
}

#[tokio::test]
async fn a_damaged_content_breaks_off_and_is_gone_from_then_on() {
    let face = Face::new();
    let hash = face.stored(&vec![5; 600_000]).await;
    let id = hash.parse().unwrap();
    assert!(face.store.damage(&id));
    let request = axum::http::Request::builder().uri(format!("{}/asset/{hash}", super::PREFIX));
    let response = tower::ServiceExt::oneshot(face.router.clone(), request.body(axum::body::Body::empty()).unwrap());
    let body = response.await.unwrap().into_body();
    assert!(axum::body::to_bytes(body, usize::MAX).await.is_err(), "it never ends well");
    assert_eq!(face.store.record(&id).await.unwrap().unwrap().presence, Presence::Quarantined);
    for path in ["", "/meta"] {
        assert_eq!(face.get(&format!("/asset/{hash}{path}")).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(face.get("/list").await.data()["total"], 0);
}
