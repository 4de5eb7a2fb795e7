//! What is durable: over restarts, crashes, failing operations and refused neighbours.

use std::io;
use std::time::Duration;

use super::content;
use super::files;
use super::get;
use super::open;
use super::open_again;
use super::put;
use super::seen;
use super::try_put;
use crate::asset::Changes;
use crate::asset::names;
use crate::store::Disk;
use crate::store::Edit;
use crate::store::Query;
use crate::store::Store;
use crate::store::WriteError;
use crate::store::embedded::EmbeddedStore;
use crate::store::embedded::Options;
use crate::store::embedded::layout;

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
    every_operation_fails_once(|disk| disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_operation_may_fail_where_files_are_flushed_one_by_one() {
    let few = Disk::failing(0, io::ErrorKind::Other);
    let many = few.clone().one_by_one();
    let mut done = Vec::new();
    for disk in [few, many] {
        let (dir, before) = (tempfile::tempdir().unwrap(), disk.operations());
        let store = EmbeddedStore::open(Options { disk: disk.clone(), ..Options::new(dir.path()) }).await.unwrap();
        for (salt, size) in [(1, 10), (2, 200_000), (3, 60_000)] {
            put(&store, &content(size, salt), u64::from(salt), Changes::new()).await;
        }
        store.close().await;
        done.push(disk.operations() - before);
    }
    assert!(done[1] > done[0], "more than a flush for each batch, of which there are three at most: {done:?}");
    every_operation_fails_once(Disk::one_by_one).await;
}

/// Fails each operation of a small run once; nothing that was answered for is lost, and nothing stays behind.
async fn every_operation_fails_once(on: impl Fn(Disk) -> Disk) {
    for n in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let kind = if n % 2 == 0 { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        let disk = on(Disk::failing(n, kind));
        let options = Options { disk: disk.clone(), ..Options::new(dir.path()) };
        let Ok(store) = EmbeddedStore::open(options).await else {
            let store = open_again(dir.path()).await;
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

        let store = open_again(dir.path()).await;
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
async fn a_file_that_can_be_neither_removed_nor_written_holds_up_no_other() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = open(elsewhere.path()).await;
    let barred = put(&other, b"barred", 2, Changes::new()).await;
    other.close().await;
    let store = open(dir.path()).await;
    let gone = put(&store, b"gone", 1, Changes::new()).await;
    store.close().await;
    // Folders where files should be.
    let [in_place_of_gone, in_place_of_barred] =
        [gone.key, barred.key].map(|key| dir.path().join(layout::flat_name(&key, "")));
    std::fs::remove_file(&in_place_of_gone).unwrap();
    for folder in [&in_place_of_gone, &in_place_of_barred] {
        std::fs::create_dir(folder).unwrap();
    }
    let store = open_again(dir.path()).await;
    assert!(store.purge(&gone.key.id).await.unwrap());
    put(&store, b"barred", 2, Changes::new()).await;
    let free = put(&store, b"free", 3, Changes::new()).await;
    let until = async |what: &str, holds: &(dyn Fn(&Option<String>) -> bool + Sync)| {
        let waiting = async {
            while !holds(&store.health().await.unwrap().trouble) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), waiting).await.unwrap_or_else(|_| panic!("{what}"));
    };
    let free_file = dir.path().join(layout::flat_name(&free.key, ""));
    until("it is told", &|trouble| trouble.as_ref().is_some_and(|trouble| trouble.contains("cannot write or remove")))
        .await;
    until("the others are done", &|_| free_file.exists()).await;
    assert_eq!(get(&store, &barred.key.id).await.unwrap(), b"barred");
    for folder in [&in_place_of_gone, &in_place_of_barred] {
        std::fs::remove_dir(folder).unwrap();
    }
    until("they are done as well", &|trouble| trouble.is_none() && in_place_of_barred.is_file()).await;
    store.close().await;
    assert!(!in_place_of_gone.exists());
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
