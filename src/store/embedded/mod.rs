//! The store that `can-sync` brings itself: a `SQLite` index and one flat file per asset.
//!
//! A small content is made durable inside the index, in the transaction of its row, and becomes a flat file a moment
//! later, in batches with one flush. A large one is flushed in the spool folder before its row is written, and gets its
//! final name later. Whoever reads sees no difference. After a crash the index alone says what is there; its own tables
//! hold what is still to be done, so nothing ever searches the storage root but [`rebuild()`].
//!
//! It is not a cache and not a view: what it answers is on stable storage. It follows no peer and serves no HTTP.
//!
//! Called by `node` (which opens it), the `can-sync store` commands, and through the trait by everyone else.

mod attribute;
mod index;
mod labels;
mod layout;
mod listing;
mod log;
mod open;
mod readers;
mod reading;
mod rebuild;
mod row;
#[cfg(any(test, feature = "testing"))]
mod rows;
mod schema;
mod search;
mod store;
mod text;
mod verify;
mod whole;
mod write_back;
mod writer;

#[cfg(test)]
mod tests;

pub use open::{Notice, OpenError, Options};
pub use rebuild::{RebuildError, Rebuilt, Unrecovered, rebuild};
pub use store::EmbeddedStore;
