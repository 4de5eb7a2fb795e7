//! The small store of a plugin's own: in memory while it runs, written down in the background.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use super::sandbox::lock;
use crate::limits;

/// What a plugin keeps across restarts. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct State(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    values: BTreeMap<String, Vec<u8>>,
    bytes: usize,
    limit_bytes: usize,
    /// Keys that are not written down yet.
    changed: BTreeSet<String>,
}

/// A value does not fit; the text names the limit.
#[derive(Debug)]
pub(super) struct StateError(pub(super) String);

impl State {
    /// Starts with what was written down.
    pub(super) fn new(values: BTreeMap<String, Vec<u8>>, limit_bytes: usize) -> Self {
        let bytes = values.iter().map(|(key, value)| key.len() + value.len()).sum();
        Self(Arc::new(Mutex::new(Inside { values, bytes, limit_bytes, changed: BTreeSet::new() })))
    }

    /// Returns a copy whose changes go nowhere, for trying a plugin.
    pub(super) fn scratch(&self) -> Self {
        let inside = lock(&self.0);
        Self::new(inside.values.clone(), inside.limit_bytes)
    }

    /// Changes how much may be kept.
    pub(super) fn limit(&self, limit_bytes: usize) {
        lock(&self.0).limit_bytes = limit_bytes;
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.0).values.get(key).cloned()
    }

    pub(super) fn set(&self, key: String, value: Vec<u8>) -> Result<(), StateError> {
        if key.is_empty() || key.len() > limits::plugin::STATE_KEY_BYTES {
            return Err(StateError(format!("a key has 1 to {} bytes", limits::plugin::STATE_KEY_BYTES)));
        }
        let mut inside = lock(&self.0);
        let before = inside.values.get(&key).map_or(0, |before| key.len() + before.len());
        let bytes = inside.bytes - before + key.len() + value.len();
        if bytes > inside.limit_bytes {
            return Err(StateError(format!("keys and values may have {} bytes together", inside.limit_bytes)));
        }
        inside.bytes = bytes;
        inside.changed.insert(key.clone());
        inside.values.insert(key, value);
        Ok(())
    }

    pub(super) fn delete(&self, key: &str) {
        let mut inside = lock(&self.0);
        if let Some(value) = inside.values.remove(key) {
            inside.bytes -= key.len() + value.len();
            inside.changed.insert(key.to_owned());
        }
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        let inside = lock(&self.0);
        let from = inside.values.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Returns how many bytes are kept.
    pub(super) fn bytes(&self) -> usize {
        lock(&self.0).bytes
    }

    /// Takes what has changed since the last time; `None` for what was removed.
    pub(super) fn take_changed(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let mut inside = lock(&self.0);
        let changed = std::mem::take(&mut inside.changed);
        changed
            .into_iter()
            .map(|key| (inside.values.get(&key).cloned(), key))
            .map(|(value, key)| (key, value))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_knows_what_has_changed() {
        let state = State::new(BTreeMap::from([("old".to_owned(), vec![1])]), 16);
        state.set("a/1".to_owned(), vec![0; 5]).unwrap();
        assert!(state.set("a/2".to_owned(), vec![0; 5]).unwrap_err().0.contains("16 bytes"));
        state.set("a/1".to_owned(), vec![7]).unwrap();
        state.set("a/2".to_owned(), vec![8]).unwrap();
        state.delete("old");
        state.delete("never");
        assert!(state.set(String::new(), Vec::new()).is_err());
        assert_eq!(state.keys("a/"), ["a/1", "a/2"]);
        assert_eq!(state.bytes(), 8);
        let changed = state.take_changed();
        let expected = [("a/1", Some(vec![7])), ("a/2", Some(vec![8])), ("old", None)];
        assert_eq!(changed, expected.map(|(key, value)| (key.to_owned(), value)));
        assert!(state.take_changed().is_empty());
    }

    #[test]
    fn a_scratch_copy_changes_nothing() {
        let state = State::new(BTreeMap::new(), 100);
        state.scratch().set("a".to_owned(), vec![1]).unwrap();
        assert_eq!(state.get("a"), None);
    }
}
