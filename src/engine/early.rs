//! Changes that peers have and that are stamped too far ahead of this host's clock. They are taken once their time has
//! come.
//!
//! Where there are any is noted when a peer connects and whenever something is written down about it (`memory`). So what
//! is looked through at every poll is what waits, and not everything that is known.

use std::collections::BTreeMap;

use dashmap::DashMap;
use tokio::sync::Mutex;

use super::apply;
use super::apply::ApplyError;
use super::shared::Shared;
use crate::asset::AssetId;
use crate::asset::Document;
use crate::asset::HostId;
use crate::limits;
use crate::sync::Offer;
use crate::task::now_ms;
use crate::telemetry::causes;

/// Where changes wait for their time.
#[derive(Default)]
pub(super) struct Early {
    /// When the first change of an asset may be taken, in Unix milliseconds, by the peer that has it.
    waiting: DashMap<HostId, BTreeMap<AssetId, u64>>,
    /// Whoever looks does so alone.
    looking: Mutex<()>,
}

impl Early {
    /// Forgets what was noted of a peer.
    pub(super) fn forget(&self, peer: HostId) {
        self.waiting.remove(&peer);
    }

    /// Notes what a peer has of an asset, if some of it waits.
    pub(super) fn note(&self, peer: HostId, asset: AssetId, document: &Document, now_ms: u64) {
        let early = document.iter().filter(|(_, field)| field.stamp.is_early(now_ms));
        if let Some(first) = early.map(|(_, field)| field.stamp.millis()).min() {
            self.note_from(peer, asset, first.saturating_sub(limits::STAMP_AHEAD_MS));
        }
    }

    fn note_from(&self, peer: HostId, asset: AssetId, from_ms: u64) {
        self.waiting.entry(peer).or_default().insert(asset, from_ms);
    }

    /// Takes out some of the assets of which a change may be taken now.
    fn ripe(&self, peer: HostId, now_ms: u64) -> Vec<AssetId> {
        let Some(mut waiting) = self.waiting.get_mut(&peer) else { return Vec::new() };
        let ripe = waiting.iter().filter(|(_, from_ms)| **from_ms <= now_ms).map(|(asset, _)| *asset);
        let ripe: Vec<AssetId> = ripe.take(limits::OFFERS_DECIDED_TOGETHER).collect();
        for asset in &ripe {
            waiting.remove(asset);
        }
        ripe
    }
}

/// Takes what connected peers are known to have and whose time has come.
pub(super) async fn take(shared: &Shared) {
    // Plugins may take longer over it than it is until the next poll.
    let Ok(_alone) = shared.early.looking.try_lock() else { return };
    let peers: Vec<HostId> = shared.connected.iter().map(|entry| *entry.key()).collect();
    for peer in peers.into_iter().filter(|peer| shared.flow(*peer).take) {
        loop {
            let ripe = shared.early.ripe(peer, now_ms());
            if ripe.is_empty() {
                break;
            }
            if let Err(error) = take_of(shared, peer, &ripe).await {
                tracing::warn!(peer = %peer.fmt_short(), error = %causes(&error), "early changes could not be taken");
                // At the next poll it may be possible.
                ripe.into_iter().for_each(|asset| shared.early.note_from(peer, asset, 0));
                break;
            }
        }
    }
}

async fn take_of(shared: &Shared, peer: HostId, assets: &[AssetId]) -> Result<(), ApplyError> {
    let known = shared.state.known_of_assets(assets.to_vec()).await?;
    let known = known.into_values().flatten().filter(|known| known.peer == peer);
    let offers: Vec<Offer> = known.map(|known| Offer::new(known.key, known.document)).collect();
    for offer in &offers {
        // Of several changes some may have to wait on.
        shared.early.note(peer, offer.key.id, &offer.document, now_ms());
    }
    apply::take_known(shared, peer, &offers).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Field;
    use crate::asset::Stamp;
    use crate::asset::Value;

    #[test]
    fn what_waits_is_looked_for_when_its_time_has_come_and_nothing_else() {
        let (peer, other, now) = (HostId::from_bytes([1; 32]), HostId::from_bytes([2; 32]), 1_700_000_000_000);
        let asset = |n: u8| AssetId::from_bytes([n; 32]);
        let document = |ahead_ms: &[u64]| -> Document {
            let field = |ahead_ms: &u64| {
                let stamp = Stamp::from_parts((now + limits::STAMP_AHEAD_MS + ahead_ms) << 16, peer);
                (format!("tag/{ahead_ms}"), Field { value: Value::flag(true), stamp })
            };
            ahead_ms.iter().map(field).collect()
        };
        let early = Early::default();
        early.note(peer, asset(1), &document(&[0]), now);
        early.note(peer, asset(2), &document(&[0, 5000, 9000]), now);
        early.note(other, asset(3), &document(&[1]), now);
        assert!(early.ripe(peer, now + 4999).is_empty());
        assert_eq!(early.ripe(peer, now + 5000), [asset(2)]);
        assert!(early.ripe(peer, now + 9000).is_empty(), "it is being taken");
        early.note(peer, asset(2), &document(&[0, 5000, 9000]), now + 5000);
        early.note_from(peer, asset(4), 0);
        assert_eq!(early.ripe(peer, now + 8999), [asset(4)]);
        assert_eq!(early.ripe(peer, now + 9000), [asset(2)]);
        early.forget(other);
        assert!(early.ripe(other, u64::MAX).is_empty());
    }
}
