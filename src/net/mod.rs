//! Connections between hosts: the iroh endpoint, the proof of membership, frames, and what they carry.
//!
//! It knows no store, no state and no rule of replication: it turns words of `sync` into bytes and back, and lets
//! nobody through who has not proved the library's secret. Called by `engine` and `node`.
//!
//! A pair of hosts holds one control connection; content flows on bulk connections that the side that wants it dials. A
//! connection of its own carries the messages of pairing.

mod bulk;
mod codec;
mod control;
mod endpoint;
mod frame;
mod pairing;
mod proof;
mod strangers;
mod succession;

#[cfg(test)]
mod tests;

pub use bulk::{BulkServer, Head, Piece, Records, ServedLane, WantReader, WantWriter, Wants};
pub use codec::CodecError;
#[cfg(test)]
pub(crate) use codec::message_bytes;
pub use control::{Control, ControlReader, ControlWriter, Gossip, Greeting, Line, Word};
pub use endpoint::{Accepted, BindError, DialError, Net, Options, Path, Purpose, Reachability, host_id};
pub use frame::FrameError;
pub use pairing::PairingStream;
pub use proof::{Link, ProofError};
pub use succession::Moved;
