//! Replication against the world: drives a [`Replica`](crate::sync::Replica) between store, state, peers and plugins.
//!
//! It decides nothing about the protocol (that is `sync`), keeps nothing itself (that is `store` and `state`), and sees
//! plugins only through `hook`. Called by `node`.
//!
//! Who talks to whom:
//!
//! ```text
//!   store ── arrivals ──► feed ──┐                        ┌──► apply (decide, keep) ──► store, state
//!   peers ── messages ───────────┼──► hub ── outputs ─────┼──► peers (send, close)
//!   fetch, apply ── results ─────┘  (owns the replica)    └──► fetch ──► bulk connection of a peer
//!   bulk connection of a peer ──► serve ──► store
//! ```

mod apply;
mod feed;
mod fetch;
mod hub;
mod memory;
mod peers;
mod serve;
mod shared;
mod status;

#[cfg(test)]
mod tests;

pub use shared::{Engine, Options, StartError};
pub use status::{LibraryStatus, PeerStatus, Status, TransferStatus};
