//! The client pointed at the HTTP face of a store in memory.

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
use crate::store::conformance;
use crate::store::memory::MemoryStore;
use crate::task::Group;

/// A service on a free port.
struct Service {
    url: String,
    store: Arc<MemoryStore>,
    group: Group,
}

impl Service {
    async fn start() -> Self {
        let store = Arc::new(MemoryStore::new().unwrap());
        let group = group();
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.address());
        let api = can::router(can::Options {
            store: Arc::clone(&store) as _,
            host: HostId::from_bytes([7; 32]),
            sync_api_key: Some(Secret::new(KEY)),
        });
        group.spawn("service", listener.served(api)(group.child("service")));
        Self { url, store, group }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    conformance::run(async || {
        let service = Service::start().await;
        let dir = tempfile::tempdir().unwrap();
        let client = open(options(&service.url, dir.path()), &service.group).await.unwrap();
        let damaged = Arc::clone(&service.store);
        let damage = move |record: &Record| assert!(damaged.damage(&record.key.id));
        conformance::Fixture::new(Arc::new(client)).with_damage(damage).keeping((service, dir))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_do_at_the_service_arrives_by_itself() {
    let service = Service::start().await;
    let dir = tempfile::tempdir().unwrap();
    let before = super::put(&*service.store, b"before", super::timestamp(1), super::seen(super::Changes::new())).await;
    let client = open(options(&service.url, dir.path()), &service.group).await.unwrap();
    until(&client, &before.key.id, "what was there", |record| record.is_some()).await;
    let new = super::put(&*service.store, b"new", super::timestamp(2), super::seen(super::Changes::new())).await;
    until(&client, &new.key.id, "an ingest", |record| {
        record.is_some_and(|record| record.document.shared().iter().all(|(_, field)| field.stamp.is_zero()))
    })
    .await;
    let edit = super::by_peer(super::Changes::new().add_tag("hand").trashed(true), 5);
    crate::store::Store::edit(&*service.store, &new.key.id, edit).await.unwrap();
    until(&client, &new.key.id, "a change by hand", |record| {
        let metadata = record.map(|record| record.document.metadata()).unwrap_or_default();
        metadata.trashed && metadata.tags.contains("hand")
    })
    .await;
    crate::store::Store::close(&client).await;
}
