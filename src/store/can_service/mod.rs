//! The store that is a CAN Service beside this program, spoken to over HTTP.
//!
//! Contents lie at the service and only there; documents, intents and what the service showed lie in a database of this
//! host. An asset is shown to the rest of the program once its content was read and verified: so nothing is ever offered
//! that is not sound, at the price of reading each asset once when it is first seen. What the service then hands out is
//! checked against the BLAKE3 that was kept.
//!
//! It is no cache: a content that is not at the service is not here. Built by `node`. One task follows the service:
//! events shorten the wait, a listing from a cursor finds what they lost, a sweep over everything finds the rest.

pub mod bundle;
mod client;
mod contents;
pub mod convert;
mod follow;
mod index;
mod listing;
mod look;
mod notice;
mod open;
mod outgoing;
mod pull;
mod shared;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod unreadable;
mod view;

pub use client::{ServiceError, SyncKey};
pub use follow::FollowError;
pub use open::{CanService, OpenError, Options};

use shared::Shared;
