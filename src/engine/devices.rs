//! The registry of devices, as people see and change it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::peers::PeerOrder;
use super::registry::Worth;
use super::shared::Engine;
use super::shared::Shared;
use crate::asset::HostId;
use crate::auth::members::Membership;
use crate::auth::members::Standing;
use crate::library::Role;
use crate::limits;
use crate::state::Peer;
use crate::state::PeerSettings;
use crate::state::StateError;
use crate::task::now_ms;

/// What a device is to this host at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Somebody says that it is there; it has proved nothing.
    Discovered,
    /// It is trying a pairing code.
    Pairing,
    /// It was accepted, and was never connected to this host.
    Paired,
    /// It knows the secret and waits until an admin accepts it.
    Pending,
    /// It is connected.
    Connected,
    /// It was connected.
    Disconnected {
        /// Why its last connection ended, if that is known.
        why: Option<String>,
    },
    /// It is left alone.
    Paused {
        /// Until when, in Unix milliseconds; `None` until a person says so.
        until_ms: Option<u64>,
    },
    /// It was removed from the library for good.
    Blocked,
}

/// Why a device is taken for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It is not.
    None,
    /// It has proved the secret.
    Secret,
    /// An admin has accepted it.
    Accepted,
    /// It is an admin itself.
    Admin,
}

/// A text that names no device, or more than one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamedError {
    /// Nothing is called so.
    #[error("no device is called `{0}`; `can-sync peers ls` lists all by name and id")]
    Unknown(String),
    /// Several are.
    #[error("`{text}` may be {}; give more of the id", .ids.iter().map(HostId::fmt_short).collect::<Vec<_>>().join(" or "))]
    Several {
        /// What was said.
        text: String,
        /// Who it may be.
        ids: Vec<HostId>,
    },
}

/// What is set for a device could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// It has no place here, or not this one.
    #[error(transparent)]
    Named(#[from] NamedError),
    /// A name that cannot be shown.
    #[error("a name is a line of 1 to {limit} bytes", limit = limits::DEVICE_NAME_BYTES)]
    Name,
    /// A rate that is too low.
    #[error("a limit is at least {limit} bytes a second: below it contents stall", limit = limits::PACE_LEAST)]
    Rate,
    /// There is no room for another device.
    #[error(
        "{limit} devices are known, and all of them are connected, accepted or set up here; remove one first",
        limit = limits::membership::DEVICES_KNOWN
    )]
    Full,
    /// It could not be written down.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Shared {
    /// Changes what is remembered of a device, which may be new; tells whether there is room for it.
    pub(super) async fn remember(&self, id: HostId, change: impl FnOnce(&mut Peer)) -> Result<bool, StateError> {
        self.registry.change(id, |peer| self.worth(peer), change).await
    }

    fn worth(&self, peer: &Peer) -> Worth {
        let circle = self.members.circle();
        match circle.standing(peer.id) {
            _ if peer.settings != PeerSettings::default() || self.connected.contains_key(&peer.id) => Worth::Kept,
            Standing::Pending => Worth::Waiting,
            Standing::Member { .. } if circle.membership() == Membership::Listed => Worth::Kept,
            Standing::Member { .. } | Standing::Removed => Worth::Seen,
        }
    }
}

/// What becomes of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateLimit {
    /// It stays as it is.
    #[default]
    AsItWas,
    /// There is none.
    Unlimited,
    /// Bytes of content a second.
    BytesPerSec(u64),
}

impl RateLimit {
    fn set(self, limit: &mut Option<u64>) {
        match self {
            Self::AsItWas => {}
            Self::Unlimited => *limit = None,
            Self::BytesPerSec(rate) => *limit = Some(rate),
        }
    }
}

impl Engine {
    /// Finds a device by its id, the name a person gave it here, the name it gives itself, or the beginning of its id
    /// (four characters at least). A device may call itself what it likes, also like the id of another: then both are
    /// named.
    ///
    /// # Errors
    /// [`NamedError`] when there is none, or more than one.
    pub fn named(&self, text: &str) -> Result<HostId, NamedError> {
        let all = self.devices();
        let wanted = text.trim().to_lowercase();
        let is_wanted = |name: &str| !wanted.is_empty() && name.to_lowercase() == wanted;
        let begins = |peer: &Peer| wanted.len() >= 4 && peer.id.to_string().starts_with(&wanted);
        let by = |fits: &dyn Fn(&Peer) -> bool| all.iter().filter(|peer| fits(peer)).map(|peer| peer.id).collect();
        let mut ids: Vec<HostId> = by(&|peer| peer.id.to_string() == wanted);
        if ids.is_empty() {
            ids = by(&|peer| peer.settings.name.as_deref().is_some_and(is_wanted));
        }
        if ids.is_empty() {
            ids = by(&|peer| is_wanted(peer.shown_name()) || begins(peer));
        }
        match ids.as_slice() {
            [only] => Ok(*only),
            [] => {
                // A whole id may be one of which nothing was heard yet.
                let shown = text.chars().take(limits::PEER_NAMED_BYTES).collect();
                wanted.parse().map_err(|_| NamedError::Unknown(shown))
            }
            _ => Err(NamedError::Several { text: text.to_owned(), ids }),
        }
    }

    /// Returns all devices: those that were ever connected, that the library knows, and that were found.
    pub(super) fn devices(&self) -> Vec<Peer> {
        let shared = &self.shared;
        let mut devices = shared.registry.all();
        let known: BTreeSet<HostId> = devices.iter().map(|peer| peer.id).collect();
        let circle = shared.members.circle();
        let stated = circle.roster().into_iter().flat_map(|roster| roster.accepted().chain(roster.removed()));
        let found = shared.found.iter().map(|entry| *entry.key());
        let others: BTreeSet<HostId> = stated
            .chain(found)
            .chain(shared.pairing.with())
            .filter(|id| !known.contains(id) && *id != shared.host)
            .collect();
        devices.extend(others.into_iter().map(|id| {
            let mut peer = Peer::unknown(id, 0);
            if let Some(ticket) = shared.found.get(&id) {
                peer.addresses = ticket.addresses.iter().map(ToString::to_string).collect();
                peer.relay.clone_from(&ticket.relay);
            }
            peer
        }));
        devices
    }

    /// Returns what a device is to this host.
    pub(super) fn condition(&self, peer: &Peer) -> (Condition, Trust) {
        let (shared, id) = (&self.shared, peer.id);
        let circle = shared.members.circle();
        let standing = circle.standing(id);
        let accepted = circle.roster().is_some_and(|roster| roster.accepted().any(|accepted| accepted == id));
        let seen = peer.first_seen_ms > 0 && !peer.version.is_empty();
        let trust = match standing {
            Standing::Member { admin: true } => Trust::Admin,
            Standing::Member { .. } if accepted => Trust::Accepted,
            Standing::Member { .. } if seen => Trust::Secret,
            _ => Trust::None,
        };
        let now = now_ms();
        let condition = match standing {
            Standing::Removed => Condition::Blocked,
            _ if shared.connected.contains_key(&id) => Condition::Connected,
            _ if peer.settings.is_paused(now) => {
                Condition::Paused { until_ms: peer.settings.paused_until_ms.filter(|until| *until < FOR_EVER_MS) }
            }
            Standing::Pending if seen => Condition::Pending,
            Standing::Pending | Standing::Member { .. } if shared.pairing.with() == Some(id) => Condition::Pairing,
            Standing::Member { .. } if seen => {
                Condition::Disconnected { why: peer.ended.as_ref().map(|(why, _)| why.clone()) }
            }
            Standing::Member { .. } if accepted => Condition::Paired,
            _ => Condition::Discovered,
        };
        (condition, trust)
    }

    /// Gives a device another name on this host, or its own again.
    ///
    /// # Errors
    /// [`DeviceError`] when the name cannot be shown, or not be kept.
    pub async fn rename(&self, id: HostId, name: Option<String>) -> Result<(), DeviceError> {
        let name = name.map(|name| name.trim().to_owned());
        let is_shown =
            |name: &String| (1..=limits::DEVICE_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control);
        if name.as_ref().is_some_and(|name| !is_shown(name)) {
            return Err(DeviceError::Name);
        }
        self.set(id, |settings| settings.name = name).await
    }

    /// Leaves a device alone: its connection ends, it is not dialled and not let in, for a time or until it is resumed.
    ///
    /// # Errors
    /// [`DeviceError`] when it cannot be kept.
    pub async fn pause(&self, id: HostId, time: Option<Duration>) -> Result<(), DeviceError> {
        let until = |time: Duration| now_ms().saturating_add(u64::try_from(time.as_millis()).unwrap_or(FOR_EVER_MS));
        let until_ms = time.map_or(FOR_EVER_MS, until).min(FOR_EVER_MS);
        self.set(id, |settings| settings.paused_until_ms = Some(until_ms)).await?;
        self.renew(id).await;
        Ok(())
    }

    /// Takes up a device again that is paused.
    ///
    /// # Errors
    /// [`DeviceError`] when it cannot be kept.
    pub async fn resume(&self, id: HostId) -> Result<(), DeviceError> {
        self.set(id, |settings| settings.paused_until_ms = None).await
    }

    /// Limits the bytes of content a second that may go to a device and come from it.
    ///
    /// # Errors
    /// [`DeviceError`] when a rate is too low, or it cannot be kept.
    pub async fn limit(&self, id: HostId, sent: RateLimit, taken: RateLimit) -> Result<(), DeviceError> {
        let is_low = |limit| matches!(limit, RateLimit::BytesPerSec(rate) if rate < limits::PACE_LEAST);
        if is_low(sent) || is_low(taken) {
            return Err(DeviceError::Rate);
        }
        self.set(id, |settings| {
            sent.set(&mut settings.most_sent);
            taken.set(&mut settings.most_taken);
        })
        .await?;
        self.shared.traffic(id).keep_to(&self.shared.registry.settings(id));
        Ok(())
    }

    /// Says what a device may do in the library; its connection is made anew, so that both sides keep to it.
    ///
    /// # Errors
    /// [`DeviceError`] when it cannot be kept.
    pub async fn set_role(&self, id: HostId, role: Role) -> Result<(), DeviceError> {
        self.set(id, |settings| settings.role = role).await?;
        self.renew(id).await;
        Ok(())
    }

    async fn set(&self, id: HostId, set: impl FnOnce(&mut PeerSettings)) -> Result<(), DeviceError> {
        let is_kept = self.shared.remember(id, |peer| set(&mut peer.settings)).await?;
        if is_kept { Ok(()) } else { Err(DeviceError::Full) }
    }

    async fn renew(&self, id: HostId) {
        // The engine has stopped when there is nobody to take it.
        let _ = self.shared.peers.send(PeerOrder::Renew(id)).await;
    }
}

/// A time that does not come: the largest that is stored.
const FOR_EVER_MS: u64 = i64::MAX.cast_unsigned();
