//! Rendezvous in a Mainline DHT on loopback, with the pkarr relay that people run in front of it.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;

use mainline::Dht as DhtNode;
use mainline::MutableItem;
use mainline::Testnet;
use pkarr_relay::Relay;

use super::*;
use crate::discovery::rendezvous::Dht;

/// How often is often enough here: a call takes a tenth of a second.
const OFTEN: Duration = Duration::from_millis(300);

struct Network {
    testnet: Testnet,
    relay: Relay,
}

impl Network {
    async fn start() -> Self {
        let testnet = tokio::task::spawn_blocking(|| Testnet::builder(5).build().unwrap()).await.unwrap();
        let relay = Relay::run_test(&testnet.bootstrap).await.unwrap();
        Self { testnet, relay }
    }

    fn relays(&self) -> Servers {
        Servers::Relays(vec![format!("http://127.0.0.1:{}", self.relay.relay_address().port())])
    }

    fn dht(&self) -> Servers {
        let nodes = self.testnet.bootstrap.iter().map(|node| node.parse().unwrap()).collect();
        Servers::Dht(Dht::new(Ipv4Addr::LOCALHOST, Some(nodes)))
    }

    /// Puts something at a slot that is no packet, as whoever has the slot's key could.
    async fn leave_junk(&self, slot: usize, seq: i64) {
        let node: DhtNode = self.testnet.nodes[0].clone();
        let signer = ed25519_dalek::SigningKey::from_bytes(&meeting().slots.slot_seed(u8::try_from(slot).unwrap()));
        node.as_async().put_mutable(MutableItem::new(signer, b"junk", seq, None), None).await.unwrap();
    }
}

fn often(servers: Servers) -> Options {
    Options {
        published_every: OFTEN,
        scanned_every: OFTEN,
        scanned_every_connected: OFTEN,
        pauses: (OFTEN, OFTEN),
        ..Options::new(servers, meeting())
    }
}

#[tokio::test]
async fn hosts_meet_at_the_real_relay_and_in_the_dht_behind_it() {
    let network = Network::start().await;
    let (mut a, mut b) = (start(1, often(network.relays())), start(2, often(network.relays())));
    assert_eq!(a.finds().await, ticket(2));
    assert_eq!(b.finds().await, ticket(1));
    let mut direct = start(3, often(network.dht()));
    let mut found = [direct.finds().await, direct.finds().await];
    found.sort_by_key(|ticket| ticket.host);
    assert_eq!(found, [ticket(1), ticket(2)], "what a relay is given, the DHT has");
    assert_eq!(a.finds().await, ticket(3), "and what is in the DHT, a relay finds");
    a.is(|health| health.condition == Condition::Ok).await;
    direct.is(|health| health.parts == [("mainline".to_owned(), Condition::Ok)]).await;
    network.relay.shutdown();
    a.is(|health| degraded(&health.condition, "no server of pkarr can be used")).await;
    for host in [a, b, direct] {
        host.group.shut_down().await;
    }
}

#[tokio::test]
async fn what_is_no_packet_spoils_its_slot_at_the_real_relay_and_in_the_dht() {
    let network = Network::start().await;
    let (now_us, far) = (i64::try_from(now_ms() * 1000).unwrap(), i64::MAX - 1);
    for (slot, seq) in [(0, now_us), (1, far), (2, far)] {
        network.leave_junk(slot, seq).await;
    }
    let (mut a, mut b) = (start(1, often(network.relays())), start(2, often(network.dht())));
    assert_eq!(a.finds().await, ticket(2));
    assert_eq!(b.finds().await, ticket(1));
    for host in [&a, &b] {
        host.is(|health| degraded(&health.condition, "3 of 8 meeting places")).await;
    }
    a.group.shut_down().await;
    b.group.shut_down().await;
}

#[tokio::test]
async fn a_dht_nobody_is_in_ails_and_an_empty_slot_in_one_is_no_failure() {
    let nobody = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
    let host = start(1, often(Servers::Dht(Dht::new(Ipv4Addr::LOCALHOST, Some(vec![nobody])))));
    host.is(|health| degraded(first(health), "DHT")).await;
    host.group.shut_down().await;
    let network = Network::start().await;
    let alone = start(1, often(network.dht()));
    alone.is(|health| health.condition == Condition::Ok && *first(health) == Condition::Ok).await;
    alone.group.shut_down().await;
}
