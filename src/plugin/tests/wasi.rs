//! Components that call WASI: what they find there, and that it costs nothing but themselves.

use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use data_encoding::HEXLOWER;

use super::super::Grant;
use super::super::Limits;
use super::super::Settings;
use super::fixtures::Fixture;
use super::fixtures::PASS;
use super::fixtures::TELL;
use super::fixtures::TRAP;
use super::host::asked;
use super::host::asked_at;
use super::host::granting;
use super::host::with_one;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::limits;
use crate::telemetry::Captured;

const HOUR: &str = "(call $block (call $after (i64.const 3600000000000)))";

fn push(body: &str) -> Fixture {
    Fixture::new().hook("before-push", body).with(TELL)
}

/// Lets it sleep in the host.
fn sleeping(fixture: Fixture) -> Fixture {
    fixture.import("wasi:clocks/monotonic-clock", "subscribe-duration", "after", "(param i64) (result i32)").import(
        "wasi:io/poll",
        "[method]pollable.block",
        "block",
        "(param i32)",
    )
}

/// Asks one before a push, in a host of its own, and returns the bytes it tells.
async fn told(fixture: &Fixture, grants: &[Grant]) -> Vec<u8> {
    let (_place, host) = with_one(fixture, granting(grants)).await;
    assert_eq!(host.status("one").unwrap().trouble, None);
    let judgement = host.ask(&asked(&[])).await;
    host.stop().await;
    let Verdict::Drop(digits) = judgement.verdict else { panic!("{judgement:?}") };
    HEXLOWER.decode(digits.as_bytes()).unwrap()
}

/// Asks one that fails before a push, and returns how. What the host is asked next, it answers.
async fn failure(fixture: &Fixture, settings: Settings) -> String {
    let (place, host) = with_one(fixture, settings).await;
    place.drop_in("good.wasm", &Fixture::new().hook("before-pull", PASS).build());
    place.set("good", granting(&[]));
    host.until("the good one is loaded", |host| host.status("good").is_some()).await;
    let judgement = host.ask(&asked(&[])).await;
    let good = host.ask(&asked_at(Point::BeforePull, &[])).await;
    assert_eq!((good.verdict, good.steps.len()), (Verdict::Pass, 1));
    host.stop().await;
    judgement.steps[0].failure.clone().unwrap_or_else(|| panic!("{judgement:?}"))
}

#[tokio::test]
async fn one_that_sleeps_in_the_host_is_ended_at_its_deadline() {
    let began = Instant::now();
    for grants in [BTreeSet::new(), BTreeSet::from([Grant::Clock])] {
        let settings = Settings { grants, ..Settings::default() };
        let said = failure(&sleeping(push(&format!("{HOUR} {PASS}"))), settings).await;
        assert_eq!(said, "it took longer than 100 ms");
    }
    let limits = Limits { start: Duration::from_millis(300), ..Limits::default() };
    let slow = sleeping(push(PASS).configure(&format!("{HOUR} unreachable")));
    let (_place, host) = with_one(&slow, Settings { limits, ..Settings::default() }).await;
    let trouble = host.status("one").unwrap().trouble.unwrap();
    assert!(trouble.contains("longer than 300 ms"), "{trouble}");
    host.stop().await;
    // Nobody waits for the hour, nor for any part of it.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn it_finds_no_environment_no_arguments_no_folders_and_no_input() {
    let body = "
        (call $environment (i32.const 512))
        (call $arguments (i32.const 520))
        (call $folders (i32.const 528))
        (call $cwd (i32.const 536))
        (call $read (call $stdin) (i64.const 100) (i32.const 552))
        (i32.store (i32.const 600) (i32.load (i32.const 516)))
        (i32.store (i32.const 604) (i32.load (i32.const 524)))
        (i32.store (i32.const 608) (i32.load (i32.const 532)))
        (i32.store8 (i32.const 612) (i32.load8_u (i32.const 536)))
        (i32.store8 (i32.const 613) (i32.load8_u (i32.const 552)))
        (i32.store8 (i32.const 614) (i32.load8_u (i32.const 556)))
        (call $tell_hex (i32.const 600) (i32.const 15))";
    let fixture = push(body)
        .import("wasi:cli/environment", "get-environment", "environment", "(param i32)")
        .import("wasi:cli/environment", "get-arguments", "arguments", "(param i32)")
        .import("wasi:cli/environment", "initial-cwd", "cwd", "(param i32)")
        .import("wasi:filesystem/preopens", "get-directories", "folders", "(param i32)")
        .import("wasi:cli/stdin", "get-stdin", "stdin", "(result i32)")
        .import("wasi:io/streams", "[method]input-stream.read", "read", "(param i32 i64 i32)");
    let told = told(&fixture, &Grant::ALL.map(|(_, grant)| grant)).await;
    assert_eq!(told[..13], [0; 13], "three empty lists and no current folder");
    assert_eq!(told[13..], [1, 1], "an error, and it is that the input is closed");
}

#[tokio::test]
async fn its_clocks_stand_still_until_it_is_granted_the_time() {
    let body = "
        (call $wall (i32.const 512))
        (i64.store (i32.const 528) (call $monotonic))
        (call $block (call $after (i64.const 20000000)))
        (call $wall (i32.const 536))
        (i64.store (i32.const 552) (call $monotonic))
        (call $tell_hex (i32.const 512) (i32.const 48))";
    let fixture = sleeping(push(body)).import("wasi:clocks/wall-clock", "now", "wall", "(param i32)").import(
        "wasi:clocks/monotonic-clock",
        "now",
        "monotonic",
        "(result i64)",
    );
    let still = told(&fixture, &[Grant::Content, Grant::State, Grant::Random]).await;
    assert_eq!(still, [0; 48]);

    let told = told(&fixture, &[Grant::Clock]).await;
    let number = |at: usize| u64::from_le_bytes(told[at..at + 8].try_into().unwrap());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(number(0).abs_diff(now) < 3600, "it is {now}, and it was told {}", number(0));
    assert_ne!(told[..12], told[24..36], "the wall clock moves");
    assert!(number(40) >= number(16) + 20_000_000, "it slept from {} to {}", number(16), number(40));
}

#[tokio::test]
async fn its_random_numbers_are_the_same_at_every_start_until_it_is_granted_others() {
    let body = "
        (call $bytes (i64.const 16) (i32.const 600))
        (i64.store (i32.const 512) (i64.load (i32.load (i32.const 600))))
        (i64.store (i32.const 520) (call $number))
        (call $insecure_bytes (i64.const 16) (i32.const 600))
        (i64.store (i32.const 528) (i64.load (i32.load (i32.const 600))))
        (i64.store (i32.const 536) (call $insecure_number))
        (call $seed (i32.const 544))
        (call $tell_hex (i32.const 512) (i32.const 48))";
    let fixture = push(body)
        .import("wasi:random/random", "get-random-bytes", "bytes", "(param i64 i32)")
        .import("wasi:random/random", "get-random-u64", "number", "(result i64)")
        .import("wasi:random/insecure", "get-insecure-random-bytes", "insecure_bytes", "(param i64 i32)")
        .import("wasi:random/insecure", "get-insecure-random-u64", "insecure_number", "(result i64)")
        .import("wasi:random/insecure-seed", "insecure-seed", "seed", "(param i32)");
    let others = [Grant::Content, Grant::State, Grant::Clock];
    let (first, again) = (told(&fixture, &[]).await, told(&fixture, &others).await);
    assert_eq!(first, again);
    assert_ne!(first[..8], first[8..16], "they are not all the same number");
    let (one, two) = (told(&fixture, &[Grant::Random]).await, told(&fixture, &[Grant::Random]).await);
    for (part, at) in ["bytes", "number", "insecure bytes", "insecure number", "seed"].into_iter().zip((0..).step_by(8))
    {
        let [first, one, two] = [&first, &one, &two].map(|told| &told[at..at + 8]);
        assert!(first != one && first != two && one != two, "{part}: {first:?} {one:?} {two:?}");
    }

    let much = "(call $bytes (i64.const 100000000) (i32.const 600)) unreachable";
    let much = push(much).import("wasi:random/random", "get-random-bytes", "bytes", "(param i64 i32)");
    let said = failure(&much, granting(&[Grant::Random])).await;
    assert!(said.contains("exceeds limit"), "{said}");
}

#[tokio::test]
async fn it_gets_no_socket_and_no_name_is_looked_up_for_it() {
    let body = "
        (call $tcp (i32.const 0) (i32.const 512))
        (call $udp (i32.const 1) (i32.const 520))
        (call $resolve (call $network) (i32.const 2048) (i32.const 9) (i32.const 528))
        (call $tell_hex (i32.const 512) (i32.const 24))";
    let fixture = push(body)
        .with("(data (i32.const 2048) \"localhost\")")
        .import("wasi:sockets/tcp-create-socket", "create-tcp-socket", "tcp", "(param i32 i32)")
        .import("wasi:sockets/udp-create-socket", "create-udp-socket", "udp", "(param i32 i32)")
        .import("wasi:sockets/instance-network", "instance-network", "network", "(result i32)")
        .import("wasi:sockets/ip-name-lookup", "resolve-addresses", "resolve", "(param i32 i32 i32 i32)");
    let told = told(&fixture, &Grant::ALL.map(|(_, grant)| grant)).await;
    let (access_denied, permanent_resolver_failure) = (1, 20);
    assert_eq!((told[0], told[4]), (1, access_denied), "TCP");
    assert_eq!((told[8], told[12]), (1, access_denied), "UDP");
    assert_eq!((told[16], told[20]), (1, permanent_resolver_failure), "look-up");
}

/// Prints pieces of the text on one stream, then goes on with `body`. The text lies at 2048.
fn printing(stream: &str, text: &str, pieces: &[(usize, usize)], body: &str) -> Fixture {
    let print = |(at, n): &(usize, usize)| {
        format!("(call $print (local.get $i) (i32.const {}) (i32.const {n}) (i32.const 512))", 2048 + at)
    };
    let prints: String = pieces.iter().map(print).collect();
    with_streams(push(&format!("(local.set $i (call ${stream})) {prints} {body}")), text)
}

fn with_streams(fixture: Fixture, text: &str) -> Fixture {
    let print = "[method]output-stream.blocking-write-and-flush";
    fixture
        .with(&format!("(data (i32.const 2048) {text:?})"))
        .import("wasi:cli/stdout", "get-stdout", "stdout", "(result i32)")
        .import("wasi:cli/stderr", "get-stderr", "stderr", "(result i32)")
        .import("wasi:io/streams", print, "print", "(param i32 i32 i32 i32)")
        .import("wasi:io/streams", "[method]output-stream.write", "write", "(param i32 i32 i32 i32)")
}

/// What plugins said on this thread: the level, and the words.
fn lines(log: &Captured) -> Vec<(String, String)> {
    let line = |line: String| {
        let (head, says) = line.split_once(" says=\"")?;
        let level = head.split_whitespace().nth(1)?.to_owned();
        Some((level, says.strip_suffix('"')?.to_owned()))
    };
    log.lines().into_iter().filter_map(line).collect()
}

fn info(says: &str) -> (String, String) {
    ("INFO".to_owned(), says.to_owned())
}

fn capture() -> Captured {
    Captured::new("can_sync::plugin::log=trace")
}

#[tokio::test]
async fn what_it_prints_comes_as_lines_of_its_log() {
    // A line in pieces stays one line; a flush, as after each piece, does not end it.
    let out = printing("stdout", "one\ntwo three\n\nfour\n", &[(0, 6), (6, 2), (8, 12)], PASS);
    let err = printing("stderr", "oh\n", &[(0, 3)], PASS);
    for (fixture, wanted) in [
        (out, vec![info("one"), info("two three"), info(""), info("four")]),
        (err, vec![("WARN".to_owned(), "oh".to_owned())]),
    ] {
        let log = capture();
        let (_place, host) = with_one(&fixture, granting(&[])).await;
        assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
        assert_eq!(lines(&log), wanted);
        host.stop().await;
    }
}

#[tokio::test]
async fn what_it_prints_last_is_logged_though_no_line_ends_there() {
    let log = capture();
    let text = "first\nsecond";
    // The instance goes on: what was printed in one call is not mixed with the next.
    let (_place, host) = with_one(&printing("stdout", text, &[(0, 12)], PASS), granting(&[])).await;
    let mut wanted = Vec::new();
    for _ in 0..2 {
        assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
        wanted.extend([info("first"), info("second")]);
        assert_eq!(lines(&log), wanted);
    }
    host.stop().await;
    assert_eq!(lines(&log).len(), 4);

    // It prints without waiting and ends at once: it traps, or is ended while it waits.
    let write = "(call $write (call $stdout) (i32.const 2048) (i32.const 12) (i32.const 512))";
    let limits = Limits { call: Duration::from_secs(1), ..Limits::default() };
    for (end, says) in [(TRAP, "trapped"), (HOUR, "longer than 1000 ms")] {
        let log = capture();
        let dying = sleeping(with_streams(push(&format!("{write} {end} unreachable")), text));
        let said = failure(&dying, Settings { limits: limits.clone(), ..Settings::default() }).await;
        assert!(said.contains(says), "{said}");
        assert_eq!(lines(&log), [info("first"), info("second")], "{says}");
    }

    // It says why it does not come up.
    let log = capture();
    let refusing = with_streams(push(PASS).configure(&format!("{write} unreachable")), text);
    let (_place, host) = with_one(&refusing, Settings::default()).await;
    assert!(host.status("one").unwrap().trouble.unwrap().contains("trapped"));
    assert_eq!(lines(&log), [info("first"), info("second")]);
    host.stop().await;
}

#[tokio::test]
async fn a_flood_of_what_it_prints_is_counted_and_left_out() {
    let flood = |at: u32, bytes: u32, prints: u64| {
        let body = format!(
            "(local.set $i (call $stdout))
             (loop (call $print (local.get $i) (i32.const {at}) (i32.const {bytes}) (i32.const 512))
               (global.set $printed (i64.add (global.get $printed) (i64.const 1)))
               (br_if 0 (i64.ne (global.get $printed) (i64.const {prints})))) {PASS}"
        );
        with_streams(push(&body).with("(global $printed (mut i64) (i64.const 0))"), "again\n")
    };
    // A line that does not end is cut where it gets too long.
    let long = limits::plugin::LOG_LINE_BYTES;
    let zeros = r"\\0".repeat(long);
    for (at, bytes, prints, says, all) in [(2048, 6, 5000, "again", 5000), (4096, 4096, 1000, &zeros, 4_096_000 / long)]
    {
        let (log, began) = (capture(), Instant::now());
        let (_place, host) = with_one(&flood(at, bytes, prints), granting(&[])).await;
        assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
        let written = lines(&log);
        let most = u64::from(limits::plugin::LOG_LINES_PER_SEC) * (began.elapsed().as_secs() + 2);
        assert!((1..=most).contains(&(written.len() as u64)), "{} lines", written.len());
        assert!(written.iter().all(|line| *line == info(says)), "{written:?}");
        assert_eq!(written.len() as u64 + host.status("one").unwrap().lines_left_out, all as u64);
        host.stop().await;
    }
    let said = failure(&flood(2048, 6, u64::MAX), Settings::default()).await;
    assert_eq!(said, "it took longer than 100 ms");
}

#[tokio::test]
async fn what_it_takes_of_the_host_without_end_ends_its_call() {
    let said = failure(&with_streams(push("(loop (drop (call $stdout)) (br 0)) unreachable"), ""), granting(&[])).await;
    assert!(said.contains("it broke") && said.contains("no free keys"), "{said}");
    let exit = push("(call $exit (i32.const 0)) unreachable").import("wasi:cli/exit", "exit", "exit", "(param i32)");
    let said = failure(&exit, granting(&[])).await;
    assert!(said.contains("exit"), "{said}");
}
