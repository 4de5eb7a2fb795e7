//! What people decide: releasing what was stopped, dropping it for good, having it asked about again.

use std::collections::BTreeSet;

use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::oneshot;

use super::apply;
use super::brakes::BRAKE;
use super::feed;
use super::shared::Engine;
use crate::asset::AssetId;
use crate::hook::Point;
use crate::hook::Standing;
use crate::limits;
use crate::state::Decided;
use crate::state::Decision;
use crate::state::DecisionMark;
use crate::state::HAND;
use crate::state::Known;
use crate::state::StateError;
use crate::state::Way;
use crate::store::ReadError;
use crate::store::WriteError;
use crate::sync::Offer;
use crate::task::now_ms;

/// The decider of what is to be decided again; no chain has that name.
const NOBODY_YET: &str = "again";

/// Why a released asset passes, for people.
pub(super) const RELEASED: &str = "released by hand";

/// A person's wish could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandError {
    /// Nothing is known about the asset.
    #[error("asset {0} is not in the store, and no peer has offered it; check the hash")]
    Unknown(AssetId),
    /// Nothing stops it.
    #[error("asset {0} is neither held nor declined; `can-sync explain {0}` tells what became of it")]
    NotStopped(AssetId),
    /// Nobody is asked and nothing flows.
    #[error("this host exchanges nothing now, so nothing can be released or asked again; start it without safe mode")]
    Silent,
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// The store could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The state could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// How far asking again about what is held is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Assets that were asked about again.
    pub done: u64,
    /// Assets that are.
    pub total: u64,
}

impl Engine {
    /// Lists what waits for a decision, oldest first: what is behind a mark, at most `limit`.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn held(&self, after: Option<DecisionMark>, limit: usize) -> Result<Vec<Decided>, StateError> {
        self.shared.state.list_decisions(Decision::Hold, after, limit.min(limits::PAGE_ROWS)).await
    }

    /// Lists what is kept back or declined, oldest first: what is behind a mark, at most `limit`.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn declined(&self, after: Option<DecisionMark>, limit: usize) -> Result<Vec<Decided>, StateError> {
        self.shared.state.list_decisions(Decision::Drop, after, limit.min(limits::PAGE_ROWS)).await
    }

    /// Lets a stopped version of an asset go on past who stopped it, until it changes or those do who are asked. What is
    /// here is passed on at once, and what a connected peer has is fetched, unless somebody else stops it. Doing it
    /// twice is doing it once.
    ///
    /// # Errors
    /// [`HandError`] when nothing stops the asset, or store or state cannot be used.
    pub async fn release(&self, asset: AssetId) -> Result<(), HandError> {
        self.release_where(asset, |_| true).await
    }

    /// Releases what some stops of an asset hold back. It overrules who stopped it and nobody else: what the brake held
    /// is still shown to plugins, and what one plugin held to all others.
    pub(super) async fn release_where(
        &self,
        asset: AssetId,
        wanted: impl Fn(&Decided) -> bool,
    ) -> Result<(), HandError> {
        if !self.shared.exchange {
            return Err(HandError::Silent);
        }
        let known = self.shared.state.known_of_asset(asset).await?;
        let decisions = self.decisions(asset).await?;
        if decisions.is_empty() {
            return Err(self.nothing_stops(asset, &known).await?);
        }
        for decided in stops(decisions).into_iter().filter(wanted) {
            let braked = decided.decider == BRAKE;
            // Until it was judged again it is kept back, whatever comes between.
            let standing = if decided.way == Way::Push { Standing::Absent } else { Standing::Firm };
            let released = Decided {
                overruled: overruled(&decided),
                decision: Decision::Pass,
                decider: if braked { BRAKE.to_owned() } else { self.shared.decider(decided.point) },
                by: HAND.to_owned(),
                standing,
                reason: RELEASED.to_owned(),
                version: version(&decided, &known),
                at_ms: now_ms(),
                ..decided
            };
            self.shared.state.decide(released, true).await?;
        }
        self.judge_again(vec![asset], false).await;
        self.offer_again(known).await;
        Ok(())
    }

    /// Drops what is held or declined; only a person asks about it again. Doing it twice is doing it once.
    ///
    /// # Errors
    /// [`HandError`] when nothing stops the asset, or store or state cannot be used.
    pub async fn drop_held(&self, asset: AssetId) -> Result<(), HandError> {
        let stops = stops(self.decisions(asset).await?);
        if stops.is_empty() {
            let known = self.shared.state.known_of_asset(asset).await?;
            return Err(self.nothing_stops(asset, &known).await?);
        }
        for decided in stops {
            if decided.decider == HAND {
                continue;
            }
            let dropped = Decided {
                // Who releases it after all overrules those as well.
                overruled: overruled(&decided),
                decision: Decision::Drop,
                decider: HAND.to_owned(),
                by: HAND.to_owned(),
                standing: Standing::Firm,
                reason: format!("dropped by hand; before: {}", decided.reason),
                at_ms: now_ms(),
                ..decided
            };
            self.shared.state.decide(dropped, true).await?;
        }
        self.judge_again(vec![asset], false).await;
        Ok(())
    }

    /// Forgets what was answered and decided about an asset, and has it asked about again now. Until then it stays as it
    /// is; what only a peer has that is not connected is asked about when it is.
    ///
    /// # Errors
    /// [`HandError`] when the asset is not known, or store or state cannot be used.
    pub async fn replay(&self, asset: AssetId) -> Result<(), HandError> {
        let known = self.shared.state.known_of_asset(asset).await?;
        if known.is_empty()
            && self.decisions(asset).await?.is_empty()
            && self.shared.store.record(&asset).await?.is_none()
        {
            return Err(HandError::Unknown(asset));
        }
        self.replay_these(vec![asset]).await
    }

    /// Does the same with everything that is held now, and with what was dropped because a plugin failed at it, as fast as
    /// the stream is read, and tells how far it is: before the first asset, and after each stretch. What it has not come to
    /// when it is dropped stays as it is.
    ///
    /// # Errors
    /// [`HandError`] when the host exchanges nothing, or store or state cannot be used.
    pub async fn replay_held(&self) -> Result<impl Stream<Item = Result<Replayed, HandError>> + use<>, HandError> {
        if !self.shared.exchange {
            return Err(HandError::Silent);
        }
        let (began, mut assets) = (now_ms(), BTreeSet::new());
        for decision in [Decision::Hold, Decision::Drop] {
            let mut after = None;
            loop {
                let page = self.shared.state.list_decisions(decision, after, limits::PAGE_ROWS).await?;
                let failed = |decided: &Decided| decided.standing == Standing::Failed;
                let due = page.iter().filter(|decided| decision == Decision::Hold || failed(decided));
                assets.extend(due.filter(|decided| decided.at_ms <= began).map(|decided| decided.key.id));
                match page.last().filter(|last| last.at_ms <= began) {
                    Some(last) => after = Some(DecisionMark { at_ms: last.at_ms, asset: last.key.id, way: last.way }),
                    None => break,
                }
            }
        }
        let assets: Vec<AssetId> = assets.into_iter().collect();
        let total = assets.len() as u64;
        let begun = stream::iter([Ok(Replayed { done: 0, total })]);
        let rest = (self.clone(), assets.into_iter());
        let going = stream::try_unfold(rest, move |(engine, mut assets)| async move {
            let some: Vec<AssetId> = assets.by_ref().take(limits::REPLAYED_TOGETHER).collect();
            if some.is_empty() {
                return Ok(None);
            }
            engine.replay_these(some).await?;
            Ok(Some((Replayed { done: total - assets.len() as u64, total }, (engine, assets))))
        });
        Ok(begun.chain(going))
    }

    async fn replay_these(&self, assets: Vec<AssetId>) -> Result<(), HandError> {
        if !self.shared.exchange {
            return Err(HandError::Silent);
        }
        self.shared.verdicts.retire(assets.clone()).await?;
        let decisions = self.shared.state.decisions(assets.clone()).await?;
        // What is kept back from others stays so until it is judged; what was not taken is marked to be asked about.
        for decided in decisions.into_values().filter(|decided| decided.way == Way::Pull) {
            if decided.decision == Decision::Pass {
                self.shared.state.undecide(&decided).await?;
            } else {
                let again = Decided { decider: NOBODY_YET.to_owned(), standing: Standing::Absent, ..decided };
                self.shared.state.decide(again, true).await?;
            }
        }
        let known = self.shared.state.known_of_assets(assets.clone()).await?;
        self.judge_again(assets, true).await;
        self.offer_again(known.into_values().flatten().collect()).await;
        Ok(())
    }

    /// Returns what is decided about an asset, on both ways.
    async fn decisions(&self, asset: AssetId) -> Result<Vec<Decided>, StateError> {
        Ok(self.shared.state.decisions(vec![asset]).await?.into_values().collect())
    }

    /// Says why there is nothing to release or to drop.
    async fn nothing_stops(&self, asset: AssetId, known: &[Known]) -> Result<HandError, HandError> {
        let is_known = !known.is_empty()
            || !self.decisions(asset).await?.is_empty()
            || self.shared.store.record(&asset).await?.is_some();
        Ok(if is_known { HandError::NotStopped(asset) } else { HandError::Unknown(asset) })
    }

    /// Has the feed judge stored assets now.
    pub(super) async fn judge_again(&self, assets: Vec<AssetId>, fresh: bool) {
        let (done, judged) = oneshot::channel();
        if self.shared.feed.send(feed::Order { assets, fresh, done }).await.is_ok() {
            // When the feed could not read the store it says so itself, and what was decided stands.
            let _ = judged.await;
        }
    }

    /// Decides again about what connected peers are known to have.
    async fn offer_again(&self, known: Vec<Known>) {
        for Known { peer, key, document } in known {
            if self.shared.connected.contains_key(&peer) {
                let offer = Offer::new(key, document);
                apply::decide_these_again(&self.shared, peer, vec![offer]).await;
            }
        }
    }
}

/// Returns those of the decisions that stop the asset.
fn stops(decisions: Vec<Decided>) -> Vec<Decided> {
    decisions.into_iter().filter(|decided| decided.decision != Decision::Pass).collect()
}

/// Returns whom a person overrules: the plugin that has stopped the asset, beside those that are overruled already.
fn overruled(decided: &Decided) -> BTreeSet<(Point, String)> {
    let mut overruled = decided.overruled.clone();
    let by_plugin = ![HAND, BRAKE].contains(&decided.decider.as_str()) && !decided.by.is_empty();
    overruled.extend(by_plugin.then(|| (decided.point, decided.by.clone())));
    overruled
}

/// Returns the version that is released: the one that was stopped, or what stands for it now where several peers had
/// offered different ones.
fn version(decided: &Decided, known: &[Known]) -> crate::asset::Digest {
    let mut offered = known.iter().map(|known| known.document.digest());
    match (decided.way, offered.clone().any(|version| version == decided.version)) {
        (Way::Pull, false) => offered.next().unwrap_or(decided.version),
        _ => decided.version,
    }
}
