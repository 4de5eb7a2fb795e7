//! Replication as a function: inputs in, outputs out.
//!
//! [`Replica`] is one host's side of one library: the set, a session per connected peer, and the plan of what to fetch
//! from whom. It is told what happened and says what to do; it reads no clock, no file and no socket, and knows neither
//! protobuf nor a store. The engine runs it against the world, the simulator (`sim`) against thousands of
//! seeded networks, and both run this very type.
//!
//! [`Brake`] beside it counts who trashes how much, and [`Web`] says which members are linked to each other. Start with [`Input`] and [`Output`], then `session` (the protocol with one peer) and `transfer` (which content
//! from whom).

mod act;
mod brake;
mod input;
mod links;
mod message;
mod output;
mod reconcile;
mod replica;
mod runs;
mod session;
mod set;
mod transfer;
mod unanswered;
mod version;

#[cfg(test)]
mod sim;

pub use brake::{Brake, BrakeLimits, Culprit, Trashing};
pub use input::{Decision, Fetched, Input, Kept};
pub use links::{Choice, Standing, Web};
pub use message::{Answer, Message, Offer};
pub use output::Output;
pub use replica::{PeerStatus, Replica};
pub use set::{Item, ItemHash, ItemSet, Summary};
pub use version::{Received, exception, receive};
