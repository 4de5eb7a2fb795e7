//! What cannot be read at the service, or is not what it should be: which, why, and when it is tried again.
//!
//! In memory only: after a restart each is read once more.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use crate::asset::AssetId;
use crate::limits;
use crate::task::Backoff;

/// What was found wrong with an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The answer that held it broke off, so it may be whole: it is read again by and by.
    BrokeOff,
    /// It is not the content of its id. It is read again when it changes, or when somebody points at it much later; a
    /// listing does so only where no version tells whether it has changed.
    Unsound,
    /// It is here, and what the service shows of it cannot be read, or nothing can be written to it. It is tried again by
    /// and by, alone.
    Untold,
}

#[derive(Debug)]
struct Bad {
    fault: Fault,
    /// The version it had; empty when none was named, or it is not known yet.
    version: Vec<u8>,
    reason: String,
    due: Instant,
    pauses: Backoff,
}

/// The assets that are known to be bad.
#[derive(Debug, Default)]
pub(super) struct Unreadable(HashMap<AssetId, Bad>);

impl Unreadable {
    /// Notes that something is bad; each time the pause before it is tried again grows. Tells whether that is new.
    ///
    /// Without a version it counts as the one that was noted before.
    pub(super) fn note(&mut self, id: AssetId, mut version: Vec<u8>, fault: Fault, reason: String) -> bool {
        if self.0.len() >= limits::SERVICE_UNREADABLE && !self.0.contains_key(&id) {
            self.0.clear();
        }
        let (first, most) = limits::SERVICE_CONTENT_PAUSE;
        let is_of = |before: &Bad| version.is_empty() || before.version.is_empty() || before.version == version;
        let before = self.0.remove(&id).filter(is_of);
        let is_new = before.as_ref().is_none_or(|before| before.fault != fault);
        let mut pauses = Backoff::new(first, most);
        if let Some(before) = before {
            pauses = before.pauses;
            if version.is_empty() {
                version = before.version;
            }
        }
        let due = Instant::now() + pauses.pause();
        self.0.insert(id, Bad { fault, version, reason, due, pauses });
        is_new
    }

    /// Forgets a content: it was read, or it is no longer there.
    pub(super) fn forget(&mut self, id: &AssetId) {
        self.0.remove(id);
    }

    /// Forgets an asset that was looked at.
    pub(super) fn forget_untold(&mut self, id: &AssetId) {
        if self.is_untold(id) {
            self.0.remove(id);
        }
    }

    /// Takes in the version a content is listed with: one that has another than the one found bad is forgotten.
    pub(super) fn listed(&mut self, id: &AssetId, version: &[u8]) {
        match self.0.get_mut(id) {
            Some(bad) if bad.version.is_empty() => bad.version = version.to_vec(),
            Some(bad) if bad.version != version => drop(self.0.remove(id)),
            _ => {}
        }
    }

    /// Returns what is wrong with a content that is not to be read now; `None` for one that is.
    pub(super) fn pausing(&self, id: &AssetId) -> Option<Fault> {
        self.0.get(id).filter(|bad| bad.due > Instant::now()).map(|bad| bad.fault)
    }

    /// Tells whether a content is known not to be the asset's, and need not be read because it is listed.
    pub(super) fn rests(&self, id: &AssetId) -> bool {
        let rests = |bad: &Bad| bad.fault == Fault::Unsound && (!bad.version.is_empty() || bad.due > Instant::now());
        self.0.get(id).is_some_and(rests)
    }

    /// Tells whether an asset is here and cannot be looked at.
    pub(super) fn is_untold(&self, id: &AssetId) -> bool {
        self.0.get(id).is_some_and(|bad| bad.fault == Fault::Untold)
    }

    /// Tells whether an asset may spoil every answer it is part of.
    pub(super) fn spoils(&self, id: &AssetId) -> bool {
        self.0.get(id).is_some_and(|bad| bad.fault != Fault::Unsound)
    }

    /// Returns how long it takes until the first of some assets is to be tried again.
    pub(super) fn next<'a>(&self, ids: impl IntoIterator<Item = &'a AssetId>) -> Option<Duration> {
        let due = ids.into_iter().filter_map(|id| self.0.get(id)).map(|bad| bad.due).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Returns all of them.
    pub(super) fn ids(&self) -> HashSet<AssetId> {
        self.0.keys().copied().collect()
    }

    /// Says in words what people may want to look at.
    pub(super) fn in_words(&self) -> Vec<String> {
        let of = |untold: bool| self.0.iter().filter(move |(_, bad)| (bad.fault == Fault::Untold) == untold);
        let count = |untold: bool, thing: &str| match of(untold).count() {
            1 => format!("1 {thing}"),
            count => format!("{count} {thing}s"),
        };
        let first = |untold: bool| of(untold).min_by_key(|(id, _)| **id);
        let unread = first(false).map(|(id, bad)| {
            format!(
                "the CAN Service has {} that cannot be read, which nobody is shown before that works (the first is {id}: \
                 {})",
                count(false, "content"),
                bad.reason
            )
        });
        let untold = first(true).map(|(id, bad)| {
            format!(
                "the CAN Service has {} whose metadata cannot be read or written; what is changed of that does not travel \
                 until it is mended there (the first is {id}: {})",
                count(true, "asset"),
                bad.reason
            )
        });
        unread.into_iter().chain(untold).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_content_waits_until_it_is_due_or_changes() {
        let (a, b) = (AssetId::from_bytes([1; 32]), AssetId::from_bytes([2; 32]));
        let mut unreadable = Unreadable::default();
        assert_eq!((unreadable.pausing(&a), unreadable.next(&[a]), unreadable.in_words()), (None, None, Vec::new()));
        unreadable.note(b, vec![1], Fault::Unsound, "wrong".to_owned());
        let mut before = Duration::ZERO;
        for _ in 0..5 {
            unreadable.note(a, vec![1], Fault::BrokeOff, "cut".to_owned());
            let next = unreadable.next(&[a]).unwrap();
            assert!(next > before, "the pause grows");
            before = next;
        }
        assert_eq!(unreadable.pausing(&a), Some(Fault::BrokeOff));
        assert!(unreadable.rests(&b) && !unreadable.rests(&a));
        let words = unreadable.in_words().remove(0);
        assert!(words.contains("2 contents") && words.contains(&format!("{a}: cut")), "{words}");
        unreadable.listed(&a, &[1]);
        assert_eq!(unreadable.ids().len(), 2);
        unreadable.listed(&a, &[2]);
        assert_eq!(unreadable.pausing(&a), None);
        unreadable.note(a, vec![2], Fault::BrokeOff, "cut".to_owned());
        assert!(unreadable.next(&[a]).unwrap() < before, "another version begins with the first pause");
        unreadable.forget(&a);
        assert_eq!(unreadable.ids(), HashSet::from([b]));
    }

    #[test]
    fn a_version_that_comes_later_is_the_one_found_bad() {
        let a = AssetId::from_bytes([1; 32]);
        let mut unreadable = Unreadable::default();
        assert!(unreadable.note(a, Vec::new(), Fault::BrokeOff, "cut".to_owned()));
        unreadable.listed(&a, &[1]);
        let before = unreadable.next(&[a]).unwrap();
        assert!(!unreadable.note(a, Vec::new(), Fault::BrokeOff, "cut".to_owned()), "it was noted before");
        assert!(unreadable.next(&[a]).unwrap() > before, "the pause grows");
        unreadable.listed(&a, &[1]);
        assert_eq!(unreadable.pausing(&a), Some(Fault::BrokeOff));
        unreadable.listed(&a, &[2]);
        assert_eq!(unreadable.pausing(&a), None);
    }

    #[test]
    fn what_is_here_and_cannot_be_looked_at_is_told_by_itself() {
        let (a, b) = (AssetId::from_bytes([1; 32]), AssetId::from_bytes([2; 32]));
        let mut unreadable = Unreadable::default();
        unreadable.note(a, Vec::new(), Fault::Unsound, "wrong".to_owned());
        unreadable.note(b, Vec::new(), Fault::Untold, "too long".to_owned());
        assert!(unreadable.spoils(&b) && unreadable.is_untold(&b));
        assert!(!unreadable.spoils(&a) && !unreadable.is_untold(&a));
        let words = unreadable.in_words();
        assert!(words[0].contains(&format!("{a}: wrong")) && words[0].contains("1 content "), "{words:?}");
        assert!(words[1].contains(&format!("{b}: too long")) && words[1].contains("1 asset "), "{words:?}");
        unreadable.forget_untold(&a);
        unreadable.forget_untold(&b);
        assert_eq!(unreadable.ids(), HashSet::from([a]));
    }
}
