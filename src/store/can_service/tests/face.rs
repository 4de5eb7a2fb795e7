//! The client pointed at the HTTP face of a store in memory and of an embedded one.

use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::KEY;
use super::group;
use super::open;
use super::options;
use super::until;
use crate::asset::HostId;
use crate::http::Listener;
use crate::http::Secret;
use crate::http::can;
use crate::store::Record;
use crate::store::Store;
use crate::store::conformance;
use crate::store::embedded;
use crate::store::embedded::EmbeddedStore;
use crate::store::memory::MemoryStore;
use crate::task::Group;

/// A service on a free port.
struct Service {
    url: String,
    group: Group,
}

impl Service {
    async fn start(store: Arc<dyn Store>) -> Self {
        let group = group();
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.address());
        let api = can::router(can::Options {
            store,
            host: HostId::from_bytes([7; 32]),
            sync_api_key: Some(Secret::new(KEY)),
        });
        group.spawn("service", listener.served(api)(group.child("service")));
        Self { url, group }
    }
}

/// The flat file of an asset, when it has one already.
fn flat_file(root: &Path, record: &Record) -> Option<PathBuf> {
    let prefix = format!("{}_{}", record.key.timestamp, record.key.id);
    let mut entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap());
    entries.find(|entry| entry.file_name().to_str().unwrap().starts_with(&prefix)).map(|entry| entry.path())
}

/// Flips a bit of the flat file of an asset, once it is what the store reads.
fn damage(store: &EmbeddedStore, root: &Path, record: &Record) {
    let until = std::time::Instant::now() + super::HANG;
    let mut damaged = false;
    while std::time::Instant::now() < until {
        if !damaged && let Some(path) = flat_file(root, record) {
            let mut file = std::fs::File::options().read(true).write(true).open(path).unwrap();
            let mut first = [0];
            file.read_exact(&mut first).unwrap();
            file.rewind().unwrap();
            file.write_all(&[first[0] ^ 1]).unwrap();
            damaged = true;
        }
        if damaged && !is_sound(store, record) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("asset {} cannot be damaged", record.key.id);
}

/// Tells whether the whole content of an asset can be read.
fn is_sound(store: &EmbeddedStore, record: &Record) -> bool {
    use futures_util::TryStreamExt;
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async {
            let content = store.open(&record.key.id, 0).await.unwrap().unwrap();
            content.stream.try_for_each(|_| std::future::ready(Ok(()))).await.is_ok()
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_over_an_embedded_store() {
    conformance::run(async || {
        let (dir, at_service) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = at_service.path().to_owned();
        let store = Arc::new(EmbeddedStore::open(embedded::Options::new(&root)).await.unwrap());
        let service = Service::start(Arc::clone(&store) as _).await;
        let client = open(options(&service.url, dir.path()), &service.group).await.unwrap();
        let damage = move |record: &Record| damage(&store, &root, record);
        conformance::Fixture::new(Arc::new(client)).with_damage(damage).keeping((service, dir, at_service))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_over_a_store_in_memory() {
    conformance::run(async || {
        let store = Arc::new(MemoryStore::new().unwrap());
        let service = Service::start(Arc::clone(&store) as _).await;
        let dir = tempfile::tempdir().unwrap();
        let client = open(options(&service.url, dir.path()), &service.group).await.unwrap();
        let damage = move |record: &Record| assert!(store.damage(&record.key.id));
        conformance::Fixture::new(Arc::new(client)).with_damage(damage).keeping((service, dir))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_do_at_the_service_arrives_by_itself() {
    let store = Arc::new(MemoryStore::new().unwrap());
    let service = Service::start(Arc::clone(&store) as _).await;
    let dir = tempfile::tempdir().unwrap();
    let before = super::put(&*store, b"before", super::timestamp(1), super::seen(super::Changes::new())).await;
    let client = open(options(&service.url, dir.path()), &service.group).await.unwrap();
    until(&client, &before.key.id, "what was there", |record| record.is_some()).await;
    let new = super::put(&*store, b"new", super::timestamp(2), super::seen(super::Changes::new())).await;
    until(&client, &new.key.id, "an ingest", |record| {
        record.is_some_and(|record| record.document.shared().iter().all(|(_, field)| field.stamp.is_zero()))
    })
    .await;
    let edit = super::by_peer(super::Changes::new().add_tag("hand").trashed(true), 5);
    Store::edit(&*store, &new.key.id, edit).await.unwrap();
    until(&client, &new.key.id, "a change by hand", |record| {
        let metadata = record.map(|record| record.document.metadata()).unwrap_or_default();
        metadata.trashed && metadata.tags.contains("hand")
    })
    .await;
    Store::close(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_content_whose_metadata_the_service_refuses_is_handed_over_without_it() {
    let store = Arc::new(MemoryStore::new().unwrap());
    let service = Service::start(Arc::clone(&store) as _).await;
    let dir = tempfile::tempdir().unwrap();
    let client = open(options(&service.url, dir.path()), &service.group).await.unwrap();
    // A merge is never refused for its size, so a peer may have such a document.
    let tags = (0..1000).fold(super::Changes::new(), |changes, n| changes.add_tag(&format!("{n:0>250}")));
    let content = vec![7; 24 * 1024 * 1024];
    let record = super::put(&client, &content, super::timestamp(1), super::by_peer(tags, 5)).await;
    assert_eq!(record.document.metadata().tags.len(), 1000);
    let there = store.record(&record.key.id).await.unwrap().unwrap();
    assert!(there.presence.is_here() && there.key.size == content.len() as u64);
    Store::close(&client).await;
}
