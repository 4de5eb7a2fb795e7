//! What plugins cost: `cargo bench --bench plugins --features testing`.
//!
//! Calls, starts and memory of the components in `plugins/prebuilt` and of those that `plugins/build` made; what waits
//! while a plugin is replaced under load; and a verdict that is found in memory. What a chain of plugins costs a whole
//! host is measured by `benches/peers.py --workload W3 --peer can-sync --peer can-sync-plugins`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and has nobody to answer to")]

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use can_sync::asset::AssetId;
use can_sync::asset::AssetKey;
use can_sync::asset::Changes;
use can_sync::asset::LocalDocument;
use can_sync::asset::Timestamp;
use can_sync::asset::names;
use can_sync::engine::probe::VerdictMemory;
use can_sync::hook::Asked;
use can_sync::hook::BoxFuture;
use can_sync::hook::Hooks;
use can_sync::hook::Occasion;
use can_sync::hook::Point;
use can_sync::hook::Verdict;
use can_sync::plugin::Options;
use can_sync::plugin::Plugins;
use can_sync::plugin::Samples;
use can_sync::plugin::Settings;
use can_sync::task::Group;

/// Replacements of a plugin under load.
const SWAPS: usize = 20;

/// Plugins that are loaded to see what one of them keeps.
const COPIES: usize = 32;

/// Tasks that ask without a pause while a plugin is replaced; a host has one per direction.
const ASKING: usize = 2;

/// Verdicts in memory while one is looked for.
const VERDICTS: u64 = 30_000;

fn main() {
    components();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        idle_memory().await;
        swap_under_load().await;
    });
    verdict_in_memory();
}

fn prebuilt(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("plugins/prebuilt/{name}.wasm"))
}

/// Prints what `can-sync plugin bench` says of each component.
fn components() {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).unwrap_or_default();
    let built = ["rust", "c", "javascript", "python"]
        .map(|language| cache.join(format!("can-sync/plugins/example-{language}.wasm")));
    let shipped = ["keep-private", "redact", "auto-tag", "normalise"].map(prebuilt);
    for component in built.iter().chain(&shipped) {
        let name = component.file_stem().unwrap().to_string_lossy();
        if !component.exists() {
            println!("{name}: not measured, since `plugins/build {name}` has not run\n");
            continue;
        }
        println!("{name}, a ten-tag asset, p50 and p99:");
        let told = Command::new(env!("CARGO_BIN_EXE_can-sync")).args(["plugin", "bench"]).arg(component).output();
        let told = told.unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        println!("{}", String::from_utf8_lossy(&told.stdout));
    }
}

#[derive(Debug)]
struct NoSamples;

impl Samples for NoSamples {
    fn latest(&self, _: usize) -> BoxFuture<'_, Vec<Asked>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

async fn start(folder: &Path, group: &Group) -> Plugins {
    let options = Options {
        folder: folder.join("plugins"),
        data: folder.join("data"),
        settings: Arc::new(|_, _| Ok(Settings::default())),
        named: BTreeSet::new(),
        samples: Arc::new(NoSamples),
        look_every: Duration::from_millis(50),
    };
    Plugins::start(options, group).await.unwrap()
}

fn key(n: u64) -> AssetKey {
    let id = AssetId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes());
    AssetKey { id, timestamp: Timestamp::new(1_700_000_000_000 + n).unwrap(), size: 12_345 }
}

/// A document in which every field is there, with ten tags.
fn document() -> LocalDocument {
    let fields = [
        (names::MIME_TYPE, "image/png"),
        (names::FILE_NAME, "screenshot-2024.png"),
        (names::PATH, "pictures/2024"),
        (names::APPLICATION, "org.example.app"),
        (names::USER, "ann"),
        (names::DESCRIPTION, "a screenshot of something"),
    ];
    let changes = fields.iter().fold(Changes::new(), |changes, (field, value)| changes.set(field, *value));
    let changes = (0..10).fold(changes, |changes, n| changes.add_tag(&format!("tag-{n}")));
    let mut document = LocalDocument::default();
    document.see(&changes);
    document
}

fn asked(n: u64) -> Asked {
    Asked {
        point: Point::BeforePush,
        library: "mirror".into(),
        key: key(n),
        metadata: document().metadata(),
        peer: None,
        occasion: Occasion::CatchUp,
        content: None,
        overruled: Vec::new(),
    }
}

/// Memory of this process that is in use, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

async fn idle_memory() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let copy = |n: usize| {
        let to = folder.path().join(format!("plugins/copy-{n}.wasm"));
        std::fs::copy(prebuilt("keep-private"), to).unwrap();
    };
    let mut resident = Vec::new();
    // Twice, so that the first has compiled it and paid for what all of them share.
    for copies in [0..1, 1..COPIES + 1] {
        copies.for_each(copy);
        let group = Group::new("plugins", Arc::new(|_, task, why| panic!("{task}: {why}")));
        let plugins = start(folder.path(), &group).await;
        for n in 0..4 {
            plugins.ask(&asked(n)).await;
        }
        resident.push(resident_kib());
        group.shut_down().await;
    }
    let kib = resident[1].saturating_sub(resident[0]) / COPIES as u64;
    println!("keep-private, loaded and asked before, at rest: {kib} KiB (mean of {COPIES})\n");
}

async fn swap_under_load() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let place = folder.path().join("plugins/swapped.wasm");
    let drop_in = |n: usize| {
        // Another file each time: what was compiled before must not help.
        let mut component = std::fs::read(prebuilt(["keep-private", "redact"][n % 2])).unwrap();
        component.extend(custom_section(n as u64));
        std::fs::write(folder.path().join("next"), component).unwrap();
        std::fs::rename(folder.path().join("next"), &place).unwrap();
    };
    drop_in(0);
    let group = Group::new("plugins", Arc::new(|_, task, why| panic!("{task}: {why}")));
    let plugins = start(folder.path(), &group).await;
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..ASKING {
        let (plugins, stop, next) = (plugins.clone(), Arc::clone(&stop), Arc::clone(&next));
        asking.spawn(async move {
            let (mut longest, mut answered, mut wrong) = (Duration::ZERO, 0_u64, 0_u64);
            while !stop.load(Ordering::Relaxed) {
                let asked = asked(next.fetch_add(1, Ordering::Relaxed));
                let began = Instant::now();
                let judgement = plugins.ask(&asked).await;
                longest = longest.max(began.elapsed());
                answered += 1;
                // Both answer this asset, each in its way; nobody answers twice, and none fails.
                let right = matches!(judgement.verdict, Verdict::Pass | Verdict::Edit(_));
                wrong += u64::from(!right || judgement.steps.len() != 1 || judgement.steps[0].failure.is_some());
                tokio::task::yield_now().await;
            }
            (longest, answered, wrong)
        });
    }
    let mut replacing = Vec::new();
    for n in 1..=SWAPS {
        let before = plugins.status()[0].sha256;
        let began = Instant::now();
        drop_in(n);
        while plugins.status()[0].sha256 == before {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", plugins.status()[0].trouble);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        replacing.push(began.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let ends = asking.join_all().await;
    group.shut_down().await;
    let longest = ends.iter().map(|end| end.0).max().unwrap();
    let (answered, wrong) = (ends.iter().map(|end| end.1).sum::<u64>(), ends.iter().map(|end| end.2).sum::<u64>());
    let asked = next.load(Ordering::Relaxed);
    replacing.sort();
    println!(
        "{SWAPS} times replaced under the load of {ASKING} tasks: {asked} asked, {answered} answered, {wrong} not once and \
         well; the longest wait {:.1} ms; from the file to its first call {:.0} ms (median)\n",
        longest.as_secs_f64() * 1e3,
        replacing[SWAPS / 2].as_secs_f64() * 1e3,
    );
}

/// A custom section of a component, which means nothing and makes its digest another.
fn custom_section(n: u64) -> Vec<u8> {
    let mut section = vec![0, 13, 4];
    section.extend(b"swap");
    section.extend(n.to_le_bytes());
    section
}

fn verdict_in_memory() {
    let (memory, document) = (VerdictMemory::default(), document());
    let shared = document.shared();
    for n in 0..VERDICTS {
        memory.keep(key(n), shared);
    }
    let (mut naming, mut finding) = (Vec::new(), Vec::new());
    for round in 0..11 {
        let began = Instant::now();
        let names: Vec<_> = (0..10_000).map(|n| memory.name(key((n * 7 + round) % VERDICTS), shared)).collect();
        naming.push(began.elapsed() / 10_000);
        let began = Instant::now();
        let found = names.iter().filter(|name| memory.has(name)).count();
        finding.push(began.elapsed() / 10_000);
        assert_eq!(found, names.len());
    }
    naming.sort();
    finding.sort();
    println!(
        "a verdict in memory, medians: naming what is shown {} ns, finding it {} ns",
        naming[5].as_nanos(),
        finding[5].as_nanos()
    );
}
