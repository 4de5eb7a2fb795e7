//! What opening the store finds, keeps and removes.

use std::time::Duration;
use std::time::SystemTime;

use super::key_of;
use super::open;
use super::options;
use super::poor::PoorService;
use super::timestamp;
use crate::limits;
use crate::store::Store;

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
