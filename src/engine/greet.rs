//! The first words on a control connection: who each side is, and whether it goes on.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::oneshot;

use super::peers::PeerOrder;
use super::shared::Shared;
use super::shared::WAITS;
use crate::asset::HostId;
use crate::auth::members::Standing;
use crate::library::RelayPolicy;
use crate::library::Ticket;
use crate::limits;
use crate::net::Control;
use crate::net::Greeting;
use crate::net::Line;
use crate::net::Link;
use crate::task::now_ms;
use crate::telemetry::causes;

/// Why a connection ends that has no direct path where nothing may travel over a relay.
pub(super) const RELAYED: &str = "there is no direct path, and nothing may travel over a relay";

/// Why a connection ends on which nothing comes any more.
pub(super) const SILENT: &str = "nothing comes from it any more";

/// Returns where a peer says that it can be reached, as far as that makes sense and fits a ticket.
pub(super) fn ticket(peer: HostId, greeting: &Greeting) -> Ticket {
    let mut addresses: Vec<SocketAddr> = greeting.addresses.iter().filter_map(|text| text.parse().ok()).collect();
    addresses.truncate(limits::TICKET_ADDRESSES);
    let fits = |relay: &String| relay.len() <= limits::TICKET_RELAY_BYTES && !relay.contains(char::is_control);
    Ticket { host: peer, addresses, relay: greeting.relay.clone().filter(fits) }
}

/// Returns a text of a peer as it may be shown and logged: short, and without what would begin another line.
pub(super) fn shown(text: &str) -> String {
    shown_up_to(text, limits::DEVICE_NAME_BYTES)
}

/// The same, up to so many characters.
pub(super) fn shown_up_to(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

/// Exchanges greetings, hands the connection to the actor, and waits until it has it in the table, or has refused it:
/// whoever looked there before would dial once more.
pub(super) async fn greet(shared: &Shared, link: Link) {
    let peer = link.peer;
    let settings = shared.registry.settings(peer);
    if settings.is_paused(now_ms()) {
        link.line().pause();
        return;
    }
    if shared.relay_policy == RelayPolicy::Never && !becomes_direct(&link.line()).await {
        tracing::info!(peer = %peer.fmt_short(), "{RELAYED}");
        link.line().close(RELAYED);
        return;
    }
    let ticket = shared.net.ticket();
    let shown = !link.pending;
    let own = Greeting {
        name: shared.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Who waits to be accepted is told no more than the name.
        addresses: ticket.addresses.iter().filter(|_| shown).map(ToString::to_string).collect(),
        relay: ticket.relay.filter(|_| shown),
        now_ms: now_ms(),
        role: shared.role,
        your_role: settings.role,
        members: shared.members.circle().fingerprint().filter(|_| shown),
        kind: std::env::consts::OS.to_owned(),
        relay_policy: shared.relay_policy,
        keeps_everything: Some(shared.keeps_all()).filter(|_| shown),
    };
    let greeted = tokio::time::timeout(limits::PROOF_TIME, Control::greet(link, &own));
    match greeted.await {
        Ok(Ok(control)) if control.pending => pending(shared, &control).await,
        Ok(Ok(control)) => {
            let apart = control.greeting.now_ms.abs_diff(now_ms());
            if apart > limits::CLOCK_APART_MS {
                tracing::warn!(peer = %peer.fmt_short(), apart_secs = apart / 1000, "the clocks of the hosts differ");
            }
            let (done, taken) = oneshot::channel();
            if shared.peers.send(PeerOrder::Greeted(Box::new(control), done)).await.is_ok() {
                let _ = taken.await;
            }
        }
        Ok(Err(error)) => tracing::info!(peer = %peer.fmt_short(), error = %causes(&error), "no greeting"),
        Err(_) => tracing::info!(peer = %peer.fmt_short(), "no greeting in time"),
    }
}

/// Waits until the packets of a connection go straight to the other side, but not for long.
async fn becomes_direct(line: &Line) -> bool {
    let direct = async {
        while !line.path().is_some_and(|path| path.direct) {
            tokio::time::sleep(limits::PATH_LOOKED_AT_EVERY / 10).await;
        }
    };
    tokio::time::timeout(limits::RELAYED_FOR, direct).await.is_ok()
}

/// Waits until the packets of a connection have gone over a relay for too long.
pub(super) async fn stays_relayed(line: &Line) {
    let mut relayed_since = None;
    loop {
        match line.path() {
            Some(path) if !path.direct => {
                let since = *relayed_since.get_or_insert_with(Instant::now);
                if since.elapsed() > limits::RELAYED_FOR {
                    return;
                }
            }
            // One that has no path at all is about to end.
            _ => relayed_since = None,
        }
        tokio::time::sleep(limits::PATH_LOOKED_AT_EVERY).await;
    }
}

/// Ends a connection on which one side has yet to accept the other, and remembers who that is.
async fn pending(shared: &Shared, control: &Control) {
    let (peer, greeting) = (control.peer, &control.greeting);
    if shared.members.standing(peer) == Standing::Pending {
        tracing::info!(peer = %peer.fmt_short(), name = shown(&greeting.name), "waits to be accepted as a member");
        note(shared, peer, greeting).await;
    } else {
        tracing::info!(peer = %peer.fmt_short(), name = shown(&greeting.name), "does not take this host for a member yet");
    }
    // The side that dialled has the last word, after a moment: what the other has not read when it comes is gone.
    if control.dialled {
        let _ = tokio::time::timeout(limits::PENDING_GRACE, control.writer.connection().closed()).await;
        control.writer.connection().close(WAITS);
    } else {
        let _ = tokio::time::timeout(limits::PROOF_TIME, control.writer.connection().closed()).await;
    }
}

/// Remembers who a peer is.
pub(super) async fn note(shared: &Shared, peer: HostId, greeting: &Greeting) {
    let Ticket { addresses, relay, .. } = ticket(peer, greeting);
    let noted = shared.remember(peer, |known| {
        known.name = shown(&greeting.name);
        known.kind = shown(&greeting.kind);
        known.version = shown(&greeting.version);
        known.last_seen_ms = now_ms();
        if !addresses.is_empty() || relay.is_some() {
            known.addresses = addresses.iter().map(ToString::to_string).collect();
            known.relay = relay;
        }
    });
    if let Err(error) = noted.await {
        tracing::warn!(error = %causes(&error), "a peer could not be remembered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_where_a_peer_says_it_is_only_what_fits_a_ticket_is_taken() {
        let peer = HostId::from_bytes([1; 32]);
        let made_up = (0..1000).map(|port| format!("192.0.2.1:{port}"));
        let nonsense = ["192.0.2.1:5\n192.0.2.2:6".to_owned(), "x".repeat(5000)];
        let greeting = Greeting {
            addresses: nonsense.into_iter().chain(made_up).collect(),
            relay: Some("https://relay.example.org./".to_owned()),
            ..Greeting::default()
        };
        let known = ticket(peer, &greeting);
        assert_eq!(known.addresses.len(), limits::TICKET_ADDRESSES);
        assert_eq!((known.addresses[0].port(), known.relay), (0, greeting.relay));
        for relay in ["x".repeat(limits::TICKET_RELAY_BYTES + 1), "https://a\nb".to_owned()] {
            let greeting = Greeting { relay: Some(relay), ..Greeting::default() };
            assert_eq!(ticket(peer, &greeting).relay, None);
        }
    }

    #[test]
    fn a_name_begins_no_line_of_its_own() {
        assert_eq!(shown("laptop\n2026-01-01 ERROR \u{1b}[31mforged"), "laptop2026-01-01 ERROR [31mforged");
        assert_eq!(shown(&"x".repeat(10_000)).len(), limits::DEVICE_NAME_BYTES);
    }
}
