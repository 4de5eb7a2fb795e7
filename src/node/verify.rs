//! Hashing contents again, on request.

use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream;

use super::start::Node;
use crate::asset::AssetId;
use crate::limits;
use crate::store::Arrival;
use crate::store::ReadError;
use crate::store::Store;
use crate::store::Verification;

/// Which assets to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Every asset of the store.
    All,
    /// These.
    Some(Vec<AssetId>),
}

/// One asset that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which asset.
    pub id: AssetId,
    /// What was found; a content that does not match was moved aside and comes again from a peer that has it.
    pub found: Verification,
}

/// A step of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyStep {
    /// How many assets there are to verify, as far as is known.
    Total(u64),
    /// One was verified.
    Verified(Verified),
}

/// Where a walk over the store is.
struct Walk {
    store: Arc<dyn Store>,
    next: std::vec::IntoIter<AssetId>,
    /// Behind which arrival the next page begins; `None` when there is none.
    after: Option<Arrival>,
    /// Where the walk ends: what a verification moves aside arrives again behind it.
    last: Arrival,
    total: Option<u64>,
}

impl Node {
    /// Verifies assets one after the other, as fast as the stream is read.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub async fn verify(
        &self,
        which: Which,
    ) -> Result<impl Stream<Item = Result<VerifyStep, ReadError>> + use<>, ReadError> {
        let (ids, after, total) = match which {
            Which::Some(ids) => (ids.clone(), None, ids.len() as u64),
            Which::All => {
                let health = self.store.health().await?;
                (Vec::new(), Some(Arrival::default()), health.assets + health.missing)
            }
        };
        let last = *self.store.latest().borrow();
        let walk = Walk { store: self.store(), next: ids.into_iter(), after, last, total: Some(total) };
        Ok(stream::unfold(walk, |mut walk| async move {
            let step = walk.step().await.transpose()?;
            Some((step, walk))
        }))
    }
}

impl Walk {
    async fn step(&mut self) -> Result<Option<VerifyStep>, ReadError> {
        if let Some(total) = self.total.take() {
            return Ok(Some(VerifyStep::Total(total)));
        }
        loop {
            if let Some(id) = self.next.next() {
                let found = self.store.verify(&id).await?.unwrap_or(Verification::Missing);
                return Ok(Some(VerifyStep::Verified(Verified { id, found })));
            }
            let Some(after) = self.after else { return Ok(None) };
            let page = self.store.inventory(after, limits::INVENTORY_ROWS).await?;
            self.after = page.last().map(|row| row.arrival);
            let last = self.last;
            let rows = page.into_iter().filter(|row| row.arrival <= last);
            self.next = rows.map(|row| row.key.id).collect::<Vec<_>>().into_iter();
        }
    }
}
