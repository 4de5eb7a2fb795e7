//! The set: one item per asset, ordered, with the sum that its fingerprint is made of.
//!
//! A set is a list of chunks that are shared until they change. A copy is therefore cheap (a reconcile reads one, while
//! the set goes on changing), and the sets towards several peers share all but what differs.
//!
//! `negentropy` sums the ranges it compares by going through their items: its fingerprint type cannot be made from a
//! sum kept elsewhere. Over a million items that is some milliseconds a reconcile.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::LazyLock;

use negentropy::Bound;
use negentropy::Id;
use negentropy::NegentropyStorageBase;

use crate::asset::AssetId;
use crate::asset::Digest;
use crate::asset::Timestamp;
use crate::asset::bytes32;

/// Items in a chunk after a split; one of twice as many is split.
const CHUNK_ITEMS: usize = 256;

/// BLAKE3 of an asset id and the digest of a document: the version of an asset, in a set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemHash([u8; 32]);

bytes32!(ItemHash);

impl ItemHash {
    /// Makes the hash of one version of an asset.
    #[must_use]
    pub fn of(asset: &AssetId, document: &Digest) -> Self {
        // The context of a key is hashed too, once and not for every item.
        static HASHER: LazyLock<blake3::Hasher> =
            LazyLock::new(|| blake3::Hasher::new_derive_key("can-sync v1 set item"));
        let mut hasher = HASHER.clone();
        hasher.update(asset.as_bytes());
        hasher.update(document.as_bytes());
        Self(hasher.finalize().into())
    }
}

/// One asset in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Timestamp of the asset; clusters new assets at the end.
    pub timestamp: Timestamp,
    /// Its version.
    pub hash: ItemHash,
    /// Which asset.
    pub asset: AssetId,
}

impl Item {
    /// Makes the item of one version of an asset.
    #[must_use]
    pub fn new(timestamp: Timestamp, asset: AssetId, document: &Digest) -> Self {
        Self { timestamp, hash: ItemHash::of(&asset, document), asset }
    }

    fn position(&self) -> (u64, ItemHash) {
        (self.timestamp.as_millis(), self.hash)
    }
}

/// Count and fingerprint of a set: equal on two hosts when the sets are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Summary {
    /// How many items.
    pub count: u64,
    /// Sixteen bytes over count and sum of the item hashes.
    pub fingerprint: [u8; 16],
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} assets, {}", self.count, data_encoding::HEXLOWER.encode(&self.fingerprint))
    }
}

/// Items of one timestamp that are gone through one by one to find that of an asset. Where there are more, they are
/// looked up.
const CROWD_ITEMS: usize = 64;

/// Some neighbouring items, in order; never empty.
type Chunk = Vec<Item>;

/// The items of timestamps that many assets have.
type Crowds = BTreeMap<Timestamp, Arc<HashMap<AssetId, Item>>>;

/// An ordered set of items.
#[derive(Debug, Clone, Default)]
pub struct ItemSet {
    chunks: Vec<Arc<Chunk>>,
    crowds: Crowds,
    count: usize,
    sum: Sum,
}

impl ItemSet {
    /// Builds a set at once, from items in any order.
    #[must_use]
    pub fn build(mut items: Vec<Item>) -> Self {
        items.sort_unstable();
        items.dedup();
        let mut sum = Sum::default();
        items.iter().for_each(|item| sum.add(&item.hash));
        let chunks = items.chunks(CHUNK_ITEMS).map(|items| Arc::new(items.to_vec())).collect();
        let together = items.chunk_by(|one, other| one.timestamp == other.timestamp);
        let crowds = together.filter(|items| items.len() > CROWD_ITEMS).map(|items| (items[0].timestamp, crowd(items)));
        Self { chunks, crowds: crowds.collect(), count: items.len(), sum }
    }

    /// Returns how many items there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Tells whether there is no item.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns count and fingerprint.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let count = self.count as u64;
        let mut hasher = blake3::Hasher::new_derive_key("can-sync v1 set fingerprint");
        hasher.update(&count.to_le_bytes());
        hasher.update(&self.sum.0);
        let mut fingerprint = [0; 16];
        hasher.finalize_xof().fill(&mut fingerprint);
        Summary { count, fingerprint }
    }

    /// Goes through all items in order.
    pub fn iter(&self) -> impl Iterator<Item = &Item> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// Tells whether an item is in the set.
    #[must_use]
    pub fn contains(&self, item: &Item) -> bool {
        self.locate(item).is_ok()
    }

    /// Returns the item of an asset.
    #[must_use]
    pub fn item_of(&self, timestamp: Timestamp, asset: &AssetId) -> Option<Item> {
        match self.crowds.get(&timestamp) {
            Some(crowd) => crowd.get(asset).copied(),
            None => self.of_timestamp(timestamp).find(|item| item.asset == *asset).copied(),
        }
    }

    /// Goes through the items of a timestamp.
    fn of_timestamp(&self, timestamp: Timestamp) -> impl Iterator<Item = &Item> {
        let first = Item { timestamp, hash: ItemHash([0; 32]), asset: AssetId::from_bytes([0; 32]) };
        let (chunk, index) = self.locate(&first).unwrap_or_else(|place| place);
        let items = self.chunks.get(chunk..).unwrap_or_default().iter().flat_map(|chunk| chunk.iter()).skip(index);
        items.take_while(move |item| item.timestamp == timestamp)
    }

    /// Puts the version of an asset in place of the one that was there; `None` takes it out. Tells whether the set
    /// changed.
    pub fn put(&mut self, timestamp: Timestamp, asset: AssetId, new: Option<Item>) -> bool {
        let old = self.item_of(timestamp, &asset);
        if old == new {
            return false;
        }
        if let Some(old) = old {
            self.remove(&old);
        }
        if let Some(new) = new {
            self.insert(new);
        }
        true
    }

    fn insert(&mut self, item: Item) {
        let Err((chunk, index)) = self.locate(&item) else { return };
        if let Some(crowd) = self.crowds.get_mut(&item.timestamp) {
            Arc::make_mut(crowd).insert(item.asset, item);
        } else if self.of_timestamp(item.timestamp).take(CROWD_ITEMS).count() == CROWD_ITEMS {
            let items = self.of_timestamp(item.timestamp).chain([&item]);
            self.crowds.insert(item.timestamp, crowd(items));
        }
        self.count += 1;
        self.sum.add(&item.hash);
        let Some(shared) = self.chunks.get_mut(chunk) else {
            self.chunks.push(Arc::new(vec![item]));
            return;
        };
        let owned = Arc::make_mut(shared);
        owned.insert(index, item);
        if owned.len() >= 2 * CHUNK_ITEMS {
            let upper = owned.split_off(CHUNK_ITEMS);
            self.chunks.insert(chunk + 1, Arc::new(upper));
        }
    }

    fn remove(&mut self, item: &Item) {
        let Ok((chunk, index)) = self.locate(item) else { return };
        if let Some(crowd) = self.crowds.get_mut(&item.timestamp) {
            let crowd = Arc::make_mut(crowd);
            crowd.remove(&item.asset);
            if crowd.is_empty() {
                self.crowds.remove(&item.timestamp);
            }
        }
        self.count -= 1;
        self.sum.subtract(&item.hash);
        let owned = Arc::make_mut(&mut self.chunks[chunk]);
        owned.remove(index);
        if owned.is_empty() {
            self.chunks.remove(chunk);
        }
    }

    /// Finds the chunk and the index in it of an item, or where it would be.
    fn locate(&self, item: &Item) -> Result<(usize, usize), (usize, usize)> {
        let position = item.position();
        let after = self.chunks.partition_point(|chunk| chunk[0].position() <= position);
        let chunk = after.saturating_sub(1);
        match self.chunks.get(chunk) {
            None => Err((0, 0)),
            Some(found) => match found.binary_search_by(|item| item.position().cmp(&position)) {
                Ok(index) => Ok((chunk, index)),
                Err(index) => Err((chunk, index)),
            },
        }
    }
}

fn crowd<'a>(items: impl IntoIterator<Item = &'a Item>) -> Arc<HashMap<AssetId, Item>> {
    Arc::new(items.into_iter().map(|item| (item.asset, *item)).collect())
}

/// A sum of item hashes, modulo 2 to the 256th, little-endian.
#[derive(Debug, Clone, Copy, Default)]
struct Sum([u8; 32]);

impl Sum {
    fn add(&mut self, hash: &ItemHash) {
        let mut carry = 0_u128;
        for (own, other) in self.0.chunks_exact_mut(8).zip(hash.0.chunks_exact(8)) {
            let sum = u128::from(word(own)) + u128::from(word(other)) + carry;
            own.copy_from_slice(&low(sum).to_le_bytes());
            carry = sum >> 64;
        }
    }

    fn subtract(&mut self, hash: &ItemHash) {
        let mut borrow = false;
        for (own, other) in self.0.chunks_exact_mut(8).zip(hash.0.chunks_exact(8)) {
            let (difference, under) = word(own).overflowing_sub(word(other));
            let (difference, under_again) = difference.overflowing_sub(u64::from(borrow));
            own.copy_from_slice(&difference.to_le_bytes());
            borrow = under || under_again;
        }
    }
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("chunks of eight"))
}

fn low(sum: u128) -> u64 {
    u64::try_from(sum & u128::from(u64::MAX)).expect("masked to 64 bits")
}

/// What `negentropy` asks of a set.
impl NegentropyStorageBase for ItemSet {
    fn size(&self) -> Result<usize, negentropy::Error> {
        Ok(self.count)
    }

    fn get_item(&self, index: usize) -> Result<Option<negentropy::Item>, negentropy::Error> {
        let mut found = None;
        self.iterate(index, index + 1, &mut |item, _| {
            found = Some(item);
            Ok(false)
        })?;
        Ok(found)
    }

    fn iterate(
        &self,
        begin: usize,
        end: usize,
        visit: &mut dyn FnMut(negentropy::Item, usize) -> Result<bool, negentropy::Error>,
    ) -> Result<(), negentropy::Error> {
        let mut next = 0;
        for chunk in &self.chunks {
            let first = next;
            next += chunk.len();
            let (from, to) = (begin.max(first), end.min(next));
            for index in from..to {
                if !visit(range_item(&chunk[index - first]), index)? {
                    return Ok(());
                }
            }
            if next >= end {
                break;
            }
        }
        Ok(())
    }

    fn find_lower_bound(&self, first: usize, last: usize, bound: &Bound) -> usize {
        let below = |item: &Item| range_item(item) < bound.item;
        let chunk = self.chunks.partition_point(|chunk| below(&chunk[0])).saturating_sub(1);
        let before: usize = self.chunks[..chunk].iter().map(|chunk| chunk.len()).sum();
        let within = self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(below));
        (before + within).clamp(first, last)
    }
}

fn range_item(item: &Item) -> negentropy::Item {
    negentropy::Item::with_timestamp_and_id(item.timestamp.as_millis(), Id::from_byte_array(item.hash.0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use negentropy::NegentropyStorageVector;
    use proptest::prelude::*;

    use super::*;

    fn digest(n: u8) -> Digest {
        Digest::from_bytes([n; 32])
    }

    fn asset(n: u16) -> (Timestamp, AssetId) {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_le_bytes());
        // A third of them of one timestamp.
        let later = if n.is_multiple_of(3) { 0 } else { n % 97 };
        (Timestamp::new(1_700_000_000_000 + u64::from(later)).unwrap(), AssetId::from_bytes(bytes))
    }

    fn vector(set: &ItemSet) -> NegentropyStorageVector {
        let mut vector = NegentropyStorageVector::new();
        for item in set.iter() {
            vector.insert(item.timestamp.as_millis(), Id::from_byte_array(item.hash.0)).unwrap();
        }
        vector.seal().unwrap();
        vector
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against a plain map and against the vector that comes with `negentropy`.
        #[test]
        fn a_set_is_what_was_put_in_and_not_taken_out(
            puts in proptest::collection::vec((0_u16..900, proptest::option::of(0_u8..3)), 0..2000),
            cuts in (0_usize..1000, 0_usize..1000),
        ) {
            let mut set = ItemSet::default();
            let mut model = BTreeMap::new();
            for (n, version) in puts {
                let (timestamp, id) = asset(n);
                let version = version.map(digest);
                set.put(timestamp, id, version.map(|version| Item::new(timestamp, id, &version)));
                match version {
                    Some(version) => model.insert(id, Item::new(timestamp, id, &version)),
                    None => model.remove(&id),
                };
            }
            let built = ItemSet::build(model.values().copied().collect());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), built.iter().collect::<Vec<_>>());
            prop_assert_eq!(set.summary(), built.summary());
            for (timestamp, id) in (0..900).map(asset) {
                prop_assert_eq!(set.item_of(timestamp, &id), model.get(&id).copied());
                prop_assert_eq!(built.item_of(timestamp, &id), model.get(&id).copied());
            }
            let vector = vector(&set);
            let (begin, end) = (cuts.0.min(cuts.1).min(set.len()), cuts.0.max(cuts.1).min(set.len()));
            prop_assert_eq!(
                set.fingerprint(begin, end).unwrap().to_bytes(),
                vector.fingerprint(begin, end).unwrap().to_bytes()
            );
            prop_assert_eq!(set.get_item(begin).unwrap(), vector.get_item(begin).unwrap());
            for item in set.iter().step_by(13) {
                let bound = Bound::with_timestamp_and_id(item.timestamp.as_millis(), &item.hash.0[..5]).unwrap();
                prop_assert_eq!(
                    set.find_lower_bound(0, set.len(), &bound),
                    vector.find_lower_bound(0, set.len(), &bound)
                );
            }
        }
    }

    #[test]
    fn a_copy_keeps_what_it_had() {
        let mut set = ItemSet::default();
        for n in 0..1000 {
            let (timestamp, id) = asset(n);
            set.put(timestamp, id, Some(Item::new(timestamp, id, &digest(1))));
        }
        let copy = set.clone();
        let before = set.summary();
        let (timestamp, id) = asset(500);
        assert!(set.put(timestamp, id, Some(Item::new(timestamp, id, &digest(2)))));
        assert!(!set.put(timestamp, id, Some(Item::new(timestamp, id, &digest(2)))));
        assert_eq!(copy.summary(), before);
        assert_ne!(set.summary(), before);
        assert_eq!(set.item_of(timestamp, &id), Some(Item::new(timestamp, id, &digest(2))));
    }
}
