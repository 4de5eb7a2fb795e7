//! SQLite, as this program uses it: one thread writes and groups commits, a few connections read.
//!
//! It knows no table. A write is answered when its commit is on stable storage; no connection crosses an await.
//! Used by everything that keeps a database: `state` and the stores.

mod connection;
mod error;
mod handle;
mod pool;
#[cfg(test)]
mod tests;
mod writer;

pub use connection::Migrations;
pub(crate) use connection::prepare;
pub use error::{DatabaseError, OpenError};
pub use handle::Database;
pub(crate) use pool::Pool;
