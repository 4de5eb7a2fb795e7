//! A new index from the files.

use std::path::Path;
use std::time::Duration;

use super::content;
use super::damage;
use super::files;
use super::get;
use super::open;
use super::put;
use super::row;
use super::schema;
use super::seen;
use super::verify_all;
use crate::asset::Changes;
use crate::asset::names;
use crate::store::Disk;
use crate::store::Presence;
use crate::store::Query;
use crate::store::Record;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::embedded::OpenError;
use crate::store::embedded::Options;
use crate::store::embedded::RebuildError;
use crate::store::embedded::Rebuilt;
use crate::store::embedded::Unrecovered;
use crate::store::embedded::attribute;
use crate::store::embedded::layout;
use crate::store::embedded::rebuild;
use crate::store::embedded::schema::Place;
use crate::telemetry::skip;

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
    // A blank one has lost what it knew.
    std::fs::write(dir.path().join(".can.db"), b"").unwrap();
    let refused = EmbeddedStore::open(Options::new(dir.path())).await;
    assert!(matches!(refused, Err(OpenError::NoIndex(_))));
    std::fs::remove_file(dir.path().join(".can.db")).unwrap();

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
        skip("metadata of the rebuild: this file system has no attributes");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_somebody_gave_another_ending_is_read_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let made = put(&store, b"an archive", 1, Changes::new()).await;
    store.close().await;
    let name = layout::flat_name(&made.key, "");
    std::fs::rename(dir.path().join(&name), dir.path().join(name + ".tar.gz")).unwrap();
    for name in [".can.db", ".can.db-wal", ".can.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(name));
    }
    assert_eq!(rebuild(dir.path(), &Disk::default(), |_| {}).unwrap().assets, 1);
    let store = open(dir.path()).await;
    assert_eq!(get(&store, &made.key.id).await.unwrap(), b"an archive");
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
    let unlocked = async {
        loop {
            match rebuild(dir.path(), &Disk::default(), |_| {}) {
                Err(RebuildError::Open(OpenError::Locked(_))) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => break other.unwrap(),
            }
        }
    };
    let rebuilt =
        tokio::time::timeout(Duration::from_mins(1), unlocked).await.expect("the store lets go of its folder");
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
async fn a_rebuild_does_not_forget_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut records = Vec::new();
    for n in 0..5 {
        let changes = Changes::new().set(names::PATH, format!("folder {n}")).add_tag("t");
        records.push(put(&store, &content(100_000, n), u64::from(n), changes).await);
    }
    store.close().await;
    // Known as missing, known as damaged, gone unnoticed, damaged unnoticed, and sound.
    std::fs::remove_file(dir.path().join(layout::flat_name(&records[0].key, ""))).unwrap();
    damage(dir.path(), &records[1]);
    let store = open(dir.path()).await;
    verify_all(&store).await;
    store.close().await;
    std::fs::remove_file(dir.path().join(layout::flat_name(&records[2].key, ""))).unwrap();
    damage(dir.path(), &records[3]);

    let rebuilt = rebuild(dir.path(), &Disk::default(), |_| {}).unwrap();
    assert_eq!((rebuilt.assets, rebuilt.missing, rebuilt.unrecovered.len()), (1, 4, 1));
    let store = open(dir.path()).await;
    for record in &records[..4] {
        let now = store.record(&record.key.id).await.unwrap().unwrap();
        assert_eq!((now.presence, &now.document), (Presence::Missing, &record.document));
        assert!(now.arrival > record.arrival, "whoever follows the store learns of it");
    }
    assert_eq!(store.health().await.unwrap().missing, 4);
    assert_eq!(store.page(&Query::default()).await.unwrap().total, 1);
    for n in 0..4 {
        put(&store, &content(100_000, n), u64::from(n), Changes::new()).await;
    }
    assert_eq!(store.page(&Query { text: Some("folder 3".into()), ..Query::default() }).await.unwrap().total, 1);
    store.close().await;
    let store = open(dir.path()).await;
    for (n, record) in (0..).zip(&records) {
        assert!(get(&store, &record.key.id).await.unwrap() == content(100_000, n));
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_from_an_old_index_survives_the_loss_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let flat = put(&store, b"flat", 1, Changes::new().set(names::PATH, "a/b")).await;
    store.close().await;
    let attribute = xattr::get(dir.path().join(layout::flat_name(&flat.key, "")), attribute::NAME);
    if !attribute.is_ok_and(|attribute| attribute.is_some()) {
        return skip("what attributes keep: this file system has none");
    }
    let store = open(dir.path()).await;
    let small = put(&store, b"in the index", 2, Changes::new().add_tag("t")).await;
    let flat = store.edit(&flat.key.id, seen(Changes::new().add_tag("later"))).await.unwrap().unwrap();
    // As after a crash: nothing was written back. What the thread has done all the same is undone.
    drop(store);
    rebuilt(dir.path()).await;
    for record in [&flat, &small] {
        let _ = xattr::remove(dir.path().join(layout::flat_name(&record.key, "")), attribute::NAME);
    }
    // From the old index once more, and written back.
    rebuilt(dir.path()).await;
    open(dir.path()).await.close().await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with(".can.db") {
            std::fs::remove_file(path).unwrap();
        }
    }

    let found = rebuilt(dir.path()).await;
    assert_eq!((found.assets, found.old_index, found.unrecovered), (2, None, vec![]));
    let store = open(dir.path()).await;
    for record in [flat, small] {
        assert_eq!(store.record(&record.key.id).await.unwrap().unwrap().document, record.document);
    }
    store.close().await;
}

/// Takes a closed store back to where its large contents wait in the spool folder; returns their names there.
fn not_written_back(root: &Path, records: &[Record]) -> Vec<String> {
    let index = schema::connect(&root.join(".can.db")).unwrap();
    let moved = records.iter().map(|record| {
        let name = format!("{}_{}.ab.whole", record.key.timestamp, record.key.id);
        std::fs::rename(root.join(layout::flat_name(&record.key, "")), root.join(".spool").join(&name)).unwrap();
        let number = row::by_id(&index, &record.key.id).unwrap().unwrap().number;
        index.execute("INSERT INTO whole VALUES (?1, ?2)", (number, &name)).unwrap();
        index.execute("UPDATE asset SET place = ?2 WHERE number = ?1", (number, Place::Spool as i64)).unwrap();
        name
    });
    moved.collect()
}

async fn three_large_ones(root: &Path) -> Vec<Record> {
    let store = open(root).await;
    let mut records = Vec::new();
    for n in 1..=3_u8 {
        records.push(put(&store, &content(100_000, n), u64::from(n), Changes::new().add_tag("t")).await);
    }
    store.close().await;
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn large_contents_that_wait_for_their_names_outlive_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let records = three_large_ones(dir.path()).await;
    not_written_back(dir.path(), &records);
    for name in [".can.db", ".can.db-wal", ".can.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(name));
    }
    let refused = EmbeddedStore::open(Options::new(dir.path())).await;
    assert!(matches!(refused, Err(OpenError::NoIndex(_))), "they are all that is left");

    let rebuilt = rebuilt(dir.path()).await;
    assert_eq!((rebuilt.assets, rebuilt.bytes), (3, 300_000));
    let store = open(dir.path()).await;
    for (n, record) in (1..).zip(&records) {
        assert!(get(&store, &record.key.id).await.unwrap() == content(100_000, n));
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_contents_outlive_a_part_of_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let records = three_large_ones(dir.path()).await;
    not_written_back(dir.path(), &records);
    // Where they lie cannot be read any more; of the last one nothing can.
    let index = schema::connect(&dir.path().join(".can.db")).unwrap();
    index.execute("DELETE FROM whole", []).unwrap();
    index.execute("DELETE FROM asset WHERE id = ?1", [records[2].key.id.as_bytes()]).unwrap();
    drop(index);

    let rebuilt = rebuilt(dir.path()).await;
    assert_eq!((rebuilt.assets, rebuilt.missing), (3, 0));
    let lost = &records[2].key.id;
    assert!(rebuilt.unrecovered.iter().all(|it| *it == Unrecovered::Document(*lost)), "{:?}", rebuilt.unrecovered);
    let store = open(dir.path()).await;
    for (n, record) in (1..).zip(&records) {
        assert!(get(&store, &record.key.id).await.unwrap() == content(100_000, n));
    }
    for record in &records[..2] {
        assert_eq!(store.record(&record.key.id).await.unwrap().unwrap().document, record.document);
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_does_not_come_back_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let records = three_large_ones(dir.path()).await;
    let names = not_written_back(dir.path(), &records[..1]);
    // As a crash leaves them right after they were purged.
    let index = schema::connect(&dir.path().join(".can.db")).unwrap();
    let flat = layout::flat_name(&records[1].key, "");
    for (record, file) in records.iter().zip([format!(".spool/{}", names[0]), flat.clone()]) {
        index.execute("DELETE FROM asset WHERE id = ?1", [record.key.id.as_bytes()]).unwrap();
        index.execute("INSERT INTO doomed VALUES (?1)", [file]).unwrap();
    }
    index.execute("DELETE FROM whole", []).unwrap();
    drop(index);

    assert_eq!(rebuilt(dir.path()).await.assets, 1);
    assert!(dir.path().join(flat).exists(), "removing is for the write-back");
    let store = open(dir.path()).await;
    assert!(store.record(&records[0].key.id).await.unwrap().is_none());
    assert!(store.record(&records[1].key.id).await.unwrap().is_none());
    store.close().await;
    assert_eq!(files(dir.path()), [layout::flat_name(&records[2].key, "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_keeps_no_other_out_of_the_new_index() {
    let dir = tempfile::tempdir().unwrap();
    let records = three_large_ones(dir.path()).await;
    let path = dir.path().join(layout::flat_name(&records[1].key, ""));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let rebuilt = rebuilt(dir.path()).await;
    assert_eq!((rebuilt.assets, rebuilt.missing), (2, 1));
    let [Unrecovered::Content { path: named, reason }] = &rebuilt.unrecovered[..] else { panic!("{rebuilt:?}") };
    assert_eq!(*named, path);
    assert!(reason.contains("cannot be read"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_of_the_old_index_that_cannot_be_read_is_told() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = open(elsewhere.path()).await;
    let lost = put(&other, b"lost", 1, Changes::new()).await;
    other.close().await;
    open(dir.path()).await.close().await;
    // A folder in place of its file keeps it in the index.
    let barred = dir.path().join(layout::flat_name(&lost.key, ""));
    std::fs::create_dir(&barred).unwrap();
    let store = open(dir.path()).await;
    put(&store, b"lost", 1, Changes::new()).await;
    let found = put(&store, b"found", 2, Changes::new()).await;
    store.close().await;
    std::fs::remove_dir(&barred).unwrap();
    let index = schema::connect(&dir.path().join(".can.db")).unwrap();
    let sql = "UPDATE asset SET content = x'00' WHERE id = ?1";
    assert_eq!(index.execute(sql, [lost.key.id.as_bytes()]).unwrap(), 1);
    drop(index);
    let rebuilt = rebuilt(dir.path()).await;
    assert_eq!(rebuilt.assets, 1);
    let [Unrecovered::Content { path, reason }] = &rebuilt.unrecovered[..] else { panic!("{rebuilt:?}") };
    assert_eq!(*path, rebuilt.old_index.unwrap());
    assert!(reason.contains("cannot be read"), "{reason}");
    let store = open(dir.path()).await;
    assert_eq!(get(&store, &found.key.id).await.unwrap(), b"found");
    store.close().await;
}

/// What a crash finds in the middle of it is the old index or the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_fails_anywhere_leaves_an_index_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let record = put(&store, b"content", 1, Changes::new().add_tag("t")).await;
    store.close().await;
    let mut failed = 0;
    for n in 1.. {
        let disk = Disk::failing(n, std::io::ErrorKind::Other);
        let rebuilding = rebuild(dir.path(), &disk, |_| {});
        let store = open(dir.path()).await;
        assert_eq!(store.record(&record.key.id).await.unwrap().unwrap().document, record.document, "operation {n}");
        assert!(get(&store, &record.key.id).await.is_some(), "operation {n}");
        store.close().await;
        match rebuilding {
            Ok(_) if disk.operations() < n => break,
            Ok(_) => {}
            Err(_) => failed += 1,
        }
    }
    assert!(failed > 3, "{failed}");
}

/// Rebuilds, once the threads of a store that was dropped have let go of the folder.
async fn rebuilt(root: &Path) -> Rebuilt {
    let rebuilding = async {
        loop {
            match rebuild(root, &Disk::default(), |_| {}) {
                Err(RebuildError::Open(OpenError::Locked(_))) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => return other.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), rebuilding).await.unwrap()
}
