//! What the store and the task that follows the service share.

use std::collections::HashSet;
use std::path::PathBuf;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::ServiceError;
use super::client::Client;
use super::index::Index;
use super::unreadable::Unreadable;
use crate::asset::AssetId;
use crate::asset::HostId;
use crate::store::Disk;
use crate::task::Locks;
use crate::telemetry::causes;

/// What the store and the task that follows the service share.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) index: Index,
    pub(super) host: HostId,
    pub(super) disk: Disk,
    pub(super) spool_dir: PathBuf,
    /// One at a time changes an asset, here and at the service.
    pub(super) locks: Locks<AssetId>,
    /// Why the service did not answer last, for people.
    pub(super) trouble: Mutex<Option<String>>,
    /// Assets that are being handed to the service right now.
    pub(super) putting: Mutex<HashSet<AssetId>>,
    /// Contents at the service that cannot be read.
    pub(super) unreadable: Mutex<Unreadable>,
}

impl Shared {
    /// Waits until nobody else changes the asset.
    pub(super) async fn lock(&self, id: &AssetId) -> OwnedMutexGuard<()> {
        self.locks.lock(*id).await
    }

    /// Notes whether the service can be used.
    pub(super) fn noted<T>(&self, result: Result<T, ServiceError>) -> Result<T, ServiceError> {
        *self.trouble.lock() = match &result {
            Err(error) if !error.is_refusal() => Some(causes(error)),
            _ => None,
        };
        result
    }
}
