//! A member that lies about contents.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::host::Host;
use super::member::Member;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Document;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::net::Accepted;
use crate::net::Head;
use crate::net::Link;
use crate::store::Store;
use crate::sync::Answer;
use crate::sync::Message;
use crate::sync::Offer;

/// What a liar sends in place of the content.
#[derive(Debug, Clone, Copy)]
enum Lie {
    OtherBytes,
    ShortBody,
    TooMuch,
    OtherAsset,
}

/// Offers an asset of `content` and lies when asked for it; returns what the host answers.
async fn lie(host: &Host, seed: u8, content: &'static [u8], lie: Lie) -> (AssetId, Answer) {
    let timestamp = Timestamp::new(1_700_000_000_000 + u64::from(seed)).unwrap();
    let mut verifier = Verifier::new(timestamp);
    verifier.update(content);
    let key = AssetKey { id: verifier.id(), timestamp, size: content.len() as u64 };
    let mut member = Member::of(host, seed, crate::task::now_ms()).await;
    let offer = Offer::new(key, Arc::new(Document::new()));
    member.control.writer.send(Message::Offers(vec![offer])).await.unwrap();
    let (_, none) = mpsc::channel(1);
    let mut links = std::mem::replace(&mut member.links, none);
    member.group.spawn_until_cancelled("serve", async move {
        while let Some(Accepted::Member { link, .. }) = links.recv().await {
            serve(link, content, lie).await;
        }
    });
    let answered = member.hears(|message| match message {
        Message::Answers(answers) => answers.into_iter().next(),
        _ => None,
    });
    let (id, _, answer) = answered.await;
    assert_eq!(id, key.id);
    member.leave().await;
    (id, answer)
}

async fn serve(link: Link, content: &'static [u8], lie: Lie) {
    let mut server = link.into_server();
    while let Some(mut lane) = server.next_lane().await {
        while let Ok((id, offset)) = lane.wants.next().await {
            let mut bytes = content[usize::try_from(offset).unwrap().min(content.len())..].to_vec();
            match lie {
                Lie::OtherBytes => bytes[0] ^= 1,
                Lie::ShortBody => bytes.truncate(bytes.len() / 2),
                Lie::TooMuch => bytes.push(7),
                Lie::OtherAsset => {}
            }
            let id = if matches!(lie, Lie::OtherAsset) { AssetId::from_bytes([3; 32]) } else { id };
            if lane.records.head(Head::Content(id, offset)).await.is_err() {
                return;
            }
            for piece in bytes.chunks(100_000) {
                let _ = lane.records.piece(Bytes::copy_from_slice(piece)).await;
            }
            let _ = lane.records.end(true).await;
            let _ = lane.records.flush().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_is_refused_and_nothing_of_it_is_stored() {
    let host = Host::start(61).await;
    let large: &'static [u8] = Vec::leak(vec![9; 300_000]);
    let lies = [Lie::OtherBytes, Lie::ShortBody, Lie::TooMuch];
    for (seed, (content, kind)) in (70..).zip([&b"small"[..], large].into_iter().flat_map(|c| lies.map(|lie| (c, lie))))
    {
        let (id, answer) = lie(&host, seed, content, kind).await;
        assert!(matches!(&answer, Answer::Refused(why) if why.contains("does not match")), "{kind:?}: {answer:?}");
        assert_eq!(host.store.record(&id).await.unwrap(), None);
    }
    assert!(host.contents().await.is_empty());
    // It still works with an honest host.
    let honest = Host::start(62).await;
    let id = honest.ingest(1000, "honest").await;
    host.engine.connect(honest.ticket()).await;
    host.has(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_to_something_else_ends_the_lane_and_another_host_is_asked() {
    let (host, honest) = (Host::start(63).await, Host::start(64).await);
    let id = honest.ingest(1000, "honest").await;
    host.engine.connect(honest.ticket()).await;
    host.has(&id).await;
    let asked = tokio::time::timeout(std::time::Duration::from_secs(3), lie(&host, 80, b"x", Lie::OtherAsset));
    assert!(asked.await.is_err(), "a reply to something else is no answer");
    assert_eq!(host.contents().await.len(), 1);
}
