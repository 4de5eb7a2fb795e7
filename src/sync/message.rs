//! What two hosts say to each other about one library, as plain words.

use super::Item;
use super::ItemHash;
use super::Summary;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Digest;
use crate::asset::Document;

/// One message on the control stream; messages arrive in the order in which they were sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The sender's set towards the receiver, sent when nothing is under way.
    Summary {
        /// Count and fingerprint.
        summary: Summary,
        /// How many of these assets the sender passes on, and so has stored.
        kept: u64,
    },
    /// The initiator's part of one run of reconciliation.
    Reconcile {
        /// Counts the runs of a connection.
        run: u32,
        /// Ranges and fingerprints, as `negentropy` writes them.
        ranges: Vec<u8>,
    },
    /// The responder's part.
    ReconcileReply {
        /// Of which run.
        run: u32,
        /// Ranges and fingerprints, as `negentropy` writes them.
        ranges: Vec<u8>,
    },
    /// Versions that the initiator lacks.
    Request {
        /// Of which run.
        run: u32,
        /// Which versions.
        hashes: Vec<ItemHash>,
        /// Whether no further request follows in this run.
        last: bool,
    },
    /// Versions that the sender passes on.
    Offers(Vec<Offer>),
    /// What became of offers: the asset, the version that was offered, and the answer.
    Answers(Vec<(AssetId, Digest, Answer)>),
    /// A version the receiver offered has fields stamped too far ahead of the sender's clock; they wait there.
    Early {
        /// Of which asset.
        asset: AssetId,
        /// How far the latest of them is ahead, in milliseconds.
        ahead_ms: u64,
    },
    /// Every offer that a run asked of the sender has been sent.
    Settled {
        /// Of which run.
        run: u32,
    },
}

impl Message {
    /// Returns the bytes it takes while it waits to be sent, as far as the other side decides how many of them there
    /// are: offers and requests have windows of their own.
    #[must_use]
    pub fn bytes_asked_for(&self) -> usize {
        match self {
            Self::Reconcile { ranges, .. } | Self::ReconcileReply { ranges, .. } => ranges.len(),
            Self::Answers(answers) => {
                answers.iter().map(|(_, _, answer)| 64 + answer.reason().map_or(0, str::len)).sum()
            }
            Self::Summary { .. }
            | Self::Request { .. }
            | Self::Offers(_)
            | Self::Early { .. }
            | Self::Settled { .. } => 0,
        }
    }
}

/// A version of an asset that a host passes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Which asset.
    pub key: AssetKey,
    /// The shared document.
    pub document: Document,
}

impl Offer {
    /// Makes an offer of a document.
    #[must_use]
    pub fn new(key: AssetKey, document: Document) -> Self {
        // Where it is made, and not where it is wanted first: that is with the replica locked.
        let _ = document.digest();
        Self { key, document }
    }

    /// Returns the digest of the document.
    #[must_use]
    pub fn version(&self) -> Digest {
        self.document.digest()
    }

    /// Returns the bytes the document takes in a message, nearly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let fields = self.document.iter().map(|(name, field)| name.len() + field.value.text().map_or(0, str::len) + 56);
        128 + fields.sum::<usize>()
    }

    /// Returns the item of this version.
    #[must_use]
    pub fn item(&self) -> Item {
        Item::new(self.key.timestamp, self.key.id, &self.version())
    }
}

/// What became of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Content and document are durable.
    Stored,
    /// It waits for a decision there, for the reason given.
    Held(String),
    /// A plugin, a filter or a person does not want it, for the reason given.
    Declined(String),
    /// It is not allowed, or the content was wrong, for the reason given.
    Refused(String),
}

impl Answer {
    /// Returns the reason that is given, if one is.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Stored => None,
            Self::Held(reason) | Self::Declined(reason) | Self::Refused(reason) => Some(reason),
        }
    }
}
