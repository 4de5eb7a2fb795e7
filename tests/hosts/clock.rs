//! Clocks that jump while hosts run: ten years ahead, ten years back, an hour ahead.

use std::path::Path;
use std::time::Duration;

use super::host::Host;
use super::host::Place;
use super::host::equal;
use super::host::skip;
use super::host::within;

/// Where Debian's `faketime` keeps the library that shows a program another time.
const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"];

impl Place {
    /// Runs with a clock that [`jump`](Self::jump) sets. What has gone by since a moment it tells rightly.
    fn with_clock(mut self) -> Option<Self> {
        let library = LIBRARIES.into_iter().find(|library| Path::new(library).exists())?;
        let file = self.dir.join("clock");
        self.environment = [
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("CAN_SYNC_LOG", "can_sync=info"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        self.jump("+0");
        Some(self)
    }

    /// Sets its clock so far from the right time.
    fn jump(&self, by: &str) {
        // A clock that is read meanwhile must be one of the two.
        std::fs::write(self.dir.join("clock.new"), by).unwrap();
        std::fs::rename(self.dir.join("clock.new"), self.dir.join("clock")).unwrap();
    }
}

async fn describe(host: &Host, hash: &str, text: &str) {
    host.patch(hash, &format!(r#"{{"description":"{text}"}}"#)).await;
}

async fn is_described(host: &Host, hash: &str, text: &str) {
    host.meta_is(hash, |meta| meta["description"] == text).await;
}

async fn has(host: &Host, hash: &str) {
    let arrived = async {
        while host.content(hash).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("a content", arrived).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_breaks_no_connection_no_transfer_and_no_order() {
    let dir = tempfile::tempdir().unwrap();
    let place =
        |name| Place::new(dir.path(), name).with("device_name", name).with("poll_interval_secs", "1").with_clock();
    let (Some(steady), Some(jumpy)) = (place("steady"), place("jumpy")) else {
        skip("`faketime` is not installed, which sets the clock of one program");
        return;
    };
    let jumpy = jumpy.connecting_to(&steady);
    let (a, b) = (steady.start(), jumpy.start());
    let hash = a.ingest("a.txt", b"a".to_vec()).await;
    equal(&a, &b, 1).await;

    // In the middle of a transfer of some seconds, ten years ahead and ten years back.
    steady.does(Some(&a), &["peers", "limit", "jumpy", "--send", "2M"]);
    let large = a.ingest("large.bin", vec![7; 10_000_000]).await;
    let received = async |host: &Host| host.status().await["peers"][0]["bytes_in"].as_u64().unwrap();
    for (by, bytes) in [("+10y", 1_000_000), ("-10y", 4_000_000)] {
        let on_its_way = async {
            while received(&b).await < bytes {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("a part of the transfer", on_its_way).await;
        assert!(b.content(&large).await.is_none(), "it came before the clock jumped");
        jumpy.jump(by);
    }
    equal(&a, &b, 2).await;
    assert_eq!(b.content(&large).await.unwrap().len(), 10_000_000);

    // Ten years behind, its change goes out; what others change waits until its clock is right. Nothing else does.
    describe(&b, &hash, "by the one behind").await;
    is_described(&a, &hash, "by the one behind").await;
    describe(&a, &hash, "by the steady one").await;
    let meanwhile = a.ingest("meanwhile.txt", b"meanwhile".to_vec()).await;
    has(&b, &meanwhile).await;
    assert_eq!(b.meta(&hash).await.unwrap()["description"], "by the one behind");
    jumpy.jump("+0");
    is_described(&b, &hash, "by the steady one").await;
    equal(&a, &b, 3).await;

    // A little behind, its change still beats what it has seen.
    jumpy.jump("-5m");
    describe(&b, &hash, "by the one a little behind").await;
    is_described(&a, &hash, "by the one a little behind").await;
    equal(&a, &b, 3).await;

    // An hour ahead, its change waits until the other's clock is there.
    jumpy.jump("+1h");
    describe(&b, &hash, "by the one ahead").await;
    let ahead = b.ingest("ahead.txt", b"of the future".to_vec()).await;
    has(&a, &ahead).await;
    assert_eq!(a.meta(&hash).await.unwrap()["description"], "by the one a little behind");
    steady.jump("+1h");
    is_described(&a, &hash, "by the one ahead").await;
    equal(&a, &b, 4).await;

    for said in [a.said(), b.said()] {
        assert!(said.contains("connected") && !said.contains("disconnected"), "{said}");
    }
    for host in [a, b] {
        assert_eq!(host.terminate().code(), Some(0));
    }
}
