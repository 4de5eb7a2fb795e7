//! Listing and searching.

use super::Record;
use crate::asset::AssetId;
use crate::asset::Timestamp;

/// In which order assets are listed: by timestamp, then by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
}

/// The last asset of a page; the next page begins behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Timestamp of that asset.
    pub timestamp: Timestamp,
    /// Id of that asset.
    pub id: AssetId,
}

/// Which assets to list. All conditions must hold; what is not set does not restrict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Tags the asset must have, all of them, exactly.
    pub tags: Vec<String>,
    /// Application, exactly.
    pub application: Option<String>,
    /// User, exactly.
    pub user: Option<String>,
    /// Media type, exactly, or its first half with a trailing slash (`image/`).
    pub mime_type: Option<String>,
    /// Text that file name, path, description or a tag contains, case ignored for ASCII.
    pub text: Option<String>,
    /// Earliest timestamp in Unix milliseconds.
    pub from: Option<u64>,
    /// Latest timestamp in Unix milliseconds.
    pub to: Option<u64>,
    /// Whether assets in the trash are listed; they alone.
    pub trashed: bool,
    /// In which order.
    pub order: Order,
    /// Behind which asset to begin.
    pub after: Option<Cursor>,
    /// How many to leave out at the beginning.
    pub offset: u64,
    /// How many to return, at most [`PAGE_ROWS`](crate::limits::PAGE_ROWS).
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            tags: Vec::new(),
            application: None,
            user: None,
            mime_type: None,
            text: None,
            from: None,
            to: None,
            trashed: false,
            order: Order::Newest,
            after: None,
            offset: 0,
            limit: crate::limits::PAGE_ROWS_DEFAULT,
        }
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The assets, in order: at most `limit`, and fewer where their documents are large.
    pub records: Vec<Record>,
    /// How many assets the query has in all pages.
    pub total: u64,
    /// Where the next page begins, when there may be one.
    pub next: Option<Cursor>,
}
