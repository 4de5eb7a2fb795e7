//! Who belongs to the library, and what becomes of who does not.

use std::time::Duration;

use super::host::Host;
use super::host::bind;
use super::host::in_sync;
use super::host::within;
use crate::asset::HostId;
use crate::auth::HostKey;
use crate::auth::members::Membership;
use crate::auth::members::Standing;
use crate::auth::members::Succession;
use crate::auth::pairing::Handover;
use crate::auth::pairing::Joiner;
use crate::auth::pairing::PairingCode;
use crate::auth::pairing::PairingFailure;
use crate::engine::Condition;
use crate::engine::NamedError;
use crate::engine::PairingStatus;
use crate::engine::RateLimit;
use crate::engine::Trust;
use crate::engine::members::hear;
use crate::engine::members::moved_on;
use crate::engine::peers::PeerOrder;
use crate::event::Event;
use crate::library::Ticket;
use crate::limits;
use crate::net::DialError;
use crate::net::Head;
use crate::net::Moved;
use crate::net::Net;
use crate::net::PairingStream;
use crate::net::Piece;
use crate::net::ProofError;
use crate::net::Purpose;
use crate::state::Peer;
use crate::telemetry::Captured;

impl Host {
    fn id(&self) -> HostId {
        self.net.id()
    }

    fn epoch(&self) -> u64 {
        self.engine.members_status().epoch
    }

    /// Waits until something is as wished.
    pub(super) async fn until(&self, wished: impl Fn(&Self) -> bool) {
        let reached = async {
            while !wished(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(reached).await;
    }

    pub(super) async fn condition_of(&self, other: HostId) -> (Condition, Trust) {
        let status = self.engine.status().await.unwrap();
        let peer = status.peers.into_iter().find(|peer| peer.id == other).unwrap();
        (peer.condition, peer.trust)
    }

    async fn until_condition(&self, other: HostId, wished: impl Fn(&Condition) -> bool) {
        let reached = async {
            loop {
                let status = self.engine.status().await.unwrap();
                if status.peers.iter().any(|peer| peer.id == other && wished(&peer.condition)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(reached).await;
    }

    fn is_connected_to(&self, other: HostId) -> bool {
        self.engine.shared.connected.contains_key(&other)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_is_locked_out_everywhere_and_one_that_was_away_is_handed_the_new_secret() {
    let [a, b, away, lost] = [1, 2, 3, 4].map(Host::start);
    let (a, b, away, lost) = (a.await, b.await, away.await, lost.await);
    for other in [&b, &away, &lost] {
        a.engine.connect(other.ticket()).await;
    }
    b.engine.connect(lost.ticket()).await;
    in_sync(&[(&a, &b), (&a, &away), (&a, &lost), (&b, &lost)]).await;
    // A connection for contents that stands already.
    let known = a.ingest(100, "known to it").await;
    lost.has(&known).await;
    let (_line, mut wants, mut replies) = lost.net.dial(&a.ticket(), Purpose::Bulk).await.unwrap().into_lane();
    wants.want(&known, 0).await.unwrap();
    wants.flush().await.unwrap();
    assert!(matches!(within(replies.head()).await.unwrap(), Head::Content(..)));
    in_sync(&[(&a, &away), (&a, &b)]).await;
    let (away_id, away_parts) = (away.id(), away.stop().await);
    a.until(|a| !a.is_connected_to(away_id)).await;

    a.engine.remove_member(lost.id(), vec![], vec![b.id(), away_id]).await.unwrap();
    for host in [&a, &b] {
        host.until(|host| host.epoch() == 1 && !host.is_connected_to(lost.id())).await;
    }
    assert_eq!(a.condition_of(lost.id()).await, (Condition::Blocked, Trust::None));
    let asked = async {
        wants.want(&known, 0).await?;
        wants.flush().await?;
        // What was sent before may still be on its way.
        while let Piece::Bytes(_) = replies.piece().await? {}
        replies.head().await
    };
    assert!(within(asked).await.is_err(), "it is cut off in the middle");
    assert_eq!(b.engine.members_status().membership, Membership::Listed);
    assert_eq!(b.engine.members_status().admins, [a.id()]);
    // It knows the address and the old secret of both, and gets the answer of a stranger.
    for host in [&a, &b] {
        let error = lost.net.dial(&host.ticket(), Purpose::Control).await.unwrap_err();
        assert!(matches!(error, DialError::Proof(ProofError::Wrong)), "{error}");
    }
    let asset = a.ingest(100, "after").await;
    b.has(&asset).await;

    // The one that was away comes with the old secret, and is handed the new one by a member that is no admin.
    let away = away_parts.again().await;
    assert_eq!(away.epoch(), 0);
    b.engine.connect(away.ticket()).await;
    away.has(&asset).await;
    assert_eq!(away.epoch(), 1);
    assert_eq!(away.engine.members_status().admins, [a.id()]);
    // Who hands it over hears nothing from it, and is not behind for that.
    assert_eq!(b.engine.members_status().trouble, None);
    // What was handed over is kept.
    let away = away.stop().await.again().await;
    assert_eq!(away.epoch(), 1);
    for host in [a, b, away, lost] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_to_who_is_removed_or_paused_while_that_is_written_down() {
    for is_removed in [true, false] {
        let [a, b, lost, gone] = [1, 2, 3, 4].map(Host::start);
        let (a, b, lost, gone) = (a.await, b.await, lost.await, gone.await);
        for other in [&b, &lost, &gone] {
            a.engine.connect(other.ticket()).await;
        }
        in_sync(&[(&a, &b), (&a, &lost), (&a, &gone)]).await;
        let known = a.ingest(100, "known to it").await;
        lost.has(&known).await;
        let (line, mut wants, mut replies) = lost.net.dial(&a.ticket(), Purpose::Bulk).await.unwrap().into_lane();
        wants.want(&known, 0).await.unwrap();
        wants.flush().await.unwrap();
        assert!(matches!(within(replies.head()).await.unwrap(), Head::Content(..)));
        let mut events = a.events.subscribe();
        if is_removed {
            // The disk is busy from here on.
            let busy = a.with_busy_state();
            a.engine.remove_member(gone.id(), vec![lost.id()], vec![b.id()]).await.unwrap();
            within(line.closed()).await;
            a.until(|a| !a.is_connected_to(gone.id())).await;
            drop(busy);
        } else {
            let pause = |peer: &mut Peer| peer.settings.paused_until_ms = Some(u64::MAX);
            assert!(a.engine.shared.remember(lost.id(), pause).await.unwrap());
            let busy = a.with_busy_state();
            a.engine.shared.peers.send(PeerOrder::Renew(lost.id())).await.unwrap();
            within(line.closed()).await;
            drop(busy);
        }
        while let Ok(event) = events.try_recv() {
            assert!(!matches!(event, Event::PeerDisconnected { .. }), "it was written down before: {event:?}");
        }
        for host in [a, b, lost, gone] {
            host.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_carried_to_its_end_when_nobody_waits_for_it() {
    let (a, b) = (Host::start(1).await, Host::start(2).await);
    a.engine.connect(b.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    let listing = a.engine.list_members(vec![b.id()]);
    // Whoever asks goes once it has begun, unless it was over at once.
    drop(futures_util::FutureExt::now_or_never(listing));
    for host in [&a, &b] {
        host.until(|host| host.engine.members_status().membership == Membership::Listed).await;
    }
    // What nobody has stated yet is nothing to be told.
    assert_eq!([&a, &b].map(|host| host.engine.members_status().trouble), [None, None]);
    for host in [a, b] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_the_old_phrase_that_nobody_accepted_is_told_to_pair() {
    let (a, lost) = (Host::start(1).await, Host::start(4).await);
    a.engine.remove_member(lost.id(), vec![], vec![]).await.unwrap();
    let newcomer = Host::start(5).await;
    newcomer.engine.connect(a.ticket()).await;
    newcomer.until(|host| host.engine.members_status().trouble.is_some()).await;
    let trouble = newcomer.engine.members_status().trouble.unwrap();
    assert!(trouble.contains("moved on") && trouble.contains("can-sync pair"), "{trouble}");
    assert!(!a.is_connected_to(newcomer.id()));
    for host in [a, lost, newcomer] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_with_the_old_phrase_is_no_trouble_of_those_that_stayed() {
    let (a, lost) = (Host::start(1).await, Host::start(4).await);
    a.engine.remove_member(lost.id(), vec![], vec![]).await.unwrap();
    let (log, newcomer) = (Captured::new("can_sync=warn"), bind(5, [1; 32]).await);
    // It has nothing to tell, and tells it each time it dials.
    let moved = || Moved { peer: newcomer.id(), is_behind: false, succession: Succession::default() };
    for _ in 0..3 {
        let error = newcomer.dial(&a.ticket(), Purpose::Control).await.unwrap_err();
        assert!(matches!(error, DialError::Proof(ProofError::Moved(_))), "{error}");
        assert!(!moved_on(&a.engine.shared, moved()).await);
    }
    assert_eq!((a.engine.members_status().trouble, log.lines()), (None, Vec::<String>::new()));
    // Neither is it when it tells of members, as one that was not accepted may.
    let other = Host::start_with_secret(6, [1; 32]).await;
    other.engine.list_members(vec![]).await.unwrap();
    let told = other.engine.shared.members.circle().succession_for(other.id(), || [3; 32]);
    assert!(!told.statements.is_empty());
    hear(&a.engine.shared, newcomer.id(), told.clone()).await;
    assert_eq!(a.engine.members_status().trouble, None);
    // What a member tells and is not taken is, until it tells what is.
    let member = HostKey::from_seed(&[7; 32]).id();
    a.engine.accept_member(member, false).await.unwrap();
    hear(&a.engine.shared, member, told).await;
    assert!(a.engine.members_status().trouble.is_some());
    let own = a.engine.shared.members.circle().succession_for(a.id(), || [3; 32]);
    hear(&a.engine.shared, member, own).await;
    assert_eq!(a.engine.members_status().trouble, None);
    for host in [a, lost, other] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_host_of_a_listed_library_waits_until_it_is_accepted() {
    let (a, b, new) = (Host::start(1).await, Host::start(2).await, Host::start(3).await);
    a.engine.connect(b.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    a.engine.list_members(vec![b.id()]).await.unwrap();
    b.until(|b| b.engine.members_status().membership == Membership::Listed).await;
    let asset = a.ingest(100, "for members").await;
    new.engine.connect(a.ticket()).await;
    a.until_condition(new.id(), |condition| *condition == Condition::Pending).await;
    assert!(!new.is_connected_to(a.id()));
    let waiting = a.engine.status().await.unwrap().peers.into_iter().find(|peer| peer.id == new.id()).unwrap();
    assert_eq!(waiting.name, "host 3");
    // Who may not sign cannot let it in.
    let error = b.engine.accept_member(new.id(), false).await.unwrap_err().to_string();
    assert!(error.contains("no admin"), "{error}");
    a.engine.accept_member(new.id(), false).await.unwrap();
    new.has(&asset).await;
    assert_eq!(a.condition_of(new.id()).await, (Condition::Connected, Trust::Accepted));
    // An admin that was made says so everywhere.
    a.engine.accept_member(b.id(), true).await.unwrap();
    b.until(|b| b.engine.members_status().admins.contains(&b.id())).await;
    b.engine.remove_member(new.id(), vec![], vec![]).await.unwrap();
    a.until(|a| a.epoch() == 1 && !a.is_connected_to(new.id())).await;
    for host in [a, b, new] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_removals_at_once_both_hold() {
    let hosts = [1, 2, 3, 4].map(Host::start);
    let [a, b, x, y] = hosts;
    let (a, b, x, y) = (a.await, b.await, x.await, y.await);
    a.engine.connect(b.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    a.engine.accept_member(b.id(), true).await.unwrap();
    b.until(|b| b.engine.members_status().admins.contains(&b.id())).await;
    // While they are apart, each removes another and keeps the one that the other removes.
    a.engine.pause(b.id(), None).await.unwrap();
    a.until(|a| !a.is_connected_to(b.id())).await;
    a.engine.remove_member(x.id(), vec![], vec![b.id(), y.id()]).await.unwrap();
    b.engine.remove_member(y.id(), vec![], vec![a.id(), x.id()]).await.unwrap();
    a.engine.resume(b.id()).await.unwrap();
    let settled = |host: &Host, other: &Host| host.epoch() == 2 && host.is_connected_to(other.id());
    a.until(|a| settled(a, &b)).await;
    b.until(|b| settled(b, &a)).await;
    for host in [&a, &b] {
        for removed in [&x, &y] {
            assert_eq!(host.engine.shared.members.standing(removed.id()), Standing::Removed);
        }
    }
    let circles = [&a, &b].map(|host| *host.engine.shared.members.circle().secret().expose());
    assert_eq!(circles[0], circles[1]);
    for host in [a, b, x, y] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_is_heard_counts_although_there_is_no_room_for_a_new_secret() {
    let a = Host::start(1).await;
    let (key, member) = (HostKey::from_seed(&[1; 32]), HostKey::from_seed(&[7; 32]).id());
    a.engine.list_members(vec![member]).await.unwrap();
    let mut whole = a.engine.shared.members.circle().roster().unwrap().clone();
    let known = whole.statements().len();
    let removed: Vec<HostId> = (known..limits::membership::STATEMENTS)
        .map(|number| made_up(u16::try_from(number).unwrap()).host)
        .inspect(|host| drop(whole.remove(&key, &[*host], &[]).unwrap()))
        .collect();
    let told = Succession { statements: whole.statements().cloned().collect(), secrets: Vec::new() };
    assert_eq!(told.statements.len(), limits::membership::STATEMENTS);
    hear(&a.engine.shared, member, told).await;
    let circle = a.engine.shared.members.circle();
    assert!(removed.iter().all(|host| circle.standing(*host) == Standing::Removed));
    let trouble = a.engine.members_status().trouble.unwrap();
    assert!(trouble.contains("no room") && trouble.contains("can-sync init"), "{trouble}");
    a.stop().await;
}

/// Runs the joiner's side of pairing; what it was handed, or nothing.
async fn join(net: &Net, host: &Host, code: &str) -> Option<Handover> {
    let (stream, handover) = hand_over(net, host, code).await?;
    stream.finish();
    Some(handover)
}

/// Runs it to where the joiner has read what it is handed, and has not said what became of it.
async fn hand_over(net: &Net, host: &Host, code: &str) -> Option<(PairingStream, Handover)> {
    let code: PairingCode = code.parse().unwrap();
    let mut stream = net.dial_to_pair(&host.ticket()).await.unwrap();
    let (joiner, hello) = Joiner::new(&code, stream.binding().unwrap(), "laptop", [7; 32]).unwrap();
    stream.send_hello(&hello).await.ok()?;
    let answer = stream.answer().await.ok()?;
    let (confirming, confirm) = joiner.confirm(&answer).unwrap();
    stream.send_confirm(&confirm).await.ok()?;
    let welcome = stream.welcome().await.ok()?;
    let handover = confirming.finish(&welcome).ok()?;
    Some((stream, handover))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_did_not_keep_the_library_is_not_shown_as_paired() {
    let a = Host::start(1).await;
    // Its disk is full, or it goes away without a word.
    for (seed, says) in [(5, true), (6, false)] {
        let joiner = bind(seed, [9; 32]).await;
        let code = a.engine.open_pairing().unwrap().to_string();
        let (stream, _) = hand_over(&joiner, &a, &code).await.unwrap();
        if says {
            stream.refuse();
        } else {
            joiner.close().await;
        }
        a.until(|a| a.engine.pairing() == PairingStatus::Closed { why: PairingFailure::NotKept }).await;
    }
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_joins_with_the_words_and_nobody_without() {
    let a = Host::start(1).await;
    let joiner = bind(5, [9; 32]).await;
    assert_eq!(a.engine.pairing(), PairingStatus::None);
    assert!(join(&joiner, &a, "legal-winner-thank-year").await.is_none(), "no code is open");
    let code = a.engine.open_pairing().unwrap().to_string();
    assert_eq!(*a.engine.meeting().borrow(), Some(code.parse::<PairingCode>().unwrap().meeting()));
    // The first word is public, the others are not.
    let wrong = format!("{}-zoo-zoo-zoo", code.split('-').next().unwrap());
    assert!(join(&joiner, &a, &wrong).await.is_none());
    assert!(matches!(a.engine.pairing(), PairingStatus::Open { .. }));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let handover = join(&joiner, &a, &code).await.unwrap();
    assert_eq!((handover.device.as_str(), handover.library.as_str(), handover.epoch), ("host 1", "mirror", 0));
    assert_eq!(handover.secret.expose(), &[1; 32]);
    a.until(|a| matches!(a.engine.pairing(), PairingStatus::Paired { .. })).await;
    assert_eq!(a.condition_of(joiner.id()).await, (Condition::Paired, Trust::Accepted));
    assert_eq!(*a.engine.meeting().borrow(), None, "the meeting place is left");
    // It is good once.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(join(&joiner, &a, &code).await.is_none());
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_wrong_tries_burn_a_code_and_all_failures_look_alike() {
    let a = Host::start(1).await;
    let code = a.engine.open_pairing().unwrap().to_string();
    for seed in 5..8 {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let stranger = bind(seed, [9; 32]).await;
        assert!(join(&stranger, &a, "zoo-zoo-zoo-zoo").await.is_none());
    }
    a.until(|a| matches!(a.engine.pairing(), PairingStatus::Closed { .. })).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(join(&bind(8, [9; 32]).await, &a, &code).await.is_none(), "burnt");
    assert!(a.engine.members_status().admins.is_empty(), "nothing was stated");
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_was_replaced_lets_nobody_in_who_was_at_it() {
    let a = Host::start(1).await;
    let joiner = bind(5, [9; 32]).await;
    // Another takes its place, at once or after it was taken back.
    for taken_back in [false, true] {
        let code = a.engine.open_pairing().unwrap();
        let mut stream = joiner.dial_to_pair(&a.ticket()).await.unwrap();
        let (joining, hello) = Joiner::new(&code, stream.binding().unwrap(), "laptop", [7; 32]).unwrap();
        stream.send_hello(&hello).await.unwrap();
        let answer = within(stream.answer()).await.unwrap();
        if taken_back {
            a.engine.close_pairing();
        }
        a.engine.open_pairing().unwrap();
        let (_, confirm) = joining.confirm(&answer).unwrap();
        stream.send_confirm(&confirm).await.unwrap();
        assert!(within(stream.welcome()).await.is_err(), "{taken_back}");
        assert!(matches!(a.engine.pairing(), PairingStatus::Open { .. }));
        assert!(a.engine.members_status().admins.is_empty(), "nobody was let in");
    }
    a.stop().await;
}

/// Hosts that somebody makes up: nobody answers there.
fn made_up(number: u16) -> Ticket {
    let host = HostKey::from_seed(blake3::hash(&number.to_le_bytes()).as_bytes()).id();
    Ticket { host, addresses: vec![([127, 0, 0, 1], 1).into()], relay: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_made_up_keep_no_member_from_being_dialled() {
    let [a, found, known] = [1, 2, 3].map(Host::start);
    let (a, found, known) = (a.await, found.await, known.await);
    for number in 0..u16::try_from(2 * limits::HOSTS_DIALLED).unwrap() {
        a.engine.found(made_up(number)).await;
    }
    a.engine.known(known.ticket()).await;
    a.engine.found(found.ticket()).await;
    for host in [&found, &known] {
        a.until(|a| a.is_connected_to(host.id())).await;
    }
    for host in [a, found, known] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_device_is_neither_dialled_nor_let_in() {
    let (a, b) = (Host::start(1).await, Host::start(2).await);
    a.engine.connect(b.ticket()).await;
    in_sync(&[(&a, &b)]).await;
    a.engine.pause(b.id(), Some(Duration::from_hours(1))).await.unwrap();
    a.until(|a| !a.is_connected_to(b.id())).await;
    let (condition, _) = a.condition_of(b.id()).await;
    assert!(matches!(condition, Condition::Paused { until_ms: Some(_) }), "{condition:?}");
    b.engine.connect(a.ticket()).await;
    let asset = a.ingest(10, "while it is paused").await;
    // A proof may still come before the end.
    if let Ok(link) = b.net.dial(&a.ticket(), Purpose::Control).await {
        within(link.line().closed()).await;
    }
    assert!(!a.is_connected_to(b.id()) && b.store_lacks(&asset).await);
    // It hears why, and does not take the secret for a wrong one.
    b.until(|b| b.engine.shared.unreached.get(&a.id()).is_some_and(|why| why.contains("paused there"))).await;
    // Nothing stays here of a connection for contents that it dials all the same; it may end while b still proves itself.
    if let Ok(link) = b.net.dial(&a.ticket(), Purpose::Bulk).await {
        within(link.line().closed()).await;
    }
    a.until(|a| !a.engine.shared.served.contains_key(&b.id())).await;
    a.engine.resume(b.id()).await.unwrap();
    b.has(&asset).await;
    // By name, by id and by the beginning of it.
    let id = b.id().to_string();
    a.engine.rename(b.id(), Some("the other".to_owned())).await.unwrap();
    for text in ["the other", "The Other", &id, &id[..6]] {
        assert_eq!(a.engine.named(text), Ok(b.id()), "{text}");
    }
    assert!(a.engine.named("nobody").is_err() && a.engine.named("").is_err());
    // A device that calls itself like the short id of another stands for neither; a person's word does.
    let impostor = HostId::from_bytes([7; 32]);
    a.engine.shared.remember(impostor, |peer| peer.name = id[..10].to_owned()).await.unwrap();
    assert!(matches!(a.engine.named(&id[..10]), Err(NamedError::Several { ids, .. }) if ids.len() == 2));
    a.engine.rename(b.id(), Some(id[..10].to_owned())).await.unwrap();
    assert_eq!(a.engine.named(&id[..10]), Ok(b.id()));
    assert!(a.engine.rename(b.id(), Some("two\nlines".to_owned())).await.is_err());
    assert!(a.engine.limit(b.id(), RateLimit::BytesPerSec(5), RateLimit::AsItWas).await.is_err());
    // One limit leaves the other as it is.
    let (sent, taken) = (RateLimit::BytesPerSec(50_000), RateLimit::BytesPerSec(60_000));
    a.engine.limit(b.id(), sent, RateLimit::AsItWas).await.unwrap();
    a.engine.limit(b.id(), RateLimit::AsItWas, taken).await.unwrap();
    let limits = || {
        let settings = a.engine.shared.registry.settings(b.id());
        (settings.most_sent, settings.most_taken)
    };
    assert_eq!(limits(), (Some(50_000), Some(60_000)));
    a.engine.limit(b.id(), RateLimit::Unlimited, RateLimit::AsItWas).await.unwrap();
    assert_eq!(limits(), (None, Some(60_000)));
    // Who stops in order is told apart from a line that broke.
    a.until(|a| a.is_connected_to(b.id())).await;
    let other = b.id();
    b.stop().await;
    a.until(|a| !a.is_connected_to(other)).await;
    let ended = async {
        loop {
            if let Condition::Disconnected { why: Some(why) } = a.condition_of(other).await.0 {
                return why;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let why = within(ended).await;
    assert!(why.contains("the other host has"), "{why}");
    a.stop().await;
}

impl Host {
    async fn store_lacks(&self, asset: &crate::asset::AssetId) -> bool {
        use crate::store::Store as _;
        self.store.record(asset).await.unwrap().is_none()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_of_the_same_name_with_another_secret_is_another_one() {
    let (a, other) = (Host::start(1).await, Host::start_with_secret(2, [2; 32]).await);
    other.engine.list_members(vec![]).await.unwrap();
    let net = bind(3, [2; 32]).await;
    let error = net.dial(&a.ticket(), Purpose::Control).await.unwrap_err();
    assert!(matches!(error, DialError::Proof(ProofError::Wrong)), "{error}");
    assert!(a.engine.members_status().admins.is_empty());
    for host in [a, other] {
        host.stop().await;
    }
}
