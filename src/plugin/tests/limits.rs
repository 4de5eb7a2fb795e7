//! What a plugin may use, and what becomes of a call that wants more or of an instance that has served long.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use data_encoding::HEXLOWER;
use futures_util::future::join_all;

use super::super::Grant;
use super::super::Limits;
use super::super::Settings;
use super::fixtures::Fixture;
use super::fixtures::LOOP;
use super::fixtures::PASS;
use super::fixtures::TELL;
use super::host::Host;
use super::host::Place;
use super::host::asked;
use super::host::granting;
use super::host::with_one;
use crate::hook::Asked;
use crate::hook::BoxFuture;
use crate::hook::Content;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::limits::plugin::STATE_ENTRY_BYTES;
use crate::task::now_ms;

const NOT_GRANTED: u8 = 0;
const LIMIT: u8 = 1;

fn push(body: &str) -> Fixture {
    Fixture::new().hook("before-push", body).with(TELL)
}

/// Grants, and limits but for that of time.
fn with(grants: &[Grant], limits: Limits) -> Settings {
    let granted = granting(grants);
    Settings { limits: Limits { call: granted.limits.call, ..limits }, ..granted }
}

/// Asks about an asset with tags, and returns the reason for which it was dropped.
async fn reason(host: &Host, tags: &[&str]) -> String {
    let judgement = host.ask(&asked(tags)).await;
    let Verdict::Drop(reason) = judgement.verdict else { panic!("{judgement:?}") };
    reason
}

/// The same, when the reason is bytes.
async fn bytes(host: &Host) -> Vec<u8> {
    HEXLOWER.decode(reason(host, &[]).await.as_bytes()).unwrap()
}

/// A content that never comes.
#[derive(Debug)]
struct Never;

impl Content for Never {
    fn read(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn the_deadline_counts_what_it_waits_for_the_host() {
    let body = format!("(call $read (i64.const 0) (i32.const 1) (i32.const 512)) {PASS}");
    let fixture = push(&body).import("content", "read", "read", "(param i64 i32 i32)");
    let settings = Settings { grants: BTreeSet::from([Grant::Content]), ..Settings::default() };
    let (_place, host) = with_one(&fixture, settings).await;
    let judgement = host.ask(&Asked { content: Some(Arc::new(Never)), ..asked(&[]) }).await;
    assert_eq!(judgement.standing, Standing::Failed);
    assert_eq!(judgement.steps[0].failure.as_deref(), Some("it took longer than 100 ms"));
    let figures = host.status("one").unwrap().figures;
    assert_eq!((figures.calls, figures.timeouts, figures.traps), (1, 1, 0));
    host.stop().await;
}

/// Else one that was active would count as failing at a start, because the store is slow then.
#[tokio::test]
async fn a_trial_blames_no_plugin_for_a_slow_store() {
    let body = format!("(call $read (i64.const 0) (i32.const 1) (i32.const 512)) {PASS}");
    let fixture = push(&body).import("content", "read", "read", "(param i64 i32 i32)");
    let mut place = Place::new();
    place.samples = vec![Asked { content: Some(Arc::new(Never)), ..asked(&[]) }; 2];
    place.drop_in("one.wasm", &fixture.build());
    place.set("one", Settings { grants: BTreeSet::from([Grant::Content]), ..Settings::default() });
    let host = place.start().await;
    let status = host.status("one").unwrap();
    assert!(status.loaded && status.trouble.is_none(), "{status:#?}");
    host.stop().await;
}

#[tokio::test]
async fn a_call_that_loops_ends_at_its_deadline() {
    let (_place, host) = with_one(&push(LOOP), Settings::default()).await;
    let began = Instant::now();
    let judgement = host.ask(&asked(&[])).await;
    let took = began.elapsed();
    assert_eq!(judgement.steps[0].failure.as_deref(), Some("it took longer than 100 ms"));
    assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&took), "{took:?}");
    host.stop().await;
}

/// A content that keeps the worker for as long as a plugin that computes.
#[derive(Debug)]
struct Work(Duration);

impl Content for Work {
    fn read(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        std::thread::sleep(self.0);
        Box::pin(std::future::ready(Ok(vec![0])))
    }
}

#[tokio::test]
async fn calls_at_a_time_do_not_eat_the_time_of_each_other() {
    // Eight calls, each of which takes a third of its time; on one worker they take more than twice the time of one.
    let call = Duration::from_millis(800);
    let body = format!(
        "(loop
           (call $read (i64.const 0) (i32.const 1) (i32.const 512))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if 0 (i32.lt_u (local.get $i) (i32.const 4))))
         {PASS}"
    );
    let fixture = push(&body).import("content", "read", "read", "(param i64 i32 i32)");
    let limits = Limits { call, ..Limits::default() };
    let settings = Settings { grants: BTreeSet::from([Grant::Content]), limits, ..Settings::default() };
    let (_place, host) = with_one(&fixture, settings).await;
    let asked = Asked { content: Some(Arc::new(Work(call / 12))), ..asked(&[]) };
    for judgement in join_all((0..8).map(|_| host.ask(&asked))).await {
        assert_eq!(judgement.standing, Standing::Firm, "{judgement:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn calls_that_loop_at_a_time_all_end() {
    let (_place, host) = with_one(&push(LOOP), Settings::default()).await;
    let asked = asked(&[]);
    for judgement in join_all((0..8).map(|_| host.ask(&asked))).await {
        assert_eq!(judgement.standing, Standing::Failed, "{judgement:?}");
    }
    assert_eq!(host.status("one").unwrap().figures.timeouts, 8);
    host.stop().await;
}

/// Tells how many calls this instance has served, as a letter, and grows by so many pages of 64 KiB when an asset has the
/// tag `private`.
fn counting(pages: u32) -> Fixture {
    let body = format!(
        "(if (call $is_private (local.get $a)) (then (drop (memory.grow (i32.const {pages})))))
         (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (i32.store8 (i32.const 512) (i32.add (i32.const 96) (global.get $calls)))
         (call $tell (i32.const 512) (i32.const 1))"
    );
    push(&body).with("(global $calls (mut i32) (i32.const 0))")
}

#[tokio::test]
async fn an_instance_is_made_anew_after_so_many_calls() {
    let (_place, host) = with_one(&counting(1), with(&[], Limits { calls_per_instance: 3, ..Limits::default() })).await;
    let mut told = String::new();
    for _ in 0..8 {
        told += &reason(&host, &[]).await;
    }
    assert_eq!(told, "abcabcab");
    host.stop().await;
}

#[tokio::test]
async fn an_instance_is_made_anew_when_it_has_grown_beyond_half_of_its_memory() {
    // One page of its own and one that holds what it is shown.
    for (pages, wanted) in [(30, "abcd"), (31, "abab")] {
        let limits = Limits { memory_bytes: 64 << 16, ..Limits::default() };
        let (_place, host) = with_one(&counting(pages), with(&[], limits)).await;
        let mut told = String::new();
        for tags in [&[][..], &["private"], &[], &[]] {
            told += &reason(&host, tags).await;
        }
        assert_eq!(told, wanted, "{pages} pages");
        host.stop().await;
    }
}

#[tokio::test]
async fn it_is_told_the_time_with_the_grant_alone() {
    let body = "(call $now (i32.const 512)) (call $tell_hex (i32.const 512) (i32.const 16))";
    let fixture = push(body).import("clock", "now", "now", "(param i32)");
    let others = [Grant::Content, Grant::State, Grant::Random];
    let (_place, host) = with_one(&fixture, with(&others, Limits::default())).await;
    let told = bytes(&host).await;
    assert_eq!((told[0], told[8]), (1, NOT_GRANTED));
    host.stop().await;

    let (_place, host) = with_one(&fixture, with(&[Grant::Clock], Limits::default())).await;
    let told = bytes(&host).await;
    let (time, now) = (u64::from_le_bytes(told[8..].try_into().unwrap()), now_ms());
    assert_eq!(told[0], 0);
    assert!(time.abs_diff(now) < 3_600_000, "it is {now}, and it was told {time}");
    host.stop().await;
}

/// Uses its state in a fixed order and tells what came back: the keys are `private` and the first so many letters of it.
fn stateful(body: &str) -> Fixture {
    push(body)
        .import("state", "get", "get", "(param i32 i32 i32)")
        .import("state", "set", "set", "(param i32 i32 i32 i32 i32)")
        .import("state", "delete", "delete", "(param i32 i32 i32)")
        .import("state", "keys", "keys", "(param i32 i32 i32)")
}

#[tokio::test]
async fn its_state_is_refused_without_the_grant() {
    let body = "
        (call $get (i32.const 16) (i32.const 7) (i32.const 512))
        (call $set (i32.const 16) (i32.const 7) (i32.const 16) (i32.const 7) (i32.const 528))
        (call $delete (i32.const 16) (i32.const 7) (i32.const 544))
        (call $keys (i32.const 16) (i32.const 0) (i32.const 560))
        (call $tell_hex (i32.const 512) (i32.const 64))";
    let others = [Grant::Content, Grant::Clock, Grant::Random];
    let (_place, host) = with_one(&stateful(body), with(&others, Limits::default())).await;
    let told = bytes(&host).await;
    for (at, what) in [(0, "get"), (16, "set"), (32, "delete"), (48, "keys")] {
        assert_eq!((told[at], told[at + 4]), (1, NOT_GRANTED), "{what}");
    }
    assert_eq!(host.status("one").unwrap().used.state_bytes, 0);
    host.stop().await;
}

#[tokio::test]
async fn its_state_has_keys_to_list_and_to_remove() {
    // Sets `private`, `priv` and `p`, removes `priv` and one that is not there, and lists what begins with `pri`.
    let set =
        |n: u32| format!("(call $set (i32.const 16) (i32.const {n}) (i32.const 32) (i32.const 7) (i32.const 528))");
    let body = format!(
        "{} {} {}
         (call $delete (i32.const 16) (i32.const 4) (i32.const 528))
         (call $delete (i32.const 32) (i32.const 7) (i32.const 528))
         (call $keys (i32.const 16) (i32.const 3) (i32.const 512))
         (if (i32.load8_u (i32.const 512)) (then unreachable))
         (if (i32.ne (i32.load (i32.const 520)) (i32.const 1)) (then unreachable))
         (local.set $i (i32.load (i32.const 516)))
         (call $tell (i32.load (local.get $i)) (i32.load offset=4 (local.get $i)))",
        set(7),
        set(4),
        set(1)
    );
    let (_place, host) = with_one(&stateful(&body), with(&[Grant::State], Limits::default())).await;
    assert_eq!(reason(&host, &[]).await, "private");
    // `private` and `p`, each with a value of seven bytes.
    assert_eq!(host.status("one").unwrap().used.state_bytes, 22 + 2 * STATE_ENTRY_BYTES);
    host.stop().await;
}

#[tokio::test]
async fn its_state_takes_no_more_than_its_limit() {
    // The second value is one byte too long, the third fits; then the refusal of the second is told.
    let body = "
        (call $set (i32.const 16) (i32.const 4) (i32.const 32) (i32.const 6) (i32.const 512))
        (if (i32.load8_u (i32.const 512)) (then unreachable))
        (call $set (i32.const 16) (i32.const 7) (i32.const 32) (i32.const 4) (i32.const 512))
        (call $set (i32.const 16) (i32.const 7) (i32.const 32) (i32.const 3) (i32.const 528))
        (if (i32.load8_u (i32.const 528)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 512)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 516)) (i32.const {limit})) (then unreachable))
        (call $tell (i32.load (i32.const 520)) (i32.load (i32.const 524)))";
    let body = body.replace("{limit}", &LIMIT.to_string());
    let state_bytes = 20 + 2 * STATE_ENTRY_BYTES;
    let (_place, host) =
        with_one(&stateful(&body), with(&[Grant::State], Limits { state_bytes, ..Limits::default() })).await;
    let told = "keys and values may have 148 bytes together, 64 for each pair included";
    assert_eq!(reason(&host, &[]).await, told);
    assert_eq!(host.status("one").unwrap().used.state_bytes, state_bytes);
    host.stop().await;
}

#[tokio::test]
async fn it_has_no_more_core_instances_than_its_limit() {
    // An import that returns through memory needs two more of them beside the module.
    let fixture = push(PASS).import("state", "get", "get", "(param i32 i32 i32)");
    for (instances, loads) in [(2, false), (3, true)] {
        let (_place, host) = with_one(&fixture, with(&[], Limits { instances, ..Limits::default() })).await;
        let status = host.status("one").unwrap();
        let trouble = status.trouble.unwrap_or_default();
        assert_eq!((status.loaded, trouble.contains("instance")), (loads, !loads), "{trouble}");
        host.stop().await;
    }
}
