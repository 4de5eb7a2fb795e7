//! Hosts that meet over an iroh relay on loopback.

use std::time::Duration;

use iroh_relay::server::RelayConfig;
use iroh_relay::server::Server;
use iroh_relay::server::ServerConfig;

use super::host::Host;
use super::host::in_sync;
use super::host::within;
use crate::engine::RateLimit;
use crate::library::RelayPolicy;
use crate::library::Ticket;
use crate::limits;
use crate::net::Purpose;
use crate::store::Store as _;

/// A relay that speaks plain HTTP.
async fn relay() -> (Server, String) {
    let mut config = ServerConfig::default();
    config.relay = Some(RelayConfig::new("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap()));
    let server = Server::spawn(config).await.unwrap();
    let url = format!("http://{}", server.http_addr().unwrap());
    (server, url)
}

async fn behind(seed: u8, url: &str, policy: RelayPolicy, blocked: bool) -> Host {
    Host::start(seed).await.stop().await.with_relay(url, policy, blocked).again().await
}

/// Where a host is by its relay alone.
fn by_relay(host: &Host, url: &str) -> Ticket {
    Ticket { host: host.net.id(), addresses: Vec::new(), relay: Some(url.to_owned()) }
}

async fn is_direct(host: &Host) -> Option<bool> {
    host.engine.status().await.unwrap().peers[0].direct
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_udp_is_blocked_everything_goes_over_the_relay() {
    let (server, url) = relay().await;
    let (a, b) = (behind(1, &url, RelayPolicy::Allow, true).await, behind(2, &url, RelayPolicy::Allow, true).await);
    let asset = a.ingest(2_000_000, "over the relay").await;
    b.engine.connect(by_relay(&a, &url)).await;
    b.has(&asset).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!((is_direct(&a).await, is_direct(&b).await), (Some(false), Some(false)));
    for host in [a, b] {
        host.stop().await;
    }
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stricter_policy_of_two_says_what_travels_over_a_relay() {
    let (server, url) = relay().await;
    // Only this side says so.
    let a = behind(1, &url, RelayPolicy::SmallOnly, true).await;
    let b = behind(2, &url, RelayPolicy::Allow, true).await;
    let large = a.ingest(usize::try_from(limits::RELAYED_BYTES).unwrap() + 1, "large").await;
    let small = a.ingest(100_000, "small").await;
    b.engine.connect(by_relay(&a, &url)).await;
    b.has(&small).await;
    // Asked for all the same, it is not given.
    assert!(b.ask_at(&by_relay(&a, &url), large).await.is_err());
    assert!(b.store.record(&large).await.unwrap().is_none_or(|record| !record.presence.is_here()));
    // Where nothing may, no connection stays.
    let never = behind(3, &url, RelayPolicy::Never, true).await;
    let link = b.net.dial(&by_relay(&never, &url), Purpose::Control).await.unwrap();
    within(link.line().closed()).await;
    assert!(never.engine.status().await.unwrap().peers.iter().all(|peer| !peer.connected));
    for host in [a, b, never] {
        host.stop().await;
    }
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_under_way_stops_when_it_may_travel_no_longer() {
    let (server, url) = relay().await;
    let (a, b) = (behind(1, &url, RelayPolicy::Allow, true).await, behind(2, &url, RelayPolicy::Allow, true).await);
    b.engine.connect(by_relay(&a, &url)).await;
    in_sync(&[(&a, &b)]).await;
    a.engine.limit(b.net.id(), RateLimit::BytesPerSec(1_000_000), RateLimit::AsItWas).await.unwrap();
    let large = a.ingest(usize::try_from(limits::RELAYED_BYTES).unwrap() + 1, "large").await;
    let got = || b.engine.shared.traffic(a.net.id()).received.load(std::sync::atomic::Ordering::Relaxed);
    b.until(|_| got() > 200_000).await;
    // As when a direct path is lost in the middle: from now on it would be a relayed one that carries small things only.
    for (host, other) in [(&a, &b), (&b, &a)] {
        host.engine.shared.connected.get_mut(&other.net.id()).unwrap().relay_policy = RelayPolicy::SmallOnly;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopped = got();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(got(), stopped);
    assert!(stopped < limits::RELAYED_BYTES);
    assert!(b.store.record(&large).await.unwrap().is_none_or(|record| !record.presence.is_here()));
    for host in [a, b] {
        host.stop().await;
    }
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_met_over_a_relay_go_direct_where_they_can() {
    let (server, url) = relay().await;
    let (a, b) = (behind(1, &url, RelayPolicy::Never, false).await, behind(2, &url, RelayPolicy::Never, false).await);
    let asset = a.ingest(2_000_000, "straight").await;
    b.engine.connect(by_relay(&a, &url)).await;
    b.has(&asset).await;
    in_sync(&[(&a, &b)]).await;
    assert_eq!((is_direct(&a).await, is_direct(&b).await), (Some(true), Some(true)));
    // The relay is not needed any more.
    server.shutdown().await.unwrap();
    let later = b.ingest(100, "without the relay").await;
    a.has(&later).await;
    for host in [a, b] {
        host.stop().await;
    }
}
