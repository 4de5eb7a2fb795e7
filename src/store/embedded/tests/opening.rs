//! What opening a folder keeps, removes and refuses.

use std::time::Duration;

use super::content;
use super::files;
use super::get;
use super::open;
use super::put;
use super::seen;
use super::timestamp;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::Verifier;
use crate::limits;
use crate::store::Origin;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::embedded::OpenError;
use crate::store::embedded::Options;
use crate::store::embedded::schema;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_nobody_went_on_with_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut verifier = Verifier::new(timestamp(1));
    verifier.update(&content(300_000, 1));
    let key = AssetKey { id: verifier.id(), timestamp: timestamp(1), size: 300_000 };
    let store = open(dir.path()).await;
    let mut spool = store.resume(&key).await.unwrap();
    spool.write(&content(300_000, 1)[..200_000]).unwrap();
    drop(spool);
    store.close().await;
    let part = dir.path().join(".spool").join(format!("{}_{}.part", key.timestamp, key.id));
    let written_to = |ago: Duration| {
        let file = std::fs::File::options().write(true).open(&part).unwrap();
        file.set_modified(std::time::SystemTime::now() - ago).unwrap();
    };
    let hour = Duration::from_hours(1);
    for (ago, stays) in [(limits::PART_KEPT.saturating_sub(hour), true), (limits::PART_KEPT + hour, false)] {
        written_to(ago);
        open(dir.path()).await.close().await;
        assert_eq!(part.exists(), stays, "written to {ago:?} ago");
    }
}
