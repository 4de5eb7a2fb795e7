//! Killed in the middle, and started again.

use std::time::Duration;

use super::host::Host;
use super::host::Place;
use super::host::equal;
use super::host::skip;
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
    // What was on its way to the dead counts before the restart.
    a.status_is("the receiver is missed", |status| status["peers"][0]["connected"] == false).await;
    let sent = a.status().await["peers"][0]["bytes_out"].as_u64().unwrap();
    assert!(sent >= here);

    let b = at_b.start();
    equal(&a, &b, 1).await;
    let cost = a.status().await["peers"][0]["bytes_out"].as_u64().unwrap() - sent;
    assert!(cost <= SIZE as u64 - here + (1 << 20), "{cost} bytes were sent again with {here} of them here");
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

/// The receiver is killed right when one of its threads makes a certain call for the n-th time: renames, flushes, index
/// writes.
#[tokio::test]
async fn a_receiver_killed_at_every_kind_of_step_ends_whole() {
    if !can_inject() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let a = at_a.start();
    fill(&a).await;
    for (call, nth) in [
        // Several threads share the first three.
        ("rename", 1),
        ("unlink", 1),
        ("syncfs", 1),
        ("fsync", 1),
        ("fsync", 3),
        ("fsync", 6),
        ("fsync", 9),
        ("pwrite64", 3),
        ("pwrite64", 10),
        ("pwrite64", 30),
        ("pwrite64", 60),
    ] {
        let at_b = Place::new(dir.path(), &format!("b-{call}-{nth}")).connecting_to(&at_a);
        assert!(at_b.run_until_killed(call, nth).await, "no thread came to {call} {nth}");
        let b = at_b.start();
        equal(&a, &b, 21).await;
        assert_eq!(b.verify().await, 21, "killed at {call} {nth}");
        b.kill();
    }
}

/// The same for the sender, while it serves: what it reads, sends and remembers of whom it has told.
#[tokio::test]
async fn a_sender_killed_at_every_kind_of_step_ends_whole() {
    if !can_inject() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let a = at_a.start();
    fill(&a).await;
    a.terminate();
    for (call, nth) in
        [("sendmsg", 5), ("sendmsg", 40), ("recvmmsg", 20), ("pread64", 10), ("pwrite64", 5), ("fsync", 1)]
    {
        let at_b = Place::new(dir.path(), &format!("b-{call}-{nth}")).connecting_to(&at_a);
        let b = at_b.start();
        assert!(at_a.run_until_killed(call, nth).await, "no thread came to {call} {nth}");
        let a = at_a.start();
        equal(&a, &b, 21).await;
        assert_eq!((a.verify().await, b.verify().await), (21, 21), "killed at {call} {nth}");
        a.terminate();
        b.kill();
    }
}

/// Ingests a large content and twenty small ones.
async fn fill(host: &Host) {
    host.ingest("large", (0..2_000_000_u32).map(|n| (n % 249) as u8).collect()).await;
    for n in 0..20_u32 {
        host.ingest("small", n.to_string().into_bytes()).await;
    }
}

/// Tells whether strace may trace here; else says that it is skipped.
fn can_inject() -> bool {
    let works = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    let works = works.is_ok_and(|status| status.success());
    if !works {
        skip("strace cannot inject here");
    }
    works
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crash_leaves_no_core_file_with_the_secret_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let host = Place::new(dir.path(), "a").start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", host.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let bytes: Vec<&str> = core.split_whitespace().skip(4).collect();
    assert!(matches!(bytes[..], ["0" | "1", "0" | "1", "bytes"]), "{core}");
    host.kill();
}
