//! The store as a whole, on a real folder.

mod durability;
mod full_disk;
mod listing;
mod opening;
mod rebuilding;
mod text;
mod verification;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::EmbeddedStore;
use super::OpenError;
use super::Options;
use super::reading;
use super::row;
use super::schema;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::store::Arrival;
use crate::store::Edit;
use crate::store::Origin;
use crate::store::Record;
use crate::store::Store;
use crate::store::Verification;
use crate::store::conformance;

fn timestamp(n: u64) -> Timestamp {
    Timestamp::new(1_700_000_000_000 + n).unwrap()
}

fn content(size: usize, salt: u8) -> Vec<u8> {
    (0..size).map(|n| u8::try_from(n % 251).unwrap() ^ salt).collect()
}

fn seen(changes: Changes) -> Edit {
    Box::new(move |document: &mut LocalDocument| document.see(&changes))
}

async fn open(root: &Path) -> EmbeddedStore {
    EmbeddedStore::open(Options::new(root)).await.unwrap()
}

/// Opens a store once nobody has the folder: the child that another test makes has it until it has become its program.
async fn open_again(root: &Path) -> EmbeddedStore {
    let opening = async {
        loop {
            match EmbeddedStore::open(Options::new(root)).await {
                Err(OpenError::Locked(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                other => return other.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), opening).await.unwrap()
}

async fn try_put(store: &EmbeddedStore, bytes: &[u8], n: u64, changes: Changes) -> Result<Record, String> {
    let mut spool = store.spool(timestamp(n)).await.map_err(|error| error.to_string())?;
    for piece in bytes.chunks(50_000) {
        spool.write(piece).map_err(|error| error.to_string())?;
    }
    let spooled = spool.finish_ingest().map_err(|error| error.to_string())?;
    store.put(spooled, Origin::Here, seen(changes)).await.map_err(|error| error.to_string())
}

async fn put(store: &EmbeddedStore, bytes: &[u8], n: u64, changes: Changes) -> Record {
    try_put(store, bytes, n, changes).await.unwrap()
}

async fn get(store: &EmbeddedStore, id: &AssetId) -> Option<Vec<u8>> {
    let mut stream = store.open(id, 0).await.unwrap()?.stream;
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece.unwrap());
    }
    Some(all)
}

/// Verifies all assets, in the order of their arrival.
async fn verify_all(store: &EmbeddedStore) -> Vec<(AssetId, Verification)> {
    let mut found = Vec::new();
    for row in store.inventory(Arrival(0), usize::MAX).await.unwrap() {
        found.push((row.key.id, store.verify(&row.key.id).await.unwrap().unwrap()));
    }
    found
}

/// The files in the storage root and the spool folder, the index apart.
fn files(root: &Path) -> Vec<String> {
    let names = |dir: &Path| -> Vec<String> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut all: Vec<String> = names(root).into_iter().filter(|name| !name.starts_with('.')).collect();
    all.extend(names(&root.join(".spool")));
    all.sort();
    all
}

/// Flips a bit of a content, wherever it is right now.
fn damage(root: &Path, record: &Record) {
    let index = schema::connect(&root.join(".can.db")).unwrap();
    loop {
        let number = row::by_id(&index, &record.key.id).unwrap().unwrap().number;
        if let Some(mut bytes) = reading::small(&index, number).unwrap() {
            bytes[0] ^= 1;
            if index.execute("UPDATE small SET bytes = ?2 WHERE number = ?1", (number, bytes)).unwrap() == 1 {
                return;
            }
        }
        let prefix = format!("{}_{}", record.key.timestamp, record.key.id);
        for dir in [root.to_owned(), root.join(".spool")] {
            for name in files(root).into_iter().filter(|name| name.starts_with(&prefix)) {
                if let Ok(mut bytes) = std::fs::read(dir.join(&name)) {
                    bytes[0] ^= 1;
                    let open = std::fs::OpenOptions::new().write(true).open(dir.join(&name));
                    if open.and_then(|mut file| io::Write::write_all(&mut file, &bytes)).is_ok() {
                        return;
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    conformance::run(async || {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let store = open(&root).await;
        conformance::Fixture::new(Arc::new(store)).with_damage(move |record| damage(&root, record)).keeping(dir)
    })
    .await;
}
