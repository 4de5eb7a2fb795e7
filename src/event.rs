//! Everything a host announces about itself while it runs: a closed list, which `GET /events` of the host API tells.

use crate::asset::AssetId;
use crate::asset::HostId;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An asset came from a peer, or its metadata changed by one.
    AssetStored {
        /// Which asset.
        id: AssetId,
        /// From which peer; `None` where a person has undone what one did.
        from: Option<HostId>,
    },
    /// An asset waits for a decision.
    AssetHeld {
        /// Which asset.
        id: AssetId,
        /// Why.
        reason: String,
    },
    /// A content turned out damaged and was moved aside.
    AssetQuarantined {
        /// Which asset.
        id: AssetId,
        /// What was found.
        reason: String,
    },
    /// A peer proved that it is a member, and is connected.
    PeerConnected {
        /// Which peer.
        peer: HostId,
    },
    /// A peer is no longer connected.
    PeerDisconnected {
        /// Which peer.
        peer: HostId,
        /// Why.
        reason: String,
    },
    /// The set towards a peer became equal to its set towards this host, or stopped being so.
    InSync {
        /// Which peer.
        peer: HostId,
        /// Whether they are equal now.
        in_sync: bool,
    },
    /// A device was let into the library with the words of pairing.
    DevicePaired {
        /// Which device.
        peer: HostId,
    },
    /// A host was removed from the library.
    PeerRemoved {
        /// Which host.
        peer: HostId,
    },
    /// Somebody trashed too much; its changes are held from now on.
    BrakeClosed {
        /// Who: the author of the changes, or the peer they came from.
        host: HostId,
    },
    /// A connection attempt without proof of membership.
    Refused {
        /// The id the stranger's connection has proved.
        peer: HostId,
    },
    /// A task ended in a panic; the host goes on without it.
    TaskPanicked {
        /// Its group and name.
        task: String,
        /// The panic's message.
        message: String,
    },
}
