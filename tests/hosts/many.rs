//! Many hosts that know next to nothing of each other but the secret.

use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use super::host::Host;
use super::host::Place;
use super::loopback_relay::LoopbackRelay;

/// What a host shows of itself, as far as it matters here.
struct Shown {
    count: u64,
    fingerprint: Value,
    in_sync: bool,
    connected: usize,
}

async fn shown(host: &Host) -> Shown {
    let status = host.status().await;
    let library = &status["libraries"][0];
    let peers = status["peers"].as_array().unwrap();
    Shown {
        count: library["count"].as_u64().unwrap(),
        fingerprint: library["fingerprint"].clone(),
        in_sync: library["in_sync"] == true,
        connected: peers.iter().filter(|peer| peer["connected"] == true).count(),
    }
}

/// How hosts learn of the first others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// At a pkarr relay, from the secret.
    Relay,
    /// Each has the ticket of the first one, and hears of the others in gossip only.
    FirstTicket,
}

/// Starts hosts, each with an asset of its own, and waits until all are equal and each is linked to so many others.
/// Prints how long it took from the start of the last one.
async fn meet(count: usize, by: By, linked: std::ops::RangeInclusive<usize>) {
    let dir = tempfile::tempdir().unwrap();
    drop(rustls::crypto::ring::default_provider().install_default());
    let relay = LoopbackRelay::start().await.unwrap();
    let began = Instant::now();
    let mut hosts: Vec<Host> = Vec::new();
    for n in 0..count {
        let place = Place::new(dir.path(), &n.to_string());
        let place = match by {
            By::Relay => place.with("pkarr_relays", &format!("[{}]", relay.url())),
            By::FirstTicket if n > 0 => place.connecting_to(&Place::new(dir.path(), "0")),
            By::FirstTicket => place,
        };
        hosts.push(tokio::task::spawn_blocking(move || place.start()).await.unwrap());
    }
    let last = Instant::now();
    for (n, host) in hosts.iter().enumerate() {
        host.ingest(&format!("{n}.txt"), format!("from host {n}").into_bytes()).await;
    }
    let mut links = Vec::new();
    let mut equal_after = None;
    let done = async {
        loop {
            links.clear();
            let first = shown(&hosts[0]).await;
            let mut equal = true;
            for host in &hosts {
                let shown = shown(host).await;
                equal &= shown.count == count as u64 && shown.fingerprint == first.fingerprint && shown.in_sync;
                links.push(shown.connected);
            }
            equal_after = equal_after.or(equal.then(|| last.elapsed()));
            if equal && links.iter().all(|links| linked.contains(links)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(240), done).await.is_ok();
    links.sort_unstable();
    eprintln!(
        "{count} hosts by {by:?}, started within {:.1} s: equal {:.1} s and linked {:.1} s after the last one; links {links:?}; \
         relay asked {:?}",
        last.duration_since(began).as_secs_f64(),
        equal_after.map_or(f64::NAN, |after| after.as_secs_f64()),
        last.elapsed().as_secs_f64(),
        relay.asked(),
    );
    assert!(in_time, "{}", hosts[0].said());
    for host in hosts {
        assert_eq!(host.terminate().code(), Some(0));
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_know_only_the_secret_are_all_linked_to_each_other() {
    meet(6, By::Relay, 5..=5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_know_only_the_first_are_all_linked_to_each_other() {
    meet(6, By::FirstTicket, 5..=5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_hosts_that_know_only_the_secret_are_linked_to_enough_others_and_become_equal() {
    meet(20, By::Relay, 5..=16).await;
}
