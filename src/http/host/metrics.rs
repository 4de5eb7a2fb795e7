//! `GET /metrics`: what `GET /status` tells in numbers, for Prometheus.
//!
//! The labels of a family are always the same, and name libraries, peers and plugins: never an asset.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;

use super::Api;
use super::exposition::CONTENT_TYPE;
use super::exposition::Exposition;
use super::exposition::Family;
use super::exposition::Kind::Counter;
use super::exposition::Kind::Gauge;
use super::exposition::Kind::Summary;
use super::plugins;
use crate::engine::LibraryStatus;
use crate::engine::PeerStatus;
use crate::http::Failure;
use crate::node::NodeStatus;
use crate::plugin::PluginStatus;

pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Failure> {
    let status = api.node.status().await.map_err(|error| Failure::internal(&error))?;
    let mut text = Exposition::default();
    host(&mut text, &status);
    library(&mut text, &status.replication.library);
    peers(&mut text, &status.replication.peers);
    of_plugins(&mut text, &api.node.plugins(), &status.replication.held_by);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text.into_text()).into_response())
}

fn host(text: &mut Exposition, status: &NodeStatus) {
    let (id, store, replication) = (status.id.to_string(), &status.store, &status.replication);
    let labels = [("host", id.as_str()), ("name", &status.name), ("version", status.version), ("store", store.kind)];
    text.family("can_sync_info", Gauge, "Which host this is; always 1.").sample(&labels, 1);
    text.single("can_sync_uptime_seconds", Gauge, "Time since it started.", status.uptime.as_secs());
    let healthy = u8::from(store.trouble.is_none());
    text.single("can_sync_store_healthy", Gauge, "Whether the store knows of no trouble.", healthy);
    text.single("can_sync_store_assets", Gauge, "Assets whose content is here, trashed ones too.", store.assets);
    text.single("can_sync_store_bytes", Gauge, "Bytes of their contents.", store.bytes);
    text.single("can_sync_store_missing_assets", Gauge, "Assets whose content is missing or damaged.", store.missing);
    let connected = replication.peers.iter().filter(|peer| peer.connected).count();
    text.single("can_sync_peers_connected", Gauge, "Peers that are connected.", connected);
    let transfers = replication.transfers.len();
    text.single("can_sync_transfers", Gauge, "Contents above 64 KiB that are being received.", transfers);
    text.single("can_sync_held_assets", Gauge, "Assets that wait for a decision.", replication.held);
    text.single("can_sync_declined_assets", Gauge, "Assets that are kept back or declined.", replication.declined);
    let help = "Connections without proof of membership since the start.";
    text.single("can_sync_refused_connections_total", Counter, help, replication.refused);
}

fn library(text: &mut Exposition, library: &LibraryStatus) {
    let label = [("library", library.name.as_str())];
    let mut one = |name, help, value: u64| text.family(name, Gauge, help).sample(&label, value);
    one("can_sync_library_assets", "Assets of the set that is passed on.", library.summary.count);
    one(
        "can_sync_library_in_sync",
        "Whether a peer is connected, and all are in sync, and nothing is hidden behind them.",
        library.in_sync.into(),
    );
    one("can_sync_library_wanted_assets", "Assets that are wanted and not stored yet.", library.behind);
    one("can_sync_library_exchange", "Whether anything is exchanged.", library.exchange.into());
    let (judged, of) = library.review.as_ref().map_or((0, 0), |review| (review.judged, review.of));
    one("can_sync_library_review_assets", "Assets to judge again since plugins have changed.", of);
    one("can_sync_library_review_judged_assets", "Those of them that were judged.", judged);
}

pub(super) fn peers(text: &mut Exposition, peers: &[PeerStatus]) {
    let ids: Vec<String> = peers.iter().map(|peer| peer.id.to_string()).collect();
    let of = || ids.iter().map(String::as_str).zip(peers);
    let mut family = text.family("can_sync_peer_info", Gauge, "What a peer calls itself; always 1.");
    of().for_each(|(id, peer)| family.sample(&[("peer", id), ("name", &peer.name)], 1));
    let mut each = |name, kind, help, value: &dyn Fn(&PeerStatus) -> u64| {
        let mut family = text.family(name, kind, help);
        of().for_each(|(id, peer)| family.sample(&[("peer", id)], value(peer)));
    };
    each("can_sync_peer_connected", Gauge, "Whether it is connected.", &|peer| peer.connected.into());
    each("can_sync_peer_in_sync", Gauge, "Whether both sets are equal and all is quiet.", &|peer| peer.in_sync.into());
    each("can_sync_peer_kept_assets", Gauge, "Assets that it says it has stored.", &|peer| peer.kept.0);
    each("can_sync_peer_set_assets", Gauge, "Assets of the set towards it.", &|peer| peer.kept.1);
    let help = "Bytes received: packets of the present control connection, and contents since the start.";
    each("can_sync_peer_received_bytes_total", Counter, help, &|peer| peer.bytes_in);
    each("can_sync_peer_sent_bytes_total", Counter, "Bytes sent, counted the same way.", &|peer| peer.bytes_out);
    let help = "When it last connected, Unix time.";
    each("can_sync_peer_last_seen_timestamp_seconds", Gauge, help, &|peer| peer.last_seen_ms / 1000);
    let mut family =
        text.family("can_sync_peer_round_trip_seconds", Gauge, "Round-trip time; of connected peers only.");
    for (id, peer) in of() {
        peer.rtt.into_iter().for_each(|rtt| family.sample(&[("peer", id)], rtt.as_secs_f64()));
    }
}

fn of_plugins(text: &mut Exposition, all: &[PluginStatus], held_by: &BTreeMap<String, u64>) {
    let mut each = |name, kind, help, samples: &dyn Fn(&mut Family<'_>, &PluginStatus)| {
        let mut family = text.family(name, kind, help);
        all.iter().for_each(|plugin| samples(&mut family, plugin));
    };
    each("can_sync_plugin_state", Gauge, "1 for the state it is in.", &|family, plugin| {
        one_of(family, plugin, &plugins::STATES, plugins::named(plugin.state()));
    });
    each("can_sync_plugin_breaker", Gauge, "1 for the state that its breaker is in.", &|family, plugin| {
        one_of(family, plugin, &plugins::BREAKERS, plugins::breaker(&plugin.breaker));
    });
    each("can_sync_plugin_calls_total", Counter, "How often it was asked.", &|family, plugin| {
        let of = &plugin.figures;
        let calls =
            [("before-push", of.before_push), ("before-pull", of.before_pull), ("after-receive", of.after_receive)];
        calls.into_iter().for_each(|(hook, count)| family.sample(&[("plugin", &plugin.name), ("hook", hook)], count));
    });
    each("can_sync_plugin_verdicts_total", Counter, "What it answered.", &|family, plugin| {
        let of = &plugin.figures;
        let verdicts = [("pass", of.passed), ("drop", of.dropped), ("hold", of.held), ("edit", of.edited)];
        for (verdict, count) in verdicts {
            family.sample(&[("plugin", &plugin.name), ("verdict", verdict)], count);
        }
    });
    each("can_sync_plugin_call_seconds", Summary, "How long calls took, since the start.", &|family, plugin| {
        let of = &plugin.figures;
        for (quantile, micros) in [("0.5", of.p50_us), ("0.95", of.p95_us), ("0.99", of.p99_us)] {
            family.sample(&[("plugin", &plugin.name), ("quantile", quantile)], micros / 1e6);
        }
        family.part("_sum", &[("plugin", &plugin.name)], of.took.as_secs_f64());
        family.part("_count", &[("plugin", &plugin.name)], of.calls);
    });
    let mut number = |name, kind, help, value: &dyn Fn(&PluginStatus) -> u64| {
        each(name, kind, help, &|family, plugin| family.sample(&[("plugin", &plugin.name)], value(plugin)));
    };
    let failures = "Calls that failed, whyever; then its policy answered.";
    number("can_sync_plugin_failures_total", Counter, failures, &|plugin| plugin.figures.failures);
    number("can_sync_plugin_traps_total", Counter, "Failures by a trap.", &|plugin| plugin.figures.traps);
    number("can_sync_plugin_timeouts_total", Counter, "Failures at the deadline.", &|plugin| plugin.figures.timeouts);
    let held = |plugin: &PluginStatus| held_by.get(&plugin.name).copied().unwrap_or_default();
    number("can_sync_plugin_held_assets", Gauge, "Assets that wait for it.", &held);
    let memory = |plugin: &PluginStatus| plugin.used.memory_bytes as u64;
    number("can_sync_plugin_memory_bytes", Gauge, "The most memory that an instance has had.", &memory);
    let limit = |plugin: &PluginStatus| plugin.settings.limits.memory_bytes as u64;
    number("can_sync_plugin_memory_limit_bytes", Gauge, "What an instance may have.", &limit);
    number("can_sync_plugin_state_bytes", Gauge, "What it keeps.", &|plugin| plugin.used.state_bytes as u64);
    let limit = |plugin: &PluginStatus| plugin.settings.limits.state_bytes as u64;
    number("can_sync_plugin_state_limit_bytes", Gauge, "What it may keep.", &limit);
    let help = "Lines of its log that were left out.";
    number("can_sync_plugin_log_lines_left_out_total", Counter, help, &|plugin| plugin.lines_left_out);
}

/// Adds a sample per state, which is 1 for the one it is in.
fn one_of(family: &mut Family<'_>, plugin: &PluginStatus, states: &[&str], present: &str) {
    for state in states {
        family.sample(&[("plugin", &plugin.name), ("state", state)], u8::from(*state == present));
    }
}
