//! Libraries: what is replicated between which members, and the ticket by which a member is found.
//!
//! Pure. A ticket is an address and never a secret; nothing here knows secrets (that is `auth`) or connections.
//!
//! Called by `sync`, `net`, `engine`, `node` and the faces.

mod definition;
mod ticket;

pub use definition::{Filter, Library, MIRROR};
pub use ticket::{ParseTicketError, Ticket};
