//! Contents, edits and calls that the cases have in common.

use futures_util::StreamExt;

use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::limits;
use crate::store::Content;
use crate::store::Edit;
use crate::store::Origin;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::Store;

/// A timestamp, `n` milliseconds after a fixed moment.
pub(super) fn timestamp(n: u64) -> Timestamp {
    Timestamp::new(1_700_000_000_000 + n).expect("it has 13 digits")
}

/// Bytes that do not repeat at any piece's length, different for every `salt`.
pub(super) fn bytes(size: usize, salt: u8) -> Vec<u8> {
    let byte = |n: usize| u8::try_from(n % 256).expect("it is below 256");
    (0..size).map(|n| byte(n % 251) ^ byte(n / 251) ^ salt).collect()
}

/// The key of a content.
pub(super) fn key_of(content: &[u8], timestamp: Timestamp) -> AssetKey {
    let mut verifier = Verifier::new(timestamp);
    verifier.update(content);
    AssetKey { id: verifier.id(), timestamp, size: content.len() as u64 }
}

/// An edit that takes changes in as first seen.
pub(super) fn seen(changes: Changes) -> Edit {
    Box::new(move |document: &mut LocalDocument| document.see(&changes))
}

/// An edit that makes changes by hand.
pub(super) fn changed(changes: Changes, now_ms: u64) -> Edit {
    let host = HostId::from_bytes([1; 32]);
    Box::new(move |document: &mut LocalDocument| document.change(&changes, now_ms, host))
}

/// Ingests a content.
pub(super) async fn ingest(store: &dyn Store, content: &[u8], timestamp: Timestamp, edit: Edit) -> Record {
    let mut spool = store.spool(timestamp).await.expect("a spool");
    for piece in content.chunks(100_000) {
        spool.write(piece).expect("a written piece");
    }
    let spooled = spool.finish_ingest().expect("a finished spool");
    store.put(spooled, Origin::Here, edit).await.expect("a stored asset")
}

/// Opens a content that must be there.
pub(super) async fn opened(store: &dyn Store, id: &AssetId, offset: u64) -> Content {
    store.open(id, offset).await.expect("a readable store").expect("a content")
}

/// Reads an opened content to its end.
pub(super) async fn drain(mut content: Content) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    while let Some(piece) = content.stream.next().await {
        let piece = piece?;
        assert!(!piece.is_empty() && piece.len() <= limits::CONTENT_CHUNK_BYTES, "{} bytes", piece.len());
        all.extend_from_slice(&piece);
    }
    Ok(all)
}
