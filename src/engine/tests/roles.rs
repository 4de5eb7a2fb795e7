//! What goes in which direction, how fast, and how much of it at once into the trash.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use super::host::Host;
use super::host::in_sync;
use super::host::within;
use super::member::Member;
use super::plugins::stopped;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::Field;
use crate::asset::HostId;
use crate::asset::Stamp;
use crate::asset::Value;
use crate::asset::names;
use crate::engine::HandError;
use crate::engine::RateLimit;
use crate::hook::Asked;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::hook::scripted::Scripted;
use crate::library::Role;
use crate::limits;
use crate::net::Head;
use crate::state::Way;
use crate::store::Store as _;
use crate::sync::Answer;
use crate::sync::Culprit;
use crate::task::now_ms;

impl Host {
    async fn lacks(&self, id: &AssetId) -> bool {
        self.store.record(id).await.unwrap().is_none()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_are_kept_to_by_either_side_and_sets_become_equal_all_the_same() {
    let (a, b) = (Host::start(1).await, Host::start(2).await);
    // Only this side says so; the other is a mirror by its own word.
    a.engine.set_role(b.net.id(), Role::SendOnly).await.unwrap();
    let (from_a, from_b) = (a.ingest(1000, "of a").await, b.ingest(1000, "of b").await);
    a.engine.connect(b.ticket()).await;
    a.has(&from_b).await;
    in_sync(&[(&a, &b)]).await;
    let later = a.ingest(10, "later of a").await;
    let change = b.ingest(10, "later of b").await;
    a.has(&change).await;
    in_sync(&[(&a, &b)]).await;
    assert!(b.lacks(&from_a).await && b.lacks(&later).await, "nothing goes to it");
    assert_eq!(b.ask_for(&a, from_a).await, Head::NotHere(from_a), "not even when it asks");
    // The other way round, while they are connected.
    a.engine.set_role(b.net.id(), Role::ReceiveOnly).await.unwrap();
    b.has(&from_a).await;
    b.has(&later).await;
    let kept_out = b.ingest(10, "not for a").await;
    in_sync(&[(&a, &b)]).await;
    assert!(a.lacks(&kept_out).await, "nothing is taken from it");
    a.engine.set_role(b.net.id(), Role::Mirror).await.unwrap();
    a.has(&kept_out).await;
    in_sync(&[(&a, &b)]).await;
    for host in [a, b] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_keeps_to_the_role_of_its_own_configuration() {
    let frame = Host::start(1).await.stop().await.with_role(Role::ReceiveOnly).again().await;
    let desk = Host::start(2).await;
    let (own, other) = (frame.ingest(10, "of the frame").await, desk.ingest(10, "of the desk").await);
    frame.engine.connect(desk.ticket()).await;
    frame.has(&other).await;
    in_sync(&[(&frame, &desk)]).await;
    assert!(desk.lacks(&own).await);
    let peer = desk.engine.status().await.unwrap().peers.remove(0);
    assert_eq!((peer.role, peer.flow.send, peer.flow.take), (Some(Role::ReceiveOnly), true, false));
    for host in [frame, desk] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_slows_what_it_is_for() {
    let (a, b) = (Host::start(1).await, Host::start(2).await);
    a.engine.connect(b.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    a.engine.limit(b.net.id(), RateLimit::BytesPerSec(500_000), RateLimit::AsItWas).await.unwrap();
    let began = Instant::now();
    let asset = a.ingest(1_000_000, "slow").await;
    b.has(&asset).await;
    // Of two seconds a tenth was saved up, and the last piece is not waited for.
    assert!(began.elapsed() > Duration::from_millis(1200), "{:?}", began.elapsed());
    for host in [a, b] {
        host.stop().await;
    }
}

async fn trash(host: &Host, ids: &[AssetId]) {
    for id in ids {
        host.change(id, Changes::new().trashed(true)).await;
    }
}

/// A host, one that trashes all of thirty assets there, and the assets.
async fn trashed() -> (Host, Host, Vec<AssetId>) {
    trashed_at(Host::start(1).await).await
}

async fn trashed_at(a: Host) -> (Host, Host, Vec<AssetId>) {
    let thief = Host::start(2).await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(a.ingest(10 + number, "photo").await);
    }
    a.engine.connect(thief.ticket()).await;
    for id in &ids {
        thief.has(id).await;
    }
    in_sync(&[(&a, &thief)]).await;
    trash(&thief, &ids).await;
    a.until(|a| !a.engine.braked().is_empty()).await;
    in_sync(&[(&a, &thief)]).await;
    (a, thief, ids)
}

async fn in_trash(host: &Host, ids: &[AssetId]) -> usize {
    let mut count = 0;
    for id in ids {
        count += usize::from(host.metadata(id).await.trashed);
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_trashes_too_much_is_stopped_and_undone_everywhere() {
    let (a, thief, ids) = trashed().await;
    assert_eq!(in_trash(&a, &ids).await, 10, "of thirty assets ten may go");
    let braked = a.engine.braked();
    assert_eq!(braked.len(), 1);
    assert_eq!((braked[0].culprit, braked[0].name.as_str()), (Culprit::Author(thief.net.id()), "host 2"));
    let held = a.engine.held(None, 100).await.unwrap();
    assert_eq!(held.len(), 20);
    assert!(held.iter().all(|held| held.by == "brake" && held.reason.contains("host 2")), "{held:?}");
    // A restart forgets nothing.
    let a = a.stop().await.again().await;
    assert_eq!(a.engine.braked(), braked);
    a.engine.connect(thief.ticket()).await;
    in_sync(&[(&a, &thief)]).await;
    assert_eq!(in_trash(&a, &ids).await, 10);

    assert_eq!(a.engine.drop_braked().await.unwrap(), 20);
    for id in &held.iter().map(|held| held.key.id).collect::<Vec<_>>() {
        thief.metadata_is(id, |metadata| !metadata.trashed).await;
    }
    in_sync(&[(&a, &thief)]).await;
    assert_eq!((in_trash(&a, &ids).await, in_trash(&thief, &ids).await), (10, 10));
    assert!(a.engine.braked().is_empty() && a.engine.held(None, 100).await.unwrap().is_empty());
    for host in [a, thief] {
        host.stop().await;
    }
}

/// What a third host says about it, and was refused, is remembered as what that host has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undoing_what_the_brake_holds_takes_in_nothing_that_was_refused() {
    let (a, thief, _) = trashed().await;
    let held = a.engine.held(None, 1).await.unwrap()[0].key.id;
    let mut member = Member::of(&a, 3, now_ms()).await;
    let stamp = Stamp::from_parts(now_ms() << 16, HostId::from_bytes([3; 32]));
    // A value would be undone; a name would stay.
    let long = "x".repeat(limits::FIELD_NAME_BYTES + 1);
    let fields = [(names::TRASHED, Value::flag(true)), (long.as_str(), Value::flag(true))];
    let fields = fields.map(|(name, value)| (name, Field { value, stamp }));
    let refused = member.is_answered(&a, held, fields).await;
    assert!(matches!(&refused, Answer::Refused(why) if why.contains("field name")), "{refused:?}");
    within(async {
        while a.engine.shared.state.known_of_asset(held).await.unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    a.engine.drop_braked().await.unwrap();
    thief.metadata_is(&held, |metadata| !metadata.trashed).await;
    let record = a.store.record(&held).await.unwrap().unwrap();
    assert_eq!(record.document.shared().get(&long), None);
    member.leave().await;
    for host in [a, thief] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_brake_holds_is_made_when_a_person_says_so() {
    let (a, thief, ids) = trashed().await;
    // Other changes of the same host go on.
    thief.change(&ids[0], Changes::new().add_tag("seen")).await;
    assert_eq!(a.engine.release_brake().await.unwrap(), 20);
    for id in &ids {
        a.metadata_is(id, |metadata| metadata.trashed).await;
    }
    in_sync(&[(&a, &thief)]).await;
    assert!(a.engine.held(None, 100).await.unwrap().is_empty() && a.engine.braked().is_empty());
    let silent = a.stop().await.silent().again().await;
    assert!(matches!(silent.engine.release_brake().await, Err(HandError::Silent)));
    for host in [silent, thief] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_brake_lets_go_is_still_stopped_by_plugins() {
    let rule = |asked: &Asked| {
        let kept = asked.point == Point::BeforePush && asked.metadata.tags.contains("private");
        let refused = asked.point == Point::AfterReceive && asked.metadata.trashed && asked.key.size == 39;
        if kept || refused { Verdict::Hold("wait".into()) } else { Verdict::Pass }
    };
    let (a, thief, ids) = trashed_at(Host::start_with_hooks(1, Arc::new(Scripted::new("keeper", rule))).await).await;
    // One asset is stopped twice: its trashing on the way in by the brake, and itself on the way out by the plugin.
    a.change(&ids[28], Changes::new().add_tag("private")).await;
    stopped(&a, 21, 0).await;
    assert_eq!(a.engine.release_brake().await.unwrap(), 20);
    for id in &ids[..29] {
        a.metadata_is(id, |metadata| metadata.trashed).await;
    }
    stopped(&a, 2, 0).await;
    let held = a.engine.held(None, 100).await.unwrap();
    let held: HashSet<_> = held.iter().map(|held| (held.key.id, held.way, held.by.as_str())).collect();
    assert_eq!(held, HashSet::from([(ids[28], Way::Push, "keeper"), (ids[29], Way::Pull, "keeper")]));
    assert!(!a.metadata(&ids[29]).await.trashed);
    for host in [a, thief] {
        host.stop().await;
    }
}

/// It would be wanted, and be here once the store can be written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_allowed_is_refused_also_while_the_store_cannot_be_read() {
    let host = Host::start(4).await;
    let id = host.ingest(3004, "here").await;
    let key = host.store.record(&id).await.unwrap().unwrap().key;
    let mut member = Member::of(&host, 5, now_ms()).await;
    host.store.close().await;
    let stamp = Stamp::from_parts(now_ms() << 16, HostId::from_bytes([5; 32]));
    let long = Field { value: Value::Text("x".repeat(limits::TEXT_FIELD_BYTES + 1)), stamp };
    let refused = member.is_answered_about(key, [(names::USER, long)]).await;
    assert!(matches!(&refused, Answer::Refused(why) if why.contains("user")), "{refused:?}");
    member.leave().await;
}
