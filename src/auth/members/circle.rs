//! The members of a library as one host knows them: the statements about them, and the secrets it holds.
//!
//! As long as nobody has stated anything there is no roster: whoever proves the secret is a member. Whoever makes a
//! library founds one; of a library that was made by writing a phrase down, the first who states anything does. What is
//! current follows from the statements; a host that has not been handed the current secret yet goes on with the latest
//! it holds, and is told of the newer by whoever has it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::super::HostKey;
use super::super::Keys;
use super::super::LibrarySecret;
use super::super::pairing::Handover;
use super::Membership;
use super::NotTheBirth;
use super::Roster;
use super::SealedSecret;
use super::SecretHash;
use super::SignError;
use super::Standing;
use super::Statement;
use super::TwoBirths;
use crate::asset::HostId;
use crate::limits::membership as limits;

/// First bytes of the file that keeps a circle.
const MAGIC: &[u8; 16] = b"can-sync circle1";

/// What one host knows of the members of a library.
#[derive(Debug, Clone)]
pub struct Circle {
    own: HostId,
    library: String,
    /// Whether pairing handed the library over; no phrase is needed then.
    paired: bool,
    roster: Option<Roster>,
    secrets: BTreeMap<(u64, SecretHash), Held>,
}

/// A secret, and what is derived from it.
#[derive(Debug, Clone)]
struct Held {
    secret: LibrarySecret,
    keys: Keys,
}

/// What a member tells another of the members: statements, and the secrets that are newer than what it may have, sealed
/// to it. Empty for a host that is told only that the library has moved on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Succession {
    /// The whole history, the birth first; or nothing.
    pub statements: Vec<Statement>,
    /// Secrets with their epochs, at most [`limits::SECRETS_HANDED`].
    pub secrets: Vec<(u64, SealedSecret)>,
}

/// What a succession has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// Statements came that were not known.
    pub members: bool,
    /// Another secret is the current one here.
    pub secret: bool,
}

/// A succession that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// It comes from a host that is not among the members.
    #[error("{from} tells of members and is none itself", from = .0.fmt_short())]
    Stranger(HostId),
    /// Its first statement begins no library of this name.
    #[error(transparent)]
    NotTheBirth(#[from] NotTheBirth),
    /// It tells of a library with which this host shares no secret.
    #[error("{from} tells of the members of another library", from = .0.fmt_short())]
    Foreign(HostId),
    /// It would take this host for removed without ever having been one of its members.
    #[error("{from} tells of a library in which this host is removed; remove {from} or pair this device again", from = .0.fmt_short())]
    Excluded(HostId),
    /// There are two histories.
    #[error(transparent)]
    TwoBirths(#[from] TwoBirths),
}

/// A change of members that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The host is this one.
    #[error("a host does not remove itself; ask on another that is an admin")]
    Itself,
}

/// Bytes that keep no circle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what is kept about the members does not read: {0}")]
pub struct DecodeCircleError(&'static str);

impl Circle {
    /// Begins with the secret that a phrase was stretched to, and no statement.
    #[must_use]
    pub fn new(own: HostId, library: &str, secret: LibrarySecret) -> Self {
        let mut circle =
            Self { own, library: library.to_owned(), paired: false, roster: None, secrets: BTreeMap::new() };
        circle.hold(0, secret);
        circle
    }

    /// Takes over what pairing has handed over.
    ///
    /// # Errors
    /// [`NotTheBirth`] when the history does not begin with the birth of that library.
    pub fn paired(own: HostId, handover: Handover) -> Result<Self, NotTheBirth> {
        let Handover { library, epoch, secret, statements, .. } = handover;
        let mut statements = statements.into_iter();
        let birth = statements.next().ok_or_else(|| NotTheBirth { library: library.clone() })?;
        let mut roster = Roster::from_birth(&library, birth)?;
        roster.merge(statements);
        let mut circle = Self { own, library, paired: true, roster: Some(roster), secrets: BTreeMap::new() };
        circle.hold(epoch, secret);
        Ok(circle)
    }

    /// Returns the name of the library.
    #[must_use]
    pub fn library(&self) -> &str {
        &self.library
    }

    /// Tells whether pairing handed the library over.
    #[must_use]
    pub const fn is_paired(&self) -> bool {
        self.paired
    }

    /// Returns the epoch of the secret that is used.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.current().0.0
    }

    /// Returns the keys of the secret that is used.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.current().1.keys
    }

    /// Returns the secret that is used, for whoever is handed it.
    #[must_use]
    pub fn secret(&self) -> &LibrarySecret {
        &self.current().1.secret
    }

    /// Goes through the other secrets that are held, the latest first: by them, members are met that were away.
    pub fn older(&self) -> impl Iterator<Item = (u64, &Keys)> {
        let current = *self.current().0;
        let others = self.secrets.iter().rev().filter(move |(id, _)| **id != current);
        others.map(|((epoch, _), held)| (*epoch, &held.keys)).take(limits::SECRETS_HANDED)
    }

    /// Tells whether a secret is among those that are held.
    #[must_use]
    pub fn holds(&self, secret: &LibrarySecret) -> bool {
        let hash = SecretHash::of(secret);
        self.secrets.keys().any(|(_, held)| *held == hash)
    }

    /// Tells whether a later secret is stated than is held: someone has to hand it over.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.roster.as_ref().is_some_and(|roster| !self.secrets.contains_key(&roster.current()))
    }

    /// Returns who belongs to the library, if anything was stated.
    #[must_use]
    pub const fn roster(&self) -> Option<&Roster> {
        self.roster.as_ref()
    }

    /// Tells whether anything was stated since the library was founded.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.roster.as_ref().is_some_and(Roster::is_used)
    }

    /// Returns what makes a host a member.
    #[must_use]
    pub fn membership(&self) -> Membership {
        self.roster.as_ref().map_or(Membership::Secret, Roster::membership)
    }

    /// Returns what a host is that has proved the current secret.
    #[must_use]
    pub fn standing(&self, host: HostId) -> Standing {
        self.roster.as_ref().map_or(Standing::Member { admin: false }, |roster| roster.standing(host))
    }

    /// Tells whether this host may sign statements: as an admin, or because nobody has signed anything yet.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.roster.is_none() || self.standing(self.own) == Standing::Member { admin: true }
    }

    /// Returns a digest of the statements: equal on two hosts that know the same; `None` without any.
    #[must_use]
    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        self.roster.as_ref().map(Roster::fingerprint)
    }

    /// Tells whether both know the same statements and the same secrets.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint() && self.has_secrets_of(other)
    }

    /// Tells whether both hold the same secrets and use the same one.
    #[must_use]
    pub fn has_secrets_of(&self, other: &Self) -> bool {
        self.current().0 == other.current().0 && self.secrets.keys().eq(other.secrets.keys())
    }

    /// Returns what another host is told that has proved one of the secrets. Each secret takes 32 fresh random bytes.
    pub fn succession_for(&self, host: HostId, mut random: impl FnMut() -> [u8; 32]) -> Succession {
        let Some(roster) = &self.roster else { return Succession::default() };
        if !matches!(self.standing(host), Standing::Member { .. }) {
            return Succession::default();
        }
        let sealed = |((epoch, _), held): (&(u64, SecretHash), &Held)| {
            let sealed = SealedSecret::seal(&held.secret, &self.library, *epoch, host, random());
            // To an id that is no key nothing can be sealed; it could not have proved itself either.
            sealed.ok().map(|sealed| (*epoch, sealed))
        };
        let secrets = self.secrets.iter().rev().take(limits::SECRETS_HANDED).filter_map(sealed).collect();
        Succession { statements: roster.statements().cloned().collect(), secrets }
    }

    /// Takes in what another host tells that has proved one of the secrets.
    ///
    /// # Errors
    /// [`TakeError`] when it is none of those whose word counts, or tells of another library. Nothing has changed then.
    pub fn take(&mut self, from: HostId, succession: Succession, key: &HostKey) -> Result<Taken, TakeError> {
        if !matches!(self.standing(from), Standing::Member { .. }) {
            return Err(TakeError::Stranger(from));
        }
        let (before, used) = (self.fingerprint(), *self.current().0);
        let Succession { statements, secrets } = succession;
        let mut statements = statements.into_iter();
        if let Some(birth) = statements.next() {
            match &mut self.roster {
                Some(roster) if roster.birth().id() == birth.id() => drop(roster.merge(statements)),
                _ => self.adopt(from, birth, statements)?,
            }
        }
        for (epoch, sealed) in secrets.into_iter().take(limits::SECRETS_HANDED) {
            // One that was sealed to another host, or that no admin has stated, is nothing to this one.
            let Ok(secret) = sealed.open(key, &self.library, epoch) else { continue };
            if self.roster.as_ref().is_some_and(|roster| roster.is_secret_of(epoch, &secret)) {
                self.hold(epoch, secret);
            }
        }
        Ok(Taken { members: self.fingerprint() != before, secret: *self.current().0 != used })
    }

    /// Takes over a history that begins otherwise than the one that is known here, or where none is.
    fn adopt(
        &mut self,
        from: HostId,
        birth: Statement,
        statements: impl Iterator<Item = Statement>,
    ) -> Result<(), TakeError> {
        let mut theirs = Roster::from_birth(&self.library, birth)?;
        theirs.merge(statements);
        if !self.secrets.iter().any(|((epoch, _), held)| theirs.is_secret_of(*epoch, &held.secret)) {
            return Err(TakeError::Foreign(from));
        }
        if theirs.standing(self.own) == Standing::Removed {
            return Err(TakeError::Excluded(from));
        }
        match &self.roster {
            Some(ours) if !ours.gives_way_to(&theirs)? => {}
            _ => self.roster = Some(theirs),
        }
        Ok(())
    }

    /// Founds the roster, if nobody has yet: this host is the first admin. `nonce` is 16 fresh random bytes.
    pub fn found(&mut self, key: &HostKey, nonce: [u8; 16]) {
        if self.roster.is_none() {
            self.roster = Some(self.founded(key, nonce));
        }
    }

    fn founded(&self, key: &HostKey, nonce: [u8; 16]) -> Roster {
        Roster::found(key, &self.library, self.epoch(), self.secret(), nonce)
    }

    /// Signs that a host is a member, and an admin if so asked. `nonce` is 16 fresh random bytes, for a first statement.
    ///
    /// # Errors
    /// [`ChangeError`] when this host may not.
    pub fn accept(&mut self, key: &HostKey, host: HostId, admin: bool, nonce: [u8; 16]) -> Result<(), ChangeError> {
        self.signed(key, nonce, |roster| roster.accept(key, host, admin).map(drop))
    }

    /// Signs that from now on only accepted hosts are members, those that stay among them.
    ///
    /// # Errors
    /// [`ChangeError`] when this host may not.
    pub fn list(&mut self, key: &HostKey, staying: &[HostId], nonce: [u8; 16]) -> Result<(), ChangeError> {
        self.signed(key, nonce, |roster| roster.list(key, staying).map(drop))
    }

    /// Signs that a host is removed and, as long as there is room for it, that the library has a new secret. Of those that leave with it the accepted ones
    /// are removed as well; where only the secret counted so far, the hosts that stay are accepted first.
    ///
    /// # Errors
    /// [`ChangeError`] when this host may not, or is one of those that go.
    pub fn remove(
        &mut self,
        key: &HostKey,
        host: HostId,
        leaving: &[HostId],
        staying: &[HostId],
        nonce: [u8; 16],
        secret: LibrarySecret,
    ) -> Result<(), ChangeError> {
        if host == self.own || leaving.contains(&self.own) {
            return Err(ChangeError::Itself);
        }
        let accepted: BTreeSet<HostId> = self.roster.iter().flat_map(Roster::accepted).collect();
        let leaving: BTreeSet<HostId> = leaving.iter().copied().filter(|leaves| accepted.contains(leaves)).collect();
        let hosts: Vec<HostId> =
            std::iter::once(host).chain(leaving.into_iter().filter(|leaves| *leaves != host)).collect();
        self.signed(key, nonce, |roster| roster.remove(key, &hosts, staying).map(drop))?;
        match self.renew(key, secret) {
            // It is locked out all the same; the new secret stays due.
            Ok(()) | Err(SignError::Full) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells whether an admin must make a new secret: someone was removed who may know the current one.
    #[must_use]
    pub fn is_renewal_due(&self) -> bool {
        self.roster.as_ref().is_some_and(Roster::is_rekey_due)
    }

    /// Makes a new secret if one is due and this host may: someone was removed who may know the current one. Tells
    /// whether it did.
    ///
    /// # Errors
    /// [`SignError`] when there is no room for the statement.
    pub fn renew_if_due(&mut self, key: &HostKey, secret: LibrarySecret) -> Result<bool, SignError> {
        let due = self.is_renewal_due() && self.may_sign();
        if due {
            self.renew(key, secret)?;
        }
        Ok(due)
    }

    fn renew(&mut self, key: &HostKey, secret: LibrarySecret) -> Result<(), SignError> {
        let roster = self.roster.as_mut().expect("someone was removed");
        roster.rekey(key, &secret)?;
        let (epoch, _) = roster.current();
        self.hold(epoch, secret);
        Ok(())
    }

    /// Makes a change to the roster, which is founded for it where there is none; all of it, or none.
    fn signed(
        &mut self,
        key: &HostKey,
        nonce: [u8; 16],
        change: impl FnOnce(&mut Roster) -> Result<(), SignError>,
    ) -> Result<(), ChangeError> {
        let mut roster = self.roster.clone().unwrap_or_else(|| self.founded(key, nonce));
        change(&mut roster)?;
        self.roster = Some(roster);
        Ok(())
    }

    fn hold(&mut self, epoch: u64, secret: LibrarySecret) {
        let id = (epoch, SecretHash::of(&secret));
        self.secrets.entry(id).or_insert_with(|| Held { keys: Keys::derive(&secret), secret });
    }

    /// Returns the secret that is used: the one that is stated, or else the latest that is held.
    fn current(&self) -> (&(u64, SecretHash), &Held) {
        let stated = self.roster.as_ref().and_then(|roster| self.secrets.get_key_value(&roster.current()));
        stated.unwrap_or_else(|| {
            let latest = self.secrets.keys().next_back().map_or(0, |(epoch, _)| *epoch);
            let mut of_latest = self.secrets.iter().filter(|((epoch, _), _)| *epoch == latest);
            of_latest.next().expect("a circle holds a secret from the beginning")
        })
    }

    /// Returns the bytes that keep it, secrets and all.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let statements: Vec<&Statement> = self.roster.iter().flat_map(Roster::statements).collect();
        // Large enough from the start, so that growing leaves no copy of a secret behind.
        let length = 64 + self.library.len() + self.secrets.len() * 40;
        let length = length + statements.iter().map(|statement| statement.as_bytes().len() + 2).sum::<usize>();
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.extend_from_slice(MAGIC);
        out.push(u8::from(self.paired));
        put(&mut out, self.library.as_bytes());
        put_count(&mut out, self.secrets.len());
        for ((epoch, _), held) in &self.secrets {
            out.extend_from_slice(&epoch.to_le_bytes());
            out.extend_from_slice(held.secret.expose());
        }
        put_count(&mut out, statements.len());
        for statement in statements {
            put(&mut out, statement.as_bytes());
        }
        out
    }

    /// Reads what [`encode`](Self::encode) has written.
    ///
    /// # Errors
    /// [`DecodeCircleError`] when it is something else.
    pub fn decode(own: HostId, bytes: &[u8]) -> Result<Self, DecodeCircleError> {
        let mut bytes = bytes;
        let rest = &mut bytes;
        if take::<16>(rest)? != *MAGIC {
            return Err(DecodeCircleError("it is of another version"));
        }
        let [paired] = take(rest)?;
        let library = String::from_utf8(get(rest)?.to_vec()).map_err(|_| DecodeCircleError("a name is no text"))?;
        let mut circle = Self { own, library, paired: paired == 1, roster: None, secrets: BTreeMap::new() };
        for _ in 0..u16::from_le_bytes(take(rest)?) {
            let (epoch, secret) = (u64::from_le_bytes(take(rest)?), take(rest)?);
            circle.hold(epoch, LibrarySecret::from_bytes(secret));
        }
        if circle.secrets.is_empty() {
            return Err(DecodeCircleError("there is no secret"));
        }
        let mut statements = Vec::new();
        for _ in 0..u16::from_le_bytes(take(rest)?) {
            statements.push(Statement::decode(get(rest)?).map_err(|_| DecodeCircleError("a statement is damaged"))?);
        }
        let mut statements = statements.into_iter();
        if let Some(birth) = statements.next() {
            let roster = Roster::from_birth(&circle.library, birth);
            let mut roster = roster.map_err(|_| DecodeCircleError("the first statement is no birth"))?;
            roster.merge(statements);
            circle.roster = Some(roster);
        }
        rest.is_empty().then_some(circle).ok_or(DecodeCircleError("it is longer than it should be"))
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).expect("far fewer").to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

const SHORT: DecodeCircleError = DecodeCircleError("it is shorter than it should be");

fn get<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeCircleError> {
    let length = u16::from_le_bytes(take(bytes)?);
    let (taken, rest) = bytes.split_at_checked(usize::from(length)).ok_or(SHORT)?;
    *bytes = rest;
    Ok(taken)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], DecodeCircleError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(SHORT)?;
    *bytes = rest;
    Ok(*taken)
}
