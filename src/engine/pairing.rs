//! The inviting side of pairing: one code at a time, the exchanges with whoever comes for it, and letting in who proves
//! to know it.
//!
//! Connections come from `peers`; the code is opened and closed by people. Where others find this host meanwhile is the
//! meeting place, which `node` announces as long as it is shown here.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::time::error::Elapsed;

use super::greet;
use super::members::MembersError;
use super::shared::Engine;
use super::shared::Shared;
use crate::asset::HostId;
use crate::auth::members::ChangeError;
use crate::auth::members::Membership;
use crate::auth::members::SignError;
use crate::auth::pairing::Handover;
use crate::auth::pairing::Inviter;
use crate::auth::pairing::MeetingPlace;
use crate::auth::pairing::PairingCode;
use crate::auth::pairing::PairingFailure;
use crate::auth::pairing::Welcome;
use crate::auth::pairing::Window;
use crate::event::Event;
use crate::limits::membership as limits;
use crate::net::FrameError;
use crate::net::PairingStream;
use crate::task::random;
use crate::telemetry::causes;

/// The code that is shown at present, and what became of it.
pub(super) struct Pairing {
    open: Mutex<Option<Open>>,
    /// Codes that were made since the start.
    codes: AtomicU64,
    meeting: watch::Sender<Option<MeetingPlace>>,
    /// Strangers that are heard at one moment.
    places: Semaphore,
}

struct Open {
    /// Which code this is, so that one that took its place is not taken for it.
    number: u64,
    window: Window,
    opened_ms: u64,
    /// Who is at it now.
    with: Option<HostId>,
    /// Whom the library was handed to, with its name; or that it did not keep it.
    handed: Option<Result<(HostId, String), PairingFailure>>,
}

/// What became of a pairing code; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairingStatus {
    /// No code was made since the start.
    None,
    /// The code is good for so long.
    Open {
        /// How long it is good.
        left: Duration,
        /// A device that is trying it.
        with: Option<HostId>,
    },
    /// A device was let in.
    Paired {
        /// Its id.
        peer: HostId,
        /// Its name.
        name: String,
    },
    /// It is no longer good.
    Closed {
        /// Why.
        why: PairingFailure,
    },
}

/// An exchange came to nothing; for the log, the other side hears always the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum ExchangeError {
    #[error("no pairing code is open")]
    Closed,
    #[error(transparent)]
    Failure(#[from] PairingFailure),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Members(#[from] MembersError),
}

impl Default for Pairing {
    fn default() -> Self {
        let places = Semaphore::new(limits::PAIRINGS_AT_ONCE);
        Self { open: Mutex::default(), codes: AtomicU64::new(0), meeting: watch::Sender::default(), places }
    }
}

impl Pairing {
    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock()
    }

    /// Returns who is at it now.
    pub(super) fn with(&self) -> Option<HostId> {
        self.open().as_ref()?.with
    }

    fn is_open(&self, now_ms: u64) -> bool {
        self.open().as_mut().is_some_and(|open| open.window.code(now_ms).is_ok())
    }

    /// Does something with a code, unless another has taken its place.
    fn with_code<T>(
        &self,
        number: u64,
        act: impl FnOnce(&mut Open) -> Result<T, ExchangeError>,
    ) -> Result<T, ExchangeError> {
        self.open().as_mut().filter(|open| open.number == number).map_or(Err(ExchangeError::Closed), act)
    }

    /// Leaves the meeting place when the code is no longer good.
    fn tidy(&self, now_ms: u64) {
        let mut open = self.open();
        let good = open.as_mut().is_some_and(|open| open.window.code(now_ms).is_ok());
        self.meeting.send_if_modified(|place| !good && place.take().is_some());
    }
}

/// Runs the exchange with a device that has dialled.
pub(super) async fn run(shared: &Shared, mut stream: PairingStream) {
    let joiner = stream.other();
    // Whoever comes while nobody is expected costs nothing, and hears the same as with a wrong code.
    let place = shared.pairing.places.try_acquire();
    let Some(_place) = place.ok().filter(|_| shared.pairing.is_open(shared.moment())) else {
        tracing::debug!(peer = %joiner.fmt_short(), "nobody is expected to pair");
        stream.refuse();
        return;
    };
    let exchanged = tokio::time::timeout(limits::PAIRING_TIME, exchange(shared, &mut stream)).await;
    shared.pairing.tidy(shared.moment());
    finish(shared, stream, exchanged).await;
    if let Some(open) = shared.pairing.open().as_mut() {
        open.with = open.with.filter(|with| *with != joiner);
    }
}

/// Lets a device in, or turns it away.
async fn finish(shared: &Shared, stream: PairingStream, exchanged: Result<Result<Let, ExchangeError>, Elapsed>) {
    let joiner = stream.other();
    match exchanged {
        Ok(Ok(Let { number, welcome, name })) => {
            let sent = stream.send_welcome(&welcome).await;
            let handed = if sent.is_ok() { Ok((joiner, name.clone())) } else { Err(PairingFailure::NotKept) };
            let shown = shared.pairing.with_code(number, |open| {
                open.handed = Some(handed);
                Ok(())
            });
            if let Err(error) = sent {
                tracing::warn!(peer = %joiner.fmt_short(), error = %causes(&error), "the library could not be handed over");
                return;
            }
            tracing::info!(peer = %joiner.fmt_short(), name, shown = shown.is_ok(), "paired");
            shared.announce(Event::DevicePaired { peer: joiner });
        }
        Ok(Err(error)) => {
            tracing::warn!(peer = %joiner.fmt_short(), error = %causes(&error), "a device that came to pair was refused");
            stream.refuse();
        }
        Err(_) => {
            tracing::warn!(peer = %joiner.fmt_short(), "a device that came to pair said nothing in time");
            stream.refuse();
        }
    }
}

/// What is left to do for a device that is let in.
struct Let {
    /// With which code.
    number: u64,
    welcome: Welcome,
    name: String,
}

async fn exchange(shared: &Shared, stream: &mut PairingStream) -> Result<Let, ExchangeError> {
    let binding = stream.binding()?;
    let hello = stream.hello().await?;
    let (number, inviter, answer) = {
        let mut open = shared.pairing.open();
        let open = open.as_mut().ok_or(ExchangeError::Closed)?;
        let code = open.window.begin(shared.moment())?;
        let (inviter, answer) = Inviter::answer(code, &binding, random(), &hello)?;
        open.with = Some(binding.joiner);
        (open.number, inviter, answer)
    };
    stream.send_answer(&answer).await?;
    let confirm = stream.confirm().await?;
    let confirmed = shared
        .pairing
        .with_code(number, |open| Ok(open.window.decide(shared.moment(), || inviter.check(&confirm))?))?;
    let (joiner, name) = (confirmed.joiner(), greet::shown(confirmed.device()));
    shared.accept_paired(joiner).await?;
    let device = name.clone();
    if let Err(error) = shared.remember(joiner, |peer| peer.name = device).await {
        tracing::warn!(error = %causes(&error), "a device that was paired could not be remembered");
    }
    let circle = shared.members.circle();
    let handover = Handover {
        device: shared.name.clone(),
        library: circle.library().to_owned(),
        epoch: circle.epoch(),
        secret: circle.secret().clone(),
        statements: circle.roster().into_iter().flat_map(|roster| roster.statements().cloned()).collect(),
    };
    Ok(Let { number, welcome: confirmed.welcome(&handover)?, name })
}

impl Engine {
    /// Makes a pairing code in place of the one before.
    ///
    /// # Errors
    /// [`MembersError`] when this host could let nobody in.
    pub fn open_pairing(&self) -> Result<PairingCode, MembersError> {
        let circle = self.shared.members.circle();
        if circle.membership() == Membership::Listed && !circle.may_sign() {
            let admins = circle.roster().into_iter().flat_map(|roster| roster.admins()).collect();
            return Err(ChangeError::from(SignError::NotAdmin { admins }).into());
        }
        let code = PairingCode::from_random(random());
        let now = self.shared.moment();
        let window = Window::open(code.clone(), now);
        let mut open = self.shared.pairing.open();
        let number = self.shared.pairing.codes.fetch_add(1, Ordering::Relaxed);
        *open = Some(Open { number, window, opened_ms: now, with: None, handed: None });
        self.shared.pairing.meeting.send_replace(Some(code.meeting()));
        drop(open);
        // Nobody may ask what became of it.
        let shared = Arc::clone(&self.shared);
        self.group.spawn_until_cancelled("pairing", async move {
            tokio::time::sleep(Duration::from_millis(limits::PAIRING_WINDOW_MS)).await;
            shared.pairing.tidy(shared.moment());
        });
        Ok(code)
    }

    /// Closes the code that is open.
    pub fn close_pairing(&self) {
        let mut open = self.shared.pairing.open();
        *open = None;
        self.shared.pairing.meeting.send_replace(None);
    }

    /// Returns what became of the code that was made last.
    #[must_use]
    pub fn pairing(&self) -> PairingStatus {
        let now = self.shared.moment();
        self.shared.pairing.tidy(now);
        let mut open = self.shared.pairing.open();
        let Some(open) = open.as_mut() else { return PairingStatus::None };
        match (&open.handed, open.window.code(now).map(drop)) {
            (Some(Ok((peer, name))), _) => PairingStatus::Paired { peer: *peer, name: name.clone() },
            (Some(Err(why)), _) => PairingStatus::Closed { why: *why },
            // It is being handed the library.
            (None, Err(PairingFailure::Used)) if open.with.is_some() => {
                PairingStatus::Open { left: Duration::ZERO, with: open.with }
            }
            (None, Err(why)) => PairingStatus::Closed { why },
            (None, Ok(())) => {
                let left = limits::PAIRING_WINDOW_MS.saturating_sub(now - open.opened_ms);
                PairingStatus::Open { left: Duration::from_millis(left), with: open.with }
            }
        }
    }

    /// Follows where this host waits for a device to pair with.
    #[must_use]
    pub fn meeting(&self) -> watch::Receiver<Option<MeetingPlace>> {
        self.shared.pairing.meeting.subscribe()
    }
}
