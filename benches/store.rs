//! Figures of the embedded store: `cargo bench --bench store --features testing [-- folder]`.
//!
//! Prints medians of five runs. The folder (default: the one for temporary files) must be on the disk to be measured;
//! `CAN_SYNC_BENCH_ROWS` is the number of rows of the large index (default 1,000,000), `CAN_SYNC_BENCH_ONLY=rows`
//! leaves out the contents. The rows of the large index have no files.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and has nobody to answer to")]

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
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
use can_sync::limits;
use can_sync::store::Arrival;
use can_sync::store::Edit;
use can_sync::store::Order;
use can_sync::store::Origin;
use can_sync::store::Query;
use can_sync::store::Store;
use can_sync::store::embedded::EmbeddedStore;
use can_sync::store::embedded::Options;

/// Runs of which the median is printed.
const RUNS: usize = 5;

/// Puts that wait for an answer at the same time.
const CONCURRENT: u64 = 256;

fn main() {
    let folder = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from).join("can-sync-bench-store");
    let _ = std::fs::remove_dir_all(&folder);
    let rows = std::env::var("CAN_SYNC_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if std::env::var_os("CAN_SYNC_BENCH_ONLY").is_none() {
            small(&folder).await;
            large(&folder).await;
        }
        listing(&folder, 10_000).await;
        listing(&folder, rows).await;
    });
    let _ = std::fs::remove_dir_all(&folder);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn edit(n: u64) -> Edit {
    let changes = Changes::new()
        .set(names::MIME_TYPE, if n.is_multiple_of(3) { "image/png" } else { "text/plain" })
        .set(names::FILE_NAME, format!("file number {n}.txt"))
        .set(names::APPLICATION, format!("app {}", n % 10))
        .add_tag(&format!("tag {}", n % 1000));
    Box::new(move |document: &mut LocalDocument| document.see(&changes))
}

async fn put(store: &EmbeddedStore, n: u64, content: &[u8], edit: Edit) {
    let mut spool = store.spool(Timestamp::new(1_600_000_000_000 + n).unwrap()).await.unwrap();
    for piece in content.chunks(limits::CONTENT_CHUNK_BYTES) {
        spool.write(piece).unwrap();
    }
    store.put(spool.finish_ingest().unwrap(), Origin::Here, edit).await.unwrap();
}

/// Puts `count` contents of `size` bytes from [`CONCURRENT`] tasks.
async fn fill(store: &Arc<EmbeddedStore>, count: u64, size: usize, with: fn(u64) -> Edit) -> Duration {
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..CONCURRENT {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let mut content = vec![7; size];
            for n in (task..count).step_by(usize::try_from(CONCURRENT).unwrap()) {
                content[..8].copy_from_slice(&n.to_le_bytes());
                put(&store, n, &content, with(n)).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    begin.elapsed()
}

async fn open(folder: &Path, name: &str) -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::open(Options::new(folder.join(name))).await.unwrap())
}

async fn small(folder: &Path) {
    let (mut times, mut closes) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let store = open(folder, &format!("small-{run}")).await;
        let seen: fn(u64) -> Edit = |n| {
            let name = format!("{n}.bin");
            Box::new(move |document: &mut LocalDocument| document.see(&Changes::new().set(names::FILE_NAME, name)))
        };
        times.push(fill(&store, 10_000, 4096, seen).await);
        let begin = Instant::now();
        store.close().await;
        closes.push(begin.elapsed());
    }
    let (time, close) = (median(times), median(closes));
    println!("10,000 x 4 KiB, durable, {CONCURRENT} at once   {:>9.0} puts/s", 10_000.0 / time.as_secs_f64());
    println!("  and as flat files, flushed          {:>9.0} /s", 10_000.0 / (time + close).as_secs_f64());
}

async fn large(folder: &Path) {
    let store = open(folder, "large").await;
    let piece: Vec<u8> = (0..limits::CONTENT_CHUNK_BYTES).map(|n| (n % 251) as u8).collect();
    let pieces = 1024 * 1024 * 1024 / piece.len();
    let (mut hashing, mut flush) = (Vec::new(), Vec::new());
    for run in 0..3 {
        let begin = Instant::now();
        let mut spool = store.spool(Timestamp::new(1_700_000_000_000 + run).unwrap()).await.unwrap();
        for _ in 0..pieces {
            spool.write(&piece).unwrap();
        }
        let spooled = spool.finish_ingest().unwrap();
        hashing.push(begin.elapsed());
        let begin = Instant::now();
        let id = store.put(spooled, Origin::Here, edit(run)).await.unwrap().key.id;
        flush.push(begin.elapsed());
        store.purge(&id).await.unwrap();
    }
    let rate = |time: Duration| 1024.0 / time.as_secs_f64();
    let (hashing, flush) = (median(hashing), median(flush));
    println!("1 GiB: hashing and writing            {:>9.0} MiB/s", rate(hashing));
    println!("1 GiB: flush and row                  {:>9.0} MiB/s", rate(flush));
    println!("1 GiB: all                            {:>9.0} MiB/s", rate(hashing + flush));
    store.close().await;
}

/// Fills the index with rows whose contents are said to be flat files.
async fn adopt(store: &EmbeddedStore, rows: u64) {
    let mut next = 0;
    while next < rows {
        let end = rows.min(next + limits::WRITES_PER_COMMIT as u64);
        let batch = (next..end).map(|n| {
            let id = AssetId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes());
            let key = AssetKey { id, timestamp: Timestamp::new(1_600_000_000_000 + n).unwrap(), size: 8 };
            let mut document = LocalDocument::default();
            edit(n)(&mut document);
            (key, document)
        });
        store.adopt_rows(batch.collect()).await.unwrap();
        next = end;
    }
}

/// Lists and searches a large index.
async fn listing(folder: &Path, rows: u64) {
    let store = open(folder, &format!("rows-{rows}")).await;
    let begin = Instant::now();
    adopt(&store, rows).await;
    println!("{rows} rows made in {:.1} s", begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    store.index_all_texts().await.unwrap();
    println!("  their text indexed after {:.1} s more", begin.elapsed().as_secs_f64());
    let middle = store.page(&Query { offset: rows / 2, limit: 1, ..Query::default() }).await.unwrap().next;
    let oldest = Query { order: Order::Oldest, ..Query::default() };
    let tag = || vec!["tag 7".into()];
    let text = |text: &str| Query { text: Some(text.into()), ..Query::default() };
    let queries = [
        ("newest page", Query::default()),
        ("oldest page", oldest.clone()),
        ("page at a cursor in the middle", Query { after: middle, ..Query::default() }),
        ("page at an offset in the middle", Query { offset: rows / 2, ..Query::default() }),
        ("one tag", Query { tags: tag(), ..Query::default() }),
        ("one application", Query { application: Some("app 7".into()), ..oldest }),
        ("image/", Query { mime_type: Some("image/".into()), ..Query::default() }),
        ("tag and application", Query { tags: tag(), application: Some("app 7".into()), ..Query::default() }),
        (
            "application and image/",
            Query { application: Some("app 7".into()), mime_type: Some("image/".into()), ..Query::default() },
        ),
        ("time range of a hundredth", Query { from: Some(1_600_000_000_000 + rows - rows / 100), ..Query::default() }),
        ("time range of half", Query { from: Some(1_600_000_000_000 + rows / 2), ..Query::default() }),
        ("text that one has", text("number 4242.")),
        ("text that a hundredth has", text("42.txt")),
        ("text that nobody has", text("nowhere")),
        ("text that all have", text("number")),
        ("text that all have, and a tag", Query { tags: tag(), ..text("number") }),
        ("text of two characters", text("77")),
    ];
    for (name, query) in queries {
        let (mut first, mut next) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            // A change, so that the total is counted again.
            put(&store, 1_000_000_000 + next_number(), &[], Box::new(|_| {})).await;
            for times in [&mut first, &mut next] {
                let begin = Instant::now();
                store.page(&query).await.unwrap();
                times.push(begin.elapsed());
            }
        }
        let [first, next] = [first, next].map(|times| median(times).as_secs_f64() * 1000.0);
        println!("  {name:<36}{first:>9.2} ms, again {next:>9.2} ms");
    }
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let begin = Instant::now();
        let all = store.inventory(Arrival(0), usize::MAX).await.unwrap();
        times.push(begin.elapsed());
        assert!(all.len() as u64 >= rows);
    }
    println!("  {:<36}{:>9.2} ms", "inventory of everything", median(times).as_secs_f64() * 1000.0);
    store.close().await;
}

/// Numbers no asset has yet.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
