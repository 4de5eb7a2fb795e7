//! Gossip beside replication, and when a library counts as in sync.

use std::sync::Arc;

use bytes::Bytes;

use super::host::Host;
use super::host::within;
use super::member::Member;
use crate::asset::HostId;
use crate::discovery::Announcement;
use crate::hook::Verdict;
use crate::hook::scripted::Scripted;
use crate::library::Ticket;
use crate::limits;
use crate::net::Gossip;
use crate::net::Word;
use crate::sync::Message;
use crate::task::now_ms;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_gossip_is_mostly_dropped_unread_and_nobody_else_is_spoken_to() {
    let host = Host::start(41).await;
    let mut before = host.engine.gossip();
    let mut connections = host.engine.gossip();
    let mut member = Member::of(&host, 42, now_ms()).await;
    for _ in 0..10_000 {
        member.control.writer.send(Word::Gossip(Gossip::Protocol(Bytes::from_static(&[7; 1000])))).await.unwrap();
    }
    // Replication goes on behind it.
    member.control.writer.send(Message::Settled { run: 9 }).await.unwrap();
    let id = host.ingest(10, "behind").await;
    let offered = member.hears(|message| match message {
        Message::Offers(offers) => offers.first().map(|offer| offer.key.id),
        _ => None,
    });
    assert_eq!(offered.await, id);
    let mut heard = 0;
    while connections.heard.try_recv().is_ok() {
        heard += 1;
    }
    let most = u64::from(limits::GOSSIP_NEIGHBOUR_BURST) + 1000;
    assert!((1..=most).contains(&heard), "{heard}");
    assert!(before.heard.try_recv().is_err(), "another listens now");
    // It has not said in its greeting that it speaks gossip, and a stranger has not even proved the secret.
    assert!(connections.linked.borrow().is_empty());
    connections.neighbours.say(HostId::from_bytes([9; 32]), Gossip::Protocol(Bytes::new()));
    member.leave().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_connected_speaks_gossip_until_it_is_not() {
    let (a, b) = (Host::start(43).await, Host::start(44).await);
    let (mut at_a, mut at_b) = (a.engine.gossip(), b.engine.gossip());
    b.engine.connect(a.ticket()).await;
    within(at_a.linked.wait_for(|linked| linked.contains_key(&b.net.id()))).await.unwrap();
    at_a.neighbours.say(b.net.id(), Gossip::Announcement(Bytes::from_static(b"hello")));
    let heard = within(at_b.heard.recv()).await.unwrap();
    assert_eq!(heard, (a.net.id(), Gossip::Announcement(Bytes::from_static(b"hello"))));
    b.stop().await;
    within(at_a.linked.wait_for(|linked| linked.is_empty())).await.unwrap();
    a.stop().await;
}

/// Waits until a host says of its library whether it is equal, and in sync.
async fn says(host: &Host, wished: (bool, bool)) {
    let reached = async {
        loop {
            let library = host.engine.status().await.unwrap().library;
            if (library.equal, library.in_sync) == wished {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    within(reached).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_sync_is_only_said_when_nothing_can_be_hidden() {
    let asks = Arc::new(Scripted::new("any", |_| Verdict::Pass));
    let (a, b) = (Host::start(45).await, Host::start_with_hooks(46, asks).await);
    b.engine.connect(a.ticket()).await;
    // Nobody else is known.
    says(&a, (true, true)).await;
    says(&b, (true, true)).await;
    // Both hear that there is somebody else, which may have what B keeps back; B sees that A keeps everything.
    let away = Ticket { host: HostId::from_bytes([9; 32]), addresses: Vec::new(), relay: None };
    let announcement = Announcement { ticket: away, name: String::new(), at_ms: 1, keeps_everything: true, change: 1 };
    for host in [&a, &b] {
        host.engine.gossip().neighbours.announced(&announcement).await;
    }
    says(&a, (true, false)).await;
    says(&b, (true, true)).await;
    a.stop().await;
    b.stop().await;
}
