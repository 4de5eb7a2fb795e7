//! `GET /metrics`, read as a scraper reads it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Request;
use axum::http::StatusCode;
use tower::ServiceExt;

use super::Face;
use super::TOKEN;
use super::install;
use crate::asset::HostId;
use crate::engine::Condition;
use crate::engine::Flow;
use crate::engine::PeerSettings;
use crate::engine::PeerStatus;
use crate::engine::Role;
use crate::engine::Trust;
use crate::http::host::exposition::Exposition;
use crate::http::host::metrics::peers;

type Labels = BTreeMap<String, String>;

/// Reads every line, and panics at one that is not of the format.
fn parsed(text: &str) -> BTreeMap<(String, Labels), f64> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut families, mut label_sets) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (family, help) =
            line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("{line:?}")).split_once(' ').unwrap();
        assert!(is_name(family) && help.ends_with('.') && !help.contains('\\'), "{line:?}");
        assert!(families.insert(family.to_owned()), "{family} is there twice");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {family} ")).unwrap();
        assert_eq!(kind == "counter", family.ends_with("_total"), "{family} is a {kind}");
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (name, labels, value) = sample(line);
            match kind {
                "gauge" | "counter" => assert_eq!(name, family),
                "summary" => assert!(
                    [family, &format!("{family}_sum"), &format!("{family}_count")].contains(&name.as_str()),
                    "{line:?}"
                ),
                other => panic!("{other}"),
            }
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
            assert!(value.is_finite() && value >= 0.0, "{line:?}");
            let keys: Vec<String> = labels.keys().cloned().collect();
            assert_eq!(label_sets.entry(name.clone()).or_insert_with(|| keys.clone()), &keys, "{line:?}");
            assert!(samples.insert((name, labels), value).is_none(), "{line:?} is there twice");
        }
    }
    samples
}

fn is_name(name: &str) -> bool {
    name.starts_with("can_sync_") && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Reads one sample: its name, its labels, and its value.
fn sample(line: &str) -> (String, Labels, &str) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line:?}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line:?}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            rest = rest.strip_prefix(',').unwrap_or(rest);
            let (label, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line:?}"));
            assert!(!label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase()), "{line:?}");
            let (mut value, mut chars) = (String::new(), behind.char_indices());
            rest = loop {
                match chars.next().unwrap_or_else(|| panic!("{line:?}")) {
                    (at, '"') => break &behind[at + 1..],
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("\\{c} in {line:?}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line:?}");
        }
        rest = &rest[1..];
    }
    (name.to_owned(), labels, rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scraper_reads_every_line_and_the_numbers_are_those_of_the_status() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path());
    let face = Face::start(dir.path(), false).await;
    let mut hashes = vec![face.ingest("open", "x").await];
    for n in 0..3 {
        hashes.push(face.ingest(&format!("private {n}"), "private").await);
    }
    face.until_held(3).await;
    face.until("/status", |status| status["libraries"][0]["count"] == 1).await;
    let request = Request::get("/metrics").header("authorization", format!("Bearer {TOKEN}"));
    let answer = face.host.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(!hashes.iter().any(|hash| text.contains(hash.as_str())), "{text}");
    let samples = parsed(&text);
    let plugin = ("plugin", "keep-private");
    for (name, labels, value) in [
        ("can_sync_store_healthy", &[][..], 1.0),
        ("can_sync_store_assets", &[], 4.0),
        ("can_sync_store_bytes", &[], 31.0),
        ("can_sync_peers_connected", &[], 0.0),
        ("can_sync_held_assets", &[], 3.0),
        ("can_sync_declined_assets", &[], 0.0),
        ("can_sync_refused_connections_total", &[], 0.0),
        ("can_sync_library_assets", &[("library", "mirror")], 1.0),
        ("can_sync_library_in_sync", &[("library", "mirror")], 0.0),
        ("can_sync_library_exchange", &[("library", "mirror")], 1.0),
        ("can_sync_plugin_state", &[plugin, ("state", "loaded")], 1.0),
        ("can_sync_plugin_state", &[plugin, ("state", "failing")], 0.0),
        ("can_sync_plugin_breaker", &[plugin, ("state", "closed")], 1.0),
        ("can_sync_plugin_calls_total", &[plugin, ("hook", "before-push")], 4.0),
        ("can_sync_plugin_calls_total", &[plugin, ("hook", "after-receive")], 0.0),
        ("can_sync_plugin_verdicts_total", &[plugin, ("verdict", "pass")], 1.0),
        ("can_sync_plugin_verdicts_total", &[plugin, ("verdict", "hold")], 3.0),
        ("can_sync_plugin_call_seconds_count", &[plugin], 4.0),
        ("can_sync_plugin_failures_total", &[plugin], 0.0),
        ("can_sync_plugin_held_assets", &[plugin], 3.0),
        ("can_sync_plugin_memory_limit_bytes", &[plugin], 67_108_864.0),
    ] {
        let labels: Labels = labels.iter().map(|(label, of)| ((*label).to_owned(), (*of).to_owned())).collect();
        assert_eq!(samples.get(&(name.to_owned(), labels)), Some(&value), "{name}:\n{text}");
    }
    let median = [("plugin", "keep-private"), ("quantile", "0.5")].map(|(label, of)| (label.to_owned(), of.to_owned()));
    let median = samples[&("can_sync_plugin_call_seconds".to_owned(), Labels::from(median))];
    assert!(median > 0.0 && median <= samples[&sum()], "{text}");
    face.node.stop().await;
}

fn sum() -> (String, Labels) {
    let labels = [("plugin".to_owned(), "keep-private".to_owned())].into();
    ("can_sync_plugin_call_seconds_sum".to_owned(), labels)
}

#[test]
fn a_peer_may_call_itself_anything() {
    let peer = |n: u8, name: &str, connected| PeerStatus {
        id: HostId::from_bytes([n; 32]),
        name: name.to_owned(),
        kind: "linux".to_owned(),
        version: "0.1.0".to_owned(),
        condition: if connected { Condition::Connected } else { Condition::Disconnected { why: None } },
        trust: Trust::Secret,
        settings: PeerSettings::default(),
        role: connected.then_some(Role::Mirror),
        flow: Flow::between(Role::Mirror, Role::Mirror),
        addresses: Vec::new(),
        relay: None,
        first_seen_ms: 1,
        connected,
        dialled: connected.then_some(true),
        unreached: None,
        trouble: None,
        direct: connected.then_some(true),
        rtt: connected.then_some(Duration::from_micros(250)),
        clock_ahead_ms: None,
        keeps_everything: None,
        in_sync: connected,
        kept: (3, 4),
        bytes_in: 5,
        bytes_out: 6,
        last_seen_ms: 1_700_000_000_999,
    };
    let bad = "a\"} 1\n# TYPE b\\ \"";
    let mut text = Exposition::default();
    peers(&mut text, &[peer(1, bad, true), peer(2, "b", false)]);
    let text = text.into_text();
    let samples = parsed(&text);
    let of = |name: &str, n: u8| {
        let labels = [("peer".to_owned(), HostId::from_bytes([n; 32]).to_string())].into();
        samples.get(&(name.to_owned(), labels)).copied()
    };
    assert_eq!((of("can_sync_peer_in_sync", 1), of("can_sync_peer_in_sync", 2)), (Some(1.0), Some(0.0)), "{text}");
    assert_eq!(of("can_sync_peer_round_trip_seconds", 1), Some(0.000_25));
    assert_eq!(of("can_sync_peer_round_trip_seconds", 2), None);
    assert_eq!(of("can_sync_peer_last_seen_timestamp_seconds", 1), Some(1_700_000_000.0));
    assert!(samples.keys().any(|(name, labels)| name == "can_sync_peer_info" && labels["name"] == bad), "{text}");
}
