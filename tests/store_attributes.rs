//! The embedded store on a file system that has no extended attributes.
#![allow(clippy::unwrap_used, reason = "test helpers are no library")]

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use can_sync::asset::AssetId;
use can_sync::asset::Changes;
use can_sync::asset::LocalDocument;
use can_sync::asset::Timestamp;
use can_sync::asset::names;
use can_sync::store::Disk;
use can_sync::store::Origin;
use can_sync::store::Store;
use can_sync::store::Verification;
use can_sync::store::embedded::EmbeddedStore;
use can_sync::store::embedded::Options;
use can_sync::store::embedded::Unrecovered;
use can_sync::store::embedded::rebuild;

/// What the store logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn count(&self, words: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock()).matches(words).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A file system in memory without attributes, unmounted when dropped.
struct Ramfs(tempfile::TempDir);

impl Ramfs {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "ramfs", "none"]).arg(dir.path()).output();
        let reason = match mounted {
            Ok(output) if output.status.success() => {
                let ramfs = Self(dir);
                let probe = ramfs.0.path().join("probe");
                std::fs::write(&probe, b"x").unwrap();
                if xattr::set(&probe, "user.probe", b"x").is_err() {
                    std::fs::remove_file(&probe).unwrap();
                    return Some(ramfs);
                }
                "ramfs has attributes here".to_owned()
            }
            other => format!("cannot mount a ramfs here: {other:?}"),
        };
        // What is printed is shown only of tests that fail.
        let _ = writeln!(std::io::stderr(), "SKIPPED: a file system without attributes: {reason}");
        assert!(std::env::var_os("CAN_SYNC_REQUIRE_ALL").is_none(), "a test was skipped");
        None
    }
}

impl Drop for Ramfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

async fn put(store: &EmbeddedStore, n: u64, bytes: &[u8]) -> AssetId {
    let mut spool = store.spool(Timestamp::new(1_700_000_000_000 + n).unwrap()).await.unwrap();
    spool.write(bytes).unwrap();
    let changes = Changes::new().set(names::PATH, "a/b").add_tag("t");
    let edit = Box::new(move |document: &mut LocalDocument| document.see(&changes));
    store.put(spool.finish_ingest().unwrap(), Origin::Here, edit).await.unwrap().key.id
}

/// Waits until there are so many flat files.
async fn flat_files(root: &Path, wanted: usize) {
    let count = || {
        let names = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| !name.to_string_lossy().starts_with('.')).count()
    };
    let wait = async {
        while count() != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_attributes_it_works_says_so_once_and_a_rebuild_names_what_is_lost() {
    let Some(ramfs) = Ramfs::mount() else { return };
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let root = ramfs.0.path().join("store");
    let store = EmbeddedStore::open(Options::new(&root)).await.unwrap();
    let mut ids = Vec::new();
    for (n, size) in [(1, 10), (2, 100_000), (3, 20)] {
        ids.push(put(&store, n, &vec![1; size]).await);
        // Each is a batch of its own.
        flat_files(&root, ids.len()).await;
    }
    for id in &ids {
        assert!(matches!(store.verify(id).await.unwrap(), Some(Verification::Sound { .. })));
    }
    assert_eq!(store.health().await.unwrap().trouble, None);
    store.close().await;
    drop(store);
    assert_eq!(log.count("this file system has no attributes"), 1);

    let store = EmbeddedStore::open(Options::new(&root)).await.unwrap();
    assert_eq!(store.record(&ids[0]).await.unwrap().unwrap().document.metadata().path.as_deref(), Some("a/b"));
    store.close().await;
    drop(store);
    for name in [".can.db", ".can.db-wal", ".can.db-shm"] {
        let _ = std::fs::remove_file(root.join(name));
    }
    let rebuilt = rebuild(&root, &Disk::default(), |_| {}).unwrap();
    let lost: Vec<Unrecovered> = ids.iter().map(|id| Unrecovered::Document(*id)).collect();
    assert_eq!(rebuilt.assets, 3);
    assert_eq!(rebuilt.unrecovered.len(), 3);
    assert!(lost.iter().all(|lost| rebuilt.unrecovered.contains(lost)), "{:?}", rebuilt.unrecovered);
    let store = EmbeddedStore::open(Options::new(&root)).await.unwrap();
    for id in &ids {
        assert!(matches!(store.verify(id).await.unwrap(), Some(Verification::Sound { .. })));
    }
    store.close().await;
}
