//! What a replica is told.

use super::Answer;
use super::Message;
use super::Offer;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Digest;
use crate::asset::HostId;
use crate::asset::Timestamp;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A peer has proved its membership; its control stream begins.
    Connected {
        /// Which peer.
        peer: HostId,
        /// Whether this host dialled.
        dialled: bool,
        /// Whether anything is passed on to it; if not, the set towards it holds only what it is known to have.
        passes: bool,
        /// The versions in the set towards it that differ from the common set.
        exceptions: Vec<(Timestamp, AssetId, Digest)>,
    },
    /// The control stream has ended.
    Disconnected {
        /// Which peer.
        peer: HostId,
    },
    /// A message came.
    Received {
        /// From which peer.
        peer: HostId,
        /// What it says.
        message: Message,
    },
    /// What this host passes on of an asset has changed.
    Passes {
        /// Which asset.
        key: AssetKey,
        /// The version; `None` when it is not passed on.
        version: Option<Digest>,
        /// For each peer of which something is known: what stands in the set towards it instead, if so.
        exceptions: Vec<(HostId, Option<Digest>)>,
    },
    /// What is known of a peer's version of an asset has changed.
    Excepted {
        /// Which peer.
        peer: HostId,
        /// Timestamp of the asset.
        timestamp: Timestamp,
        /// Which asset.
        asset: AssetId,
        /// What stands in the set towards it instead of the common version, if so.
        version: Option<Digest>,
    },
    /// The documents that [`Output::Load`](super::Output::Load) asked for.
    Loaded {
        /// For which peer.
        peer: HostId,
        /// What was asked for.
        asked: Vec<AssetId>,
        /// What of it is passed on.
        offers: Vec<Offer>,
    },
    /// The answer to [`Output::Decide`](super::Output::Decide) about one version.
    Decided {
        /// Who offered it.
        peer: HostId,
        /// What was offered.
        offer: Offer,
        /// What is to happen.
        decision: Decision,
    },
    /// Some fields of a version that a peer offered are stamped too far ahead of this host's clock.
    Early {
        /// Who offered it.
        peer: HostId,
        /// Which asset.
        asset: AssetId,
        /// How far the latest of them is ahead, in milliseconds.
        ahead_ms: u64,
    },
    /// A fetch that [`Output::Fetch`](super::Output::Fetch) asked for has ended.
    Fetched {
        /// From which peer.
        peer: HostId,
        /// Which asset.
        asset: AssetId,
        /// How it ended.
        outcome: Fetched,
    },
    /// What [`Output::Keep`](super::Output::Keep) asked for has ended.
    Kept {
        /// Which asset.
        asset: AssetId,
        /// How it ended.
        outcome: Kept,
    },
    /// It is time to compare sets with all peers again.
    Poll,
    /// Time has passed.
    Tick,
}

/// What is to happen with an offered version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Its content is wanted.
    Want,
    /// It needs no content: it was merged, held, declined or refused, durably.
    Answer(Answer),
    /// This host failed at it, in these words. Nothing is remembered, so that it is offered again.
    Failed(String),
}

/// How a fetch has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// The whole content is here and verified.
    Whole,
    /// The peer does not have it, or no longer passes it on.
    NotHere,
    /// The content was not what the id says.
    Wrong,
    /// The content was not what the id says, and only the rest of it came from this peer: what had been here before may
    /// have been damaged, or another's lie. It has been thrown away.
    Mixed,
    /// Nothing came for too long, or the connection broke.
    Stalled,
    /// This host could not write it.
    Local,
}

/// How keeping a fetched asset has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Its fate is durable.
    Answer(Answer),
    /// This host could not store it; it is fetched again later.
    Failed,
}
