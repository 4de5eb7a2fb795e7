//! A member that answers the wants of a host one by one, at the pace of a test.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::host::Host;
use super::host::in_sync;
use super::host::within;
use super::member::Member;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Document;
use crate::asset::HostId;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::event::Event;
use crate::limits;
use crate::net::Accepted;
use crate::net::BulkServer;
use crate::net::Head;
use crate::net::Purpose;
use crate::net::ServedLane;
use crate::store::SpoolError;
use crate::store::Store;
use crate::sync::Message;
use crate::sync::Offer;

/// Length of the contents here: in files while they come, and in the lane of the small ones.
const LENGTH: usize = 100_000;

/// A content that a test made up.
#[derive(Debug, Clone)]
struct Made {
    key: AssetKey,
    bytes: Bytes,
}

impl Made {
    fn new(number: u8) -> Self {
        let bytes = Bytes::from(vec![number; LENGTH]);
        let timestamp = Timestamp::new(1_700_000_000_000 + u64::from(number)).unwrap();
        let mut verifier = Verifier::new(timestamp);
        verifier.update(&bytes);
        Self { key: AssetKey { id: verifier.id(), timestamp, size: LENGTH as u64 }, bytes }
    }

    fn some(count: u8) -> Vec<Self> {
        (0..count).map(Self::new).collect()
    }
}

/// A connected member, and the lane for small contents that the host has opened to it.
struct Sender {
    member: Member,
    _server: BulkServer,
    lane: ServedLane,
}

impl Sender {
    /// Has a host ask for contents.
    async fn asked_by(host: &Host, seed: u8, contents: &[Made]) -> Self {
        let mut member = Member::of(host, seed, crate::task::now_ms()).await;
        let offers = contents.iter().map(|made| Offer::new(made.key, Document::new())).collect();
        member.control.writer.send(Message::Offers(offers)).await.unwrap();
        let next = within(member.links.recv()).await.unwrap();
        let Accepted::Member { purpose: Purpose::Bulk, link } = next else { panic!("{next:?}") };
        let mut server = link.into_server();
        let lane = within(server.next_lane()).await.unwrap();
        Self { member, _server: server, lane }
    }

    async fn next_want(&mut self) -> (AssetId, u64) {
        within(self.lane.wants.next()).await.unwrap()
    }

    /// Gathers the beginning of an answer, up to a length.
    async fn begin(&mut self, made: &Made, offset: u64, until: usize) {
        self.lane.records.head(Head::Content(made.key.id, offset)).await.unwrap();
        for piece in made.bytes[usize::try_from(offset).unwrap()..until].chunks(10_000) {
            self.lane.records.piece(made.bytes.slice_ref(piece)).await.unwrap();
        }
    }

    /// Answers all that is asked for, until it is told that so many are stored.
    async fn serve(&mut self, contents: &[Made], stored: usize) {
        let Self { member, lane, .. } = self;
        let serving = async {
            loop {
                let want = lane.wants.next().await.unwrap();
                reply(lane, contents, want).await;
            }
        };
        tokio::select! {
            () = serving => {}
            () = answered(member, stored) => {}
        }
    }
}

async fn reply(lane: &mut ServedLane, contents: &[Made], (id, offset): (AssetId, u64)) {
    let made = contents.iter().find(|made| made.key.id == id).unwrap();
    lane.records.head(Head::Content(id, offset)).await.unwrap();
    lane.records.piece(made.bytes.slice(usize::try_from(offset).unwrap()..)).await.unwrap();
    lane.records.end(true).await.unwrap();
    lane.records.flush().await.unwrap();
}

/// Waits until a host has answered so many offers.
async fn answered(member: &mut Member, mut left: usize) {
    while left > 0 {
        let answers = member.hears(|message| match message {
            Message::Answers(answers) => Some(answers.len()),
            _ => None,
        });
        left -= answers.await;
    }
}

fn received(host: &Host, from: HostId) -> u64 {
    host.engine.shared.traffic(from).received.load(Ordering::Relaxed)
}

/// How large they are is a claim of whoever offers them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_files_are_open_for_contents_that_have_not_come() {
    let (host, contents) = (Host::start(6).await, Made::some(100));
    let mut sender = Sender::asked_by(&host, 73, &contents).await;
    let mut wants = Vec::new();
    for _ in 0..limits::PARTS_OPEN {
        wants.push(sender.next_want().await);
    }
    let mut open = 0;
    for made in &contents {
        open += usize::from(matches!(host.store.resume(&made.key).await, Err(SpoolError::Busy(_))));
    }
    assert_eq!(open, limits::PARTS_OPEN);
    // Others follow as they come.
    for want in wants {
        reply(&mut sender.lane, &contents, want).await;
    }
    sender.serve(&contents, contents.len()).await;
    assert_eq!(host.contents().await.len(), contents.len());
    sender.member.leave().await;
    host.stop().await;
}

/// As a power cut leaves it, or a member that broke off in the middle of a lie.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_the_rest_of_what_was_damaged_here_is_no_liar() {
    let (host, honest) = (Host::start(4).await, Host::start(5).await);
    let (count, damaged) = (u64::from(limits::LIES_PER_PEER) + 4, vec![7; LENGTH / 2]);
    for n in 0..count {
        let id = honest.ingest_at(1_700_000_000_000 + n, LENGTH, "honest").await;
        let key = honest.store.record(&id).await.unwrap().unwrap().key;
        host.store.resume(&key).await.unwrap().write(&damaged).unwrap();
    }
    let mut events = host.events.subscribe();
    host.engine.connect(honest.ticket()).await;
    in_sync(&[(&host, &honest)]).await;
    assert_eq!(host.contents().await, honest.contents().await);
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::PeerDisconnected { .. }), "{event:?}");
    }
    for host in [host, honest] {
        host.stop().await;
    }
}

/// No other connection is served, so the want has to come on this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_want_is_sent_although_what_was_to_follow_it_cannot_be_asked_for() {
    let (host, contents) = (Host::start(3).await, Made::some(2));
    let written_elsewhere = host.store.resume(&contents[1].key).await.unwrap();
    let mut sender = Sender::asked_by(&host, 72, &contents).await;
    assert_eq!(sender.next_want().await, (contents[0].key.id, 0));
    sender.begin(&contents[0], 0, LENGTH).await;
    sender.lane.records.end(true).await.unwrap();
    sender.lane.records.flush().await.unwrap();
    answered(&mut sender.member, 1).await;
    assert!(host.store.record(&contents[0].key.id).await.unwrap().unwrap().presence.is_here());
    drop(written_elsewhere);
    sender.member.leave().await;
    host.stop().await;
}

/// The next one comes byte by byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_is_whole_does_not_wait_for_the_one_behind_it() {
    let (host, contents) = (Host::start(2).await, Made::some(2));
    let mut sender = Sender::asked_by(&host, 71, &contents).await;
    for made in &contents {
        assert_eq!(sender.next_want().await, (made.key.id, 0));
    }
    sender.begin(&contents[0], 0, LENGTH).await;
    sender.lane.records.end(true).await.unwrap();
    sender.begin(&contents[1], 0, 1).await;
    sender.lane.records.flush().await.unwrap();
    let Sender { member, lane, .. } = &mut sender;
    let mut rest = contents[1].bytes.slice(1..);
    let trickling = async {
        loop {
            lane.records.piece(rest.split_to(1)).await.unwrap();
            lane.records.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = trickling => {}
        () = answered(member, 1) => {}
    }
    assert!(host.store.record(&contents[0].key.id).await.unwrap().unwrap().presence.is_here());
    sender.member.leave().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_has_come_when_its_connection_ends_is_not_lost() {
    let (host, contents) = (Host::start(1).await, Made::some(2));
    let mut sender = Sender::asked_by(&host, 70, &contents).await;
    for made in &contents {
        assert_eq!(sender.next_want().await, (made.key.id, 0));
    }
    sender.begin(&contents[0], 0, LENGTH).await;
    sender.lane.records.end(true).await.unwrap();
    sender.begin(&contents[1], 0, 5_000).await;
    sender.lane.records.flush().await.unwrap();
    let peer = sender.member.id();
    host.until(|host| received(host, peer) > LENGTH as u64).await;
    host.engine.pause(peer, None).await.unwrap();
    host.until(|host| host.engine.shared.connected.is_empty()).await;
    sender.member.leave().await;
    host.engine.resume(peer).await.unwrap();

    let mut sender = Sender::asked_by(&host, 70, &contents).await;
    sender.serve(&contents, contents.len()).await;
    assert_eq!(host.contents().await.len(), 2);
    sender.member.leave().await;
    host.stop().await;
}
