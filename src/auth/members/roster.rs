//! Who belongs to a library, as this host knows it; and the statements that change it.

use std::collections::BTreeMap;

use super::super::HostKey;
use super::super::LibrarySecret;
use super::SecretHash;
use super::history::Denied;
use super::history::History;
use super::history::Picture;
use super::statement::Action;
use super::statement::Body;
use super::statement::Statement;
use super::statement::StatementId;
use crate::asset::HostId;
use crate::limits::membership as limits;

/// What makes a host a member of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// Proving the secret.
    Secret,
    /// Proving the secret, and having been accepted.
    Listed,
}

/// What a host is to a library, once it has proved the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to it.
    Member {
        /// Whether it may sign statements.
        admin: bool,
    },
    /// It waits until an admin accepts it.
    Pending,
    /// It was removed, for ever.
    Removed,
}

/// The members of one library: the statements about them, and what follows from those.
///
/// However statements come, in whatever order and how often, hosts with the same statements say the same.
#[derive(Debug, Clone)]
pub struct Roster {
    library: [u8; 32],
    history: History,
    picture: Picture,
    /// Statements whose forerunners are not here yet.
    waiting: BTreeMap<StatementId, Statement>,
}

/// What became of statements that were merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// Taken in; those to be kept.
    pub added: usize,
    /// Known already.
    pub known: usize,
    /// Kept in memory until what they build on has come.
    pub waiting: usize,
    /// Of no effect: about another library or birth, or signed by a host that was no admin.
    pub void: usize,
    /// Refused because the history is full.
    pub full: usize,
}

/// A change of members that cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// This host may not sign.
    #[error(
        "this host is no admin of the library; ask on one that is (`can-sync peers admin` names them): {}",
        short(admins)
    )]
    NotAdmin {
        /// Who may.
        admins: Vec<HostId>,
    },
    /// The host was removed before.
    #[error("{host} was removed from the library for good; give that device a new id and pair it again", host = host.fmt_short())]
    Removed {
        /// Which host.
        host: HostId,
    },
    /// Without this host, nobody could sign any more.
    #[error("{host} is the only admin; make another device admin first (`can-sync peers admin`)", host = host.fmt_short())]
    LastAdmin {
        /// Which host.
        host: HostId,
    },
    /// There is no room for further statements.
    #[error(
        "the library has {limit} statements about its members, as many as are kept; make a new library \
         (`can-sync init`) and pair the devices that stay",
        limit = limits::STATEMENTS
    )]
    Full,
}

/// Bytes that begin no library of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the statement is not the birth of the library {library}; pair this device again")]
pub struct NotTheBirth {
    /// Which library.
    pub library: String,
}

/// Two libraries of one name and secret that both have members of their own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "two libraries of this name have grown apart: one was begun by {ours}, the other by {theirs}; pair the devices of \
     one with the other",
    ours = ours.fmt_short(),
    theirs = theirs.fmt_short()
)]
pub struct TwoBirths {
    /// Who began the one that is known here.
    pub ours: HostId,
    /// Who began the other.
    pub theirs: HostId,
}

impl Roster {
    /// Begins a library: this host is its first admin, and membership is [`Membership::Secret`].
    #[must_use]
    pub fn found(key: &HostKey, library: &str, epoch: u64, secret: &LibrarySecret, random: [u8; 16]) -> Self {
        let library = blake3::hash(library.as_bytes()).into();
        let action = Action::Birth { nonce: random, secret: SecretHash::of(secret) };
        let body = Body { library, birth: None, epoch, signer: key.id(), action, seen: Vec::new() };
        Self::begin(library, Statement::sign(key, body))
    }

    /// Begins with a birth that was kept, or that pairing handed over; the rest is merged.
    ///
    /// # Errors
    /// [`NotTheBirth`] when the statement is none, or of another library.
    pub fn from_birth(library: &str, birth: Statement) -> Result<Self, NotTheBirth> {
        let hash = blake3::hash(library.as_bytes()).into();
        if !matches!(birth.action(), Action::Birth { .. }) || birth.body.library != hash {
            return Err(NotTheBirth { library: library.to_owned() });
        }
        Ok(Self::begin(hash, birth))
    }

    fn begin(library: [u8; 32], birth: Statement) -> Self {
        let history = History::new(birth);
        Self { library, picture: history.picture(), history, waiting: BTreeMap::new() }
    }

    /// Takes statements in, in any order; what was known, or has no effect, changes nothing.
    pub fn merge(&mut self, statements: impl IntoIterator<Item = Statement>) -> Merged {
        let mut merged = Merged::default();
        let mut open = std::mem::take(&mut self.waiting);
        for statement in statements {
            if self.history.has(&statement.id()) || open.contains_key(&statement.id()) {
                merged.known += 1;
            } else if statement.body.library != self.library || statement.body.birth != Some(self.birth().id()) {
                merged.void += 1;
            } else {
                open.insert(statement.id(), statement);
            }
        }
        // One round takes in all whose forerunners are here; what they are forerunners of comes in the next.
        loop {
            let before = merged.added;
            open.retain(|_, statement| {
                match self.history.admit(statement) {
                    Ok(()) => merged.added += 1,
                    Err(Denied::Early) => return true,
                    Err(Denied::Void) => merged.void += 1,
                    Err(Denied::Full) => merged.full += 1,
                }
                false
            });
            if merged.added == before {
                break;
            }
        }
        while open.len() > limits::STATEMENTS_WAITING {
            open.pop_last();
        }
        merged.waiting = open.len();
        self.waiting = open;
        if merged.added > 0 {
            self.picture = self.history.picture();
        }
        merged
    }

    /// Returns the statement the library began with.
    #[must_use]
    pub fn birth(&self) -> &Statement {
        self.history.birth()
    }

    /// Goes through all statements, the birth first, each behind those it builds on: to be kept, and to be sent.
    #[must_use]
    pub fn statements(&self) -> impl ExactSizeIterator<Item = &Statement> {
        self.history.statements()
    }

    /// Returns a digest of the set of statements: equal on two hosts that know the same.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for id in self.history.ids() {
            hasher.update(id.as_bytes());
        }
        hasher.finalize().into()
    }

    /// Tells whether this host gives its own birth up for that of another host with the same secret: an unused one for
    /// a used one, and of two unused ones the one with the higher id. Unused is a roster without further statements.
    ///
    /// # Errors
    /// [`TwoBirths`] when both are used: no rule could tell the one a thief made up from the other.
    pub fn gives_way_to(&self, other: &Self) -> Result<bool, TwoBirths> {
        if self.birth().id() == other.birth().id() {
            return Ok(false);
        }
        match (self.is_used(), other.is_used()) {
            (false, true) => Ok(true),
            (true, false) => Ok(false),
            (false, false) => Ok(self.birth().id() > other.birth().id()),
            (true, true) => Err(TwoBirths { ours: self.birth().signer(), theirs: other.birth().signer() }),
        }
    }

    /// Tells whether there are statements behind the birth.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.history.len() > 1
    }

    /// Returns what makes a host a member.
    #[must_use]
    pub fn membership(&self) -> Membership {
        if self.picture.listed { Membership::Listed } else { Membership::Secret }
    }

    /// Returns what a host is that has proved the current secret.
    #[must_use]
    pub fn standing(&self, host: HostId) -> Standing {
        if self.picture.removed.contains(&host) {
            return Standing::Removed;
        }
        match (self.picture.members.get(&host), self.membership()) {
            (Some(admin), _) => Standing::Member { admin: *admin },
            (None, Membership::Secret) => Standing::Member { admin: false },
            (None, Membership::Listed) => Standing::Pending,
        }
    }

    /// Goes through the accepted hosts: those a new secret is sealed to.
    pub fn accepted(&self) -> impl Iterator<Item = HostId> {
        self.picture.members.keys().copied()
    }

    /// Goes through the removed hosts.
    pub fn removed(&self) -> impl Iterator<Item = HostId> {
        self.picture.removed.iter().copied()
    }

    /// Goes through the admins. There are none when the last two removed each other; then nobody is accepted or removed
    /// any more, and the library has to be founded anew.
    pub fn admins(&self) -> impl Iterator<Item = HostId> {
        self.picture.admins()
    }

    /// Returns the current epoch and the hash of its secret; of several secrets the one of the lowest hash.
    #[must_use]
    pub fn current(&self) -> (u64, SecretHash) {
        self.picture.current().expect("the birth names a secret and always stands")
    }

    /// Tells whether a secret is one of an epoch; both that were made at the same time are, for the hand-over.
    #[must_use]
    pub fn is_secret_of(&self, epoch: u64, secret: &LibrarySecret) -> bool {
        self.picture.secrets.get(&epoch).is_some_and(|secrets| secrets.contains(&SecretHash::of(secret)))
    }

    /// Tells whether an admin must make a new secret: someone was removed whom the current one may have been handed to.
    #[must_use]
    pub const fn is_rekey_due(&self) -> bool {
        self.picture.rekey_due
    }

    /// Signs that a host is a member, and an admin if so asked.
    ///
    /// # Errors
    /// [`SignError`] when this host may not, or the host was removed before.
    pub fn accept(&mut self, key: &HostKey, host: HostId, admin: bool) -> Result<Statement, SignError> {
        if self.picture.removed.contains(&host) {
            return Err(SignError::Removed { host });
        }
        self.sign(key, Action::Accept { host, admin })
    }

    /// Signs that from now on only accepted hosts are members; those that stay are accepted first.
    ///
    /// # Errors
    /// [`SignError`] when this host may not.
    pub fn list(&mut self, key: &HostKey, staying: &[HostId]) -> Result<Vec<Statement>, SignError> {
        let mut signed = self.accept_all(key, staying)?;
        if self.membership() == Membership::Secret {
            signed.push(self.sign(key, Action::Listed)?);
        }
        Ok(signed)
    }

    /// Signs that hosts are removed. Where only the secret counted so far, the hosts that stay are accepted, and the
    /// library becomes listed. What is left to do is a new secret: [`rekey`](Self::rekey).
    ///
    /// # Errors
    /// [`SignError`] when this host may not, or nobody could sign any more.
    pub fn remove(&mut self, key: &HostKey, hosts: &[HostId], staying: &[HostId]) -> Result<Vec<Statement>, SignError> {
        if let Some(removed) = hosts.iter().find(|host| self.picture.removed.contains(host)) {
            return Err(SignError::Removed { host: *removed });
        }
        if let Some(host) = hosts.first().filter(|_| self.admins().all(|admin| hosts.contains(&admin))) {
            return Err(SignError::LastAdmin { host: *host });
        }
        let mut signed = Vec::new();
        if self.membership() == Membership::Secret {
            let staying: Vec<_> = staying.iter().copied().filter(|stays| !hosts.contains(stays)).collect();
            signed = self.accept_all(key, &staying)?;
        }
        for host in hosts {
            signed.push(self.sign(key, Action::Remove { host: *host })?);
        }
        Ok(signed)
    }

    /// Signs that the library has a new secret, of the next epoch.
    ///
    /// # Errors
    /// [`SignError`] when this host may not.
    pub fn rekey(&mut self, key: &HostKey, secret: &LibrarySecret) -> Result<Statement, SignError> {
        let latest = self.history.latest(key.id());
        let epoch = self.history.epoch_at(&latest).saturating_add(1);
        self.sign_after(latest, key, Action::Rekey { epoch, secret: SecretHash::of(secret) })
    }

    /// Signs that hosts are members, of those that are not; all of them, or none when there is no room.
    fn accept_all(&mut self, key: &HostKey, hosts: &[HostId]) -> Result<Vec<Statement>, SignError> {
        let is_new = |host: &HostId| !self.picture.members.contains_key(host) && !self.picture.removed.contains(host);
        let new: Vec<_> = hosts.iter().copied().filter(is_new).collect();
        if !self.history.has_room(new.len()) {
            return Err(SignError::Full);
        }
        new.into_iter().map(|host| self.sign(key, Action::Accept { host, admin: false })).collect()
    }

    fn sign(&mut self, key: &HostKey, action: Action) -> Result<Statement, SignError> {
        self.sign_after(self.history.latest(key.id()), key, action)
    }

    fn sign_after(&mut self, latest: Vec<StatementId>, key: &HostKey, action: Action) -> Result<Statement, SignError> {
        if self.picture.members.get(&key.id()) != Some(&true) {
            return Err(SignError::NotAdmin { admins: self.admins().collect() });
        }
        let body = Body {
            library: self.library,
            birth: Some(self.birth().id()),
            epoch: self.picture.epoch(),
            signer: key.id(),
            action,
            seen: latest,
        };
        let statement = Statement::sign(key, body);
        // An admin by all that is known here is one by what the statement names as seen, so only room can be missing.
        self.history.admit(&statement).map_err(|_| SignError::Full)?;
        self.picture = self.history.picture();
        Ok(statement)
    }
}

fn short(hosts: &[HostId]) -> String {
    if hosts.is_empty() {
        return "there is none any more, make a new library (`can-sync init`)".to_owned();
    }
    hosts.iter().map(HostId::fmt_short).collect::<Vec<_>>().join(", ")
}
