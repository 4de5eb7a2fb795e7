//! What people decide about single assets, and what they are told of them.

use std::collections::BTreeMap;

use futures_util::Stream;

use super::start::Node;
use crate::asset::AssetId;
use crate::engine::Decided;
use crate::engine::DecisionMark;
use crate::engine::ExplainError;
use crate::engine::Explanation;
use crate::engine::HandError;
use crate::engine::PurgeError;
use crate::engine::Replayed;
use crate::state::StateError;

impl Node {
    /// Lists what waits for a decision, oldest first: what is behind a mark, at most `limit`.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn held(&self, after: Option<DecisionMark>, limit: usize) -> Result<Vec<Decided>, StateError> {
        self.engine.held(after, limit).await
    }

    /// Lists what is kept back or declined, oldest first: what is behind a mark, at most `limit`.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn declined(&self, after: Option<DecisionMark>, limit: usize) -> Result<Vec<Decided>, StateError> {
        self.engine.declined(after, limit).await
    }

    /// Counts what waits, by the plugin that it waits for.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn held_by(&self) -> Result<BTreeMap<String, u64>, StateError> {
        self.engine.held_by().await
    }

    /// Lets a stopped version of an asset pass.
    ///
    /// # Errors
    /// [`HandError`] when nothing stops the asset, or store or state cannot be used.
    pub async fn release(&self, asset: AssetId) -> Result<(), HandError> {
        self.engine.release(asset).await
    }

    /// Drops what is held or declined, so that only a person asks about it again.
    ///
    /// # Errors
    /// [`HandError`] when nothing stops the asset, or store or state cannot be used.
    pub async fn drop_held(&self, asset: AssetId) -> Result<(), HandError> {
        self.engine.drop_held(asset).await
    }

    /// Removes an asset from this host for good, and declines it from then on.
    ///
    /// # Errors
    /// [`PurgeError`] when it is not here, or may be the last copy, or store or state cannot be used.
    pub async fn purge(&self, asset: AssetId, last_copy: bool) -> Result<(), PurgeError> {
        self.engine.purge(asset, last_copy).await
    }

    /// Has an asset asked about again.
    ///
    /// # Errors
    /// [`HandError`] when the asset is not known, or store or state cannot be used.
    pub async fn replay(&self, asset: AssetId) -> Result<(), HandError> {
        self.engine.replay(asset).await
    }

    /// Has everything that is held asked about again, as fast as the stream is read, and tells how far it is.
    ///
    /// # Errors
    /// [`HandError`] when the host exchanges nothing, or store or state cannot be used.
    pub async fn replay_held(&self) -> Result<impl Stream<Item = Result<Replayed, HandError>> + use<>, HandError> {
        self.engine.replay_held().await
    }

    /// Returns what became of one asset on this host.
    ///
    /// # Errors
    /// [`ExplainError`] when nothing is known about the asset, or store or state cannot be read.
    pub async fn explain(&self, asset: AssetId) -> Result<Explanation, ExplainError> {
        self.engine.explain(asset).await
    }
}
