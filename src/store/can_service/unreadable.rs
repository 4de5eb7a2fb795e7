//! Contents of the service that cannot be read, or are not what they should be: which, why, and when they are tried again.
//!
//! In memory only: after a restart each is read once more.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use crate::asset::AssetId;
use crate::limits;
use crate::task::Backoff;

/// What was found wrong with a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The answer that held it broke off, so it may be whole: it is read again by and by.
    BrokeOff,
    /// It is not the content of its id. It is read again when it changes, or when somebody points at it much later.
    Unsound,
}

#[derive(Debug)]
struct Bad {
    fault: Fault,
    /// The version it had; empty when none was named.
    version: Vec<u8>,
    reason: String,
    due: Instant,
    pauses: Backoff,
}

/// The contents that are known to be bad.
#[derive(Debug, Default)]
pub(super) struct Unreadable(HashMap<AssetId, Bad>);

impl Unreadable {
    /// Notes that a content is bad; each time the pause before it is read again grows.
    pub(super) fn note(&mut self, id: AssetId, version: Vec<u8>, fault: Fault, reason: String) {
        if self.0.len() >= limits::SERVICE_UNREADABLE && !self.0.contains_key(&id) {
            self.0.clear();
        }
        let (first, most) = limits::SERVICE_CONTENT_PAUSE;
        let before = self.0.remove(&id).filter(|before| before.version == version);
        let mut pauses = before.map_or_else(|| Backoff::new(first, most), |before| before.pauses);
        let due = Instant::now() + pauses.pause();
        self.0.insert(id, Bad { fault, version, reason, due, pauses });
    }

    /// Forgets a content: it was read, or it is no longer there.
    pub(super) fn forget(&mut self, id: &AssetId) {
        self.0.remove(id);
    }

    /// Forgets a content that has another version than the one found bad.
    pub(super) fn forget_if_changed(&mut self, id: &AssetId, version: &[u8]) {
        if self.0.get(id).is_some_and(|bad| bad.version != version) {
            self.0.remove(id);
        }
    }

    /// Returns what is wrong with a content that is not to be read now; `None` for one that is.
    pub(super) fn pausing(&self, id: &AssetId) -> Option<Fault> {
        self.0.get(id).filter(|bad| bad.due > Instant::now()).map(|bad| bad.fault)
    }

    /// Tells whether a content is known not to be the asset's.
    pub(super) fn is_unsound(&self, id: &AssetId) -> bool {
        self.0.get(id).is_some_and(|bad| bad.fault == Fault::Unsound)
    }

    /// Returns how long it takes until the first of some contents is to be read again.
    pub(super) fn next(&self, ids: &[AssetId]) -> Option<Duration> {
        let due = ids.iter().filter_map(|id| self.0.get(id)).map(|bad| bad.due).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Returns all of them.
    pub(super) fn ids(&self) -> HashSet<AssetId> {
        self.0.keys().copied().collect()
    }

    /// Says in words what people may want to look at, if there is something.
    pub(super) fn in_words(&self) -> Option<String> {
        let (id, bad) = self.0.iter().min_by_key(|(id, _)| **id)?;
        let contents = match self.0.len() {
            1 => "1 content".to_owned(),
            count => format!("{count} contents"),
        };
        Some(format!(
            "the CAN Service has {contents} that cannot be read, which nobody is shown before that works (the first is \
             {id}: {})",
            bad.reason
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_content_waits_until_it_is_due_or_changes() {
        let (a, b) = (AssetId::from_bytes([1; 32]), AssetId::from_bytes([2; 32]));
        let mut unreadable = Unreadable::default();
        assert_eq!((unreadable.pausing(&a), unreadable.next(&[a]), unreadable.in_words()), (None, None, None));
        unreadable.note(b, vec![1], Fault::Unsound, "wrong".to_owned());
        let mut before = Duration::ZERO;
        for _ in 0..5 {
            unreadable.note(a, vec![1], Fault::BrokeOff, "cut".to_owned());
            let next = unreadable.next(&[a]).unwrap();
            assert!(next > before, "the pause grows");
            before = next;
        }
        assert_eq!(unreadable.pausing(&a), Some(Fault::BrokeOff));
        assert!(unreadable.is_unsound(&b) && !unreadable.is_unsound(&a));
        let words = unreadable.in_words().unwrap();
        assert!(words.contains("2 contents") && words.contains(&format!("{a}: cut")), "{words}");
        unreadable.forget_if_changed(&a, &[1]);
        assert_eq!(unreadable.ids().len(), 2);
        unreadable.forget_if_changed(&a, &[2]);
        assert_eq!(unreadable.pausing(&a), None);
        unreadable.note(a, vec![2], Fault::BrokeOff, "cut".to_owned());
        assert!(unreadable.next(&[a]).unwrap() < before, "another version begins with the first pause");
        unreadable.forget(&a);
        assert_eq!(unreadable.ids(), HashSet::from([b]));
    }
}
