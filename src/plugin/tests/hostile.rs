//! Plugins that are wrong, slow or hostile: each costs nothing but itself.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use super::super::Limits;
use super::super::Settings;
use super::super::Wasi;
use super::fixtures::Fixture;
use super::fixtures::LOOP;
use super::fixtures::PASS;
use super::fixtures::TRAP;
use super::fixtures::edit;
use super::host::Host;
use super::host::Place;
use super::host::asked;
use super::host::asked_at;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::limits;
use crate::task::Group;

const DEEP: &str = "(call $deep) unreachable";
const DEEP_FUNCTION: &str = "(func $deep (call $deep))";

/// How a hostile plugin ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// It is not loaded.
    Refused,
    /// Its calls fail.
    Fails,
    /// It does no harm.
    Serves,
}

use Ends::Fails;
use Ends::Refused;
use Ends::Serves;

/// A core module of the contract with a hook.
fn push(body: &str) -> Fixture {
    Fixture::new().hook("before-push", body)
}

fn truncated(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() * 2 / 3].to_vec()
}

/// A list of so many changes, or a text of so many bytes, that lies in memory as zeros.
fn many(kind: &str, count: u32) -> String {
    match kind {
        "changes" => format!("(call $verdict (i32.const 3) (i32.const 2097152) (i32.const {count}))"),
        "reason" => format!("(call $verdict (i32.const 1) (i32.const 2097152) (i32.const {count}))"),
        other => panic!("{other}"),
    }
}

/// What is tried: a name, the file, how it ends, and a part of what is said about it.
fn guests() -> Vec<(&'static str, Vec<u8>, Ends, &'static str)> {
    let wasi = "
        (component
          (import \"wasi:cli/environment@0.2.6\"
            (instance (export \"get-environment\" (func (result (list (tuple string string))))))))";
    let odd = "(component (import \"acme:spy/files@1.0.0\" (instance (export \"open\" (func)))))";
    let grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let grow_table =
        "(loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable";
    let flood = format!(
        "(loop (call $log (i32.const 4) (i32.const 16) (i32.const 7))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if 0 (i32.lt_u (local.get $i) (i32.const 5000)))) {PASS}"
    );
    let logs = |body: &str| push(body).import("log", "log", "log", "(param i32 i32 i32)");
    let control = format!("(i32.store8 (i32.const 2048) (i32.const 27)) {}", edit(0, 1, 2048, 1));
    vec![
        ("endless loop in a call", push(LOOP).build(), Fails, "longer than 100 ms"),
        ("endless loop at start", push(PASS).start("(loop (br 0))").build(), Refused, "longer than 2000 ms"),
        ("endless loop in configure", push(PASS).configure(LOOP).build(), Refused, "longer than 2000 ms"),
        ("endless loop in describe", push(PASS).describe(LOOP).build(), Refused, "longer than 2000 ms"),
        ("grows its memory", push(grow).build(), Fails, "bytes of memory, the limit is"),
        ("begins with much memory", push(PASS).pages(2000).build(), Refused, "bytes of memory, the limit is"),
        ("grows a table", push(grow_table).with("(table $t 1 funcref)").build(), Fails, "table elements, the limit is"),
        ("begins with a large table", push(PASS).with("(table 10000000 funcref)").build(), Refused, "table elements"),
        ("recurses without end", push(DEEP).with(DEEP_FUNCTION).build(), Fails, "stack"),
        ("traps before a push", push(TRAP).build(), Fails, "trapped"),
        ("traps before a pull", Fixture::new().hook("before-pull", TRAP).build(), Fails, "trapped"),
        ("traps after receive", Fixture::new().hook("after-receive", TRAP).build(), Fails, "trapped"),
        ("traps at start", push(PASS).start(TRAP).build(), Refused, "trapped"),
        ("answers from nowhere", push("(i32.const 0x7ffffff8)").build(), Fails, "it broke"),
        ("answers a verdict that does not exist", push("(call $verdict (i32.const 9) (i32.const 0) (i32.const 0))").build(), Fails, "it broke"),
        ("gives a huge reason", push(&many("reason", 40 << 20)).pages(900).build(), Fails, "it broke"),
        ("answers a list of 100,000 tags", push(&many("changes", 100_000)).pages(64).build(), Fails, "it broke"),
        ("answers 2,000 changes", push(&many("changes", 2000)).pages(64).build(), Fails, "2000 changes, more than the limit"),
        ("edits a description of 10 MiB", push(&edit(0, 5, 2_097_152, 10 << 20)).pages(300).build(), Fails, "it broke"),
        ("edits a description of 100 KiB", push(&edit(0, 5, 2_097_152, 100 << 10)).pages(64).build(), Fails, "description has 102400 bytes"),
        ("edits with control characters", push(&control).build(), Fails, "control characters"),
        ("adds an empty tag", push(&edit(2, 0, 16, 0)).build(), Fails, "a tag is empty"),
        ("answers what is no UTF-8", push(&format!("(i32.store8 (i32.const 2048) (i32.const 255)) {}", edit(2, 0, 2048, 1))).build(), Fails, "it broke"),
        ("floods the log", logs(&flood).build(), Serves, ""),
        ("logs from nowhere", logs("(call $log (i32.const 2) (i32.const 0x7ffffff0) (i32.const 64)) unreachable").build(), Fails, "it broke"),
        ("logs a line of 60 MiB", logs(&format!("(call $log (i32.const 2) (i32.const 0) (i32.const 60000000)) {PASS}")).pages(930).build(), Fails, "it broke"),
        ("speaks another version", Fixture::new().hook("before-push", PASS).version("9.0.0").build(), Refused, "this host speaks can-sync:plugin@0.1.0"),
        ("is a core module", push(PASS).module(), Refused, "core module"),
        ("is cut off", truncated(&push(PASS).build()), Refused, "not valid"),
        ("is empty", Vec::new(), Refused, "empty"),
        ("is a text", b"#!/bin/sh\nrm -rf /\n".to_vec(), Refused, "no WebAssembly"),
        ("has no hook", Fixture::new().build(), Refused, "nothing to ask"),
        ("imports WASI where that is refused", wat::parse_str(wasi).unwrap(), Refused, "wasi: none"),
        ("imports what nobody gives", wat::parse_str(odd).unwrap(), Refused, "acme:spy/files@1.0.0"),
        ("refuses its configuration", push(PASS).configure("(i32.store8 (i32.const 200) (i32.const 1)) (i32.store (i32.const 204) (i32.const 16)) (i32.store (i32.const 208) (i32.const 7)) (i32.const 200)").build(), Refused, "does not take its configuration: private"),
        ("is larger than allowed", vec![0; limits::plugin::COMPONENT_BYTES as usize + 1], Refused, "more than the limit"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_costs_nothing_but_itself() {
    let mut wrong = Vec::new();
    for (name, bytes, ends, says) in guests() {
        let place = Place::new();
        place.set("hostile", Settings { wasi: Wasi::None, ..Settings::default() });
        place.drop_in("hostile.wasm", &bytes);
        let began = Instant::now();
        let host = place.start().await;
        let started = began.elapsed();
        let (outcome, took) = outcome(&host).await;
        // Whatever it did, the next plugin is asked as if it were not there.
        place.drop_in("good.wasm", &push(super::fixtures::DROP).build());
        std::fs::remove_file(place.file("hostile.wasm")).unwrap();
        host.until("the good one alone is there", |host| {
            let all = host.plugins.status();
            all.len() == 1 && all[0].name == "good"
        })
        .await;
        let next = host.ask(&asked(&[])).await.verdict;
        host.stop().await;
        let said = outcome.0 == ends && outcome.1.contains(says) && next == Verdict::Drop("private".to_owned());
        println!(
            "{} {name}: {} ({} ms to start, {} ms to ask)",
            if said { "ok  " } else { "FAIL" },
            outcome.1,
            started.as_millis(),
            took.as_millis()
        );
        if !said {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

async fn outcome(host: &Host) -> ((Ends, String), Duration) {
    let status = host.status("hostile").unwrap();
    if let Some(trouble) = status.trouble {
        return ((Refused, trouble), Duration::ZERO);
    }
    let began = Instant::now();
    let point = status.points[0];
    let judgement = host.ask(&asked_at(point, &[])).await;
    let took = began.elapsed();
    match judgement.steps[0].failure.clone() {
        Some(failure) => {
            assert_eq!(judgement.standing, Standing::Failed);
            ((Fails, failure), took)
        }
        None => ((Serves, format!("answers {:?}", judgement.verdict)), took),
    }
}

/// A hostile plugin among good ones: what others ask meanwhile is answered before its deadline is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_answered_while_one_loops() {
    let place = Place::new();
    place.drop_in("loops.wasm", &Fixture::new().hook("before-pull", LOOP).build());
    place.drop_in("good.wasm", &push(PASS).build());
    let limits = Limits { call: Duration::from_secs(20), ..Limits::default() };
    place.set("loops", Settings { limits, ..Settings::default() });
    let host = Arc::new(place.start().await);
    // As many as there are workers, so that none would be left if one were kept.
    let group = Group::new("loops", Arc::new(|_, task, message| panic!("{task}: {message}")));
    let looping: Vec<_> = (0..4)
        .map(|_| {
            let host = Arc::clone(&host);
            group.spawn("loop", async move { drop(host.ask(&asked_at(Point::BeforePull, &[])).await) })
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    }
    assert!(looping.iter().all(|task| !task.is_finished()));
    for task in looping {
        // Given up in the middle of a call, as at the end of a host.
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    let Ok(host) = Arc::try_unwrap(host) else { panic!("all tasks have ended") };
    host.stop().await;
}
