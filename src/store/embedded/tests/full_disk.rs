//! A disk without room.

use std::path::PathBuf;

use super::content;
use super::files;
use super::get;
use super::open;
use super::put;
use super::try_put;
use crate::asset::Changes;
use crate::limits;
use crate::store::Arrival;
use crate::store::Store;
use crate::telemetry::skip;

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
        skip(&format!("a full disk: cannot mount a tmpfs here: {mounted:?}"));
        None
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
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
