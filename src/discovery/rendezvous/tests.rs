//! Rendezvous between hosts of one process, over relays on loopback.

mod dht;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::watch;

use super::*;
use crate::auth::Keys;
use crate::auth::LibrarySecret;
use crate::discovery::Find;
use crate::discovery::LoopbackRelay;
use crate::discovery::Manner;
use crate::discovery::Planned;
use crate::discovery::Search;
use crate::task::Group;

/// A hang becomes a failure after this.
const LONG: Duration = Duration::from_secs(60);

const SOON: Duration = Duration::from_millis(50);

struct Host {
    search: Search,
    finds: mpsc::Receiver<Find>,
    own: watch::Sender<Ticket>,
    connected: watch::Sender<Vec<Ticket>>,
    group: Group,
}

fn ticket(host: u8) -> Ticket {
    let addresses = vec![SocketAddr::from(([192, 0, 2, host], 4433))];
    Ticket { host: HostId::from_bytes([host; 32]), addresses, relay: None }
}

fn meeting() -> Meeting {
    let keys = Keys::derive(&LibrarySecret::from_bytes([1; 32]));
    Meeting { slots: keys.rendezvous, envelope: keys.envelope, library: "mirror".to_owned(), epoch: 0, writes: true }
}

fn options(relays: &[&LoopbackRelay]) -> Options {
    Options {
        published_every: SOON,
        scanned_every: SOON,
        scanned_every_connected: SOON,
        pauses: (SOON, SOON),
        ..Options::new(Servers::Relays(relays.iter().map(|relay| relay.url()).collect()), meeting())
    }
}

fn start(number: u8, options: Options) -> Host {
    start_as(ticket(number), options)
}

fn start_as(ticket: Ticket, options: Options) -> Host {
    let group = Group::new("test", Arc::new(|_, _, message| panic!("{message}")));
    let (own, own_seen) = watch::channel(ticket);
    let (connected, connected_seen) = watch::channel(Vec::new());
    let surroundings = Surroundings { own: own_seen, connected: connected_seen };
    let source = Rendezvous::new(options).unwrap();
    let (search, finds) = Search::start(vec![Planned::On(Box::new(source))], surroundings, &group);
    Host { search, finds, own, connected, group }
}

impl Host {
    async fn finds(&mut self) -> Ticket {
        let find = tokio::time::timeout(LONG, self.finds.recv()).await.expect("nobody was found").unwrap();
        assert!(find.source.starts_with("rendezvous"), "{find:?}");
        find.ticket
    }

    fn health(&self) -> Health {
        self.search.health().remove(0).1
    }

    async fn is(&self, expected: impl Fn(&Health) -> bool) {
        until(|| expected(&self.health())).await;
    }
}

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("it never came to hold");
}

fn degraded(condition: &Condition, why: &str) -> bool {
    matches!(condition, Condition::Degraded(reason) if reason.contains(why))
}

/// The first relay; before anything was said there is none.
fn first(health: &Health) -> &Condition {
    health.parts.first().map_or(&Condition::Starting, |(_, condition)| condition)
}

/// A packet at a slot with this text, as whoever has the slot's key could write it.
fn leave(relay: &LoopbackRelay, slot: usize, text: &[u8], timestamp_us: u64) {
    let keypair = keypair(&meeting(), slot);
    let packet = packet(&keypair, text, timestamp_us);
    relay.leave(&keypair.public_key().to_z32(), packet.to_relay_payload().to_vec());
}

#[tokio::test]
async fn two_hosts_find_each_other_and_whom_the_other_is_connected_to() {
    let relay = LoopbackRelay::start().await.unwrap();
    let (mut a, mut b) = (start(1, options(&[&relay])), start(2, options(&[&relay])));
    assert_eq!(a.finds().await, ticket(2));
    assert_eq!(b.finds().await, ticket(1));
    a.is(|health| health.condition == Condition::Ok && health.parts == [(relay.url(), Condition::Ok)]).await;
    b.connected.send(vec![ticket(1), ticket(3)]).unwrap();
    assert_eq!(a.finds().await, ticket(3));
    b.own.send(Ticket { relay: Some("https://relay.example.org./".to_owned()), ..ticket(2) }).unwrap();
    assert_eq!(a.finds().await.relay.as_deref(), Some("https://relay.example.org./"));
    a.group.shut_down().await;
    b.group.shut_down().await;
}

#[tokio::test]
async fn a_relay_learns_nothing_of_what_lies_at_a_slot() {
    let relay = LoopbackRelay::start().await.unwrap();
    let host = start(1, options(&[&relay]));
    until(|| !relay.packets().is_empty()).await;
    host.group.shut_down().await;
    for packet in relay.packets().into_values() {
        for told in [ticket(1).host.as_bytes().as_slice(), &[192, 0, 2, 1], b"mirror"] {
            assert!(!packet.windows(told.len()).any(|window| window == told), "{told:?}");
        }
    }
}

#[tokio::test]
async fn hosts_of_other_libraries_and_epochs_do_not_meet() {
    let relay = LoopbackRelay::start().await.unwrap();
    let mut host = start(1, options(&[&relay]));
    let library = Meeting { library: "photos".to_owned(), ..meeting() };
    let epoch = Meeting { epoch: 1, ..meeting() };
    let others: Vec<Host> = [library, epoch]
        .into_iter()
        .zip(2..)
        .map(|(meeting, number)| start(number, Options { meeting, ..options(&[&relay]) }))
        .collect();
    until(|| relay.asked().1 > 20).await;
    assert!(host.finds.try_recv().is_err());
    for host in others.into_iter().chain([host]) {
        host.group.shut_down().await;
    }
}

#[tokio::test]
async fn one_relay_that_works_is_enough_and_the_health_names_those_that_do_not() {
    for (manner, why) in [
        (Manner::Refuses(500, 0), "500"),
        (Manner::Refuses(429, 0), "429"),
        (Manner::Refuses(301, 0), "301"),
        (Manner::Babbles, "no packet"),
        (Manner::Slow(LONG), "no answer"),
    ] {
        let (well, bad) = (LoopbackRelay::start().await.unwrap(), LoopbackRelay::start().await.unwrap());
        bad.behave(manner);
        let options = || match manner {
            Manner::Slow(_) => Options { call_time: Duration::from_secs(3), ..options(&[&well, &bad]) },
            _ => options(&[&well, &bad]),
        };
        let (mut a, mut b) = (start(1, options()), start(2, options()));
        assert_eq!(a.finds().await, ticket(2), "{manner:?}");
        assert_eq!(b.finds().await, ticket(1), "{manner:?}");
        a.is(|health| health.parts.last().is_some_and(|(_, condition)| degraded(condition, why))).await;
        a.is(|health| *first(health) == Condition::Ok).await;
        a.is(|health| health.condition == Condition::Ok).await;
        bad.behave(Manner::Well);
        a.is(|health| health.parts.last().is_some_and(|(_, condition)| *condition == Condition::Ok)).await;
        a.group.shut_down().await;
        b.group.shut_down().await;
    }
}

#[tokio::test]
async fn a_relay_that_is_away_is_used_when_it_comes_back() {
    let relay = LoopbackRelay::start().await.unwrap();
    relay.behave(Manner::Refuses(503, 0));
    let (mut a, mut b) = (start(1, options(&[&relay])), start(2, options(&[&relay])));
    a.is(|health| degraded(&health.condition, "no server of pkarr can be used")).await;
    relay.behave(Manner::Well);
    assert_eq!(a.finds().await, ticket(2));
    assert_eq!(b.finds().await, ticket(1));
    relay.stop().await;
    a.is(|health| degraded(first(health), "cannot be reached")).await;
    a.group.shut_down().await;
    b.group.shut_down().await;
}

#[tokio::test]
async fn a_relay_that_is_asked_too_often_is_left_alone_as_long_as_it_says() {
    let relay = LoopbackRelay::start().await.unwrap();
    relay.behave(Manner::Refuses(429, 3600));
    let host = start(1, Options { pauses: (SOON, LONG), ..options(&[&relay]) });
    host.is(|health| degraded(first(health), "429")).await;
    let asked = relay.asked();
    tokio::time::sleep(10 * SOON).await;
    assert_eq!((relay.asked(), asked), ((1, 0), (1, 0)));
    host.group.shut_down().await;
}

#[tokio::test]
async fn lost_writes_are_written_again() {
    let relay = LoopbackRelay::start().await.unwrap();
    relay.behave(Manner::LosesWrites);
    let (mut a, mut b) = (start(1, options(&[&relay])), start(2, options(&[&relay])));
    until(|| relay.asked().1 > 4).await;
    assert!(relay.packets().is_empty());
    relay.behave(Manner::Well);
    assert_eq!(a.finds().await, ticket(2));
    assert_eq!(b.finds().await, ticket(1));
    a.group.shut_down().await;
    b.group.shut_down().await;
}

#[tokio::test]
async fn a_slot_is_not_empty_because_one_of_two_relays_says_so() {
    let (well, bad) = (LoopbackRelay::start().await.unwrap(), LoopbackRelay::start().await.unwrap());
    bad.behave(Manner::Refuses(500, 0));
    let home = |number: u8| usize::from(blake3::hash(&[number; 32]).as_bytes()[0]) % SLOTS;
    let number = (1..10).find(|number| home(*number) > 0).unwrap();
    let host = start(number, Options { pauses: (LONG, LONG), ..options(&[&well, &bad]) });
    until(|| !well.packets().is_empty()).await;
    let key = keypair(&meeting(), home(number)).public_key().to_z32();
    assert!(well.packets().contains_key(&key), "it took one that may be somebody's");
    host.group.shut_down().await;
}

#[tokio::test]
async fn spoiled_slots_are_given_up_and_the_others_serve() {
    let relay = LoopbackRelay::start().await.unwrap();
    let now_us = now_ms() * 1000;
    for slot in 0..4 {
        leave(&relay, slot, &[slot as u8; 300], now_us);
    }
    for slot in 4..7 {
        leave(&relay, slot, b"far in the future", u64::MAX - slot as u64);
    }
    let spoiled = relay.packets();
    let (mut a, mut b) = (start(1, options(&[&relay])), start(2, options(&[&relay])));
    // In one slot for two, whoever writes last is found and dialled.
    tokio::select! {
        found = a.finds() => assert_eq!(found, ticket(2)),
        found = b.finds() => assert_eq!(found, ticket(1)),
    }
    a.is(|health| degraded(&health.condition, "7 of 8 meeting places")).await;
    assert!(spoiled.iter().all(|(key, packet)| relay.packets()[key] == *packet));
    a.group.shut_down().await;
    b.group.shut_down().await;
}

#[tokio::test]
async fn with_every_slot_spoiled_nothing_is_written_until_one_serves_again() {
    let relay = LoopbackRelay::start().await.unwrap();
    for slot in 0..SLOTS {
        leave(&relay, slot, b"junk", u64::MAX);
    }
    let mut host = start(1, options(&[&relay]));
    host.is(|health| degraded(&health.condition, "8 of 8 meeting places")).await;
    until(|| relay.asked().0 > 40).await;
    assert_eq!(relay.asked().1, 0);
    relay.forget();
    until(|| !relay.packets().is_empty()).await;
    host.is(|health| health.condition == Condition::Ok).await;
    assert!(host.finds.try_recv().is_err());
    host.group.shut_down().await;
}

#[tokio::test]
async fn a_record_slightly_ahead_is_written_over_and_a_dead_one_is_no_find() {
    let relay = LoopbackRelay::start().await.unwrap();
    let meeting = meeting();
    let place = |slot: u8| Place { key: &meeting.envelope, library: "mirror", epoch: 0, slot };
    let record = |host, written_ms| Record { writer: ticket(host), written_ms, members: Vec::new() };
    let ahead_us = (now_ms() + limits::RENDEZVOUS_AHEAD_MS / 2) * 1000;
    let own = record(1, now_ms()).seal(place(5), [1; 24], 0);
    leave(&relay, 5, &own, ahead_us);
    let dead = record(9, now_ms() - limits::RENDEZVOUS_DEAD_MS - 60_000).seal(place(6), [1; 24], 0);
    leave(&relay, 6, &dead, now_ms() * 1000);
    let key = keypair(&meeting, 5).public_key().to_z32();
    let before = relay.packets()[&key].clone();
    let mut host = start(1, options(&[&relay]));
    until(|| relay.packets()[&key] != before).await;
    assert_eq!(relay.packets().len(), 2, "its own slot was found again");
    assert!(host.finds.try_recv().is_err(), "neither itself nor the dead one");
    host.group.shut_down().await;
}

#[tokio::test]
async fn the_slots_of_an_old_epoch_are_read_and_never_written() {
    let relay = LoopbackRelay::start().await.unwrap();
    let reads = Meeting { writes: false, ..meeting() };
    let mut reader = start(1, Options { meeting: reads, ..options(&[&relay]) });
    until(|| relay.asked().0 > 40).await;
    assert_eq!(relay.asked().1, 0);
    let writer = start(2, options(&[&relay]));
    assert_eq!(reader.finds().await, ticket(2));
    reader.group.shut_down().await;
    writer.group.shut_down().await;
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_yet_writes_as_soon_as_it_can() {
    let relay = LoopbackRelay::start().await.unwrap();
    let host = start(1, Options { published_every: LONG, ..options(&[&relay]) });
    until(|| relay.asked().1 == 1).await;
    let unreachable = Ticket { addresses: Vec::new(), ..ticket(2) };
    let other = start_as(unreachable, Options { published_every: LONG, scanned_every: LONG, ..options(&[&relay]) });
    until(|| relay.asked().0 >= 16).await;
    assert_eq!(relay.asked().1, 1);
    other.own.send(ticket(2)).unwrap();
    until(|| relay.asked().1 == 2).await;
    host.group.shut_down().await;
    other.group.shut_down().await;
}

#[tokio::test]
async fn a_host_that_is_connected_looks_less_often() {
    let relay = LoopbackRelay::start().await.unwrap();
    let host = start(1, Options { scanned_every_connected: LONG, ..options(&[&relay]) });
    until(|| relay.asked().0 > 16).await;
    host.connected.send(vec![ticket(2)]).unwrap();
    let (looks, writes) = relay.asked();
    until(|| relay.asked().1 > writes + 8).await;
    // One look had begun, and one was due.
    assert!(relay.asked().0 <= looks + 16, "{looks} and then {}", relay.asked().0);
    host.connected.send(Vec::new()).unwrap();
    let looks = relay.asked().0;
    until(|| relay.asked().0 >= looks + 16).await;
    host.group.shut_down().await;
}

#[test]
fn the_longest_sealed_record_fits_a_packet_and_comes_out_as_it_went_in() {
    let keypair = keypair(&meeting(), 0);
    for byte in [0, b'=', 0xff] {
        let text = vec![byte; limits::RENDEZVOUS_SEALED_BYTES];
        let packet = packet(&keypair, &text, 5);
        assert_eq!(packet.as_bytes().len() as u64, SignedPacket::MAX_BYTES);
        assert_eq!(sealed(&packet).unwrap(), text);
    }
}

#[test]
fn relays_that_cannot_be_used_are_refused() {
    let begin = |relays: &[&str]| {
        let relays = relays.iter().map(|relay| (*relay).to_owned()).collect();
        Rendezvous::new(Options::new(Servers::Relays(relays), meeting())).unwrap_err().to_string()
    };
    assert!(begin(&[]).contains("switch rendezvous off"));
    assert!(begin(&["pkarr.example.org"]).contains("`pkarr.example.org`"));
    assert!(begin(&["ftp://pkarr.example.org"]).contains("https://"));
    assert!(begin(&["https://a.example.org"; 9]).contains("limit of 8"));
}
