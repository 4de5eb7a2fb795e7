//! What a replica says is to be done.

use super::Answer;
use super::Message;
use super::Offer;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::HostId;
use crate::asset::Timestamp;

/// Something to do.
#[derive(Debug)]
pub enum Output {
    /// Send a message to a peer.
    Send {
        /// To which peer.
        peer: HostId,
        /// What to say.
        message: Message,
    },
    /// End the connection to a peer.
    Close {
        /// Which peer.
        peer: HostId,
        /// Why, for both sides.
        reason: String,
    },
    /// Read the shared documents of assets that are passed on; answer with [`Input::Loaded`](super::Input::Loaded).
    Load {
        /// For which peer.
        peer: HostId,
        /// Which assets.
        assets: Vec<AssetId>,
    },
    /// Decide about offered versions; answer each with [`Input::Decided`](super::Input::Decided).
    Decide {
        /// Who offered them.
        peer: HostId,
        /// What was offered.
        offers: Vec<Offer>,
    },
    /// Fetch the content of an asset; answer with [`Input::Fetched`](super::Input::Fetched).
    Fetch {
        /// From which peer.
        peer: HostId,
        /// Which asset.
        key: AssetKey,
    },
    /// Store a fetched asset with the versions offered for it; answer with [`Input::Kept`](super::Input::Kept).
    Keep {
        /// Which asset.
        key: AssetKey,
        /// Who offered which version.
        offers: Vec<(HostId, Offer)>,
    },
    /// A fetched content is no longer wanted.
    Drop {
        /// Which asset.
        asset: AssetId,
    },
    /// Remember a version that a peer is known to have; answer with [`Input::Excepted`](super::Input::Excepted).
    Remember {
        /// Which peer.
        peer: HostId,
        /// The version.
        offer: Offer,
        /// Whether it came from the peer, and so replaces what was known; else it is merged in.
        replaces: bool,
    },
    /// Forget what a peer was known to have; answer with [`Input::Excepted`](super::Input::Excepted) for each.
    Forget {
        /// Which peer.
        peer: HostId,
        /// Which assets, with their timestamps.
        assets: Vec<(Timestamp, AssetId)>,
    },
    /// A peer has answered an offer.
    Answered {
        /// Which peer.
        peer: HostId,
        /// Which asset.
        asset: AssetId,
        /// What became of it there.
        answer: Answer,
    },
    /// A peer does not take some fields of an offered version yet: they are stamped ahead of its clock.
    Early {
        /// Which peer.
        peer: HostId,
        /// Which asset.
        asset: AssetId,
        /// How far the latest of them is ahead, in milliseconds.
        ahead_ms: u64,
    },
    /// The set towards a peer became equal to its set towards this host, or stopped being so.
    InSync {
        /// Which peer.
        peer: HostId,
        /// Whether they are equal now.
        in_sync: bool,
    },
}
