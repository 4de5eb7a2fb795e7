//! What each member last announced, and which announcements are worth anything: new, in time, signed, and not too many.
//!
//! Pure but for the types of moments: the caller says what time it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::time::Instant;

use super::allowance::Allowance;
use super::announcement::Announcement;
use super::announcement::Opened;
use super::announcement::Seal;
use crate::asset::HostId;
use crate::limits;

/// What an announcement turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Weighed {
    /// Its author has not said so before; and whether its set has changed since it last spoke.
    News(Box<Announcement>, bool),
    /// The latest of its author, once more.
    Known,
    /// Worth nothing: it is not passed on, and nothing comes of it.
    Dropped(&'static str),
}

/// The members that were heard.
#[derive(Debug)]
pub(super) struct Authors {
    own: HostId,
    heard: BTreeMap<HostId, Author>,
    /// How many new ones may come.
    new: Allowance,
}

#[derive(Debug)]
struct Author {
    at_ms: u64,
    change: u64,
    sealed: Bytes,
    allowance: Allowance,
}

impl Authors {
    pub(super) const fn new(own: HostId, now: Instant) -> Self {
        let new = Allowance::new(limits::GOSSIP_NEW_AUTHORS, limits::GOSSIP_NEW_AUTHOR_EVERY, now);
        Self { own, heard: BTreeMap::new(), new }
    }

    pub(super) fn len(&self) -> usize {
        self.heard.len()
    }

    /// Weighs an announcement, and remembers it when it is news. What is cheap is looked at first.
    pub(super) fn weigh(&mut self, seal: &Seal, sealed: &Bytes, now_ms: u64, now: Instant) -> Weighed {
        let Ok(opened) = seal.open(sealed) else { return Weighed::Dropped("no member has sealed it") };
        let author = opened.author();
        let at_ms = opened.announcement.at_ms;
        if author == self.own {
            return Weighed::Dropped("it is this host's own");
        }
        if is_dead(at_ms, now_ms) || is_early(at_ms, now_ms) {
            return Weighed::Dropped("its time is past, or has not come");
        }
        match self.heard.get(&author) {
            Some(before) if before.sealed == *sealed => return Weighed::Known,
            // What was heard while this host's own clock was ahead does not count against what is said now.
            Some(before) if before.at_ms >= at_ms && !is_early(before.at_ms, now_ms) => {
                return Weighed::Dropped("its author has said more since");
            }
            _ => {}
        }
        if !opened.is_signed() {
            return Weighed::Dropped("its author has not signed it");
        }
        self.take(opened, sealed, now_ms, now)
    }

    fn take(&mut self, opened: Opened, sealed: &Bytes, now_ms: u64, now: Instant) -> Weighed {
        let (author, announcement) = (opened.author(), opened.announcement);
        let (at_ms, change) = (announcement.at_ms, announcement.change);
        let sealed = sealed.clone();
        if let Some(before) = self.heard.get_mut(&author) {
            if !before.allowance.take(now) {
                return Weighed::Dropped("its author says too much");
            }
            let changed = before.change != change;
            (before.at_ms, before.change, before.sealed) = (at_ms, change, sealed);
            return Weighed::News(Box::new(announcement), changed);
        }
        if !self.new.take(now) {
            return Weighed::Dropped("too many are new");
        }
        if self.heard.len() >= limits::MEMBERS_KNOWN {
            self.forget_dead(now_ms);
        }
        if self.heard.len() >= limits::MEMBERS_KNOWN
            && let Some(oldest) = self.heard.iter().min_by_key(|(_, author)| author.at_ms).map(|(host, _)| *host)
        {
            self.heard.remove(&oldest);
        }
        let mut allowance = Allowance::new(limits::GOSSIP_AUTHOR_BURST, limits::GOSSIP_AUTHOR_EVERY, now);
        allowance.take(now);
        self.heard.insert(author, Author { at_ms, change, sealed, allowance });
        Weighed::News(Box::new(announcement), false)
    }

    /// Forgets whoever was not heard of for long.
    pub(super) fn forget_dead(&mut self, now_ms: u64) {
        self.heard.retain(|_, author| !is_dead(author.at_ms, now_ms));
    }

    /// Returns what a new neighbour is told: what the others last said, another part of it by every host that tells.
    pub(super) fn told_to(&self, neighbour: HostId) -> Vec<Bytes> {
        let mut told: Vec<_> = self.heard.iter().filter(|(author, _)| **author != neighbour).collect();
        told.sort_by_cached_key(|(author, _)| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(self.own.as_bytes()).update(neighbour.as_bytes()).update(author.as_bytes());
            *hasher.finalize().as_bytes()
        });
        told.into_iter().take(limits::GOSSIP_TOLD).map(|(_, author)| author.sealed.clone()).collect()
    }
}

fn is_early(at_ms: u64, now_ms: u64) -> bool {
    at_ms.saturating_sub(now_ms) > limits::GOSSIP_AHEAD_MS
}

fn is_dead(at_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(at_ms) > limits::GOSSIP_LIFE_MS
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::announcement::tests::announcement;
    use super::super::announcement::tests::key;
    use super::super::announcement::tests::seal_of;
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    struct Stage {
        authors: Authors,
        seal: Seal,
        now: Instant,
        now_ms: u64,
    }

    fn stage() -> Stage {
        let now = Instant::now();
        Stage { authors: Authors::new(key(0).id(), now), seal: seal_of(1), now, now_ms: NOW }
    }

    impl Stage {
        fn sealed(&self, said: &Announcement, seed: u8) -> Bytes {
            self.seal.seal(said, &key(seed), [9; 24]).unwrap()
        }

        fn weigh(&mut self, sealed: &Bytes) -> Weighed {
            self.authors.weigh(&self.seal, sealed, self.now_ms, self.now)
        }

        fn is_news(&mut self, said: &Announcement, seed: u8) -> Option<bool> {
            let sealed = self.sealed(said, seed);
            match self.weigh(&sealed) {
                Weighed::News(news, changed) => {
                    assert_eq!(*news, *said);
                    Some(changed)
                }
                _ => None,
            }
        }
    }

    #[test]
    fn only_what_is_later_in_time_and_signed_is_news() {
        let mut stage = stage();
        let said = announcement(1, NOW);
        assert_eq!(stage.is_news(&said, 1), Some(false));
        let again = stage.sealed(&said, 1);
        assert_eq!(stage.weigh(&again), Weighed::Known);
        assert_eq!(stage.is_news(&announcement(1, NOW - 1), 1), None, "older");
        assert_eq!(stage.is_news(&announcement(1, NOW + 1), 2), None, "signed by another");
        assert_eq!(stage.is_news(&announcement(2, NOW + 1), 1), None, "for another");
        assert_eq!(stage.is_news(&announcement(0, NOW), 0), None, "its own");
        assert_eq!(stage.is_news(&announcement(2, NOW - limits::GOSSIP_LIFE_MS - 1), 2), None, "dead");
        assert_eq!(stage.is_news(&announcement(2, NOW + limits::GOSSIP_AHEAD_MS + 1), 2), None, "from the future");
        let changed = Announcement { change: 8, ..announcement(1, NOW + 1) };
        assert_eq!(stage.is_news(&changed, 1), Some(true));
        assert_eq!(stage.is_news(&Announcement { at_ms: NOW + 2, ..changed }, 1), Some(false));
        let foreign = seal_of(2).seal(&announcement(3, NOW), &key(3), [9; 24]).unwrap();
        assert!(matches!(stage.weigh(&foreign), Weighed::Dropped(_)));
    }

    #[test]
    fn one_author_is_heard_so_often_and_no_oftener_and_silences_nobody_else() {
        let mut stage = stage();
        let news = (1..=100).filter(|n| stage.is_news(&announcement(1, NOW + n), 1).is_some()).count();
        assert_eq!(news, limits::GOSSIP_AUTHOR_BURST as usize);
        // What others say in its name takes nothing from it.
        (1..=100).for_each(|n| assert_eq!(stage.is_news(&announcement(2, NOW + n), 1), None));
        assert_eq!(stage.is_news(&announcement(2, NOW + 1), 2), Some(false));
        stage.now += limits::GOSSIP_AUTHOR_EVERY;
        assert!(stage.is_news(&announcement(1, NOW + 200), 1).is_some());
        assert!(stage.is_news(&announcement(1, NOW + 201), 1).is_none());
    }

    #[test]
    fn authors_that_are_made_up_do_not_come_without_end() {
        let mut stage = stage();
        let made_up = |n: u64| {
            let key = crate::auth::HostKey::from_seed(blake3::hash(&n.to_le_bytes()).as_bytes());
            let said = announcement(1, NOW);
            let ticket = crate::library::Ticket { host: key.id(), ..said.ticket };
            stage.seal.seal(&Announcement { ticket, ..said }, &key, [9; 24]).unwrap()
        };
        let sealed: Vec<Bytes> = (0..u64::from(limits::GOSSIP_NEW_AUTHORS) + 50).map(made_up).collect();
        let news = sealed.iter().filter(|sealed| matches!(stage.weigh(sealed), Weighed::News(..))).count();
        assert_eq!(news, limits::GOSSIP_NEW_AUTHORS as usize);
    }

    #[test]
    fn a_new_neighbour_is_told_what_is_not_dead() {
        let mut stage = stage();
        for seed in 1..=5 {
            stage.is_news(&announcement(seed, NOW + u64::from(seed)), seed).unwrap();
        }
        assert_eq!(stage.authors.told_to(key(3).id()).len(), 4);
        stage.now += Duration::from_secs(1);
        stage.now_ms += limits::GOSSIP_LIFE_MS + 3;
        stage.authors.forget_dead(stage.now_ms);
        assert_eq!(stage.authors.len(), 3);
    }
}
