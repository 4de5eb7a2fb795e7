//! Dialling: one task for each host that a person named, that is a member, or that somebody says may be one.
//!
//! A host that is named is dialled for as long as this one runs. One that was found is dialled the same way once it has
//! proved that it is a member. Before that it is tried for a while only, and left alone when it proves to be none:
//! anyone can claim to be somewhere.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::greet;
use super::members;
use super::shared::Shared;
use crate::asset::HostId;
use crate::library::Ticket;
use crate::limits;
use crate::net::DialError;
use crate::net::Line;
use crate::net::ProofError;
use crate::net::Purpose;
use crate::task::Backoff;
use crate::task::now_ms;
use crate::telemetry::Sparing;
use crate::telemetry::causes;

/// Longest sleep while a host is paused; a machine that was suspended notices by it that the time has come.
const PAUSE_LOOKED_AT_MS: u64 = 60_000;

/// A host to be dialled.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// Where it may be.
    pub(super) ticket: Ticket,
    pub(super) why: Why,
}

/// Why a host is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// A person says so.
    Named,
    /// It has proved to be a member before.
    Known,
    /// Somebody says that it may be a member.
    Found,
}

/// Dials a host whenever no connection to it stands, with growing pauses. Ends when a host that was only found is none
/// of the members, or cannot be reached for long, and when the actor of the peers no longer wants it.
pub(super) async fn keep_connected(shared: Arc<Shared>, first: Wish, mut newer: mpsc::Receiver<Wish>) {
    let mut dialled = Dialled::new(first);
    let host = dialled.ticket.host;
    let shown = Shown::new(&shared, &dialled);
    let mut settings = shared.registry.changes();
    loop {
        loop {
            match newer.try_recv() {
                Ok(wish) => dialled.hear(wish),
                Err(TryRecvError::Empty) => break,
                // It is no longer to be dialled.
                Err(TryRecvError::Disconnected) => return,
            }
        }
        settings.mark_unchanged();
        if dialled.on_trial_since.is_none() {
            shown.no_more();
        }
        if let Some(until_ms) = shared.registry.settings(host).paused_until_ms.filter(|until| *until > now_ms()) {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis((until_ms - now_ms().min(until_ms)).min(PAUSE_LOOKED_AT_MS))) => {}
                _ = settings.changed() => {}
            }
            continue;
        }
        let standing = shared.connected.get(&host).map(|connected| (connected.line.clone(), connected.since));
        if let Some((line, since)) = standing {
            dialled.is_member();
            // It has dialled this host itself, so it is over.
            shared.unreached.remove_if(&host, |_, why| *why == ProofError::Paused.to_string());
            line.closed().await;
            taken_out(&shared, host, &line).await;
            // One that has enough links and is dialled all the same, for a person names it, is not dialled in a loop.
            let enough = line.was_let_go();
            let pause = if enough { limits::REDIAL_PAUSE_MOST } else { dialled.pause_after(since.elapsed()) };
            if !dialled.rest(pause, &mut newer).await {
                return;
            }
            continue;
        }
        let ticket = dialled.ticket.clone();
        let dialling = shared.net.dial(&ticket, Purpose::Control);
        let outcome = match dialled.dial(dialling, connected(&shared, host), &mut newer).await {
            Dial::Ended(outcome) => outcome,
            Dial::Moved | Dial::Needless => continue,
            Dial::Unwanted => return,
        };
        match outcome {
            Ok(link) => {
                shared.unreached.remove(&host);
                let line = link.line();
                greet::greet(&shared, link).await;
                if line.was_paused() {
                    shared.unreached.insert(host, ProofError::Paused.to_string());
                }
                // One that waits to be accepted, or has paused this host, is dialled with growing pauses.
                if shared.connected.contains_key(&host) {
                    dialled.is_member();
                    continue;
                }
            }
            Err(DialError::Proof(ProofError::Moved(moved))) => {
                if members::moved_on(&shared, *moved).await {
                    continue;
                }
            }
            Err(error @ DialError::Proof(ProofError::Removed)) => {
                tracing::info!(peer = %host.fmt_short(), error = causes(&error), "no longer dialled");
                return;
            }
            Err(error) if dialled.is_left_alone_after(&error) => {
                if let Some(times) = shared.seen.left_alone.count(Instant::now()) {
                    tracing::info!(peer = %host.fmt_short(), error = causes(&error), times, "a host that was found is left alone");
                }
                return;
            }
            Err(error) => {
                shared.unreached.insert(host, greet::shown_up_to(&causes(&error), limits::UNREACHED_BYTES));
                dialled.tell(&error, &shared.seen.not_reached);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(dialled.backoff.pause()) => {}
            wish = newer.recv() => match wish {
                Some(wish) => dialled.hear(wish),
                None => return,
            }
        }
    }
}

/// Waits until a connection to a host is in the table.
async fn connected(shared: &Shared, host: HostId) {
    let mut connections = shared.connections.subscribe();
    while !shared.connected.contains_key(&host) {
        connections.changed().await.expect("the sender is in `shared`");
    }
}

/// Waits until the actor has taken a connection that has ended out of the table.
async fn taken_out(shared: &Shared, host: HostId, line: &Line) {
    let mut connections = shared.connections.subscribe();
    while shared.connected.get(&host).is_some_and(|connected| connected.line.is(line)) {
        connections.changed().await.expect("the sender is in `shared`");
    }
}

/// Shows a host that was found as long as it is tried.
struct Shown<'a>(&'a Shared, HostId);

impl<'a> Shown<'a> {
    fn new(shared: &'a Shared, dialled: &Dialled) -> Self {
        if dialled.on_trial_since.is_some() && shared.registry.get(dialled.ticket.host).is_none() {
            shared.found.insert(dialled.ticket.host, dialled.ticket.clone());
        }
        Self(shared, dialled.ticket.host)
    }
}

impl Shown<'_> {
    /// Shows it no more as one that was merely found.
    fn no_more(&self) {
        self.0.found.remove(&self.1);
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.found.remove(&self.1);
        if self.0.registry.get(self.1).is_none() {
            self.0.unreached.remove(&self.1);
        }
    }
}

/// What a dial came to.
#[derive(Debug, PartialEq, Eq)]
enum Dial<T> {
    Ended(T),
    /// The host is somewhere else.
    Moved,
    /// The host has dialled itself. Of two connections one would be let go, with what has begun to travel on it.
    Needless,
    /// It is no longer to be dialled.
    Unwanted,
}

/// A host, and how dialling it goes.
struct Dialled {
    ticket: Ticket,
    /// Dials in a row that a newer ticket has cut short.
    cut_short: u32,
    /// When a host was found of which it is not known whether it is a member.
    on_trial_since: Option<Instant>,
    backoff: Backoff,
    /// The same after connections that stood for a moment only.
    brief: Backoff,
    told: bool,
}

impl Dialled {
    fn new(Wish { ticket, why }: Wish) -> Self {
        let backoff = Backoff::new(limits::REDIAL_PAUSE, limits::REDIAL_PAUSE_MOST);
        let (on_trial_since, brief) = ((why == Why::Found).then(Instant::now), backoff.clone());
        Self { ticket, on_trial_since, backoff, brief, told: false, cut_short: 0 }
    }

    /// Waits for a dial, but no longer than until the host is `connected` by a dial of its own, or is said to be
    /// somewhere else.
    async fn dial<T>(
        &mut self,
        dialling: impl Future<Output = T>,
        connected: impl Future<Output = ()>,
        newer: &mut mpsc::Receiver<Wish>,
    ) -> Dial<T> {
        let (mut dialling, mut connected) = (std::pin::pin!(dialling), std::pin::pin!(connected));
        loop {
            // Where words come faster than a dial takes, one has to come to its end all the same.
            let hears = self.cut_short < limits::DIALS_CUT_SHORT;
            let wish = tokio::select! {
                outcome = &mut dialling => {
                    self.cut_short = 0;
                    return Dial::Ended(outcome);
                }
                () = &mut connected => return Dial::Needless,
                wish = newer.recv(), if hears => wish,
            };
            let Some(wish) = wish else { return Dial::Unwanted };
            let moved = wish.ticket != self.ticket;
            self.hear(wish);
            if moved {
                self.cut_short += 1;
                return Dial::Moved;
            }
        }
    }

    /// Returns how long to wait after a connection that has stood for so long.
    fn pause_after(&mut self, stood: Duration) -> Duration {
        if stood < limits::LINE_STOOD {
            return self.brief.pause();
        }
        self.brief.reset();
        Duration::ZERO
    }

    /// Waits, and hears meanwhile where the host is; tells whether it is still to be dialled.
    async fn rest(&mut self, pause: Duration, newer: &mut mpsc::Receiver<Wish>) -> bool {
        let mut resting = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = &mut resting => return true,
                wish = newer.recv() => match wish {
                    Some(wish) => self.hear(wish),
                    None => return false,
                },
            }
        }
    }

    /// Takes in another word about the host. One that is somewhere else has another chance.
    fn hear(&mut self, Wish { ticket, why }: Wish) {
        let moved = ticket != self.ticket;
        self.ticket = ticket;
        self.backoff.reset();
        let on_trial_since = self.on_trial_since.filter(|_| why == Why::Found);
        self.on_trial_since = on_trial_since.map(|since| if moved { Instant::now() } else { since });
    }

    /// Remembers that it has proved to be a member.
    fn is_member(&mut self) {
        self.on_trial_since = None;
        self.backoff.reset();
        self.told = false;
    }

    fn is_left_alone_after(&self, error: &DialError) -> bool {
        let stranger = matches!(error, DialError::Id(_) | DialError::Proof(ProofError::Wrong));
        self.on_trial_since.is_some_and(|since| stranger || since.elapsed() > limits::FOUND_TRIED_FOR)
    }

    /// Says once that it cannot be reached; of hosts that were found, which anyone can make up, now and then.
    fn tell(&mut self, error: &DialError, found: &Sparing) {
        let (peer, error) = (self.ticket.host.fmt_short(), causes(error));
        match (self.told, self.on_trial_since) {
            (true, _) => tracing::debug!(%peer, error, "still cannot be reached"),
            (false, Some(_)) => {
                let Some(times) = found.count(Instant::now()) else { return };
                tracing::info!(%peer, error, times, "a host that was found cannot be reached; trying again");
            }
            (false, None) => tracing::warn!(%peer, error, "cannot be reached; trying again"),
        }
        self.told = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(why: Why, port: u16) -> Wish {
        let addresses = vec![([192, 0, 2, 1], port).into()];
        Wish { ticket: Ticket { host: HostId::from_bytes([1; 32]), addresses, relay: None }, why }
    }

    fn never() -> std::future::Pending<()> {
        std::future::pending()
    }

    #[tokio::test(start_paused = true)]
    async fn a_dial_is_given_up_once_its_host_has_dialled_itself() {
        let (_wishes, mut newer) = mpsc::channel(1);
        let mut dialled = Dialled::new(wish(Why::Known, 1));
        for pause in [Duration::ZERO, Duration::from_millis(20)] {
            assert_eq!(dialled.dial(never(), tokio::time::sleep(pause), &mut newer).await, Dial::Needless);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dial_is_given_up_for_a_newer_ticket_and_not_for_the_same() {
        let (wishes, mut newer) = mpsc::channel(limits::DIAL_WISHES_QUEUED);
        let mut dialled = Dialled::new(wish(Why::Found, 1));
        let dial = || tokio::time::sleep(limits::DIAL_TIME);
        for port in 1..3 {
            wishes.try_send(wish(Why::Found, port)).unwrap();
        }
        assert_eq!(dialled.dial(dial(), never(), &mut newer).await, Dial::Moved);
        assert_eq!(dialled.ticket, wish(Why::Found, 2).ticket);
        // One dial comes to its end however often the host is said to be elsewhere.
        for port in 3..=u16::try_from(limits::DIALS_CUT_SHORT).unwrap() + 1 {
            wishes.try_send(wish(Why::Found, port)).unwrap();
            assert_eq!(dialled.dial(dial(), never(), &mut newer).await, Dial::Moved);
        }
        wishes.try_send(wish(Why::Found, 1)).unwrap();
        assert_eq!(dialled.dial(dial(), never(), &mut newer).await, Dial::Ended(()));
        assert_eq!(dialled.dial(dial(), never(), &mut newer).await, Dial::Moved);
        drop(wishes);
        assert_eq!(dialled.dial(dial(), never(), &mut newer).await, Dial::Unwanted);
    }

    #[tokio::test(start_paused = true)]
    async fn after_connections_that_stood_for_a_moment_the_pauses_grow_whatever_is_said_meanwhile() {
        let (wishes, mut newer) = mpsc::channel(limits::DIAL_WISHES_QUEUED);
        let mut dialled = Dialled::new(wish(Why::Known, 1));
        let moment = limits::LINE_STOOD.checked_sub(Duration::from_millis(1)).unwrap();
        let began = tokio::time::Instant::now();
        let mut waited = Duration::ZERO;
        for port in 2..10 {
            let pause = dialled.pause_after(moment);
            assert!(pause > waited / 4 && pause <= limits::REDIAL_PAUSE_MOST, "{pause:?}");
            waited += pause;
            dialled.is_member();
            wishes.try_send(wish(Why::Known, port)).unwrap();
            assert!(dialled.rest(pause, &mut newer).await);
            assert_eq!(dialled.ticket, wish(Why::Known, port).ticket);
        }
        assert!(began.elapsed() >= waited && waited > limits::REDIAL_PAUSE_MOST / 2, "{waited:?}");
        assert_eq!(dialled.pause_after(limits::LINE_STOOD), Duration::ZERO);
        assert!(dialled.pause_after(moment) <= limits::REDIAL_PAUSE, "it stood in between");
        drop(wishes);
        assert!(!dialled.rest(limits::REDIAL_PAUSE_MOST, &mut newer).await, "nobody wants it dialled");
    }

    #[test]
    fn only_who_was_found_and_never_proved_anything_is_left_alone() {
        let (stranger, away) = (DialError::Proof(ProofError::Wrong), DialError::Timeout);
        let mut found = Dialled::new(wish(Why::Found, 1));
        assert!(found.is_left_alone_after(&stranger) && !found.is_left_alone_after(&away));
        found.on_trial_since = Instant::now().checked_sub(limits::FOUND_TRIED_FOR + Duration::from_secs(1));
        assert!(found.is_left_alone_after(&away));
        found.hear(wish(Why::Found, 1));
        assert!(found.is_left_alone_after(&away), "nothing new was said");
        // It is somewhere else: another chance.
        found.hear(wish(Why::Found, 2));
        assert!(!found.is_left_alone_after(&away) && found.is_left_alone_after(&stranger));
        assert_eq!(found.ticket, wish(Why::Found, 2).ticket);
        found.is_member();
        assert!(!found.is_left_alone_after(&stranger));
        // A later word does not put it on trial again.
        found.hear(wish(Why::Found, 1));
        assert!(!found.is_left_alone_after(&stranger));

        assert!(!Dialled::new(wish(Why::Named, 1)).is_left_alone_after(&stranger));
        let mut found = Dialled::new(wish(Why::Found, 1));
        found.hear(wish(Why::Named, 1));
        assert!(!found.is_left_alone_after(&stranger));
    }
}
