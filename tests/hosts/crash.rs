//! Killed in the middle, and started again.

use std::time::Duration;

use super::host::Place;
use super::host::equal;
use super::host::within;

/// A receiver that is killed half-way costs the sender only what had not come.
#[tokio::test]
async fn a_killed_receiver_goes_on_where_it_was() {
    const SIZE: usize = 1 << 30;
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    let a = at_a.start();
    let content: Vec<u8> =
        (0_u64..SIZE as u64 / 8).flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect();
    let hash = a.ingest("big", content.clone()).await;
    let b = at_b.start();
    let part = async {
        loop {
            let here = std::fs::read_dir(at_b.storage_root.join(".spool")).into_iter().flatten().flatten();
            let most = here.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).max();
            if most.is_some_and(|most| most >= SIZE as u64 / 2) {
                return most.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let here = within("half of the content", part).await;
    b.kill();

    let b = at_b.start();
    let cost = async {
        loop {
            // What the transfer has taken in since the restart is what the spool had not.
            let status = b.status().await;
            if status["libraries"][0]["count"] == 1 {
                return;
            }
            if let Some(done) = status["transfers"][0]["done"].as_u64() {
                assert!(done >= here, "started again at {done} with {here} bytes here");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the rest of the content", cost).await;
    equal(&a, &b, 1).await;
    assert!(b.content(&hash).await.unwrap() == content);
}

/// Either side is killed again and again while assets come in; nothing acknowledged is lost, nothing half is shown.
#[tokio::test]
async fn hosts_killed_at_random_end_equal_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    let (mut a, mut b) = (at_a.start(), at_b.start());
    let mut acknowledged = Vec::new();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for round in 0..8 {
        for n in 0..60_usize {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let size = if n % 20 == 7 { 300_000 } else { (random >> 40) as usize % 9000 };
            let content = format!("{round} {n} ").into_bytes().into_iter().cycle().take(size).collect();
            let to = if n % 2 == 0 { &a } else { &b };
            acknowledged.push(to.ingest("n", content).await);
        }
        tokio::time::sleep(Duration::from_millis(random >> 56)).await;
        if round % 2 == 0 {
            b.kill();
            b = at_b.start();
        } else {
            a.kill();
            a = at_a.start();
        }
    }
    acknowledged.sort();
    acknowledged.dedup();
    equal(&a, &b, acknowledged.len() as u64).await;
    for host in [&a, &b] {
        assert_eq!(host.list().await.into_keys().collect::<Vec<_>>(), acknowledged);
        assert_eq!(host.verify().await, acknowledged.len() as u64);
    }
}
