//! The small store of a plugin's own: in memory while it runs, written down in the background.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::limits;
use parking_lot::Mutex;

/// What a plugin keeps across restarts. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct State(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    values: BTreeMap<String, Entry>,
    bytes: usize,
    limit_bytes: usize,
    /// Keys whose values are not written down yet, or whose removal is not.
    changed: BTreeSet<String>,
    /// Bytes of those that are to be removed.
    removed_bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Vec<u8>,
    /// Whether something may be written down under its key. What is not goes without a trace.
    written: bool,
}

/// Something does not fit; the text names the limit.
#[derive(Debug)]
pub(super) struct StateError(pub(super) String);

/// What has changed: each key with its value, `None` for what was removed.
pub(super) type Changed = Vec<(String, Option<Vec<u8>>)>;

/// Returns how many bytes of the limit a key takes, with a value of so many.
const fn taken(key: &str, value: usize) -> usize {
    limits::plugin::STATE_ENTRY_BYTES + key.len() + value
}

impl State {
    /// Starts with what was written down.
    pub(super) fn new(values: BTreeMap<String, Vec<u8>>, limit_bytes: usize) -> Self {
        let values = values.into_iter().map(|(key, value)| (key, Entry { value, written: true })).collect();
        Self::of(values, limit_bytes)
    }

    fn of(values: BTreeMap<String, Entry>, limit_bytes: usize) -> Self {
        let bytes = values.iter().map(|(key, entry)| taken(key, entry.value.len())).sum();
        let (changed, removed_bytes) = (BTreeSet::new(), 0);
        Self(Arc::new(Mutex::new(Inside { values, bytes, limit_bytes, changed, removed_bytes })))
    }

    /// Returns a copy whose changes go nowhere, for trying a plugin.
    pub(super) fn scratch(&self) -> Self {
        let inside = self.0.lock();
        Self::of(inside.values.clone(), inside.limit_bytes)
    }

    /// Changes how much may be kept.
    pub(super) fn limit(&self, limit_bytes: usize) {
        self.0.lock().limit_bytes = limit_bytes;
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.lock().values.get(key).map(|entry| entry.value.clone())
    }

    pub(super) fn set(&self, key: String, value: Vec<u8>) -> Result<(), StateError> {
        if key.is_empty() || key.len() > limits::plugin::STATE_KEY_BYTES {
            return Err(StateError(format!("a key has 1 to {} bytes", limits::plugin::STATE_KEY_BYTES)));
        }
        let mut inside = self.0.lock();
        let before = inside.values.get(&key);
        let before_bytes = before.map_or(0, |before| taken(&key, before.value.len()));
        let bytes = inside.bytes - before_bytes + taken(&key, value.len());
        if bytes > inside.limit_bytes {
            return Err(inside.full());
        }
        // Without a value, the key is among what has changed when it is to be removed.
        let removed = before.is_none() && inside.changed.contains(&key);
        let written = before.map_or(removed, |before| before.written);
        inside.bytes = bytes;
        inside.removed_bytes -= if removed { taken(&key, 0) } else { 0 };
        inside.changed.insert(key.clone());
        inside.values.insert(key, Entry { value, written });
        Ok(())
    }

    /// Removes a key. Of removals that are not written down yet there may be as much as of values.
    pub(super) fn delete(&self, key: &str) -> Result<(), StateError> {
        let mut inside = self.0.lock();
        let Some(entry) = inside.values.get(key) else { return Ok(()) };
        let bytes = taken(key, entry.value.len());
        if entry.written {
            let removed_bytes = inside.removed_bytes + taken(key, 0);
            if removed_bytes > inside.limit_bytes {
                return Err(inside.full());
            }
            inside.removed_bytes = removed_bytes;
            inside.changed.insert(key.to_owned());
        } else {
            inside.changed.remove(key);
        }
        inside.bytes -= bytes;
        inside.values.remove(key);
        Ok(())
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        let inside = self.0.lock();
        let from = inside.values.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Returns how many bytes of the limit are taken.
    pub(super) fn bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Takes what has changed since the last time.
    pub(super) fn take_changed(&self) -> Changed {
        let inside = &mut *self.0.lock();
        inside.removed_bytes = 0;
        let changed = std::mem::take(&mut inside.changed).into_iter().map(|key| {
            let entry = inside.values.get_mut(&key);
            let value = entry.map(|entry| {
                entry.written = true;
                entry.value.clone()
            });
            (key, value)
        });
        changed.collect()
    }

    /// Has keys that were taken count as changed still: what they were taken for could not be written. Of each, that is
    /// written then which is newest.
    pub(super) fn put_back(&self, keys: impl IntoIterator<Item = String>) {
        let inside = &mut *self.0.lock();
        for key in keys {
            match inside.values.get_mut(&key) {
                // What was to be removed may lie beneath it.
                Some(entry) => entry.written = true,
                None if inside.changed.contains(&key) => continue,
                None => inside.removed_bytes += taken(&key, 0),
            }
            inside.changed.insert(key);
        }
    }
}

impl Inside {
    fn full(&self) -> StateError {
        let (limit, entry) = (self.limit_bytes, limits::plugin::STATE_ENTRY_BYTES);
        StateError(format!("keys and values may have {limit} bytes together, {entry} for each pair included"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: usize = limits::plugin::STATE_ENTRY_BYTES;

    #[test]
    fn it_is_bounded_and_knows_what_has_changed() {
        let state = State::new(BTreeMap::from([("old".to_owned(), vec![1])]), 2 * ENTRY + 16);
        state.set("a/1".to_owned(), vec![0; 5]).unwrap();
        assert!(state.set("a/2".to_owned(), Vec::new()).unwrap_err().0.contains("144 bytes"));
        state.delete("old").unwrap();
        assert!(state.set("a/2".to_owned(), vec![0; 6]).unwrap_err().0.contains("144 bytes"));
        state.set("a/1".to_owned(), vec![7]).unwrap();
        state.set("a/2".to_owned(), vec![8]).unwrap();
        state.delete("never").unwrap();
        assert!(state.set(String::new(), Vec::new()).is_err());
        assert_eq!(state.keys("a/"), ["a/1", "a/2"]);
        assert_eq!(state.bytes(), 2 * ENTRY + 8);
        let changed = state.take_changed();
        let expected = [("a/1", Some(vec![7])), ("a/2", Some(vec![8])), ("old", None)];
        assert_eq!(changed, expected.map(|(key, value)| (key.to_owned(), value)));
        assert!(state.take_changed().is_empty());
    }

    #[test]
    fn what_comes_and_goes_between_two_looks_leaves_no_trace() {
        let state = State::new(BTreeMap::new(), 2 * ENTRY);
        for n in 0..1000 {
            state.set(n.to_string(), vec![1]).unwrap();
            state.delete(&n.to_string()).unwrap();
        }
        assert!(state.0.lock().changed.is_empty());
        assert!(state.take_changed().is_empty());
        // What is written down is removed there, also when it came again meanwhile.
        state.set("a".to_owned(), vec![1]).unwrap();
        assert_eq!(state.take_changed().len(), 1);
        state.delete("a").unwrap();
        state.set("a".to_owned(), vec![2]).unwrap();
        state.delete("a").unwrap();
        assert_eq!(state.take_changed(), [("a".to_owned(), None)]);
    }

    #[test]
    fn what_could_not_be_written_is_written_later_as_it_is_then() {
        let state = State::new(BTreeMap::from([("gone".to_owned(), vec![1])]), 1000);
        state.set("kept".to_owned(), vec![1]).unwrap();
        state.set("changed".to_owned(), vec![1]).unwrap();
        state.set("removed".to_owned(), vec![1]).unwrap();
        state.delete("gone").unwrap();
        let taken = state.take_changed();
        state.set("changed".to_owned(), vec![2]).unwrap();
        state.delete("removed").unwrap();
        state.put_back(taken.into_iter().map(|(key, _)| key));
        let expected = [("changed", Some(vec![2])), ("gone", None), ("kept", Some(vec![1])), ("removed", None)];
        let expected = expected.map(|(key, value)| (key.to_owned(), value));
        assert_eq!(state.take_changed(), expected);
        // What came anew over a removal that failed is removed there, too, when it goes.
        state.delete("kept").unwrap();
        let taken = state.take_changed();
        state.set("kept".to_owned(), vec![3]).unwrap();
        state.put_back(taken.into_iter().map(|(key, _)| key));
        state.delete("kept").unwrap();
        assert_eq!(state.take_changed(), [("kept".to_owned(), None)]);
    }

    #[test]
    fn removals_that_cannot_be_written_are_bounded_like_values() {
        let state = State::new(BTreeMap::new(), 10 * ENTRY);
        let mut refused = 0;
        for n in 0..100 {
            if state.set(n.to_string(), Vec::new()).is_ok() {
                let taken = state.take_changed();
                state.put_back(taken.into_iter().map(|(key, _)| key));
                refused += usize::from(state.delete(&n.to_string()).is_err());
            }
        }
        assert!(refused > 0);
        let inside = state.0.lock();
        assert!(inside.removed_bytes <= 10 * ENTRY && inside.changed.len() <= 20, "{}", inside.changed.len());
        let removed = inside.changed.iter().filter(|key| !inside.values.contains_key(*key));
        assert_eq!(removed.map(|key| taken(key, 0)).sum::<usize>(), inside.removed_bytes);
    }

    #[test]
    fn a_scratch_copy_changes_nothing() {
        let state = State::new(BTreeMap::new(), 100);
        state.scratch().set("a".to_owned(), vec![1]).unwrap();
        assert_eq!(state.get("a"), None);
    }
}
