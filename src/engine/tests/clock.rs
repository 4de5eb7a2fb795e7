//! Hosts whose clocks differ.

use super::host::Host;
use super::host::within;
use super::member::Member;
use crate::asset::Document;
use crate::asset::Field;
use crate::asset::HostId;
use crate::asset::Stamp;
use crate::asset::Value;
use crate::asset::names;
use crate::limits;
use crate::store::Store;
use crate::sync::Answer;
use crate::sync::Message;
use crate::sync::Offer;
use crate::task::now_ms;

fn field(text: &str, at_ms: u64) -> Field {
    let stamp = Stamp::from_parts(at_ms << 16, HostId::from_bytes([66; 32]));
    Field { value: Value::Text(text.to_owned()), stamp }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_from_the_future_waits_and_both_sides_are_told() {
    let host = Host::start(65).await;
    let id = host.ingest(3000, "here").await;
    let key = host.store.record(&id).await.unwrap().unwrap().key;
    let before = host.metadata(&id).await;
    let ahead_ms = limits::STAMP_AHEAD_MS + 3_600_000;
    let mut member = Member::of(&host, 66, now_ms() + ahead_ms).await;

    let mut document = Document::new();
    document.insert(names::USER, field("now", now_ms()));
    document.insert(names::PATH, field("later", now_ms() + ahead_ms));
    member.control.writer.send(Message::Offers(vec![Offer::new(key, document)])).await.unwrap();

    let told = member.hears(|message| match message {
        Message::Early { asset, ahead_ms } => Some((asset, ahead_ms)),
        _ => None,
    });
    let (asset, told_ms) = told.await;
    assert_eq!(asset, id);
    assert!(told_ms.abs_diff(ahead_ms) < 120_000, "{told_ms}");
    let answer = member.hears(|message| match message {
        Message::Answers(answers) => answers.into_iter().next(),
        _ => None,
    });
    assert_eq!(answer.await.2, Answer::Stored);
    let metadata = host.metadata(&id).await;
    assert_eq!((metadata.user.as_deref(), metadata.path), (Some("now"), before.path), "the other field goes on");

    let clock = async {
        loop {
            let status = host.engine.status().await.unwrap();
            if let Some(ahead) = status.peers.first().and_then(|peer| peer.clock_ahead_ms) {
                return ahead;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    assert!(within(clock).await.unsigned_abs().abs_diff(ahead_ms) < 120_000);
    member.leave().await;
}

/// The other way: a peer says that a change made here is ahead of its clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_told_so_goes_on() {
    let host = Host::start(67).await;
    let id = host.ingest(3001, "here").await;
    let mut member = Member::of(&host, 68, now_ms()).await;
    member.control.writer.send(Message::Early { asset: id, ahead_ms: 700_000 }).await.unwrap();
    let count = member.hears(|message| match message {
        Message::Summary { summary, .. } => Some(summary.count),
        _ => None,
    });
    assert_eq!(count.await, 1);
    member.leave().await;
}

/// A host remembers both as what the peer has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_taken_once_its_time_has_come_and_what_was_refused_never_is() {
    let host = Host::start(69).await;
    let (one, other) = (host.ingest(3002, "one").await, host.ingest(3003, "other").await);
    let mut member = Member::of(&host, 70, now_ms()).await;
    let long = field(&"x".repeat(limits::TEXT_FIELD_BYTES + 1), now_ms());
    let refused = member.is_answered(&host, other, [(names::USER, long)]).await;
    assert!(matches!(&refused, Answer::Refused(why) if why.contains("user")), "{refused:?}");
    for text in ["soon", "a little later"] {
        let soon = field(text, now_ms() + limits::STAMP_AHEAD_MS + 1000);
        assert_eq!(member.is_answered(&host, one, [(names::USER, soon)]).await, Answer::Stored);
        host.metadata_is(&one, |metadata| metadata.user.as_deref() == Some(text)).await;
    }
    assert_eq!(host.metadata(&other).await.user, None);
    member.leave().await;
}
