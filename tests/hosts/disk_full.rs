//! A disk that is full, on either side.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;

use super::host::Place;
use super::host::equal;
use super::host::skip;
use super::host::within;

/// A file system of a few megabytes; unmounted when dropped.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(path).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(path)),
            _ => {
                skip("a tmpfs cannot be mounted here");
                None
            }
        }
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=128m"]).arg(self.0).status().unwrap();
        assert!(grown.success());
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_the_ingest_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let Some(small) = Small::mount(&at_a.storage_root) else { return };
    let a = at_a.start();
    let kept = a.ingest("small", vec![1; 1000]).await;
    let (status, text) = a.try_ingest("large", vec![2; 20_000_000]).await.unwrap_err();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("No space left") || text.contains("full"), "{text}");
    assert_eq!(a.list().await.len(), 1);
    assert_eq!(a.content(&kept).await.unwrap(), vec![1; 1000]);
    small.grow();
    a.ingest("large", vec![2; 20_000_000]).await;
    assert_eq!(a.verify().await, 2);
}

#[tokio::test]
async fn a_receiver_with_a_full_disk_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    let Some(small) = Small::mount(&at_b.storage_root) else { return };
    let (a, b) = (at_a.start(), at_b.start());
    a.ingest("large", (0..20_000_000_u32).map(|n| (n % 251) as u8).collect()).await;
    a.ingest("small", vec![1; 1000]).await;
    let said = async {
        while !b.said().contains("No space left") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("a word about the full disk", said).await;
    assert!(b.status().await["libraries"][0]["in_sync"] == false);
    small.grow();
    equal(&a, &b, 2).await;
    assert_eq!(b.verify().await, 2);
}
