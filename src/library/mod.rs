//! Libraries: what is replicated between which members in which direction, and the ticket by which a member is found.
//!
//! Pure. A ticket is an address and never a secret; nothing here knows secrets (that is `auth`) or connections.
//!
//! Called by `sync`, `net`, `engine`, `node` and the faces.

mod definition;
mod relay;
mod relay_policy;
mod role;
mod ticket;

pub use definition::{Filter, Library, MIRROR};
pub use relay::Relay;
pub use relay_policy::{ParseRelayPolicyError, RelayPolicy};
pub use role::{Flow, ParseRoleError, Role};
pub use ticket::{ParseTicketError, Ticket};
