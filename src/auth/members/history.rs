//! The statements of a library with what each had seen, and what follows from them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::SecretHash;
use super::statement::Action;
use super::statement::Statement;
use super::statement::StatementId;
use crate::asset::HostId;
use crate::limits::membership as limits;

/// A set of statements by their place in the history; as many bits as a history has places.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places([u64; limits::STATEMENTS / 64]);

impl Places {
    const NONE: Self = Self([0; limits::STATEMENTS / 64]);

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] & (1 << (place % 64)) != 0
    }

    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn add_all(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    statement: Statement,
    /// All that the signer had seen.
    seen: Places,
}

/// Statements that were authorised when they were signed; each comes behind all that its signer had seen.
#[derive(Debug, Clone)]
pub(super) struct History {
    entries: Vec<Entry>,
    places: BTreeMap<StatementId, usize>,
    /// Where a host was made an admin.
    grants: BTreeMap<HostId, Vec<usize>>,
    /// Where a host was removed.
    removals: BTreeMap<HostId, Vec<usize>>,
}

/// What a set of statements says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// Accepted and not removed, with whether they are admins.
    pub(super) members: BTreeMap<HostId, bool>,
    pub(super) removed: BTreeSet<HostId>,
    pub(super) listed: bool,
    /// The secrets of every epoch, lowest hash first.
    pub(super) secrets: BTreeMap<u64, BTreeSet<SecretHash>>,
    /// Whether a removal came about that the makers of the current secret had not seen.
    pub(super) rekey_due: bool,
}

/// Why a statement is not taken into a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// Something its signer had seen is not here.
    Early,
    /// Its signer was no admin by what it had seen, or the epoch is not the next one.
    Void,
    /// There are [`limits::STATEMENTS`].
    Full,
}

impl History {
    /// Begins with a birth.
    pub(super) fn new(birth: Statement) -> Self {
        let places = BTreeMap::from([(birth.id(), 0)]);
        let grants = BTreeMap::from([(birth.signer(), vec![0])]);
        let entries = vec![Entry { statement: birth, seen: Places::NONE }];
        Self { entries, places, grants, removals: BTreeMap::new() }
    }

    pub(super) fn birth(&self) -> &Statement {
        &self.entries[0].statement
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether so many more statements fit that are neither removals nor new secrets.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.entries.len() + more <= limits::STATEMENTS - limits::STATEMENTS_RESERVED
    }

    pub(super) fn has(&self, id: &StatementId) -> bool {
        self.places.contains_key(id)
    }

    /// Goes through the statements, each behind all that its signer had seen.
    pub(super) fn statements(&self) -> impl ExactSizeIterator<Item = &Statement> {
        self.entries.iter().map(|entry| &entry.statement)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &StatementId> {
        self.places.keys()
    }

    /// Returns the latest statements, which nobody has seen yet; ascending, as many as a statement may name. Of more,
    /// the one is among them that makes the signer an admin.
    pub(super) fn latest(&self, signer: HostId) -> Vec<StatementId> {
        let mut covered = Places::NONE;
        for entry in &self.entries {
            covered.add_all(&entry.seen);
        }
        let latest: Vec<_> = (0..self.entries.len()).filter(|place| !covered.has(*place)).collect();
        let standing = self.standing(&self.all());
        let grants = self.grants.get(&signer).into_iter().flatten();
        let grant = grants.copied().find(|grant| standing.has(*grant));
        let has = |latest: usize, place: usize| latest == place || self.entries[latest].seen.has(place);
        let needed = grant.and_then(|grant| latest.iter().copied().find(|latest| has(*latest, grant)));
        let named: BTreeSet<_> = needed.into_iter().chain(latest).take(limits::STATEMENT_FORERUNNERS).collect();
        let mut ids: Vec<_> = named.into_iter().map(|place| self.entries[place].statement.id()).collect();
        ids.sort_unstable();
        ids
    }

    /// Returns the epoch as a signer knows it that has seen these and all before them.
    ///
    /// # Panics
    /// When one of them is not here.
    pub(super) fn epoch_at(&self, latest: &[StatementId]) -> u64 {
        self.picture_of(&self.seen(latest).expect("the latest statements are here")).epoch()
    }

    /// Returns the places of some statements and of all before them; `None` when one is not here.
    fn seen(&self, latest: &[StatementId]) -> Option<Places> {
        let mut seen = Places::NONE;
        for id in latest {
            let place = *self.places.get(id)?;
            seen.add(place);
            seen.add_all(&self.entries[place].seen);
        }
        Some(seen)
    }

    fn all(&self) -> Places {
        let mut all = Places::NONE;
        (0..self.entries.len()).for_each(|place| all.add(place));
        all
    }

    /// Takes a statement in if its signer was an admin by all that it had seen. Whether that is so never changes, so
    /// the order in which statements come does not matter.
    pub(super) fn admit(&mut self, statement: &Statement) -> Result<(), Denied> {
        let seen = self.seen(&statement.body.seen).ok_or(Denied::Early)?;
        let known = self.picture_of(&seen);
        if known.members.get(&statement.signer()) != Some(&true) {
            return Err(Denied::Void);
        }
        let urgent = match statement.action() {
            Action::Birth { .. } => return Err(Denied::Void),
            Action::Rekey { epoch, .. } if Some(epoch) != known.epoch().checked_add(1) => return Err(Denied::Void),
            Action::Accept { .. } | Action::Listed => false,
            Action::Remove { .. } | Action::Rekey { .. } => true,
        };
        let has_room = if urgent { self.entries.len() < limits::STATEMENTS } else { self.has_room(1) };
        if !has_room {
            return Err(Denied::Full);
        }
        let place = self.entries.len();
        match statement.action() {
            Action::Accept { host, admin: true } => self.grants.entry(host).or_default().push(place),
            Action::Remove { host } => self.removals.entry(host).or_default().push(place),
            _ => {}
        }
        self.places.insert(statement.id(), place);
        self.entries.push(Entry { statement: statement.clone(), seen });
        Ok(())
    }

    /// Says what follows from all statements.
    pub(super) fn picture(&self) -> Picture {
        self.picture_of(&self.all())
    }

    /// Says what follows from some statements; with each, all that its signer had seen is among them.
    fn picture_of(&self, among: &Places) -> Picture {
        let standing = self.standing(among);
        let removals: Vec<_> = self.removals.values().flatten().copied().filter(|place| among.has(*place)).collect();
        let mut picture = Picture {
            members: BTreeMap::new(),
            removed: BTreeSet::new(),
            listed: !removals.is_empty(),
            secrets: BTreeMap::new(),
            rekey_due: false,
        };
        let mut stated = Vec::new();
        for (place, entry) in self.entries.iter().enumerate().filter(|(place, _)| standing.has(*place)) {
            match entry.statement.action() {
                Action::Birth { secret, .. } => {
                    picture.members.insert(entry.statement.signer(), true);
                    stated.push((entry.statement.body.epoch, secret, place));
                }
                Action::Accept { host, admin } => *picture.members.entry(host).or_default() |= admin,
                Action::Remove { host } => {
                    picture.removed.insert(host);
                }
                Action::Listed => picture.listed = true,
                Action::Rekey { epoch, secret } => stated.push((epoch, secret, place)),
            }
        }
        picture.members.retain(|host, _| !picture.removed.contains(host));
        for (epoch, secret, _) in &stated {
            picture.secrets.entry(*epoch).or_default().insert(*secret);
        }
        let current = picture.current();
        let mut makers = stated.iter().filter(|(epoch, secret, _)| Some((*epoch, *secret)) == current);
        // Whoever made the current secret without knowing of a removal may have handed it to the removed host.
        picture.rekey_due =
            makers.any(|(_, _, place)| removals.iter().any(|removal| !self.entries[*place].seen.has(*removal)));
        picture
    }

    /// Tells which statements stand. A removal always does. Anything else stands unless its signer was removed by
    /// somebody who had not seen it, or what made its signer an admin does not stand.
    fn standing(&self, among: &Places) -> Places {
        let mut standing = Places::NONE;
        for (place, entry) in self.entries.iter().enumerate().filter(|(place, _)| among.has(*place)) {
            let signer = entry.statement.signer();
            let stands = match entry.statement.action() {
                Action::Birth { .. } | Action::Remove { .. } => true,
                _ => {
                    let granted = self.grants.get(&signer).into_iter().flatten();
                    let mut granted = granted.filter(|grant| entry.seen.has(**grant) && standing.has(**grant));
                    let removed = self.removals.get(&signer).into_iter().flatten();
                    let mut unseen =
                        removed.filter(|removal| among.has(**removal) && !self.entries[**removal].seen.has(place));
                    granted.next().is_some() && unseen.next().is_none()
                }
            };
            if stands {
                standing.add(place);
            }
        }
        standing
    }
}

impl Picture {
    /// Returns the current epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.current().map_or(0, |(epoch, _)| epoch)
    }

    /// Returns the current secret: the one of the highest epoch, and of several the one of the lowest hash.
    pub(super) fn current(&self) -> Option<(u64, SecretHash)> {
        let (epoch, secrets) = self.secrets.last_key_value()?;
        secrets.first().map(|secret| (*epoch, *secret))
    }

    /// Returns the admins.
    pub(super) fn admins(&self) -> impl Iterator<Item = HostId> {
        self.members.iter().filter(|(_, admin)| **admin).map(|(host, _)| *host)
    }
}
