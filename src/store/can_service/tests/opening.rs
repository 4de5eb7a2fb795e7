//! What opening the store finds, keeps and removes.

use std::time::Duration;
use std::time::SystemTime;

use super::key_of;
use super::open;
use super::options;
use super::poor::PoorService;
use super::put;
use super::seen;
use super::timestamp;
use super::until;
use crate::asset::Changes;
use crate::limits;
use crate::store::Store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrivals_go_on_above_those_of_a_database_that_was_lost() {
    let (_service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let options = options(&url, dir.path());
    let client = open(options.clone(), &group).await.unwrap();
    let record = put(&client, b"content", timestamp(1), seen(Changes::new())).await;
    client.close().await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(options.data_dir.join(format!("can_service.db{suffix}")));
    }
    let client = open(options.clone(), &group).await.unwrap();
    let was = record.arrival;
    let is_above = |now: Option<&crate::store::Record>| now.is_some_and(|now| now.arrival > was);
    until(&client, &record.key.id, "an arrival above the lost ones", is_above).await;
    let last = *client.latest().borrow();
    client.close().await;
    let client = open(options, &group).await.unwrap();
    assert_eq!(*client.latest().borrow(), last, "one that is there goes on where it was");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_nobody_went_on_with_is_removed() {
    let (_service, url, group) = PoorService::start().await;
    let dir = tempfile::tempdir().unwrap();
    let options = options(&url, dir.path());
    let content = vec![7; 300_000];
    let key = key_of(&content, timestamp(1));
    let client = open(options.clone(), &group).await.unwrap();
    let mut spool = client.resume(&key).await.unwrap();
    spool.write(&content[..200_000]).unwrap();
    drop(spool);
    client.close().await;
    let part = options.spool_dir.join(format!("{}_{}.part", key.timestamp, key.id));
    let hour = Duration::from_hours(1);
    for (ago, stays) in [(limits::PART_KEPT.saturating_sub(hour), true), (limits::PART_KEPT + hour, false)] {
        let file = std::fs::File::options().write(true).open(&part).unwrap();
        file.set_modified(SystemTime::now() - ago).unwrap();
        drop(file);
        open(options.clone(), &group).await.unwrap().close().await;
        assert_eq!(part.exists(), stays, "written to {ago:?} ago");
    }
}
