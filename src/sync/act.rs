//! What a session has its replica do.

use super::Answer;
use super::Message;
use super::Offer;
use crate::asset::AssetId;
use crate::asset::Timestamp;

/// What a session wants done.
#[derive(Debug)]
pub(super) enum Act {
    /// Send a message to the peer.
    Send(Message),
    /// Read the shared documents of these assets, to offer them.
    Load(Vec<AssetId>),
    /// Decide about offered versions.
    Decide(Vec<Offer>),
    /// The peer has answered an offer that was open.
    Answered(Offer, Answer),
    /// The peer does not take some fields of an offered version yet: they are so far ahead of its clock.
    Early(AssetId, u64),
    /// The peer has shown that it has no version of these assets.
    Forget(Vec<(Timestamp, AssetId)>),
    /// The peer breaks the protocol.
    Close(String),
}
