//! The members of the library: what is stated about them is taken in, kept, spread, and changed by people here.
//!
//! Peers tell of members on their connections (`peers`, `dial`); whoever asks about a host asks the circle, which the
//! endpoint reads too. A change is kept before it counts, and once begun it is carried to its end, whether or not
//! whoever asked for it still waits.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::mpsc;
use tokio::sync::watch;

use super::peers::PeerOrder;
use super::shared::Engine;
use super::shared::Shared;
use crate::asset::HostId;
use crate::auth::HostKey;
use crate::auth::LibrarySecret;
use crate::auth::members::ChangeError;
use crate::auth::members::Circle;
use crate::auth::members::Membership;
use crate::auth::members::SignError;
use crate::auth::members::Standing;
use crate::auth::members::Succession;
use crate::auth::members::TakeError;
use crate::event::Event;
use crate::net::Moved;
use crate::task::random;

/// What people are told as long as there is no room for the statement that a removal calls for.
const NOT_RENEWED: &str = "a device was removed, and the library has no room for the statement of a new secret, so what \
                           that device knows stays the secret; make a new library (`can-sync init`) and pair the devices \
                           that stay";

/// Keeps what is known of the members, durably. It may block; the error is for people.
pub type Keep = Arc<dyn Fn(&Circle) -> Result<(), String> + Send + Sync>;

/// What is known of the members, and how it changes.
pub(super) struct Members {
    circle: watch::Sender<Arc<Circle>>,
    key: HostKey,
    keep: Keep,
    /// Has everybody told who is connected, and lets go who no longer belongs.
    peers: mpsc::Sender<PeerOrder>,
    changing: Mutex<()>,
    /// What people should know, if something is wrong; and by what a peer has told.
    trouble: Mutex<Option<(HostId, String)>>,
}

/// Who belongs to the library could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembersError {
    /// This host may not, or it makes no sense.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// It would not count.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// What a peer tells does not count.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// It could not be kept, and so was not made.
    #[error("what is known of the members cannot be kept: {0}")]
    Keep(String),
}

/// What makes a host a member, and who may change that; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersStatus {
    /// Whether the secret alone makes a host a member.
    pub membership: Membership,
    /// The epoch of the secret that is used.
    pub epoch: u64,
    /// Those that may sign; none when nothing was ever stated.
    pub admins: Vec<HostId>,
    /// Whether this host may sign.
    pub may_sign: bool,
    /// What is wrong, if something is.
    pub trouble: Option<String>,
}

impl Members {
    pub(super) fn new(
        circle: watch::Sender<Arc<Circle>>,
        key: HostKey,
        keep: Keep,
        peers: mpsc::Sender<PeerOrder>,
    ) -> Self {
        Self { circle, key, keep, peers, changing: Mutex::default(), trouble: Mutex::default() }
    }

    pub(super) fn circle(&self) -> Arc<Circle> {
        Arc::clone(&self.circle.borrow())
    }

    pub(super) fn follow(&self) -> watch::Receiver<Arc<Circle>> {
        self.circle.subscribe()
    }

    pub(super) fn standing(&self, host: HostId) -> Standing {
        self.circle.borrow().standing(host)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<(HostId, String)>> {
        self.trouble.lock()
    }

    /// Has people know what is wrong with what a peer has told.
    fn say(&self, from: HostId, trouble: String) {
        *self.trouble() = Some((from, trouble));
    }

    /// Takes that back where what a peer told was taken: it is another one's trouble that stays, unless this was news.
    fn is_well(&self, from: HostId, is_news: bool) {
        let mut trouble = self.trouble();
        trouble.take_if(|(of, _)| is_news || *of == from);
    }

    /// Changes what is known: all of it, durably, or nothing; and has everybody told. Returns what the change says, and
    /// whether anything is different.
    async fn change<T: Send + 'static, E: Into<MembersError> + Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Circle, &HostKey) -> Result<T, E> + Send + 'static,
    ) -> Result<(T, bool), MembersError> {
        let members = Arc::clone(self);
        // It blocks, and a task that blocks is never ended in the middle.
        let changing = tokio::task::spawn_blocking(move || members.change_now(change));
        changing.await.map_err(|error| MembersError::Keep(error.to_string()))?
    }

    fn change_now<T, E: Into<MembersError>>(
        &self,
        change: impl FnOnce(&mut Circle, &HostKey) -> Result<T, E>,
    ) -> Result<(T, bool), MembersError> {
        let _changing = self.changing.lock();
        let before = self.circle();
        let mut circle = Circle::clone(&before);
        let said = change(&mut circle, &self.key).map_err(Into::into)?;
        // Someone was removed whom its maker may have handed the current secret to. Whoever was removed is so without a
        // new one, too; as long as none can be made, people are told (`MembersStatus::trouble`).
        let renewed = circle.renew_if_due(&self.key, fresh_secret());
        if circle.is_same(&before) {
            return Ok((said, false));
        }
        if let Err(error) = renewed {
            tracing::warn!(%error, "the library gets no new secret");
        }
        (self.keep)(&circle).map_err(MembersError::Keep)?;
        self.circle.send_replace(Arc::new(circle));
        // The engine has stopped when there is nobody to take it.
        let _ = self.peers.blocking_send(PeerOrder::MembersChanged);
        Ok((said, true))
    }
}

fn fresh_secret() -> LibrarySecret {
    LibrarySecret::from_bytes(random())
}

/// Takes in what a peer tells of the members. Tells whether another secret is used since.
pub(super) async fn hear(shared: &Shared, from: HostId, succession: Succession) -> bool {
    let heard = shared.members.change(move |circle, key| circle.take(from, succession, key));
    match heard.await {
        Ok((taken, changed)) => {
            if changed {
                tracing::info!(peer = %from.fmt_short(), secret = taken.secret, "heard news of the members");
            }
            shared.members.is_well(from, changed);
            taken.secret
        }
        // It is not accepted, or was removed, and does not know yet: nothing is wrong here.
        Err(error @ MembersError::Take(TakeError::Stranger(_))) => {
            tracing::debug!(peer = %from.fmt_short(), %error, "what a host tells of the members is not taken");
            false
        }
        Err(error) => {
            if let Some(times) = shared.seen.not_taken.count(Instant::now()) {
                tracing::warn!(peer = %from.fmt_short(), %error, times, "what a peer tells of the members is not taken");
            }
            shared.members.say(from, error.to_string());
            false
        }
    }
}

/// Takes in what a peer tells that uses another secret. Tells whether another one is used here since.
pub(super) async fn moved_on(shared: &Shared, Moved { peer, is_behind, succession }: Moved) -> bool {
    if succession.statements.is_empty() {
        // Whoever holds an older secret and was never told of members has nothing to tell.
        if is_behind {
            let text = "this library has moved on and its phrase is dead; pair this device again: `can-sync pair` on a \
                        device that stayed, then `can-sync pair WORDS` here";
            if let Some(times) = shared.seen.moved_on.count(Instant::now()) {
                tracing::warn!(peer = %peer.fmt_short(), times, "the library has moved on without this host; pair it again");
            }
            shared.members.say(peer, text.to_owned());
        }
        return false;
    }
    hear(shared, peer, succession).await
}

impl Shared {
    /// Signs that a device which has proved a pairing code is a member. Where the secret alone makes a member, a host
    /// that may not sign only hands it over.
    pub(super) async fn accept_paired(&self, host: HostId) -> Result<(), MembersError> {
        let circle = self.members.circle();
        if circle.membership() == Membership::Secret && !circle.may_sign() {
            return Ok(());
        }
        self.members.change(move |circle, key| circle.accept(key, host, false, random())).await.map(drop)
    }
}

impl Engine {
    /// Returns what makes a host a member, and who may change that.
    #[must_use]
    pub fn members_status(&self) -> MembersStatus {
        let members = &self.shared.members;
        let circle = members.circle();
        let told = members.trouble().as_ref().map(|(_, trouble)| trouble.clone());
        // An admin that could make a new secret has done so.
        let not_renewed = (circle.is_renewal_due() && circle.may_sign()).then(|| NOT_RENEWED.to_owned());
        MembersStatus {
            membership: circle.membership(),
            epoch: circle.epoch(),
            admins: circle.roster().into_iter().flat_map(|roster| roster.admins()).collect(),
            may_sign: circle.may_sign(),
            trouble: told.or(not_renewed),
        }
    }

    /// Follows what is known of the members.
    #[must_use]
    pub fn circle(&self) -> watch::Receiver<Arc<Circle>> {
        self.shared.members.follow()
    }

    /// Makes a host a member, and an admin if so asked.
    ///
    /// # Errors
    /// [`MembersError`] when this host may not sign that, or it cannot be kept.
    pub async fn accept_member(&self, host: HostId, admin: bool) -> Result<(), MembersError> {
        self.shared.members.change(move |circle, key| circle.accept(key, host, admin, random())).await.map(drop)
    }

    /// From now on only accepted hosts are members; those that stay are accepted.
    ///
    /// # Errors
    /// [`MembersError`] when this host may not sign that, or it cannot be kept.
    pub async fn list_members(&self, staying: Vec<HostId>) -> Result<(), MembersError> {
        self.shared.members.change(move |circle, key| circle.list(key, &staying, random())).await.map(drop)
    }

    /// Removes a host for good, with it those of the leaving that were accepted, and gives the library a new secret,
    /// which those that stay are handed. Where the secret alone made a member, those that stay are accepted first. Tells
    /// whether the library has the new secret: its history may have no room for the statement.
    ///
    /// # Errors
    /// [`MembersError`] when this host may not sign that, or it cannot be kept.
    pub async fn remove_member(
        &self,
        host: HostId,
        leaving: Vec<HostId>,
        staying: Vec<HostId>,
    ) -> Result<bool, MembersError> {
        let remove = move |circle: &mut Circle, key: &HostKey| {
            circle.remove(key, host, &leaving, &staying, random(), fresh_secret())
        };
        if self.shared.members.change(remove).await?.1 {
            tracing::warn!(peer = %host.fmt_short(), "removed from the library");
            self.shared.announce(Event::PeerRemoved { peer: host });
        }
        Ok(!self.shared.members.circle().is_renewal_due())
    }
}
