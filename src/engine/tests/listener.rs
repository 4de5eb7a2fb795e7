//! A member that writes down every byte it is told.

use std::collections::BTreeSet;

use super::host::Host;
use super::member::Member;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::hook::Asked;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::hook::scripted::Scripted;
use crate::net::message_bytes;
use crate::store::Store;
use crate::sync::Input;
use crate::sync::ItemHash;
use crate::sync::Message;
use crate::sync::Output;
use crate::sync::Replica;

/// What a member has heard, while its replica of an empty set answers as every host would.
struct Listener {
    member: Member,
    replica: Replica,
    offered: BTreeSet<AssetId>,
    heard: Vec<u8>,
}

impl Listener {
    async fn of(host: &Host, seed: u8) -> Self {
        let member = Member::of(host, seed, crate::task::now_ms()).await;
        let mut replica = Replica::new(Vec::new(), 30_000);
        let connected = Input::Connected { peer: host.net.id(), dialled: false, passes: true, exceptions: Vec::new() };
        replica.handle(0, [connected]);
        let mut listener = Self { member, replica, offered: BTreeSet::new(), heard: Vec::new() };
        listener.answer().await;
        listener
    }

    async fn answer(&mut self) {
        while let Some(output) = self.replica.next_output() {
            if let Output::Send { message, .. } = output {
                self.member.control.writer.send(message).await.unwrap();
            }
        }
    }

    /// Listens until an asset has been offered.
    async fn listen(&mut self, until: AssetId) {
        let peer = self.member.control.peer;
        while !self.offered.contains(&until) {
            let message = self.member.hears(Some).await;
            self.heard.extend(message_bytes(&message));
            if let Message::Offers(offers) = &message {
                self.offered.extend(offers.iter().map(|offer| offer.key.id));
            }
            self.replica.handle(0, [Input::Received { peer, message }]);
            self.answer().await;
        }
    }

    fn has_heard(&self, bytes: &[u8]) -> bool {
        self.heard.windows(bytes.len()).any(|window| window == bytes)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_what_is_kept_back_is_in_any_message() {
    let hooks = Scripted::new("keeper", |asked: &Asked| match asked.metadata.file_name.as_deref() {
        Some("private") if asked.point == Point::BeforePush => Verdict::Drop("private".into()),
        Some("undecided") if asked.point == Point::BeforePush => Verdict::Hold("wait".into()),
        _ => Verdict::Pass,
    });
    let host = Host::start_with_hooks(211, std::sync::Arc::new(hooks)).await;
    let (mut open, mut kept) = (Vec::new(), Vec::new());
    for n in 0..100 {
        match n % 5 {
            0 => kept.push(host.ingest(n, "private").await),
            1 => kept.push(host.ingest(n, "undecided").await),
            _ => open.push(host.ingest(n, "public").await),
        }
    }
    // The last is there when all before it were judged.
    let mut listener = Listener::of(&host, 212).await;
    for id in &open {
        listener.listen(*id).await;
    }
    // Live, too: one that is new, and one that was kept back and changes.
    kept.push(host.ingest(1_000, "private").await);
    host.change(&kept[0], Changes::new().add_tag("confidential")).await;
    let last = host.ingest(1_001, "public").await;
    open.push(last);
    listener.listen(last).await;

    assert_eq!(listener.offered, open.iter().copied().collect());
    for id in &open {
        assert!(listener.has_heard(id.as_bytes()), "the search finds what is there");
    }
    for id in &kept {
        let version = host.store.record(id).await.unwrap().unwrap().document.shared().digest();
        assert!(!listener.has_heard(id.as_bytes()), "{id}");
        assert!(!listener.has_heard(ItemHash::of(id, &version).as_bytes()), "{id} as an item of a set");
    }
    assert!(listener.has_heard(b"public"));
    for text in ["private", "undecided", "confidential"] {
        assert!(!listener.has_heard(text.as_bytes()), "{text}");
    }
    listener.member.leave().await;
}
