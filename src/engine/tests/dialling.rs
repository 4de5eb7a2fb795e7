//! Peers that come and go faster than they should.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::mpsc;

use super::host::Host;
use super::host::bind;
use super::host::within;
use super::member::Member;
use crate::auth::members::Succession;
use crate::engine::peers::PeerOrder;
use crate::limits;
use crate::net::Accepted;
use crate::net::Control;
use crate::net::Greeting;
use crate::net::Purpose;
use crate::net::Word;
use crate::task::Group;
use crate::task::now_ms;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_hangs_up_at_once_is_not_dialled_in_a_loop() {
    let (host, member) = (Host::start(1).await, bind(2, [1; 32]).await);
    let group = Group::new("member", Arc::new(|_, _, message| panic!("{message}")));
    let (accepted, mut links) = mpsc::channel(8);
    let (serving, within_group) = (member.clone(), group.clone());
    group.spawn_until_cancelled("accept", async move { serving.accept(&within_group, accepted, |_| {}).await });
    host.engine.connect(member.ticket()).await;
    let mut began = None;
    for _ in 0..4 {
        let Accepted::Member { purpose: Purpose::Control, link } = within(links.recv()).await.unwrap() else {
            panic!("nothing else is dialled so soon")
        };
        began.get_or_insert_with(Instant::now);
        let control = Control::greet(link, &Greeting::default()).await.unwrap();
        host.until(|host| host.engine.shared.connected.contains_key(&member.id())).await;
        control.writer.connection().close("it hangs up");
        host.until(|host| !host.engine.shared.connected.contains_key(&member.id())).await;
    }
    // Three pauses that double, each between three quarters and all of its length.
    let pauses = limits::REDIAL_PAUSE * (1 + 2 + 4) * 3 / 4;
    assert!(began.unwrap().elapsed() >= pauses, "{:?}", began.unwrap().elapsed());
    member.close().await;
    group.shut_down().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_tells_of_members_all_the_time_holds_up_nothing_else() {
    let host = Host::start(1).await;
    let asset = host.ingest(10, "offered").await;
    let mut member = Member::of(&host, 2, now_ms()).await;
    let began = Instant::now();
    // Heard one after the other, they would take a quarter of an hour.
    for _ in 0..1000 {
        member.control.writer.send(Word::Succession(Succession::default())).await.unwrap();
    }
    member.is_answered(&host, asset, []).await;
    assert!(began.elapsed() < 100 * limits::membership::SUCCESSION_EVERY, "{:?}", began.elapsed());
    member.leave().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_left_alone_before_it_was_one_is_dialled_by_the_rule_of_links() {
    let (host, stranger) = (Host::start(1).await, Host::start_with_secret(2, [2; 32]).await);
    host.engine.found(stranger.ticket()).await;
    // It is dialled once, and left alone.
    host.until(|_| stranger.net.refused() > 0).await;
    host.until(|host| host.engine.shared.found.is_empty()).await;
    stranger.stop().await;
    let member = Host::start(2).await;
    let announced = PeerOrder::Announced(member.ticket(), true);
    host.engine.shared.peers.send(announced).await.unwrap();
    host.until(|host| host.engine.shared.connected.contains_key(&member.net.id())).await;
    for host in [host, member] {
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_with_one_key_are_told_of() {
    let host = Host::start(1).await;
    // A data folder that was copied.
    let machines = [bind(2, [1; 32]).await, bind(2, [1; 32]).await];
    let mut lines = Vec::new();
    for turn in 0..=limits::DISPLACED_TOLD as usize {
        let told = host.engine.status().await.unwrap().peers.iter().any(|peer| peer.trouble.is_some());
        assert!(!told, "{turn}");
        let link = machines[turn % 2].dial(&host.ticket(), Purpose::Control).await.unwrap();
        lines.push(Control::greet(link, &Greeting::default()).await.unwrap());
        if let Some(replaced) = turn.checked_sub(1) {
            within(lines[replaced].writer.connection().closed()).await;
        }
    }
    let telling = async {
        while host.engine.status().await.unwrap().peers.iter().all(|peer| peer.trouble.is_none()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(telling).await;
    for machine in machines {
        machine.close().await;
    }
    host.stop().await;
}
