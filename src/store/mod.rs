//! The store: where assets lie. One trait, its contract, and the backends that keep it.
//!
//! A store speaks documents. It takes content only with a [`Verified`](crate::asset::Verified), and answers a write
//! only when it is on stable storage. It knows no peer, no plugin and no library: what is shared with whom is decided
//! by the engine, which follows a store through its [arrivals](Store::arrivals).
//!
//! Called by `engine`, `node` and the faces. Backends: [`embedded`] (`SQLite` and flat files), [`can_service`] (HTTP), and
//! `memory` for tests.

pub mod can_service;
mod checked;
mod content;
mod disk;
mod error;
mod parts;
mod query;
mod record;
mod spool;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod embedded;
#[cfg(any(test, feature = "testing"))]
pub mod memory;

use async_trait::async_trait;
use tokio::sync::watch;

pub use content::{Content, ContentStream};
pub use disk::Disk;
pub use error::{Cause, ReadError, WriteError};
pub use query::{Cursor, Order, Page, Query};
pub use record::{Arrival, Edit, Health, Inventory, Origin, Presence, Record, Verification};
pub use spool::{Spool, SpoolError, SpoolFile, Spooled, SpooledBytes, SpooledReader};

use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Timestamp;

/// A place that holds assets.
///
/// # Contract
/// - [`put`](Self::put) and [`edit`](Self::edit) answer when content and document are on stable storage; whatever
///   breaks off before leaves the asset as it was.
/// - Every write that changes an asset gives it a new [`Arrival`], above all that were given before; an asset has one
///   arrival at a time, its latest. Arrivals survive a restart.
/// - A content that [`open`](Self::open) hands out is the whole content or an error, never a shorter one.
/// - A method that is cancelled may still take effect.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Returns the kind of store in one word, for people: `embedded`, `can-service`, `memory`.
    fn kind(&self) -> &'static str;

    /// Counts what is held and tells whether the store can be used.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    async fn health(&self) -> Result<Health, ReadError>;

    /// Returns what is known about assets, also when their content is missing: in the order asked, without those that
    /// are not known. One that cannot be understood does not keep the others back: it is left out and logged, and
    /// [`record`](Self::record) tells why. At most [`PAGE_ROWS`](crate::limits::PAGE_ROWS) are asked for at once.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    async fn records(&self, ids: &[AssetId]) -> Result<Vec<Record>, ReadError>;

    /// Returns what is known about one asset, also when its content is missing.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    async fn record(&self, id: &AssetId) -> Result<Option<Record>, ReadError>;

    /// Lists or searches assets whose content is here, page by page.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    async fn page(&self, query: &Query) -> Result<Page, ReadError>;

    /// Returns the assets whose latest arrival is after the given one, oldest first, at most `limit`
    /// (1 to [`PAGE_ROWS`](crate::limits::PAGE_ROWS)); fewer than `limit` means there are no more now. An asset that
    /// cannot be read is left out, so that it does not stop those behind it.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<Record>, ReadError>;

    /// Returns what [`arrivals`](Self::arrivals) would, without documents: enough to build a set of a million assets.
    /// At most `limit` rows, of any number.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    async fn inventory(&self, after: Arrival, limit: usize) -> Result<Vec<Inventory>, ReadError>;

    /// Follows the latest arrival. It wakes its receivers after the write is durable.
    fn latest(&self) -> watch::Receiver<Arrival>;

    /// Opens the content of an asset from `offset` bytes on; `None` when it is not here.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    async fn open(&self, id: &AssetId, offset: u64) -> Result<Option<Content>, ReadError>;

    /// Opens several contents, each from an offset on, and answers in the order asked, each for itself. Small ones are
    /// in memory then, so callers bound how many they open.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read at all.
    async fn open_all(&self, wanted: &[(AssetId, u64)]) -> Result<Vec<Result<Option<Content>, ReadError>>, ReadError> {
        let mut opened = Vec::with_capacity(wanted.len());
        for (id, offset) in wanted {
            opened.push(self.open(id, *offset).await);
        }
        Ok(opened)
    }

    /// Starts to take in content of which only the timestamp is known (an ingest).
    ///
    /// # Errors
    /// [`SpoolError`] when there is no place to write.
    async fn spool(&self, timestamp: Timestamp) -> Result<Spool, SpoolError>;

    /// Starts or resumes taking in the content of a known asset. What was written before a break is still there:
    /// [`Spool::offset`] tells how much. At most one spool of an asset may be open.
    ///
    /// # Errors
    /// [`SpoolError`] when there is no place to write.
    async fn resume(&self, key: &AssetKey) -> Result<Spool, SpoolError>;

    /// Takes in an asset, and applies `edit` to its document. An asset that is here already keeps its content and gets
    /// the edit; one whose content was missing gets it back.
    ///
    /// # Errors
    /// [`WriteError`] when it could not be made durable; nothing is stored then.
    async fn put(&self, spooled: Spooled, origin: Origin, edit: Edit) -> Result<Record, WriteError>;

    /// Changes the document of an asset; `None` when there is no such asset.
    ///
    /// # Errors
    /// [`WriteError`] when it could not be made durable; nothing is changed then.
    async fn edit(&self, id: &AssetId, edit: Edit) -> Result<Option<Record>, WriteError>;

    /// Removes content and document of an asset from this store; tells whether it was there.
    ///
    /// # Errors
    /// [`WriteError`] when it could not be made durable.
    async fn purge(&self, id: &AssetId) -> Result<bool, WriteError>;

    /// Hashes the content of an asset again and compares it with its id. A content that is wrong is moved aside and
    /// counts as missing from then on (a new arrival); `None` when there is no such asset.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    async fn verify(&self, id: &AssetId) -> Result<Option<Verification>, ReadError>;

    /// Ends background work and writes out what waits. Later calls fail.
    async fn close(&self);
}
