//! How a host is, as a whole.

use std::time::Duration;

use super::start::Node;
use crate::asset::HostId;
use crate::engine::Status;
use crate::state::StateError;
use crate::telemetry::causes;

/// How a host is.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// Version of the program.
    pub version: &'static str,
    /// How long it has been running.
    pub uptime: Duration,
    /// Its store.
    pub store: StoreStatus,
    /// Replication.
    pub replication: Status,
}

/// How a store is.
#[derive(Debug, Clone)]
pub struct StoreStatus {
    /// Its kind in one word.
    pub kind: &'static str,
    /// Why it cannot be used, if so.
    pub trouble: Option<String>,
    /// Assets whose content is here.
    pub assets: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Assets whose content is missing or was moved aside.
    pub missing: u64,
}

impl Node {
    /// Looks at everything. A store that cannot be read is told as trouble, not as an error.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn status(&self) -> Result<NodeStatus, StateError> {
        let kind = self.store.kind();
        let store = match self.store.health().await {
            Ok(health) => StoreStatus {
                kind,
                trouble: health.trouble,
                assets: health.assets,
                bytes: health.bytes,
                missing: health.missing,
            },
            Err(error) => StoreStatus { kind, trouble: Some(causes(&error)), assets: 0, bytes: 0, missing: 0 },
        };
        Ok(NodeStatus {
            id: self.id(),
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.began.elapsed(),
            store,
            replication: self.engine.status().await?,
        })
    }
}
