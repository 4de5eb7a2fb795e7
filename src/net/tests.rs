//! Strangers, and members that break the form.

use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::RecvStream;
use iroh::endpoint::SendStream;
use iroh::endpoint::VarInt;
use tokio::sync::mpsc;

use super::*;
use crate::asset::HostId;
use crate::auth::Keys;
use crate::auth::LibrarySecret;
use crate::auth::Proof;
use crate::auth::Role;
use crate::limits;
use crate::proto::peer::v1 as wire;
use crate::task::Group;

async fn bind(seed: u8, secret: u8) -> Net {
    let key = Keys::derive(&LibrarySecret::from_bytes([secret; 32])).proof;
    let options = Options {
        key: [seed; 32].into(),
        bind_addr: Some("127.0.0.1:0".parse().unwrap()),
        last_port: None,
        relay: Relay::Off,
        membership: Membership { key, library: "mirror".to_owned(), epoch: 0 },
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
    let net = bind(seed, 1).await;
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
            frame::write(&mut send, &wire::Proof { tag: tag.into() }, limits::PROOF_FRAME_BYTES).await.unwrap();
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
    assert_eq!(host.links.recv().await.unwrap().link.peer, member.id());
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

/// Dials as a member, and hands the bare sending half to the test.
async fn member(host: &mut Accepting, seed: u8, purpose: Purpose) -> ((Net, RecvStream), SendStream, Link) {
    let net = bind(seed, 1).await;
    let link = net.dial(&host.net.ticket(), purpose).await.unwrap();
    let accepted = host.links.recv().await.unwrap();
    assert_eq!(accepted.purpose, purpose);
    // A receiving half that is dropped would stop the other side's greeting.
    ((net, link.recv), link.send, accepted.link)
}

fn greeting() -> Greeting {
    Greeting {
        name: "n".into(),
        version: "v".into(),
        addresses: Vec::new(),
        relay: None,
        now_ms: 1,
        keeps_everything: None,
    }
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
