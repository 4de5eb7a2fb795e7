//! Reading and verifying contents of the service, before their assets are shown.
//!
//! Many come in one answer. One that breaks its answer must not keep back the others: they are asked for again without
//! it, and it alone waits for a better time.

use super::FollowError;
use super::ServiceError;
use super::Shared;
use super::notice::Shown;
use super::notice::shown;
use super::pull::Pulled;
use super::table;
use super::unreadable::Fault;
use crate::asset::AssetId;
use crate::asset::Verifier;
use crate::limits;
use crate::proto::can::v1;
use crate::telemetry::causes;

/// An answer that broke off.
struct Broken {
    /// Of what was wanted, that which has not come.
    left: Vec<AssetId>,
    /// The asset at which it broke off, and its version; unknown when that was between two assets.
    at: Option<(AssetId, Vec<u8>)>,
    error: ServiceError,
}

impl Shared {
    /// Reads and verifies contents, and shows those assets that are sound. Returns those to be read at a later time,
    /// because they broke the answer they came in.
    pub(super) async fn read_contents(&self, ids: &[AssetId]) -> Result<Vec<AssetId>, FollowError> {
        let mut put_off = Vec::new();
        for batch in ids.chunks(limits::SERVICE_BATCH) {
            let mut wanted = Vec::with_capacity(batch.len());
            {
                let (putting, unreadable) = (self.putting.lock(), self.unreadable.lock());
                for id in batch.iter().filter(|id| !putting.contains(id)) {
                    match unreadable.pausing(id) {
                        None => wanted.push(*id),
                        Some(Fault::BrokeOff | Fault::Untold) => put_off.push(*id),
                        Some(Fault::Unsound) => {}
                    }
                }
            }
            // One may have come since, by a call before this that broke off, or from a peer.
            let looked_up = wanted.clone();
            let here = self.index.read(move |connection| {
                looked_up.iter().map(|id| table::is_here(connection, id)).collect::<rusqlite::Result<Vec<bool>>>()
            });
            let mut here = here.await?.into_iter();
            wanted.retain(|_| here.next() == Some(false));
            let mut calls = vec![wanted];
            while let Some(wanted) = calls.pop() {
                if wanted.is_empty() {
                    continue;
                }
                let Some(Broken { mut left, at, error }) = self.read_bundle(wanted).await? else { continue };
                if left.is_empty() {
                    // Everything was there; what the answer had behind it is nobody's loss.
                    continue;
                }
                let (id, version) = match at {
                    Some(bad) => bad,
                    None if left.len() > 1 => {
                        let rest = left.split_off(left.len() / 2);
                        calls.extend([rest, left]);
                        continue;
                    }
                    // Asked for alone. Whether it is the content or the service, its metadata tells.
                    None => match self.read(&left[0]).await {
                        Ok(None) => continue,
                        Ok(Some(seen)) => (seen.key.id, seen.version),
                        Err(error) => {
                            self.of_asset(error).await?;
                            (left[0], Vec::new())
                        }
                    },
                };
                let reason = causes(&error);
                if self.unreadable.lock().note(id, version, Fault::BrokeOff, reason.clone()) {
                    tracing::warn!(asset = %id, reason, "a content of the can service cannot be read; it is tried again later");
                }
                put_off.push(id);
                left.retain(|other| *other != id);
                calls.push(left);
            }
        }
        Ok(put_off)
    }

    /// Reads the contents of one answer up to its end, or to where it breaks off.
    async fn read_bundle(&self, wanted: Vec<AssetId>) -> Result<Option<Broken>, FollowError> {
        let mut left = wanted;
        let mut pulled = match self.client.contents(&left).await {
            // It may be one content that the service stumbles over.
            Err(error) if error.is_answer() => return Ok(Some(Broken { left, at: None, error })),
            answered => self.noted(answered)?,
        };
        loop {
            let head = match pulled.next().await {
                Ok(Some(head)) => head.asset,
                Ok(None) => break,
                Err(error) => return Ok(Some(Broken { left, at: None, error })),
            };
            let at = AssetId::try_from(&head.hash[..]).ok().filter(|id| left.contains(id));
            let version = head.version.to_vec();
            match hash(&mut pulled, head).await {
                Ok((seen, verifier)) => {
                    left.retain(|id| *id != seen.key.id);
                    self.verified(seen, verifier).await?;
                }
                Err(error) => return Ok(Some(Broken { left, at: at.map(|id| (id, version)), error })),
            }
        }
        // What did not come is no longer there.
        let mut unreadable = self.unreadable.lock();
        left.iter().for_each(|id| unreadable.forget(id));
        Ok(None)
    }

    /// Shows an asset whose content was read, if that is the right one.
    async fn verified(&self, seen: Shown, verifier: Verifier) -> Result<(), FollowError> {
        let id = seen.key.id;
        match verifier.finish(&id) {
            Ok(proof) => {
                self.unreadable.lock().forget(&id);
                self.show(Shown { key: proof.key(), ..seen }, proof.content()).await
            }
            Err(error) => {
                if self.unreadable.lock().note(id, seen.version, Fault::Unsound, error.to_string()) {
                    tracing::error!(asset = %id, %error, "the can service holds a content that is not the asset's");
                }
                Ok(())
            }
        }
    }
}

/// Hashes the content that an answer has come to.
async fn hash(pulled: &mut Pulled, asset: v1::Asset) -> Result<(Shown, Verifier), ServiceError> {
    let seen = shown(asset)?;
    let mut verifier = Verifier::new(seen.key.timestamp);
    while let Some(piece) = pulled.content().await? {
        verifier = hashed(verifier, piece).await;
    }
    Ok((seen, verifier))
}

/// Hashes a piece, off the runtime when it is large.
pub(super) async fn hashed(mut verifier: Verifier, piece: bytes::Bytes) -> Verifier {
    if piece.len() as u64 <= limits::SMALL_CONTENT_BYTES {
        verifier.update(&piece);
        return verifier;
    }
    let hashing = tokio::task::spawn_blocking(move || {
        verifier.update(&piece);
        verifier
    });
    hashing.await.expect("hashing does not panic")
}
