//! Hosts that gossip with each other over channels instead of connections.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex as Slot;

use super::announcement::tests::announcement;
use super::announcement::tests::key;
use super::announcement::tests::seal_of;
use super::swarm::Swarm;
use super::*;
use crate::auth::Keys;
use crate::auth::LibrarySecret;
use crate::discovery::Find;
use crate::discovery::Health;
use crate::discovery::Planned;
use crate::discovery::Search;
use crate::task::Group;

/// A hang becomes a failure after this.
const LONG: Duration = Duration::from_secs(60);

type Wire = mpsc::Sender<(HostId, net::Gossip)>;

/// What stands for the engine of one host.
struct Mock {
    own: HostId,
    to: Slot<BTreeMap<HostId, Wire>>,
    set: AtomicU64,
    compared: AtomicU64,
    announced: AtomicU64,
    said: AtomicU64,
}

#[async_trait]
impl Neighbours for Mock {
    fn say(&self, to: HostId, what: net::Gossip) {
        self.said.fetch_add(1, Ordering::Relaxed);
        if let Some(wire) = self.to.lock().get(&to) {
            wire.try_send((self.own, what)).unwrap();
        }
    }

    fn set(&self) -> [u8; 16] {
        u128::from(self.set.load(Ordering::Relaxed)).to_le_bytes()
    }

    fn keeps_everything(&self) -> bool {
        true
    }

    async fn announced(&self, _: &Announcement) {
        self.announced.fetch_add(1, Ordering::Relaxed);
    }

    async fn compare(&self) {
        self.compared.fetch_add(1, Ordering::Relaxed);
    }
}

struct Host {
    id: HostId,
    mock: Arc<Mock>,
    wire: Wire,
    linked: watch::Sender<BTreeMap<HostId, Neighbour>>,
    search: Search,
    finds: mpsc::Receiver<Find>,
    own: watch::Sender<Ticket>,
    _connected: watch::Sender<Vec<Ticket>>,
    group: Group,
}

fn host(seed: u8) -> Host {
    let ticket = announcement(seed, 0).ticket;
    let id = ticket.host;
    let keys = Keys::derive(&LibrarySecret::from_bytes([1; 32]));
    let mock = Arc::new(Mock {
        own: id,
        to: Slot::default(),
        set: AtomicU64::new(0),
        compared: AtomicU64::new(0),
        announced: AtomicU64::new(0),
        said: AtomicU64::new(0),
    });
    let (wire, heard) = mpsc::channel(20_000);
    let (linked, linked_seen) = watch::channel(BTreeMap::new());
    let connections = Connections { linked: linked_seen, heard, neighbours: Arc::clone(&mock) as Arc<dyn Neighbours> };
    let options =
        GossipOptions { topic: keys.topic, envelope: keys.envelope, key: key(seed), name: format!("host {seed}") };
    let group = Group::new("test", Arc::new(|_, _, message| panic!("{message}")));
    let (own, own_seen) = watch::channel(ticket);
    let (connected, connected_seen) = watch::channel(Vec::new());
    let planned = vec![Planned::On(Box::new(Gossip::new(options, connections)))];
    let (search, finds) = Search::start(planned, Surroundings { own: own_seen, connected: connected_seen }, &group);
    Host { id, mock, wire, linked, search, finds, own, _connected: connected, group }
}

impl Host {
    fn knows(&self, other: &Self, dialled: bool) {
        self.mock.to.lock().insert(other.id, other.wire.clone());
        self.linked.send_modify(|linked| {
            linked.insert(other.id, Neighbour { number: 1, dialled });
        });
    }

    /// Waits until so many others were found.
    async fn finds(&mut self, count: usize) -> BTreeMap<HostId, Ticket> {
        let mut found = BTreeMap::new();
        while found.len() < count {
            let find = tokio::time::timeout(LONG, self.finds.recv()).await.expect("not found").unwrap();
            found.insert(find.ticket.host, find.ticket);
        }
        found
    }

    /// Waits until all that has come was heard.
    async fn is_idle(&self) {
        while self.wire.capacity() < self.wire.max_capacity() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn count(&self, of: impl Fn(&Mock) -> &AtomicU64) -> u64 {
        of(&self.mock).load(Ordering::Relaxed)
    }
}

fn link(a: &Host, b: &Host) {
    a.knows(b, true);
    b.knows(a, false);
}

#[tokio::test]
async fn hosts_in_a_row_hear_of_each_other_and_of_changes() {
    let mut hosts: Vec<Host> = (1..=8).map(host).collect();
    for pair in hosts.windows(2) {
        link(&pair[0], &pair[1]);
    }
    let mut found = BTreeMap::new();
    for host in &mut hosts {
        found = host.finds(7).await;
    }
    assert_eq!(found[&hosts[0].id], *hosts[0].own.borrow());
    assert_eq!(hosts[0].search.health(), [("gossip", Health::from(Condition::Ok))]);
    // The first one moves: the last one hears of it over six others.
    let moved = Ticket { addresses: vec!["203.0.113.9:1".parse().unwrap()], ..hosts[0].own.borrow().clone() };
    hosts[0].own.send(moved.clone()).unwrap();
    let (first, last) = (hosts[0].id, &mut hosts[7]);
    while last.finds(1).await.get(&first).map(|ticket| &ticket.addresses[0]) != Some(&moved.addresses[0]) {}
    for host in hosts {
        host.group.shut_down().await;
    }
}

#[tokio::test]
async fn a_change_of_a_host_that_is_not_connected_causes_one_comparison() {
    let (mut a, b) = (host(1), host(2));
    link(&a, &b);
    a.finds(1).await;
    let now = now_ms();
    let say = |at_ms, change| {
        let said = Announcement { change, ..announcement(3, at_ms) };
        let sealed = seal_of(1).seal(&said, &key(3), [at_ms.to_le_bytes()[0]; 24]).unwrap();
        a.wire.try_send((b.id, net::Gossip::Announcement(sealed))).unwrap();
    };
    say(now - 9, 1);
    a.is_idle().await;
    assert_eq!(a.count(|mock| &mock.compared), 0, "it was not heard before");
    say(now - 8, 2);
    say(now - 7, 2);
    say(now - 6, 3);
    a.is_idle().await;
    assert_eq!(a.count(|mock| &mock.compared), 1, "and not again at once");
    a.group.shut_down().await;
    b.group.shut_down().await;
}

#[tokio::test]
async fn a_flood_of_junk_replays_and_forgeries_causes_nothing() {
    let (mut a, b, c) = (host(1), host(2), host(3));
    link(&a, &b);
    link(&a, &c);
    a.finds(2).await;
    a.is_idle().await;
    let (announced, said) = (a.count(|mock| &mock.announced), a.count(|mock| &mock.said));
    let now = now_ms();
    let seal = |said: &Announcement, by: u8, secret: u8| seal_of(secret).seal(said, &key(by), [5; 24]).unwrap();
    let began = std::time::Instant::now();
    for n in 0..2_500_u64 {
        let at_ms = now - 10_000 + n;
        for sealed in [
            Bytes::from(vec![u8::try_from(n % 256).unwrap(); 500]),
            seal(&announcement(4, at_ms), 5, 1),
            seal(&announcement(4, at_ms), 4, 2),
            seal(&announcement(4, now - limits::GOSSIP_LIFE_MS - 10_000 - n), 4, 1),
        ] {
            a.wire.try_send((b.id, net::Gossip::Announcement(sealed))).unwrap();
        }
    }
    a.is_idle().await;
    println!("10,000 messages took {:?}", began.elapsed());
    assert_eq!(a.count(|mock| &mock.announced), announced);
    assert_eq!(a.count(|mock| &mock.compared), 0);
    assert_eq!(a.count(|mock| &mock.said), said, "nothing is passed on");
    assert!(a.finds.try_recv().is_err());
    // One that is right is heard all the same.
    a.wire.try_send((b.id, net::Gossip::Announcement(seal(&announcement(4, now), 4, 1)))).unwrap();
    assert!(a.finds(1).await.contains_key(&key(4).id()));
    for host in [a, b, c] {
        host.group.shut_down().await;
    }
}

#[tokio::test]
async fn one_member_that_talks_without_end_is_heard_now_and_then() {
    let (mut a, b) = (host(1), host(2));
    link(&a, &b);
    a.finds(1).await;
    let announced = a.count(|mock| &mock.announced);
    let now = now_ms();
    for n in 0..1000 {
        let sealed = seal_of(1).seal(&announcement(4, now - 2000 + n), &key(4), [1; 24]).unwrap();
        a.wire.try_send((b.id, net::Gossip::Announcement(sealed))).unwrap();
    }
    a.is_idle().await;
    let news = a.count(|mock| &mock.announced) - announced;
    assert!(news <= u64::from(limits::GOSSIP_AUTHOR_BURST) + 12, "{news}");
    a.group.shut_down().await;
    b.group.shut_down().await;
}

/// A swarm per host, and what one says to another delivered at once.
struct Swarms(Vec<(HostId, Swarm)>);

impl Swarms {
    fn new(count: u8, links: &[(usize, usize)], now: Instant) -> Self {
        let id = |n: usize| HostId::from_bytes([u8::try_from(n + 1).unwrap(); 32]);
        let swarm = |n: u8| (id(n.into()), Swarm::new([9; 32], id(n.into()), [n; 32], now));
        let mut swarms = Self((0..count).map(swarm).collect());
        for (a, b) in links {
            swarms.0[*b].1.linked(id(*a), false, now);
            swarms.0[*a].1.linked(id(*b), true, now);
        }
        swarms
    }

    /// Delivers everything; returns how often each host was asked to vouch for a content, and did, and the messages.
    fn settle(&mut self, now: Instant, vouches: impl Fn(&[u8]) -> bool) -> (Vec<usize>, usize) {
        let (mut heard, mut messages) = (vec![0; self.0.len()], 0);
        loop {
            let sent: Vec<(HostId, HostId, Bytes)> = self
                .0
                .iter_mut()
                .flat_map(|(from, swarm)| swarm.outgoing().into_iter().map(|(to, message)| (*from, to, message)))
                .collect();
            if sent.is_empty() {
                return (heard, messages);
            }
            for (from, to, message) in sent {
                assert!(message.len() <= limits::GOSSIP_MESSAGE_BYTES);
                let at = self.0.iter().position(|(id, _)| *id == to).unwrap();
                messages += 1;
                self.0[at].1.hear(from, &message, now, |content| {
                    heard[at] += 1;
                    vouches(content)
                });
            }
        }
    }
}

#[test]
fn a_content_reaches_everybody_and_the_tree_grows_thin() {
    let now = Instant::now();
    let mesh: Vec<(usize, usize)> = (0..16).flat_map(|a| (a + 1..16).map(move |b| (a, b))).collect();
    let mut swarms = Swarms::new(16, &mesh, now);
    swarms.settle(now, |_| true);
    let mut messages = Vec::new();
    for n in 0..4_u8 {
        swarms.0[0].1.broadcast(Bytes::from(vec![n; limits::GOSSIP_SEALED_BYTES]), now);
        let (heard, sent) = swarms.settle(now, |content| content.len() == limits::GOSSIP_SEALED_BYTES);
        assert!(heard[1..].iter().all(|heard| *heard > 0), "{heard:?}");
        messages.push(sent);
        for (_, swarm) in &mut swarms.0 {
            swarm.tick(now + Duration::from_millis(10));
        }
        swarms.settle(now, |_| true);
    }
    assert!(messages[0] > 200 && messages[3] <= 16, "{messages:?}");
}

#[test]
fn what_nobody_vouches_for_ends_at_the_first_host() {
    let now = Instant::now();
    let mut swarms = Swarms::new(3, &[(0, 1), (1, 2)], now);
    swarms.settle(now, |_| true);
    swarms.0[0].1.broadcast(Bytes::from_static(b"junk"), now);
    assert_eq!(swarms.settle(now, |_| false).0, [0, 1, 0]);
    swarms.0[0].1.broadcast(Bytes::from_static(b"news"), now);
    assert_eq!(swarms.settle(now, |content| content == b"news").0, [0, 1, 1]);
}

#[test]
fn messages_that_make_no_sense_and_strangers_are_not_heard() {
    let now = Instant::now();
    let mut swarms = Swarms::new(2, &[(0, 1)], now);
    swarms.settle(now, |_| true);
    swarms.0[0].1.broadcast(Bytes::from_static(b"content"), now);
    let message = swarms.0[0].1.outgoing().remove(0).1;
    let (a, b) = (swarms.0[0].0, &mut swarms.0[1].1);
    let stranger = HostId::from_bytes([77; 32]);
    assert!(!b.hear(stranger, &message, now, |_| panic!("a stranger")));
    for at in 0..message.len() {
        // Cut anywhere, it is no message.
        assert!(!b.hear(a, &message[..at], now, |_| true), "{at}");
    }
    let mut other_topic = message.to_vec();
    other_topic[0] ^= 1;
    assert!(!b.hear(a, &other_topic, now, |_| panic!("another topic")));
    // The last byte is the number of hops, and the highest would overflow where they are counted.
    let mut far = message.to_vec();
    far.truncate(message.len() - 1);
    far.extend([0xff, 0xff, 0x03]);
    assert!(!b.hear(a, &far, now, |_| panic!("from too far")));
    assert!(b.hear(a, &message, now, |content| content == b"content"));
    assert!(b.outgoing().is_empty());
    b.unlinked(a, now);
    assert!(!b.hear(a, &message, now, |_| panic!("it is not linked")));
}

#[test]
fn promises_that_are_not_kept_are_forgotten() {
    let now = Instant::now();
    let mut swarms = Swarms::new(3, &[(0, 1), (1, 2)], now);
    swarms.settle(now, |_| true);
    let a = swarms.0[0].0;
    let promise = |n: u32| {
        let ids: Vec<([u8; 32], u16)> =
            (0..50_u32).map(|of| (*blake3::hash(&(n * 50 + of).to_le_bytes()).as_bytes(), 1)).collect();
        // The topic, the layer, the kind, the list.
        let mut message = [[9; 32].as_slice(), &[1, 3]].concat();
        message.extend(postcard::to_allocvec(&ids).unwrap());
        message
    };
    for n in 0..2000 {
        assert!(swarms.0[1].1.hear(a, &promise(n), now, |_| true));
        assert!(swarms.0[1].1.timers() <= limits::GOSSIP_PROMISED + 60);
    }
    swarms.settle(now, |_| true);
    // It goes on passing things on.
    swarms.0[0].1.broadcast(Bytes::from_static(b"news"), now);
    assert_eq!(swarms.settle(now, |_| true).0, [0, 1, 1]);
}
