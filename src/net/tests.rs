//! Strangers, and members that break the form.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::RecvStream;
use iroh::endpoint::SendStream;
use iroh::endpoint::VarInt;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::sync::watch;

use super::*;
use crate::asset::AssetId;
use crate::asset::HostId;
use crate::auth::HostKey;
use crate::auth::Keys;
use crate::auth::LibrarySecret;
use crate::auth::Proof;
use crate::auth::Role;
use crate::auth::members::Circle;
use crate::auth::members::Succession;
use crate::library::Relay;
use crate::library::Ticket;
use crate::limits;
use crate::proto::peer::v1 as wire;
use crate::task::Group;

async fn bind(seed: u8, secret: u8) -> Net {
    bind_with(seed, circle(seed, secret)).await
}

fn host_key(seed: u8) -> HostKey {
    HostKey::from_seed(&[seed; 32])
}

fn circle(seed: u8, secret: u8) -> Circle {
    Circle::new(host_key(seed).id(), "mirror", LibrarySecret::from_bytes([secret; 32]))
}

async fn bind_with(seed: u8, circle: Circle) -> Net {
    let options = Options {
        key: [seed; 32].into(),
        bind_addr: Some("127.0.0.1:0".parse().unwrap()),
        last_port: None,
        relay: Relay::Off,
        circle: watch::Sender::new(Arc::new(circle)).subscribe(),
    };
    Net::bind(options).await.unwrap()
}

/// A host that accepts, what it lets in, and who it has refused.
struct Accepting {
    net: Net,
    links: mpsc::Receiver<Accepted>,
    refused: mpsc::Receiver<HostId>,
    group: Group,
}

async fn accepting(seed: u8) -> Accepting {
    accepting_with(seed, circle(seed, 1)).await
}

async fn accepting_with(seed: u8, circle: Circle) -> Accepting {
    let net = bind_with(seed, circle).await;
    let group = Group::new("test", Arc::new(|_, _, message| panic!("{message}")));
    let (accepted, links) = mpsc::channel(8);
    let (tell, refused) = mpsc::channel(32);
    let (serving, within) = (net.clone(), group.clone());
    group.spawn_until_cancelled("accept", async move {
        serving.accept(&within, accepted, move |stranger| tell.try_send(stranger).unwrap()).await;
    });
    Accepting { net, links, refused, group }
}

/// What a stranger writes on its first stream.
enum Says {
    Nothing,
    Bytes(Vec<u8>),
    Tag(Vec<u8>),
}

/// Connects as a stranger that knows the address but not the secret; returns how the host ended the connection.
async fn stranger(host: &Accepting, seed: u8, says: Says) -> (Option<VarInt>, Vec<u8>) {
    let net = bind(seed, 2).await;
    let ticket = host.net.ticket();
    let connection = net.connect_bare(&ticket, Purpose::Control).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    match says {
        Says::Nothing => {}
        Says::Bytes(bytes) => send.write_all(&bytes).await.unwrap(),
        Says::Tag(tag) => {
            frame::write(
                &mut send,
                &wire::Proof { tag: tag.into(), ..wire::Proof::default() },
                limits::PROOF_FRAME_BYTES,
            )
            .await
            .unwrap();
        }
    }
    let ended = tokio::time::timeout(Duration::from_secs(30), connection.closed()).await.unwrap();
    net.close().await;
    match ended {
        iroh::endpoint::ConnectionError::ApplicationClosed(close) => (Some(close.error_code), close.reason.to_vec()),
        other => panic!("{other}"),
    }
}

fn tag(secret: u8, role: Role, exporter: [u8; 32], dialler: HostId, acceptor: HostId) -> Vec<u8> {
    let key = Keys::derive(&LibrarySecret::from_bytes([secret; 32])).proof;
    let proof = Proof { key: &key, library: "mirror", epoch: 0, exporter: &exporter, dialler, acceptor };
    proof.tag(role).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_of_every_kind_get_the_same_answer() {
    let mut host = accepting(1).await;
    let acceptor = host.net.id();
    let mut oversized = (u32::MAX).to_be_bytes().to_vec();
    oversized.extend([0; 100]);
    // A right tag of another connection, as one who listened would replay it; and one of the other role.
    let replayed = tag(1, Role::Dialler, [7; 32], HostId::from_bytes([9; 32]), acceptor);
    let reflected = tag(1, Role::Acceptor, [7; 32], HostId::from_bytes([9; 32]), acceptor);
    let all = [
        Says::Bytes(b"\0\0\0\x05junk!".to_vec()),
        Says::Bytes(oversized),
        Says::Bytes(b"\0\0\0\x02\xff\xff".to_vec()),
        Says::Tag(Vec::new()),
        Says::Tag(vec![0; 32]),
        Says::Tag(replayed),
        Says::Tag(reflected),
        Says::Nothing,
    ];
    let mut answers = Vec::new();
    for (seed, says) in (10..).zip(all) {
        answers.push(stranger(&host, seed, says).await);
        host.refused.recv().await.unwrap();
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0].1, b"not a member");
    assert_eq!(host.net.refused(), answers.len() as u64);
    assert!(host.links.try_recv().is_err());

    // A member still gets in.
    let member = bind(30, 1).await;
    let link = member.dial(&host.net.ticket(), Purpose::Control).await.unwrap();
    assert_eq!(link.peer, acceptor);
    assert_eq!(accepted(&mut host).await.1.peer, member.id());
    host.group.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_is_named_as_the_cause() {
    let host = accepting(2).await;
    let other = bind(40, 2).await;
    let error = other.dial(&host.net.ticket(), Purpose::Control).await.unwrap_err();
    assert!(error.to_string().contains("sync_passphrase"), "{error}");
    let nobody = crate::library::Ticket { addresses: vec!["127.0.0.1:9".parse().unwrap()], ..host.net.ticket() };
    host.net.close().await;
    assert!(other.dial(&nobody, Purpose::Control).await.is_err());
}

async fn accepted(host: &mut Accepting) -> (Purpose, Link) {
    match host.links.recv().await.unwrap() {
        Accepted::Member { purpose, link } => (purpose, link),
        other => panic!("{other:?}"),
    }
}

/// Dials as a member, and hands the bare sending half to the test.
async fn member(host: &mut Accepting, seed: u8, purpose: Purpose) -> ((Net, RecvStream), SendStream, Link) {
    let net = bind(seed, 1).await;
    let link = net.dial(&host.net.ticket(), purpose).await.unwrap();
    let (its_purpose, accepted) = accepted(host).await;
    assert_eq!(its_purpose, purpose);
    // A receiving half that is dropped would stop the other side's greeting.
    ((net, link.recv), link.send, accepted)
}

fn greeting() -> Greeting {
    Greeting { name: "n".into(), version: "v".into(), now_ms: 1, ..Greeting::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_and_oversized_frames_are_errors_before_anything_is_allocated() {
    let mut host = accepting(3).await;
    let frames: [(&[u8], &str); 4] = [
        (&[0xff, 0xff, 0xff, 0xff, 0], "longer than the limit of 1048576"),
        (&[0, 0, 0, 3, 0x0a, 0xff, 0xff], "cannot be read"),
        (&[0, 0, 0, 0], "unknown kind"),
        (&[0, 0, 0, 4, 0x2a, 0x02, 0x0a, 0x00], "wrong timestamp"),
    ];
    for (seed, (bytes, word)) in (50..).zip(frames) {
        let (_kept, mut send, link) = member(&mut host, seed, Purpose::Control).await;
        let wire = wire::Greeting { name: "peer".to_owned(), ..wire::Greeting::default() };
        frame::write(&mut send, &wire, limits::GREETING_FRAME_BYTES).await.unwrap();
        let mut control = Control::greet(link, &greeting()).await.unwrap();
        assert_eq!(control.greeting.name, "peer");
        send.write_all(bytes).await.unwrap();
        let error = control.reader.receive().await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let (_kept, mut send, link) = member(&mut host, 60, Purpose::Bulk).await;
    send.write_all(&[0, 0, 1, 0]).await.unwrap();
    let mut lane = link.into_server().next_lane().await.unwrap();
    let error = lane.wants.next().await.unwrap_err().to_string();
    assert!(error.contains("longer than the limit of 128"), "{error}");
}

/// Else whoever is asked for contents could hold them up for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_a_member_does_not_grant_is_not_waited_for() {
    let mut host = accepting(4).await;
    let net = bind(61, 1).await;
    let (line, ..) = net.dial(&host.net.ticket(), Purpose::Bulk).await.unwrap().into_lane();
    let _accepted = accepted(&mut host).await;
    // The stream of the proof is the first of those it grants.
    let mut lanes = Vec::new();
    for _ in 1..limits::STREAMS {
        lanes.push(line.open_lane().await.unwrap());
    }
    let further = tokio::time::timeout(Duration::from_secs(30), line.open_lane()).await.unwrap();
    assert!(matches!(further, Err(FrameError::NoStream)), "{further:?}");
}

/// On a path on which a piece takes longer than anybody waits, what comes of it each time must count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_may_be_taken_in_parts() {
    let mut host = accepting(4).await;
    let net = bind(62, 1).await;
    let (_line, mut writer, mut reader) = net.dial(&host.net.ticket(), Purpose::Bulk).await.unwrap().into_lane();
    writer.want(&AssetId::from_bytes([7; 32]), 0).await.unwrap();
    writer.flush().await.unwrap();
    let (_, mut link) = accepted(&mut host).await;
    for (comes, is) in [(&[0, 0, 0, 5, 1, 2][..], [1, 2]), (&[3, 4], [3, 4])] {
        link.send.write_all(comes).await.unwrap();
        let mut part = Vec::new();
        while part.len() < is.len() {
            let whole = tokio::time::timeout(Duration::from_millis(20), reader.piece()).await;
            assert!(whole.is_err(), "{whole:?}");
            part.extend(reader.part().into_iter().flatten());
        }
        assert_eq!(part, is);
    }
    link.send.write_all(&[5, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(reader.piece().await.unwrap(), Piece::Bytes(vec![5].into()));
    assert_eq!(reader.part(), None);
    assert_eq!(reader.piece().await.unwrap(), Piece::End);
    let too_long = u32::try_from(limits::CONTENT_CHUNK_BYTES + 1).unwrap();
    link.send.write_all(&too_long.to_be_bytes()).await.unwrap();
    assert!(matches!(reader.piece().await, Err(FrameError::TooLong { .. })));
}

/// A library that was founded by the host of seed 1, and has a second secret since it removed the host of seed 9.
struct Moved {
    founder: Circle,
    before: Circle,
}

fn moved(staying: &[u8]) -> Moved {
    let staying: Vec<HostId> = staying.iter().map(|seed| host_key(*seed).id()).collect();
    let before = circle(1, 1);
    let mut founder = before.clone();
    let secret = LibrarySecret::from_bytes([77; 32]);
    founder.remove(&host_key(1), host_key(9).id(), &[], &staying, [5; 16], secret).unwrap();
    Moved { founder, before }
}

fn before(seed: u8, moved: &Moved) -> Circle {
    Circle::new(host_key(seed).id(), "mirror", moved.before.secret().clone())
}

async fn moved_to(dialler: &Net, ticket: &crate::library::Ticket) -> super::Moved {
    match dialler.dial(ticket, Purpose::Control).await.unwrap_err() {
        DialError::Proof(ProofError::Moved(moved)) => *moved,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_is_handed_the_new_secret_whoever_dials() {
    let moved = moved(&[2, 3]);
    // The one that was away dials.
    let mut host = accepting_with(1, moved.founder.clone()).await;
    let mut away = before(2, &moved);
    let net = bind_with(2, away.clone()).await;
    let told = moved_to(&net, &host.net.ticket()).await;
    assert_eq!((told.peer, told.is_behind), (host.net.id(), true));
    let taken = away.take(told.peer, told.succession, &host_key(2)).unwrap();
    assert!(taken.secret && taken.members);
    assert_eq!((away.epoch(), away.secret().expose()), (1, moved.founder.secret().expose()));
    let Accepted::Moved(heard) = host.links.recv().await.unwrap() else { panic!("let in with an old secret") };
    assert_eq!((heard.peer, heard.is_behind, heard.succession), (net.id(), false, Succession::default()));
    // With the new secret it is let in.
    let net = bind_with(2, away).await;
    net.dial(&host.net.ticket(), Purpose::Control).await.unwrap();
    assert_eq!(accepted(&mut host).await.1.peer, net.id());

    // The one that was away is dialled.
    let mut third = accepting_with(3, before(3, &moved)).await;
    let ahead = bind_with(1, moved.founder.clone()).await;
    let told = moved_to(&ahead, &third.net.ticket()).await;
    assert_eq!((told.is_behind, told.succession), (false, Succession::default()));
    let Accepted::Moved(heard) = third.links.recv().await.unwrap() else { panic!("let in with an old secret") };
    assert!(heard.is_behind);
    let mut away = before(3, &moved);
    assert!(away.take(heard.peer, heard.succession, &host_key(3)).unwrap().secret);
    assert_eq!(away.epoch(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_removed_gets_the_answer_of_a_stranger_and_an_id_nobody_accepted_no_statement() {
    let moved = moved(&[2]);
    let mut host = accepting_with(1, moved.founder.clone()).await;
    let removed = bind_with(9, before(9, &moved)).await;
    let error = removed.dial(&host.net.ticket(), Purpose::Control).await.unwrap_err();
    assert!(matches!(error, DialError::Proof(ProofError::Wrong)), "{error}");
    assert_eq!(host.refused.recv().await.unwrap(), removed.id());
    // A second id that the removed device had made earlier is not among those that stay.
    let second = bind_with(10, before(10, &moved)).await;
    assert_eq!(moved_to(&second, &host.net.ticket()).await.succession, Succession::default());
    assert!(matches!(host.links.recv().await.unwrap(), Accepted::Moved(_)));
    // Nor does a member dial it.
    let other = accepting_with(9, before(9, &moved)).await;
    let founder = bind_with(1, moved.founder.clone()).await;
    let error = founder.dial(&other.net.ticket(), Purpose::Control).await.unwrap_err();
    assert!(matches!(error, DialError::Proof(ProofError::Removed)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_accepted_waits_and_only_greets() {
    let mut listed = circle(1, 1);
    listed.list(&host_key(1), &[host_key(2).id()], [5; 16]).unwrap();
    let mut host = accepting_with(1, listed).await;
    let (member, other) = (bind(2, 1).await, bind(3, 1).await);
    assert!(!member.dial(&host.net.ticket(), Purpose::Control).await.unwrap().pending);
    assert!(!accepted(&mut host).await.1.pending);
    let waiting = other.dial(&host.net.ticket(), Purpose::Control).await.unwrap();
    let (_, link) = accepted(&mut host).await;
    assert!(waiting.pending && link.pending);
    let error = other.dial(&host.net.ticket(), Purpose::Bulk).await.unwrap_err();
    assert!(matches!(error, DialError::Proof(ProofError::Pending)), "{error}");
    assert_eq!(host.refused.recv().await.unwrap(), other.id());
}

/// What nobody says anything on is alive as long as keep-alives are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_falls_silent_when_nothing_comes_and_not_when_nothing_is_said() {
    let mut host = accepting(1).await;
    let member = bind(2, 1).await;
    let link = member.dial(&host.net.ticket(), Purpose::Control).await.unwrap();
    let (_, other) = accepted(&mut host).await;
    let (line, looks) = (link.line(), limits::KEEP_ALIVE * (limits::SILENT_LOOKS + 1));
    assert!(tokio::time::timeout(looks, line.falls_silent()).await.is_err());
    other.line().close("gone");
    tokio::time::timeout(2 * looks, line.falls_silent()).await.unwrap();
    host.group.shut_down().await;
}

/// Returns the first packets of so many connections that a client begins and never goes on with, as one who listens on
/// the way could repeat them.
async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let (client, sink) = (bind(250, 2).await, UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let group = Group::new("client", Arc::new(|_, _, message| panic!("{message}")));
    for seed in 0..count {
        let host = host_key(u8::try_from(seed).unwrap()).id();
        let ticket = Ticket { host, addresses: vec![sink.local_addr().unwrap()], relay: None };
        let client = client.clone();
        group.spawn_until_cancelled("dial", async move { drop(client.dial(&ticket, Purpose::Control).await) });
    }
    // By the id that a client gives its connection; it sends several packets with each.
    let (mut packets, mut packet) = (BTreeMap::new(), vec![0; 2048]);
    let gathering = async {
        while packets.len() < count {
            let length = sink.recv(&mut packet).await.unwrap();
            let (is_first, id) = (packet[0] & 0xf0 == 0xc0, &packet[6..6 + usize::from(packet[5])]);
            if is_first {
                packets.entry(id.to_vec()).or_insert_with(|| packet[..length].to_vec());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gathering).await.unwrap();
    group.shut_down().await;
    client.close().await;
    packets.into_values().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_repeats_packets_of_others_takes_no_place_of_a_member() {
    let mut host = accepting(1).await;
    let packets = first_packets(2 * limits::STRANGERS).await;
    let (ticket, attacker) = (host.net.ticket(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    for packet in &packets {
        attacker.send_to(packet, ticket.addresses[0]).await.unwrap();
    }
    let member = bind(2, 1).await;
    let link = member.dial(&ticket, Purpose::Control).await.unwrap();
    assert_eq!(link.peer, host.net.id());
    assert_eq!(accepted(&mut host).await.1.peer, member.id());
    member.close().await;
    host.group.shut_down().await;
}
