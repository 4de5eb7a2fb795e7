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
use crate::hook::Verdict;
use crate::hook::scripted::Scripted;
use crate::net::Accepted;
use crate::net::Head;
use crate::net::Link;
use crate::store::Store;
use crate::sync::Answer;
use crate::sync::Message;
use crate::sync::Offer;

/// What a liar sends in place of the content, or says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    OtherBytes,
    ShortBody,
    TooMuch,
    OtherAsset,
    /// It offers the asset as a larger one.
    Larger,
    /// It offers the asset as a smaller one.
    Smaller,
    /// It begins to send, and says nothing more.
    Silent,
}

/// A member that offers an asset and lies when asked for it.
struct Liar {
    member: Member,
    key: AssetKey,
}

impl Liar {
    async fn start(host: &Host, seed: u8, timestamp: u64, content: &'static [u8], lie: Lie) -> Self {
        let timestamp = Timestamp::new(timestamp).unwrap();
        let mut verifier = Verifier::new(timestamp);
        verifier.update(content);
        let size = match lie {
            Lie::Larger => content.len() as u64 + 1,
            Lie::Smaller => content.len() as u64 - 1,
            _ => content.len() as u64,
        };
        let key = AssetKey { id: verifier.id(), timestamp, size };
        let mut member = Member::of(host, seed, crate::task::now_ms()).await;
        let (_, none) = mpsc::channel(1);
        let mut links = std::mem::replace(&mut member.links, none);
        member.group.spawn_until_cancelled("serve", async move {
            while let Some(Accepted::Member { link, .. }) = links.recv().await {
                serve(link, content, lie).await;
            }
        });
        let mut liar = Self { member, key };
        liar.offer(key).await;
        liar
    }

    async fn offer(&mut self, key: AssetKey) {
        let offer = Offer::new(key, Document::new());
        self.member.control.writer.send(Message::Offers(vec![offer])).await.unwrap();
    }

    /// Returns what the host answers.
    async fn answer(&mut self) -> Answer {
        let answered = self.member.hears(|message| match message {
            Message::Answers(answers) => answers.into_iter().next(),
            _ => None,
        });
        let (id, _, answer) = answered.await;
        assert_eq!(id, self.key.id);
        answer
    }
}

async fn serve(link: Link, content: &'static [u8], lie: Lie) {
    let mut server = link.into_server();
    while let Some(mut lane) = server.next_lane().await {
        while let Ok((id, offset)) = lane.wants.next().await {
            let mut bytes = content[usize::try_from(offset).unwrap().min(content.len())..].to_vec();
            match lie {
                Lie::OtherBytes => bytes[0] ^= 1,
                Lie::ShortBody | Lie::Silent => bytes.truncate(bytes.len() / 2),
                Lie::TooMuch => bytes.push(7),
                Lie::OtherAsset | Lie::Larger | Lie::Smaller => {}
            }
            let id = if lie == Lie::OtherAsset { AssetId::from_bytes([3; 32]) } else { id };
            if lane.records.head(Head::Content(id, offset)).await.is_err() {
                return;
            }
            for piece in bytes.chunks(100_000) {
                let _ = lane.records.piece(Bytes::copy_from_slice(piece)).await;
            }
            if lie != Lie::Silent {
                let _ = lane.records.end(true).await;
            }
            let _ = lane.records.flush().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_is_refused_and_nothing_of_it_is_stored() {
    let host = Host::start(61).await;
    let large: &'static [u8] = Vec::leak(vec![9; 300_000]);
    let lies = [Lie::OtherBytes, Lie::ShortBody, Lie::TooMuch, Lie::Larger, Lie::Smaller];
    for (seed, (content, lie)) in (70..).zip([&b"small"[..], large].into_iter().flat_map(|c| lies.map(|lie| (c, lie))))
    {
        let mut liar = Liar::start(&host, seed, 1_700_000_000_000 + u64::from(seed), content, lie).await;
        let answer = liar.answer().await;
        assert!(matches!(&answer, Answer::Refused(why) if why.contains("does not match")), "{lie:?}: {answer:?}");
        assert_eq!(host.store.record(&liar.key.id).await.unwrap(), None);
        liar.member.leave().await;
    }
    assert!(host.contents().await.is_empty());
}

/// Also where the liar was first, so that what it said of the asset is what was known of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_liar_offers_is_fetched_from_an_honest_host() {
    let (host, honest) = (Host::start(63).await, Host::start(64).await);
    let content: &'static [u8] = Vec::leak(b"honest".iter().copied().cycle().take(300_000).collect());
    let lies = [Lie::OtherBytes, Lie::ShortBody, Lie::TooMuch, Lie::OtherAsset, Lie::Larger, Lie::Smaller, Lie::Silent];
    let mut liars = Vec::new();
    for (seed, lie) in (80..).zip(lies) {
        let timestamp = 1_700_000_000_000 + u64::from(seed);
        let liar = Liar::start(&host, seed, timestamp, content, lie).await;
        assert_eq!(honest.ingest_at(timestamp, content.len(), "honest").await, liar.key.id);
        liars.push(liar);
    }
    host.engine.connect(honest.ticket()).await;
    for liar in liars {
        host.has(&liar.key.id).await;
        liar.member.leave().await;
    }
    assert_eq!(host.contents().await, honest.contents().await);
}

/// What was answered about an asset as a small one is not the answer about the same as a large one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_past_a_plugin_under_another_size() {
    let hook = Scripted::new("small only", |asked| match asked.key.size {
        ..1000 => Verdict::Pass,
        _ => Verdict::Drop("large".to_owned()),
    });
    let host = Host::start_with_hooks(65, Arc::new(hook)).await;
    let content: &'static [u8] = Vec::leak(vec![9; 1000]);
    let mut liar = Liar::start(&host, 90, 1_700_000_000_000, content, Lie::Smaller).await;
    assert!(matches!(liar.answer().await, Answer::Refused(_)));
    let truth = AssetKey { size: 1000, ..liar.key };
    liar.offer(truth).await;
    let answer = liar.answer().await;
    assert!(matches!(&answer, Answer::Declined(why) if why == "large"), "{answer:?}");
    assert!(host.contents().await.is_empty());
    liar.member.leave().await;
}
