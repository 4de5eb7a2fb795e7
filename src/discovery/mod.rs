//! Discovery: learning where the other members of a library may be.
//!
//! Sources run side by side ([`Search`]); what they find is merged per host and handed on when it says something new. A
//! find is a hint: it authorises nobody, it only causes a dial, and the proof of the secret decides. Nothing here dials,
//! and nothing here remembers: what a host knows of peers comes in as arguments.
//!
//! - [`Known`]: the configuration, and where members were last;
//! - [`Rendezvous`]: slots on pkarr relays, or in the DHT behind them, whose keys are derived from the library's secret;
//! - [`Mdns`]: the local network;
//! - [`Gossip`]: what connected members tell of themselves and of others.
//!
//! Two devices that pair meet the same way, at a place that the first word of their code names: [`Mdns::at`] and
//! [`MeetingSlot`].
//!
//! Called by `node`, which plans the sources, and `engine`, which dials what they find and carries what is gossiped.

mod finds;
mod gossip;
mod known;
mod mdns;
mod rendezvous;
mod search;
mod source;

#[cfg(any(test, feature = "testing"))]
mod loopback_relay;

pub use gossip::{Allowance, Announcement, Connections, Gossip, GossipOptions, Neighbour, Neighbours};
pub use known::Known;
#[cfg(any(test, feature = "testing"))]
pub use loopback_relay::{LoopbackRelay, Manner};
pub use mdns::Mdns;
pub use rendezvous::{BeginError, Dht, Meeting, MeetingSlot, Options, Rendezvous, Servers};
pub use search::{Planned, Search};
pub use source::{Condition, Find, Finder, Health, Source, SourceError, Surroundings};
