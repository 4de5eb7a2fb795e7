//! The client against the project's own face, and against a service that behaves badly.
//!
//! The face is named here and nowhere else below `http`: it is the only complete CAN Service there is.

mod face;
mod garbled;
mod hostile;
mod limited;
mod opening;
mod poor;
mod spoiled;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::CanService;
use super::OpenError;
use super::Options;
use super::SyncKey;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::store::Edit;
use crate::store::Origin;
use crate::store::Record;
use crate::store::Store;
use crate::task::Group;

const KEY: &str = "the sync key";

/// Time after which a wait counts as a hang.
const HANG: Duration = Duration::from_secs(60);

fn group() -> Group {
    Group::new("test", Arc::new(|group, task, message| panic!("{group}/{task}: {message}")))
}

fn options(url: &str, dir: &Path) -> Options {
    Options {
        url: url.to_owned(),
        key: SyncKey::new(KEY),
        host: HostId::from_bytes([1; 32]),
        data_dir: dir.join("data"),
        spool_dir: dir.join("spool"),
        poll_interval: Duration::from_secs(3600),
        sweep_interval: Duration::from_secs(3600),
        stall: crate::limits::SERVICE_STALL,
        call_time: crate::limits::SERVICE_CALL_TIME,
    }
}

async fn open(options: Options, group: &Group) -> Result<CanService, OpenError> {
    CanService::open(options, group).await
}

fn timestamp(n: u64) -> Timestamp {
    Timestamp::new(1_700_000_000_000 + n).unwrap()
}

fn key_of(content: &[u8], timestamp: Timestamp) -> AssetKey {
    let mut verifier = crate::asset::Verifier::new(timestamp);
    verifier.update(content);
    AssetKey { id: verifier.id(), timestamp, size: content.len() as u64 }
}

fn seen(changes: Changes) -> Edit {
    Box::new(move |document: &mut LocalDocument| document.see(&changes))
}

/// A change by another host, with a high stamp.
fn by_peer(changes: Changes, millis: u64) -> Edit {
    let mut document = LocalDocument::default();
    document.change(&changes, millis, HostId::from_bytes([9; 32]));
    Box::new(move |into: &mut LocalDocument| into.merge(document.shared()))
}

/// Puts an asset as the engine does for one that came from a peer.
async fn put(store: &dyn Store, content: &[u8], at: Timestamp, edit: Edit) -> Record {
    let key = key_of(content, at);
    let mut spool = store.resume(&key).await.unwrap();
    spool.write(content).unwrap();
    store.put(spool.finish(&key.id).unwrap(), Origin::Peer, edit).await.unwrap()
}

/// Waits until the record of an asset is as it should be.
async fn until(store: &dyn Store, id: &AssetId, what: &str, wanted: impl Fn(Option<&Record>) -> bool) {
    let mut latest = store.latest();
    let waiting = async {
        loop {
            latest.borrow_and_update();
            if wanted(store.record(id).await.unwrap().as_ref()) {
                return;
            }
            latest.changed().await.unwrap();
        }
    };
    if tokio::time::timeout(HANG, waiting).await.is_err() {
        panic!("{what} never came; there is {:?}", store.record(id).await.unwrap());
    }
}
