//! HTTP as a server: the listener, its guard and its envelope, and the CAN-compatible API of a store.
//!
//! It turns requests into calls of a store and records into JSON; it decides nothing about peers, and holds no content
//! in memory. `cli` binds a [`Listener`] and hands it, as a boxed service, to `node`, which starts and stops it without
//! naming it.

mod body;
pub mod can;
mod envelope;
mod guard;
pub mod host;
mod path;
mod secret;
mod server;

pub use envelope::{Failure, success};
pub use guard::Guard;
pub use secret::Secret;
pub use server::{BindError, Listener, Served};
