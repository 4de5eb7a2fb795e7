//! Assets that are to be judged again, portion by portion, oldest first.

use std::collections::VecDeque;

use super::feed::FeedError;
use super::shared::Shared;
use crate::asset::AssetId;
use crate::limits;
use crate::store::Arrival;
use crate::store::Record;

/// How far a review is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReviewStatus {
    /// Assets that were judged again.
    pub judged: u64,
    /// Assets there were to judge when it began.
    pub of: u64,
}

/// What is decided again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// What is passed on.
    pub(super) pushes: bool,
    /// What is seen here of what came from peers.
    pub(super) receives: bool,
}

/// Assets to be judged again.
#[derive(Debug)]
pub(super) struct Review {
    pub(super) scope: Scope,
    place: Place,
    judged: u64,
    of: u64,
}

/// Where it is.
#[derive(Debug)]
enum Place {
    /// Behind an arrival of the store; it ends at another.
    Store {
        after: Arrival,
        until: Arrival,
    },
    /// Before the first of these.
    Listed(VecDeque<AssetId>),
    /// Among those whose plugins were absent, behind an asset.
    Absent(AssetId),
    Ended,
}

/// The next assets of a review.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) records: Vec<Record>,
    /// Where the review goes on when all of them were judged.
    pub(super) ends: End,
}

/// Where a portion ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Entries of a list that it takes, also those of which there is no record.
    listed: usize,
    asset: Option<AssetId>,
    is_last: bool,
}

impl Review {
    /// Reviews what arrived in the store up to now.
    pub(super) fn store(scope: Scope, until: Arrival, of: u64) -> Self {
        Self { scope, place: Place::Store { after: Arrival(0), until }, judged: 0, of }
    }

    /// Reviews some assets.
    pub(super) fn listed(scope: Scope, assets: Vec<AssetId>) -> Self {
        let of = assets.len() as u64;
        Self { scope, place: Place::Listed(assets.into()), judged: 0, of }
    }

    /// Reviews what a plugin could not be asked about.
    pub(super) fn absent() -> Self {
        let scope = Scope { pushes: true, receives: true };
        Self { scope, place: Place::Absent(AssetId::from_bytes([0; 32])), judged: 0, of: 0 }
    }

    pub(super) fn progress(&self) -> ReviewStatus {
        ReviewStatus { judged: self.judged, of: self.of.max(self.judged) }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.place, Place::Ended)
    }

    /// Reads the next assets.
    pub(super) async fn portion(&self, shared: &Shared) -> Result<Portion, FeedError> {
        let most = limits::REVIEW_ROWS;
        Ok(match &self.place {
            Place::Store { after, until } => {
                let mut records = shared.store.arrivals(*after, most).await?;
                let all = records.len();
                records.retain(|record| record.arrival <= *until);
                let is_last = all < most || records.len() < all;
                Portion { records, ends: End { listed: 0, asset: None, is_last } }
            }
            Place::Listed(assets) => {
                let ids: Vec<AssetId> = assets.iter().take(most).copied().collect();
                let is_last = ids.len() == assets.len();
                let records = shared.store.records(&ids).await?;
                Portion { records, ends: End { listed: ids.len(), asset: None, is_last } }
            }
            Place::Absent(after) => {
                let ids = shared.state.absent(*after, most).await?;
                let (asset, is_last) = (ids.last().copied(), ids.len() < most);
                Portion { records: shared.store.records(&ids).await?, ends: End { listed: 0, asset, is_last } }
            }
            Place::Ended => Portion { records: Vec::new(), ends: End { listed: 0, asset: None, is_last: true } },
        })
    }

    /// Goes on behind records of a portion: some of them, or all, and then to its end.
    pub(super) fn advance(&mut self, judged: &[Record], end: Option<End>) {
        self.judged += judged.len() as u64;
        if end.is_some_and(|end| end.is_last) {
            self.place = Place::Ended;
            return;
        }
        match &mut self.place {
            Place::Store { after, .. } => *after = judged.last().map_or(*after, |record| record.arrival),
            Place::Listed(assets) => match end {
                Some(end) => drop(assets.drain(..end.listed)),
                // Those without a record are looked for once more, and go with the end.
                None => assets.retain(|asset| !judged.iter().any(|record| record.key.id == *asset)),
            },
            Place::Absent(after) => {
                let last = judged.last().map(|record| record.key.id);
                *after = end.and_then(|end| end.asset).or(last).unwrap_or(*after);
            }
            Place::Ended => {}
        }
    }
}
