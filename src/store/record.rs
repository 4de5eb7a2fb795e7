//! What a store tells about an asset.

use crate::asset::AssetKey;
use crate::asset::ContentDigest;
use crate::asset::Digest;
use crate::asset::LocalDocument;

/// Position in the order in which assets came or changed; zero is before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arrival(pub u64);

/// Where an asset was first seen by this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Ingested here.
    Here,
    /// Received from a peer, or pushed by another program through the sync API.
    Peer,
}

/// Whether the content of an asset can be read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It can.
    Here,
    /// The file is not there.
    Missing,
    /// It did not match its id and was moved aside.
    Quarantined,
}

impl Presence {
    /// Tells whether the content can be read.
    #[must_use]
    pub fn is_here(self) -> bool {
        self == Self::Here
    }
}

/// All that a store knows about one asset, but its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Id, timestamp and size.
    pub key: AssetKey,
    /// BLAKE3 of the content.
    pub content: ContentDigest,
    /// Shared document and local values.
    pub document: LocalDocument,
    /// Where it was first seen.
    pub origin: Origin,
    /// Whether the content can be read.
    pub presence: Presence,
    /// Its latest arrival.
    pub arrival: Arrival,
}

/// A change of one document, applied inside the store's own transaction, so that no other change comes between.
///
/// It sees the document as it is then (empty for an asset the store did not have). A document it leaves as it was
/// makes no arrival.
pub type Edit = Box<dyn FnOnce(&mut LocalDocument) + Send>;

/// One asset in few bytes, for building sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inventory {
    /// Id, timestamp and size.
    pub key: AssetKey,
    /// Digest of the shared document.
    pub document: Digest,
    /// Whether the content can be read.
    pub presence: Presence,
    /// Its latest arrival.
    pub arrival: Arrival,
}

/// How a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Why the store cannot be written, if so.
    pub trouble: Option<String>,
    /// What people should know although the store works, a sentence each.
    pub notes: Vec<String>,
    /// Assets whose content is here, trashed ones too.
    pub assets: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Assets whose content is missing or moved aside.
    pub missing: u64,
}

/// What hashing a content again has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// The content matches its id.
    Sound {
        /// How many bytes were hashed.
        bytes: u64,
    },
    /// The content does not match, and was moved aside.
    Quarantined {
        /// What was found, for people.
        reason: String,
    },
    /// There is no content.
    Missing,
    /// It could not be hashed, and was left as it is.
    Unreadable {
        /// Why, for people.
        reason: String,
    },
}
