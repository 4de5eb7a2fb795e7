//! Plugins that are wrong, slow or hostile: each costs nothing but itself.

use std::collections::BTreeSet;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::super::Grant;
use super::super::Limits;
use super::super::Settings;
use super::super::Used;
use super::super::Wasi;
use super::fixtures::DROP;
use super::fixtures::Fixture;
use super::fixtures::HOLD;
use super::fixtures::LOOP;
use super::fixtures::PASS;
use super::fixtures::TRAP;
use super::fixtures::edit;
use super::host::Host;
use super::host::Place;
use super::host::asked;
use super::host::asked_at;
use super::host::granting;
use crate::hook::Asked;
use crate::hook::BoxFuture;
use crate::hook::Content;
use crate::hook::Hooks;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::limits;
use crate::task::Group;
use crate::telemetry::aloud;

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

/// A list of so many tags, each of its own five letters: the records lie at 2 MiB, their texts at 4 MiB.
fn tags(count: u32) -> String {
    format!(
        "(loop
           (i32.store8 offset=2097152 (i32.shl (local.get $i) (i32.const 4)) (i32.const 2))
           (i32.store offset=2097156 (i32.shl (local.get $i) (i32.const 4))
             (i32.add (i32.const 4194304) (i32.shl (local.get $i) (i32.const 3))))
           (i32.store offset=2097160 (i32.shl (local.get $i) (i32.const 4)) (i32.const 5))
           (i32.store offset=4194304 (i32.shl (local.get $i) (i32.const 3))
             (i32.add (i32.const 0x61616161)
               (i32.or
                 (i32.or
                   (i32.and (local.get $i) (i32.const 0xf))
                   (i32.shl (i32.and (local.get $i) (i32.const 0xf0)) (i32.const 4)))
                 (i32.or
                   (i32.shl (i32.and (local.get $i) (i32.const 0xf00)) (i32.const 8))
                   (i32.shl (i32.and (local.get $i) (i32.const 0xf000)) (i32.const 12))))))
           (i32.store8 offset=4194308 (i32.shl (local.get $i) (i32.const 3))
             (i32.add (i32.const 0x61) (i32.shr_u (local.get $i) (i32.const 16))))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if 0 (i32.lt_u (local.get $i) (i32.const {count}))))
         (call $verdict (i32.const 3) (i32.const 2097152) (i32.const {count}))"
    )
}

/// What is tried: a name, the file, how it ends, and a part of what is said about it.
fn guests() -> Vec<(&'static str, Vec<u8>, Ends, &'static str)> {
    let wasi = "
        (component
          (import \"wasi:cli/environment@0.2.6\"
            (instance (export \"get-environment\" (func (result (list (tuple string string))))))))";
    let odd = "(component (import \"acme:spy/files@1.0.0\" (instance (export \"open\" (func)))))";
    let grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    // Written to, so that it is memory of the host, and at the start, which has the time for it.
    let fill = "
        (loop
          (if (i32.ne (memory.grow (i32.const 16)) (i32.const -1))
            (then
              (memory.fill
                (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1048576))
                (i32.const 1)
                (i32.const 1048576))
              (br 1))))";
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
        ("endless loop in a call", push(LOOP).build(), Fails, "longer than 2000 ms"),
        ("endless loop at start", push(PASS).start("(loop (br 0))").build(), Refused, "longer than 2000 ms"),
        ("endless loop in configure", push(PASS).configure(LOOP).build(), Refused, "longer than 2000 ms"),
        ("endless loop in describe", push(PASS).describe(LOOP).build(), Refused, "longer than 2000 ms"),
        ("grows its memory", push(grow).build(), Fails, "bytes of memory, the limit is"),
        ("fills its memory", push(PASS).start(fill).build(), Refused, "bytes of memory, the limit is"),
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
        ("gives a huge reason", push(&many("reason", 40 << 20)).pages(900).build(), Fails, "`answer_kib`"),
        ("answers a list of 100,000 tags", push(&tags(100_000)).pages(96).build(), Fails, "`answer_kib`"),
        ("answers a list of 1,000 tags", push(&tags(1000)).pages(96).build(), Serves, "answers Edit"),
        ("answers 100,000 changes", push(&many("changes", 100_000)).pages(64).build(), Fails, "`answer_kib`"),
        ("answers 3,000 changes", push(&many("changes", 3000)).pages(64).build(), Fails, "3000 changes, more than the limit"),
        ("edits a description of 10 MiB", push(&edit(0, 5, 2_097_152, 10 << 20)).pages(300).build(), Fails, "`answer_kib`"),
        ("edits a description of 100 KiB", push(&edit(0, 5, 2_097_152, 100 << 10)).pages(64).build(), Fails, "description has 102400 bytes"),
        ("edits with control characters", push(&control).build(), Fails, "control characters"),
        ("adds an empty tag", push(&edit(2, 0, 16, 0)).build(), Fails, "a tag is empty"),
        ("answers what is no UTF-8", push(&format!("(i32.store8 (i32.const 2048) (i32.const 255)) {}", edit(2, 0, 2048, 1))).build(), Fails, "it broke"),
        ("floods the log", logs(&flood).build(), Serves, ""),
        ("logs from nowhere", logs("(call $log (i32.const 2) (i32.const 0x7ffffff0) (i32.const 64)) unreachable").build(), Fails, "it broke"),
        ("logs a line of 60 MiB", logs(&format!("(call $log (i32.const 2) (i32.const 0) (i32.const 60000000)) {PASS}")).pages(930).build(), Fails, "`answer_kib`"),
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

/// Set for the process in which the guests are alone.
const ALONE: &str = "CAN_SYNC_HOSTILE_ALONE";

/// How long others may wait for an answer at most: less than a start or a call of two seconds that kept them, and more
/// than a busy machine takes.
const OTHERS_WAIT: Duration = Duration::from_millis(1500);

/// Bytes that all guests, one after the other, may add to the memory of the process: the instance of one, which grows to
/// its limit, its answer, a file of the largest size that is read and compiled, and as much for the host itself.
const MEMORY_MOST: u64 =
    2 * (limits::plugin::MEMORY_BYTES + limits::plugin::ANSWER_BYTES) as u64 + limits::plugin::COMPONENT_BYTES;

/// In a process of their own, so that its memory is theirs. There is one worker: whoever keeps it, keeps it from all.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_costs_nothing_but_itself() {
    if std::env::var_os(ALONE).is_some() {
        return each_is_tried().await;
    }
    let name = concat!(module_path!(), "::each_costs_nothing_but_itself").split_once("::").unwrap().1;
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").stderr(Stdio::inherit());
    let output = alone.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

async fn each_is_tried() {
    let (guests, mut wrong) = (guests(), Vec::new());
    let before = most_memory();
    for (name, bytes, ends, says) in guests {
        let tried = try_one(&bytes).await;
        let used = tried.used;
        let limits = Limits::default();
        let said = tried.ends == ends
            && tried.says.contains(says)
            && tried.others_waited < OTHERS_WAIT
            && used.memory_bytes <= limits.memory_bytes
            && used.table_elements <= limits.table_elements
            && used.log_lines_per_sec <= limits.log_lines_per_sec;
        aloud(&format!(
            "{} {name}: {:.160} ({} ms to start, {} ms to ask, others waited {} ms, {} KiB used)",
            if said { "ok  " } else { "FAIL" },
            tried.says,
            tried.start.as_millis(),
            tried.call.as_millis(),
            tried.others_waited.as_millis(),
            used.memory_bytes / 1024,
        ));
        if !said {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    if let Some((before, after)) = before.zip(most_memory()) {
        let taken = after - before;
        aloud(&format!("all of them took {} MiB at most", taken >> 20));
        assert!(taken <= MEMORY_MOST, "{taken} bytes, more than {MEMORY_MOST}");
    }
}

/// The most memory this process had so far, in bytes; `None` where the system does not tell.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(most.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// What became of a hostile plugin.
struct Tried {
    ends: Ends,
    says: String,
    start: Duration,
    call: Duration,
    others_waited: Duration,
    used: Used,
}

/// One that is asked in a library, and not ended for what others do to it.
fn patient(library: &str) -> Settings {
    Settings { libraries: Some(BTreeSet::from([library.to_owned()])), ..granting(&[]) }
}

/// Drops a hostile plugin into a host whose good plugin is asked all the time, and asks it.
async fn try_one(bytes: &[u8]) -> Tried {
    let place = Place::new();
    let limits = Limits { call: limits::plugin::START, ..Limits::default() };
    place.set("hostile", Settings { wasi: Wasi::None, limits, ..patient("mirror") });
    place.set("good", patient("aside"));
    place.drop_in("good.wasm", &push(HOLD).build());
    let host = Arc::new(place.start().await);
    let group = Group::new("others", Arc::new(|_, task, message| panic!("{task}: {message}")));
    let (waited, others_waited) = oneshot::channel();
    let others = ask_all_the_time(Arc::clone(&host), group.token().clone(), waited);
    let others = group.spawn("others", others);

    let began = Instant::now();
    place.drop_in("hostile.wasm", bytes);
    host.until("the hostile one was looked at", |host| host.status("hostile").is_some()).await;
    let start = began.elapsed();
    let (done, outcome) = oneshot::channel();
    let asking = Arc::clone(&host);
    let asked_it = group.spawn("hostile", async move { drop(done.send(outcome_of(&asking).await)) });
    let (ends, says, call) = outcome.await.unwrap();
    let used = host.status("hostile").unwrap().used;
    group.token().cancel();
    let others_waited = others_waited.await.unwrap();
    others.await.unwrap();
    asked_it.await.unwrap();

    // Whatever it did, the next plugin is asked as if it had not been there.
    place.drop_in("next.wasm", &push(DROP).build());
    std::fs::remove_file(place.file("hostile.wasm")).unwrap();
    host.until("the good ones alone are there", |host| {
        let names: Vec<_> = host.plugins.status().into_iter().map(|status| status.name).collect();
        names == ["good", "next"]
    })
    .await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Drop("private".to_owned()));
    let Ok(host) = Arc::try_unwrap(host) else { panic!("all tasks have ended") };
    host.stop().await;
    Tried { ends, says, start, call, others_waited, used }
}

/// Asks the good plugin until it is told to stop, and tells the longest time from one answer to the next.
async fn ask_all_the_time(host: Arc<Host>, token: CancellationToken, waited: oneshot::Sender<Duration>) {
    let asked = Asked { library: "aside".into(), ..asked(&[]) };
    let (mut longest, mut answered) = (Duration::ZERO, Instant::now());
    while !token.is_cancelled() {
        let judgement = host.ask(&asked).await;
        assert_eq!((judgement.verdict, judgement.standing), (Verdict::Hold("private".to_owned()), Standing::Firm));
        longest = longest.max(answered.elapsed());
        answered = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(host);
    let _ = waited.send(longest.max(answered.elapsed()));
}

async fn outcome_of(host: &Host) -> (Ends, String, Duration) {
    let status = host.status("hostile").unwrap();
    if let Some(trouble) = status.trouble {
        return (Refused, trouble, Duration::ZERO);
    }
    let began = Instant::now();
    let judgement = host.ask(&asked_at(status.points[0], &[])).await;
    let took = began.elapsed();
    match judgement.steps[0].failure.clone() {
        Some(failure) => {
            assert_eq!(judgement.standing, Standing::Failed);
            (Fails, failure, took)
        }
        None => (Serves, format!("answers {:?}", judgement.verdict), took),
    }
}

/// Hostile plugins among good ones: what others ask meanwhile is answered long before the deadline of those is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_answered_while_one_loops() {
    const ANSWERS: u32 = 40;
    let place = Place::new();
    place.drop_in("loops.wasm", &Fixture::new().hook("before-pull", LOOP).build());
    place.drop_in("good.wasm", &push(PASS).build());
    for name in ["good", "loops"] {
        place.set(name, patient("mirror"));
    }
    let host = Arc::new(place.start().await);
    // Twice as many as there are workers, so that none would be left if one were kept.
    let group = Group::new("loops", Arc::new(|_, task, message| panic!("{task}: {message}")));
    let looping: Vec<_> = (0..4)
        .map(|_| {
            let host = Arc::clone(&host);
            group.spawn("loop", async move { drop(host.ask(&asked_at(Point::BeforePull, &[])).await) })
        })
        .collect();
    // The test itself runs on a thread of its own; what it measures must run where the loops run. Each answer waits for a
    // timer, as it would for a socket.
    let (began, (done, answered), asking) = (Instant::now(), oneshot::channel(), Arc::clone(&host));
    let asks = group.spawn("asks", async move {
        for _ in 0..ANSWERS {
            assert_eq!(asking.ask(&asked(&[])).await.verdict, Verdict::Pass);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        done.send(()).unwrap();
    });
    answered.await.unwrap();
    let took = began.elapsed();
    aloud(&format!("{ANSWERS} answers beside 4 endless loops on 2 workers: {} ms", took.as_millis()));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(looping.iter().all(|task| !task.is_finished()));
    asks.await.unwrap();
    for task in looping {
        // Given up in the middle of a call, as at the end of a host.
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    let Ok(host) = Arc::try_unwrap(host) else { panic!("all tasks have ended") };
    host.stop().await;
}

/// A content that is read when a test allows it.
#[derive(Debug)]
struct Gate {
    reads: AtomicU64,
    open: Semaphore,
}

impl Content for Gate {
    fn read(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async {
            self.reads.fetch_add(1, Ordering::SeqCst);
            drop(self.open.acquire().await.unwrap());
            Ok(b"x".to_vec())
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_run_when_it_is_replaced_end_as_they_began() {
    const RUNNING: u64 = 4;
    let reads = |body: &str| {
        let body = format!("(call $read (i64.const 0) (i32.const 1) (i32.const 512)) {body}");
        push(&body).import("content", "read", "read", "(param i64 i32 i32)").build()
    };
    let place = Place::new();
    place.drop_in("one.wasm", &reads(DROP));
    place.set("one", Settings { grants: BTreeSet::from([Grant::Content]), ..patient("mirror") });
    let host = Arc::new(place.start().await);
    let generation = host.plugins.generation();
    let gate = Arc::new(Gate { reads: AtomicU64::new(0), open: Semaphore::new(0) });
    let group = Group::new("running", Arc::new(|_, task, message| panic!("{task}: {message}")));
    let (told, mut answers) = tokio::sync::mpsc::channel(100);
    for _ in 0..RUNNING {
        let (host, told) = (Arc::clone(&host), told.clone());
        let asked = Asked { content: Some(Arc::clone(&gate) as Arc<dyn Content>), ..asked(&[]) };
        group.spawn("running", async move { told.send(host.ask(&asked).await).await.unwrap() });
    }
    drop(told);
    host.until("they wait for the content", |_| gate.reads.load(Ordering::SeqCst) == RUNNING).await;

    place.drop_in("one.wasm", &reads(HOLD));
    host.plugins.changed(generation).await;
    for _ in 0..RUNNING {
        assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Hold("private".to_owned()));
    }
    let figures = host.status("one").unwrap().figures;
    assert_eq!((figures.calls, figures.held), (RUNNING, RUNNING), "the new one answers while the old one is asked");
    assert!(answers.try_recv().is_err());

    gate.open.add_permits(RUNNING as usize);
    for _ in 0..RUNNING {
        let judgement = answers.recv().await.unwrap();
        assert_eq!((judgement.verdict, judgement.standing), (Verdict::Drop("private".to_owned()), Standing::Firm));
    }
    assert!(answers.recv().await.is_none(), "each is answered once");
    let figures = host.status("one").unwrap().figures;
    assert_eq!((figures.calls, figures.held, figures.dropped, figures.failures), (2 * RUNNING, RUNNING, RUNNING, 0));
    assert_eq!(gate.reads.load(Ordering::SeqCst), RUNNING);
    group.shut_down().await;
    let Ok(host) = Arc::try_unwrap(host) else { panic!("all tasks have ended") };
    host.stop().await;
}
