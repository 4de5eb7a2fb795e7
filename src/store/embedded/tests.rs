//! The store as a whole, on a real folder.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt;

use super::*;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::asset::names;
use crate::event::Event;
use crate::limits;
use crate::store::Arrival;
use crate::store::Disk;
use crate::store::Edit;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::Query;
use crate::store::Record;
use crate::store::Store;
use crate::store::Verification;
use crate::store::WriteError;
use crate::store::conformance;

fn timestamp(n: u64) -> Timestamp {
    Timestamp::new(1_700_000_000_000 + n).unwrap()
}

fn content(size: usize, salt: u8) -> Vec<u8> {
    (0..size).map(|n| u8::try_from(n % 251).unwrap() ^ salt).collect()
}

fn seen(changes: Changes) -> Edit {
    Box::new(move |document: &mut LocalDocument| document.see(&changes))
}

async fn open(root: &Path) -> EmbeddedStore {
    EmbeddedStore::open(Options::new(root)).await.unwrap()
}

async fn try_put(store: &EmbeddedStore, bytes: &[u8], n: u64, changes: Changes) -> Result<Record, String> {
    let mut spool = store.spool(timestamp(n)).await.map_err(|error| error.to_string())?;
    for piece in bytes.chunks(50_000) {
        spool.write(piece).map_err(|error| error.to_string())?;
    }
    let spooled = spool.finish_ingest().map_err(|error| error.to_string())?;
    store.put(spooled, Origin::Here, seen(changes)).await.map_err(|error| error.to_string())
}

async fn put(store: &EmbeddedStore, bytes: &[u8], n: u64, changes: Changes) -> Record {
    try_put(store, bytes, n, changes).await.unwrap()
}

async fn get(store: &EmbeddedStore, id: &AssetId) -> Option<Vec<u8>> {
    let mut stream = store.open(id, 0).await.unwrap()?.stream;
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece.unwrap());
    }
    Some(all)
}

/// The files in the storage root and the spool folder, the index apart.
fn files(root: &Path) -> Vec<String> {
    let names = |dir: &Path| -> Vec<String> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut all: Vec<String> = names(root).into_iter().filter(|name| !name.starts_with('.')).collect();
    all.extend(names(&root.join(".spool")));
    all.sort();
    all
}

/// Flips a bit of a content, wherever it is right now.
fn damage(root: &Path, record: &Record) {
    let index = schema::connect(&root.join(".can.db")).unwrap();
    loop {
        let number = row::by_id(&index, &record.key.id).unwrap().unwrap().number;
        if let Some(mut bytes) = reading::small(&index, number).unwrap() {
            bytes[0] ^= 1;
            if index.execute("UPDATE small SET bytes = ?2 WHERE number = ?1", (number, bytes)).unwrap() == 1 {
                return;
            }
        }
        let prefix = format!("{}_{}", record.key.timestamp, record.key.id);
        for dir in [root.to_owned(), root.join(".spool")] {
            for name in files(root).into_iter().filter(|name| name.starts_with(&prefix)) {
                if let Ok(mut bytes) = std::fs::read(dir.join(&name)) {
                    bytes[0] ^= 1;
                    let open = std::fs::OpenOptions::new().write(true).open(dir.join(&name));
                    if open.and_then(|mut file| io::Write::write_all(&mut file, &bytes)).is_ok() {
                        return;
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    conformance::run(async || {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let store = open(&root).await;
        conformance::Fixture::new(Arc::new(store)).with_damage(move |record| damage(&root, record)).keeping(dir)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart_and_lies_in_flat_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut records = Vec::new();
    for (n, size) in [0, 5, 65_536, 65_537, 3_000_000].into_iter().enumerate() {
        let changes = Changes::new().set(names::FILE_NAME, format!("file{n}.TXT")).add_tag("t");
        records.push((put(&store, &content(size, 1), n as u64, changes).await, content(size, 1)));
    }
    let gone = put(&store, b"gone", 9, Changes::new()).await;
    assert!(store.purge(&gone.key.id).await.unwrap());
    let latest = *store.latest().borrow();
    store.close().await;
    assert!(matches!(store.record(&gone.key.id).await, Err(crate::store::ReadError::Closed)));
    assert!(matches!(store.edit(&gone.key.id, seen(Changes::new())).await, Err(WriteError::Closed)));

    let expected: Vec<String> = records.iter().map(|(record, _)| layout::flat_name(&record.key, "txt")).collect();
    assert_eq!(files(dir.path()), {
        let mut sorted = expected.clone();
        sorted.sort();
        sorted
    });
    let store = open(dir.path()).await;
    assert_eq!(*store.latest().borrow(), latest);
    for (record, bytes) in &records {
        assert_eq!(store.record(&record.key.id).await.unwrap().as_ref(), Some(record));
        assert!(get(&store, &record.key.id).await.unwrap() == *bytes);
    }
    assert_eq!(store.page(&Query { tags: vec!["t".into()], ..Query::default() }).await.unwrap().total, 5);
    assert!(put(&store, b"next", 10, Changes::new()).await.arrival > latest);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_asset_that_comes_again_keeps_its_new_file() {
    let dir = tempfile::tempdir().unwrap();
    for size in [100, 200_000] {
        let store = open(dir.path()).await;
        let record = put(&store, &content(size, 2), 1, Changes::new()).await;
        store.close().await;
        let store = open(dir.path()).await;
        for _ in 0..5 {
            assert!(store.purge(&record.key.id).await.unwrap());
            put(&store, &content(size, 2), 1, Changes::new()).await;
        }
        store.close().await;
        let store = open(dir.path()).await;
        assert!(get(&store, &record.key.id).await.unwrap() == content(size, 2));
        store.close().await;
    }
    assert_eq!(files(dir.path()).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_operation_may_fail() {
    for n in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let kind = if n % 2 == 0 { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        let disk = Disk::failing(n, kind);
        let options = Options { disk: disk.clone(), ..Options::new(dir.path()) };
        let Ok(store) = EmbeddedStore::open(options).await else {
            let store = open(dir.path()).await;
            store.close().await;
            continue;
        };
        let mut stored = Vec::new();
        for (salt, size) in [(1, 10), (2, 200_000), (3, 60_000), (4, 300_000)] {
            let bytes = content(size, salt);
            match try_put(&store, &bytes, u64::from(salt), Changes::new()).await {
                Ok(record) => stored.push((record.key.id, bytes)),
                Err(message) => assert!(!message.is_empty()),
            }
        }
        for (id, bytes) in &stored {
            assert!(get(&store, id).await.as_ref() == Some(bytes), "operation {n}");
        }
        assert_eq!(store.health().await.unwrap().assets, stored.len() as u64, "operation {n}");
        store.close().await;
        drop(store);

        let store = open(dir.path()).await;
        for (id, bytes) in &stored {
            assert!(get(&store, id).await.as_ref() == Some(bytes), "operation {n}");
        }
        for (salt, size) in [(1, 10), (2, 200_000), (3, 60_000), (4, 300_000)] {
            put(&store, &content(size, salt), u64::from(salt), Changes::new()).await;
        }
        assert_eq!(store.health().await.unwrap().assets, 4);
        store.close().await;
        assert_eq!(files(dir.path()).len(), 4, "operation {n} leaves nothing behind");
        if disk.operations() < n {
            assert_eq!(stored.len(), 4);
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_back_keeps_the_contents_says_so_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::failing(0, io::ErrorKind::Other);
    let options = Options { disk: disk.clone(), ..Options::new(dir.path()) };
    let store = EmbeddedStore::open(options).await.unwrap();
    disk.fail_in(1);
    let record = put(&store, b"small", 1, Changes::new()).await;
    let wait = async |wanted: bool| {
        while store.health().await.unwrap().trouble.is_some() != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait(true)).await.unwrap();
    assert!(store.health().await.unwrap().trouble.unwrap().contains("injected"));
    assert_eq!(get(&store, &record.key.id).await.unwrap(), b"small");
    tokio::time::timeout(Duration::from_mins(1), wait(false)).await.unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_does_not_fail_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let record = put(&store, b"x", 1, Changes::new()).await;
    let puts = (0..50_u64).map(|n| {
        let store = &store;
        async move {
            if n % 5 == 0 {
                let edit: Edit = Box::new(|_| panic!("on purpose"));
                store.edit(&record.key.id, edit).await.map(|_| ()).map_err(drop)
            } else {
                let bytes = n.to_le_bytes();
                put(store, &bytes, n, Changes::new().add_tag(&n.to_string())).await;
                Ok(())
            }
        }
    });
    let results = futures_util::future::join_all(puts).await;
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 10);
    assert_eq!(store.health().await.unwrap().assets, 41);
    assert_eq!(store.page(&Query { tags: vec!["7".into()], ..Query::default() }).await.unwrap().total, 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_gone_is_rebuilt_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let whole = put(&store, b"whole", 1, Changes::new().set(names::PATH, "a/b").add_tag("t")).await;
    let long = Changes::new().set(names::DESCRIPTION, "x".repeat(10_000)).set(names::USER, "ann");
    let part = put(&store, &content(100_000, 1), 2, long).await;
    let bad = put(&store, &content(100_000, 2), 3, Changes::new()).await;
    let bare = put(&store, b"bare", 4, Changes::new()).await;
    store.close().await;
    let attributes = xattr::SUPPORTED_PLATFORM
        && xattr::get(dir.path().join(layout::flat_name(&whole.key, "")), attribute::NAME).is_ok_and(|a| a.is_some());
    damage(dir.path(), &bad);
    if attributes {
        xattr::remove(dir.path().join(layout::flat_name(&bare.key, "")), attribute::NAME).unwrap();
    }
    for name in [".can.db", ".can.db-wal", ".can.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(name));
    }
    let refused = EmbeddedStore::open(Options::new(dir.path())).await;
    assert!(matches!(refused, Err(OpenError::NoIndex(_))));

    let rebuilt = rebuild(dir.path(), &Disk::default(), |_| {}).unwrap();
    assert_eq!((rebuilt.assets, rebuilt.bytes, rebuilt.old_index), (3, 100_009, None));
    let content_lost = rebuilt.unrecovered.iter().filter(|lost| matches!(lost, Unrecovered::Content { .. }));
    assert_eq!(content_lost.count(), 1);
    assert!(rebuilt.unrecovered.contains(&Unrecovered::Document(bare.key.id)));
    let store = open(dir.path()).await;
    assert_eq!(get(&store, &whole.key.id).await.unwrap(), b"whole");
    assert!(store.record(&bad.key.id).await.unwrap().is_none());
    let found = store.record(&whole.key.id).await.unwrap().unwrap();
    assert!(found.arrival > whole.arrival, "whoever followed the old index sees all again");
    if attributes {
        assert_eq!(rebuilt.unrecovered.len(), 3);
        assert_eq!(found.document, whole.document);
        let names = vec!["description".to_owned()];
        assert!(rebuilt.unrecovered.contains(&Unrecovered::Fields { id: part.key.id, count: 1, names }));
        let found = store.record(&part.key.id).await.unwrap().unwrap();
        assert_eq!(found.document.metadata().user.as_deref(), Some("ann"));
    } else {
        println!("SKIPPED metadata of the rebuild: this file system has no attributes");
        assert!(std::env::var_os("CAN_SYNC_REQUIRE_ALL").is_none());
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_takes_what_the_old_index_still_has_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let long = Changes::new().set(names::DESCRIPTION, "x".repeat(10_000));
    let flat = put(&store, b"flat", 1, long).await;
    store.close().await;
    let store = open(dir.path()).await;
    let small = put(&store, b"in the index", 2, Changes::new().add_tag("t")).await;
    let large = put(&store, &content(100_000, 1), 3, Changes::new()).await;
    // As after a crash: nothing was written back.
    drop(store);
    let rebuilt = loop {
        match rebuild(dir.path(), &Disk::default(), |_| {}) {
            Err(RebuildError::Open(OpenError::Locked(_))) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => break other.unwrap(),
        }
    };
    assert_eq!((rebuilt.assets, &rebuilt.unrecovered), (3, &vec![]));
    assert!(rebuilt.old_index.unwrap().exists());
    let store = open(dir.path()).await;
    for record in [flat, small, large] {
        assert_eq!(store.record(&record.key.id).await.unwrap().unwrap().document, record.document);
        assert!(get(&store, &record.key.id).await.is_some());
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_of_everything_finds_what_is_wrong_and_tells() {
    let dir = tempfile::tempdir().unwrap();
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let tell = Arc::clone(&told);
    let notice: Notice = Arc::new(move |event| tell.lock().unwrap().push(event));
    let options = Options { notice, ..Options::new(dir.path()) };
    let store = EmbeddedStore::open(options.clone()).await.unwrap();
    let mut records = Vec::new();
    for n in 0..10 {
        records.push(put(&store, &content(1000 * (1 + 20 * n as usize), n), u64::from(n), Changes::new()).await);
    }
    store.close().await;
    damage(dir.path(), &records[3]);
    std::fs::remove_file(dir.path().join(layout::flat_name(&records[5].key, ""))).unwrap();
    let store = EmbeddedStore::open(options).await.unwrap();
    let mut sum = 0;
    for n in 1..=3 {
        sum += store.verify_all(Part { n, of: 3 }, |_| true).await.unwrap().assets;
    }
    assert_eq!(sum, 10, "the parts are the whole");
    let again = store.verify_all(Part::ALL, |_| true).await.unwrap();
    assert_eq!(again.missing, [records[3].key.id, records[5].key.id]);
    let record = store.record(&records[5].key.id).await.unwrap().unwrap();
    assert_eq!(record.presence, Presence::Missing);
    assert!(
        matches!(&told.lock().unwrap()[..], [Event::AssetQuarantined { id, .. }] if *id == records[3].key.id),
        "one event"
    );
    assert_eq!(std::fs::read_dir(dir.path().join(".trash/quarantine")).unwrap().count(), 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_background_verifier_finds_damage_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let record = put(&store, &content(100_000, 1), 1, Changes::new()).await;
    store.close().await;
    damage(dir.path(), &record);
    let (told, mut events) = tokio::sync::mpsc::channel(8);
    let notice: Notice = Arc::new(move |event| drop(told.try_send(event)));
    let options = Options { notice, verify_interval: Some(Duration::from_millis(10)), ..Options::new(dir.path()) };
    let store = EmbeddedStore::open(options).await.unwrap();
    let event = tokio::time::timeout(Duration::from_mins(1), events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, Event::AssetQuarantined { id, .. } if id == record.key.id));
    assert_eq!(store.verify(&record.key.id).await.unwrap(), Some(Verification::Missing));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_file_is_noticed_when_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let record = put(&store, b"lost", 1, Changes::new()).await;
    store.close().await;
    std::fs::remove_file(dir.path().join(layout::flat_name(&record.key, ""))).unwrap();
    let store = open(dir.path()).await;
    assert!(get(&store, &record.key.id).await.is_none());
    let now = store.record(&record.key.id).await.unwrap().unwrap();
    assert_eq!(now.presence, Presence::Missing);
    assert_eq!(store.arrivals(record.arrival, 10).await.unwrap(), [now]);
    put(&store, b"lost", 1, Changes::new()).await;
    assert_eq!(get(&store, &record.key.id).await.unwrap(), b"lost");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_survive_a_restart_and_leftovers_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = content(300_000, 1);
    let mut verifier = Verifier::new(timestamp(1));
    verifier.update(&bytes);
    let key = AssetKey { id: verifier.id(), timestamp: timestamp(1), size: bytes.len() as u64 };
    let store = open(dir.path()).await;
    let mut spool = store.resume(&key).await.unwrap();
    spool.write(&bytes[..200_000]).unwrap();
    drop(spool);
    let other = put(&store, &content(100_000, 3), 3, Changes::new()).await;
    store.close().await;
    let leftovers = [
        "0123.ingest".to_owned(),
        format!("{}_{}.0011223344556677.whole", key.timestamp, key.id),
        format!("{}_{}.part", other.key.timestamp, other.key.id),
    ];
    for name in &leftovers {
        std::fs::write(dir.path().join(".spool").join(name), b"left").unwrap();
    }
    let store = open(dir.path()).await;
    let part = format!("{}_{}.part", key.timestamp, key.id);
    assert!(files(dir.path()).contains(&part));
    assert_eq!(files(dir.path()).len(), 2, "the part and the flat file");
    let mut spool = store.resume(&key).await.unwrap();
    assert_eq!(spool.offset(), 200_000);
    spool.write(&bytes[200_000..]).unwrap();
    store.put(spool.finish(&key.id).unwrap(), Origin::Peer, seen(Changes::new())).await.unwrap();
    assert!(get(&store, &key.id).await.unwrap() == bytes);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_used_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let second = EmbeddedStore::open(Options::new(dir.path())).await.unwrap_err();
    assert!(matches!(second, OpenError::Locked(_)), "{second}");
    store.close().await;
    let connection = schema::connect(&dir.path().join(".can.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let newer = EmbeddedStore::open(Options::new(dir.path())).await.unwrap_err();
    assert!(matches!(newer, OpenError::Newer { found: 99, .. }), "{newer}");
    std::fs::write(dir.path().join(".can.db"), b"this is no database, and quite long for one").unwrap();
    let damaged = EmbeddedStore::open(Options::new(dir.path())).await.unwrap_err();
    assert!(matches!(damaged, OpenError::Index { .. }), "{damaged}");
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let no_folder = EmbeddedStore::open(Options::new(&file)).await.unwrap_err();
    assert!(matches!(no_folder, OpenError::Folder { .. }), "{no_folder}");
}

/// A file system of 8 MiB, unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(dir.path()).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        println!("SKIPPED a full disk: cannot mount a tmpfs here: {mounted:?}");
        assert!(std::env::var_os("CAN_SYNC_REQUIRE_ALL").is_none(), "a test was skipped");
        None
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_keeps_what_was_stored() {
    let Some(tmpfs) = Tmpfs::mount() else { return };
    let store = open(&tmpfs.path()).await;
    let mut stored = Vec::new();
    let mut refused = 0;
    for n in 0..400_u32 {
        let size = if n % 10 == 0 { 500_000 } else { 40_000 };
        let mut bytes = content(size, 0);
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        match try_put(&store, &bytes, u64::from(n), Changes::new()).await {
            Ok(record) => stored.push((record.key.id, bytes)),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0 && stored.len() > 20, "{refused} refused, {} stored", stored.len());
    for (id, bytes) in &stored {
        assert!(get(&store, id).await.as_ref() == Some(bytes));
    }
    store.close().await;
    drop(store);
    let store = open(&tmpfs.path()).await;
    for (id, bytes) in &stored {
        assert!(get(&store, id).await.as_ref() == Some(bytes));
    }
    assert_eq!(store.arrivals(Arrival(0), limits::PAGE_ROWS).await.unwrap().len(), stored.len());
    // With room again, everything works as before.
    for (id, _) in stored.drain(..) {
        assert!(store.purge(&id).await.unwrap());
    }
    store.close().await;
    let store = open(&tmpfs.path()).await;
    put(&store, b"again", 1, Changes::new()).await;
    store.close().await;
    assert_eq!(files(&tmpfs.path()).len(), 1);
}
