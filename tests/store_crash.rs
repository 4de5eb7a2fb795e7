//! The embedded store under SIGKILL, failing system calls and strace.
//!
//! The child of each test is this very program: with `CAN_SYNC_CRASH_ROOT` set, the test `child` puts assets in a loop
//! and writes one line for each that was acknowledged; else it does nothing.
#![allow(clippy::unwrap_used, reason = "test helpers are no library")]

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use can_sync::asset::AssetId;
use can_sync::asset::Timestamp;
use can_sync::limits;
use can_sync::store::Arrival;
use can_sync::store::Origin;
use can_sync::store::Store;
use can_sync::store::Verification;
use can_sync::store::embedded::EmbeddedStore;
use can_sync::store::embedded::OpenError;
use can_sync::store::embedded::Options;

const ROOT: &str = "CAN_SYNC_CRASH_ROOT";
const MODE: &str = "CAN_SYNC_CRASH_MODE";
const ACKNOWLEDGED: &str = "acknowledged ";

/// How many assets are put, and how many of them before the write-back gets its turn: all kinds of content, or enough
/// for faults that come again and again.
const FEW: (u64, u64) = (7, 7);
const MANY: (u64, u64) = (60, 20);

/// How many of those tries run at a time; each waits more than it works.
const TOGETHER: usize = 4;

fn content(n: u64) -> Vec<u8> {
    let size = match n % 7 {
        0 => 0,
        6 => 150_000 + n % 1000,
        other => 3_000 * other,
    };
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.extend((0..size).map(|at| (at % 251) as u8));
    bytes
}

/// Puts one asset; tells its id when the store has acknowledged it.
async fn put(store: &EmbeddedStore, n: u64, bytes: &[u8]) -> Result<AssetId, String> {
    let mut spool = store.spool(Timestamp::new(1_700_000_000_000 + n).unwrap()).await.map_err(|e| e.to_string())?;
    for piece in bytes.chunks(60_000) {
        spool.write(piece).map_err(|e| e.to_string())?;
    }
    let spooled = spool.finish_ingest().map_err(|e| e.to_string())?;
    let stored = store.put(spooled, Origin::Here, Box::new(|_| {})).await.map_err(|e| e.to_string())?;
    Ok(stored.key.id)
}

/// One write to standard output, past every buffer, so that strace sees it and SIGKILL cannot lose it.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[test]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let mode = std::env::var(MODE).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&root)).await;
        say("ready");
        let start = store.latest().borrow().0 * 1000;
        match mode.as_str() {
            "two" => {
                for n in [1, 6] {
                    let id = put(&store, n, &content(n)).await.unwrap();
                    say(&format!("{ACKNOWLEDGED}{id}"));
                }
            }
            "few" | "many" => {
                let (count, together) = if mode == "few" { FEW } else { MANY };
                for n in 0..count {
                    match put(&store, n, &content(n)).await {
                        Ok(id) => say(&format!("{ACKNOWLEDGED}{id}")),
                        Err(error) => say(&format!("refused {error}")),
                    }
                    if n % together == together - 1 {
                        tokio::time::sleep(2 * limits::WRITE_BACK_QUIET).await;
                    }
                }
                store.close().await;
                say("closed");
            }
            _ => {
                for round in 0.. {
                    let puts = (0..8).map(|n| {
                        let (store, n) = (&store, start + round * 8 + n);
                        async move {
                            let id = put(store, n % 1_000_000_000, &content(n)).await.unwrap();
                            say(&format!("{ACKNOWLEDGED}{id}"));
                        }
                    });
                    futures_util::future::join_all(puts).await;
                }
            }
        }
    });
    std::process::exit(0);
}

fn command(root: &Path, mode: &str, before: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match before.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env(ROOT, root).env(MODE, mode).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok)
}

fn acknowledged(line: &str) -> Option<AssetId> {
    // The test harness may have begun the line.
    Some(line.split_once(ACKNOWLEDGED)?.1.trim().parse().unwrap())
}

/// Opens a store once nobody has the folder: the child that another thread makes has it until it has become its program.
async fn open(root: &Path) -> EmbeddedStore {
    let opening = async {
        loop {
            match EmbeddedStore::open(Options::new(root)).await {
                Err(OpenError::Locked(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                other => return other.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), opening).await.expect("nobody has the folder for long")
}

/// Opens the store again and checks that everything acknowledged is there, all that is there is whole, and nothing
/// else is left.
async fn check(root: &Path, acknowledged: &[AssetId]) {
    let store = open(root).await;
    for id in acknowledged {
        let found = store.verify(id).await.unwrap();
        assert!(matches!(found, Some(Verification::Sound { .. })), "{id}: {found:?}");
    }
    let rows = store.inventory(Arrival(0), usize::MAX).await.unwrap();
    for row in &rows {
        let found = store.verify(&row.key.id).await.unwrap();
        assert!(matches!(found, Some(Verification::Sound { .. })), "{row:?}: {found:?}");
    }
    let health = store.health().await.unwrap();
    assert_eq!((health.assets, health.missing), (rows.len() as u64, 0));
    store.close().await;
    let flat = std::fs::read_dir(root)
        .unwrap()
        .filter(|entry| !entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with('.'));
    assert_eq!(flat.count(), rows.len(), "one flat file per asset and nothing else");
    assert_eq!(std::fs::read_dir(root.join(".spool")).unwrap().count(), 0, "nothing is left in the spool");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_loses_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..25_u64 {
        let mut child = command(dir.path(), "loop", &[]).spawn().unwrap();
        let mut lines = lines(&mut child);
        assert!(lines.by_ref().any(|line| line.ends_with("ready")), "the child opens the store again");
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        // Some rounds live long enough for the write-back to be in the middle of its work.
        let millis = u64::from(u16::from_le_bytes(random)) % if round % 3 == 0 { 900 } else { 120 };
        let kill = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(millis));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        all.extend(lines.filter_map(|line| acknowledged(&line)));
        kill.join().unwrap();
        if round % 5 == 4 {
            check(dir.path(), &all).await;
        }
    }
    assert!(all.len() > 100, "only {} were acknowledged", all.len());
}

/// Tells whether strace may trace here; else says why not.
fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if traced.as_ref().is_ok_and(|output| output.status.success()) {
        return true;
    }
    // What is printed is shown only of tests that fail.
    let _ = writeln!(std::io::stderr(), "SKIPPED: strace cannot trace here: {traced:?}");
    assert!(std::env::var_os("CAN_SYNC_REQUIRE_ALL").is_none(), "a test was skipped");
    false
}

/// Has calls of a store fail while assets are put. What was acknowledged is there, and the next try takes the rest.
/// Returns how many calls failed, and how many puts.
async fn fails(call: &str, error: &str, when: &str, mode: &str) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let (root, trace) = (dir.path().join("store"), dir.path().join("trace"));
    // Opened before, so that the faults meet the puts.
    open(&root).await.close().await;
    let inject = format!("inject={call}:error={error}:when={when}");
    let calls = format!("trace={call}");
    let strace = ["strace", "-f", "-o", trace.to_str().unwrap(), "-e", &calls, "-e", &inject];
    let mut child = command(&root, mode, &strace).spawn().unwrap();
    let (mut ids, mut refused) = (Vec::new(), 0);
    for line in lines(&mut child) {
        ids.extend(acknowledged(&line));
        refused += usize::from(line.contains("refused"));
    }
    child.wait().unwrap();
    let failed = std::fs::read_to_string(&trace).unwrap().matches("(INJECTED)").count();
    let count = if mode == "few" { FEW.0 } else { MANY.0 };
    let store = open(&root).await;
    for id in &ids {
        let found = store.verify(id).await.unwrap();
        assert!(matches!(found, Some(Verification::Sound { .. })), "{call} {error} {when}: {id} {found:?}");
    }
    for n in 0..count {
        put(&store, n, &content(n)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let store = open(&root).await;
    assert_eq!(store.health().await.unwrap().assets, count);
    store.close().await;
    check(&root, &ids).await;
    (failed, refused)
}

/// The first, the second, and so on until no thread makes that many, a few of them at a time. Some are made where nobody
/// waits for them; those that somebody waits for are refused.
#[test]
fn every_flush_and_write_of_the_store_may_fail() {
    if !can_trace() {
        return;
    }
    for (call, errors, waited_for) in
        [("fsync", ["EIO"; 2], true), ("pwrite64", ["EIO", "ENOSPC"], true), ("syncfs", ["EIO"; 2], false)]
    {
        let (mut met, mut refused) = (0, 0);
        for first in (1..).step_by(TOGETHER) {
            let alone = |nth: usize| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(fails(call, errors[nth % 2], &nth.to_string(), "few"))
            };
            let ended: Vec<(usize, usize)> = std::thread::scope(|scope| {
                let tries: Vec<_> = (first..first + TOGETHER).map(|nth| scope.spawn(move || alone(nth))).collect();
                tries.into_iter().map(|one| one.join().unwrap()).collect()
            });
            met += ended.iter().filter(|(failed, _)| *failed > 0).count();
            refused += ended.iter().map(|(_, refused)| refused).sum::<usize>();
            if ended.iter().any(|(failed, _)| *failed == 0) {
                break;
            }
        }
        writeln!(std::io::stderr(), "{call}: failed at each of {met} calls, {refused} puts were refused").unwrap();
        assert!(met > 0 && (refused > 0) == waited_for, "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flushes_and_writes_that_keep_failing_are_failed_puts() {
    if !can_trace() {
        return;
    }
    let mut refused = 0;
    for (call, error) in [("fsync", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("syncfs", "EIO")] {
        for when in ["2+", "14+7", "30+"] {
            refused += fails(call, error, when, "many").await.1;
        }
    }
    assert!(refused > 0, "the faults were met");
}

#[test]
fn the_covering_flush_comes_before_the_acknowledgement() {
    if !can_trace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let root = dir.path().join("store");
    let calls = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,pwrite64,write";
    let strace = ["strace", "-f", "-y", "-s", "256", "-o", trace.to_str().unwrap(), "-e", calls];
    let mut child = command(&root, "two", &strace).spawn().unwrap();
    let ids: Vec<AssetId> = lines(&mut child).filter_map(|line| acknowledged(&line)).collect();
    child.wait().unwrap();
    let [small, large] = ids[..] else { panic!("two assets were stored") };

    let trace = std::fs::read_to_string(&trace).unwrap();
    let calls: Vec<&str> = trace.lines().collect();
    let position =
        |from: usize, what: &dyn Fn(&str) -> bool| calls[from..].iter().position(|call| what(call)).map(|at| from + at);
    let last = |before: usize, what: &dyn Fn(&str) -> bool| calls[..before].iter().rposition(|call| what(call));
    let flushes = |call: &str| (call.contains("fdatasync(") || call.contains("fsync(")) && !call.contains(" = -1");
    let says =
        |id: AssetId| move |call: &str| call.contains("write(1") && call.contains(&format!("{ACKNOWLEDGED}{id}"));

    let ready = position(0, &|call| call.contains("write(1") && call.contains("ready")).unwrap();
    let said_small = position(ready, &says(small)).unwrap();
    let to_log = last(said_small, &|call| call.contains("pwrite64(") && call.contains(".can.db-wal")).unwrap();
    assert!(to_log > ready, "the small content goes into the log of the index");
    let flush = position(to_log, &|call| flushes(call) && call.contains(".can.db-wal")).unwrap();
    assert!(flush < said_small, "the log is flushed after its last write and before the answer");

    let said_large = position(said_small, &says(large)).unwrap();
    let written = last(said_large, &|call| call.contains("write(") && call.contains(".ingest>")).unwrap();
    let flushed = position(written, &|call| flushes(call) && call.contains(".ingest>")).unwrap();
    let renamed = position(flushed, &|call| call.contains("rename") && call.contains(".whole")).unwrap();
    let folder = position(renamed, &|call| flushes(call) && call.contains(".spool>")).unwrap();
    let to_log = last(said_large, &|call| call.contains("pwrite64(") && call.contains(".can.db-wal")).unwrap();
    let row = position(to_log, &|call| flushes(call) && call.contains(".can.db-wal")).unwrap();
    assert!(folder < to_log, "content, name and folder are flushed before the row is written");
    assert!(row < said_large, "and the row before the answer");
}
