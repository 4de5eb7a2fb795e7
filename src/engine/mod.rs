//! Replication against the world: drives a [`Replica`](crate::sync::Replica) between store, state, peers and plugins.
//!
//! It decides nothing about the protocol (that is `sync`), keeps nothing itself (that is `store` and `state`), and sees
//! plugins only through `hook`. Called by `node`.
//!
//! Who talks to whom:
//!
//! ```text
//!   store ── arrivals ──► feed ──┐                        ┌──► apply, keep ──► store, state
//!   hand, purge ─ wishes ─► ┘    │                        │
//!   peers ── messages ───────────┼──► hub ── outputs ─────┼──► peers (send, close)
//!   fetch, apply ── results ─────┘  (owns the replica)    └──► fetch ──► bulk connection of a peer
//!   bulk connection of a peer ──► serve ──► store
//!   feed, apply ── questions ──► judge ──► hooks, verdicts
//!   peers, dial ── news of members ──► members ──► peers (tell, let go), net (whom to let in)
//!   peers ── gossip ──► neighbours ◄──► discovery ── members ──► peers (links)
//! ```

mod apply;
mod brakes;
mod content;
mod devices;
mod dial;
mod early;
mod explain;
mod feed;
mod fetch;
mod greet;
mod hand;
mod hub;
mod judge;
mod keep;
mod links;
mod load;
mod members;
mod memory;
mod neighbours;
mod pace;
mod pairing;
mod peers;
#[cfg(feature = "testing")]
pub mod probe;
mod purge;
mod push;
mod registry;
mod review;
mod serve;
mod shared;
mod status;
mod turn;
mod verdicts;

#[cfg(test)]
mod tests;

pub use crate::auth::members::Membership;
pub use crate::auth::pairing::{PairingCode, PairingFailure};
pub use crate::library::{Flow, ParseRoleError, RelayPolicy, Role, Ticket};
pub use crate::state::{Decided, Decision, DecisionMark, PeerSettings, Refusal, Refused, Way};
pub use crate::sync::Culprit;
pub use brakes::Stopped;
pub use content::stored as stored_content;
pub use devices::{Condition, DeviceError, NamedError, RateLimit, Trust};
pub use explain::{Difference, ExplainError, ExplainedPeer, ExplainedStep, Explanation, Stored, Verdicted};
pub use hand::HandError;
pub use hand::Replayed;
pub use members::{Keep, MembersError, MembersStatus};
pub use pairing::PairingStatus;
pub use purge::PurgeError;
pub use review::ReviewStatus;
pub use shared::{Engine, Options, StartError};
pub use status::{LibraryStatus, PeerStatus, Status, TransferStatus};
