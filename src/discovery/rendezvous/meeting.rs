//! The one slot at which two devices meet that pair: its key is derived from the first word of their code, so anyone may
//! read it and write there. It holds the ticket of the device that shows the code, and is believed only as far as a dial.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use pkarr::Keypair;

use super::BeginError;
use super::Servers;
use super::packet;
use super::sealed;
use super::server::Call;
use super::server::Fetched;
use super::server::Server;
use super::servers;
use crate::auth::pairing::MeetingPlace;
use crate::discovery::source::Condition;
use crate::discovery::source::Finder;
use crate::discovery::source::Health;
use crate::discovery::source::Source;
use crate::discovery::source::SourceError;
use crate::discovery::source::Surroundings;
use crate::library::Ticket;
use crate::limits;
use crate::limits::membership::PAIRING_WINDOW_MS;
use crate::task::now_ms;

/// Leaves a ticket at a meeting place, or looks for one there.
#[derive(Debug)]
pub struct MeetingSlot {
    servers: Vec<Server>,
    name: &'static str,
    keypair: Keypair,
    writes: bool,
}

impl MeetingSlot {
    /// Its name with relays, for people.
    pub const NAME: &str = "meeting place";

    /// Its name with the DHT.
    pub const DHT_NAME: &str = "meeting place (dht)";

    /// Prepares it; nothing is sent before it runs. The device that shows the code writes, the other reads.
    ///
    /// # Errors
    /// [`BeginError`] names what is wrong with the relays.
    pub fn new(at: &Servers, place: MeetingPlace, writes: bool) -> Result<Self, BeginError> {
        let pauses = (limits::MEETING_LOOKED_AT_EVERY, limits::MEETING_WRITTEN_EVERY);
        let (name, call_time) = match at {
            Servers::Relays(_) => (Self::NAME, limits::RENDEZVOUS_CALL_TIME),
            Servers::Dht(_) => (Self::DHT_NAME, limits::RENDEZVOUS_DHT_CALL_TIME),
        };
        let servers = servers(at, call_time, pauses)?;
        Ok(Self { servers, name, keypair: Keypair::from_secret_key(&place.slot_seed()), writes })
    }

    async fn write(&self, own: &Ticket) {
        let mut ticket = own.clone();
        ticket.addresses.truncate(limits::RENDEZVOUS_WRITER_ADDRESSES);
        let text = ticket.to_string();
        if text.len() > limits::RENDEZVOUS_SEALED_BYTES {
            tracing::warn!(bytes = text.len(), "the ticket is too long for a meeting place");
            return;
        }
        let packet = packet(&self.keypair, text.as_bytes(), now_ms() * 1000);
        let due = self.servers.iter().filter(|server| server.is_due());
        join_all(due.map(async |server| {
            let stored = server.put(&packet).await;
            server.went(Call::Write, stored.as_ref().err());
        }))
        .await;
    }

    async fn read(&self, finder: &Finder) {
        let due = self.servers.iter().filter(|server| server.is_due());
        let read = join_all(due.map(async |server| {
            let fetched = server.get(&self.keypair.public_key()).await;
            server.went(Call::Read, fetched.as_ref().err());
            fetched.ok()
        }));
        for fetched in read.await.into_iter().flatten() {
            let Fetched::Packet(packet) = fetched else { continue };
            let at_ms = packet.timestamp().as_u64() / 1000;
            let ticket = sealed(&packet).and_then(|text| String::from_utf8(text).ok()?.parse::<Ticket>().ok());
            // A code that was written longer ago is dead; so is one of tomorrow.
            if let Some(ticket) = ticket.filter(|_| at_ms.abs_diff(now_ms()) <= 2 * PAIRING_WINDOW_MS) {
                finder.found(ticket, at_ms, Some(at_ms + 2 * PAIRING_WINDOW_MS)).await;
            }
        }
    }

    fn health(&self) -> Health {
        let parts: Vec<(String, Condition)> =
            self.servers.iter().map(|server| (server.name().to_owned(), server.condition())).collect();
        let all_fail = parts.iter().all(|(_, condition)| matches!(condition, Condition::Degraded(_)));
        let none = || Condition::Degraded("no server of pkarr can be used".to_owned());
        Health { condition: if all_fail { none() } else { Condition::Ok }, parts }
    }
}

#[async_trait]
impl Source for MeetingSlot {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn run(&self, surroundings: Surroundings, finder: &Finder) -> Result<(), SourceError> {
        let mut own = surroundings.own;
        loop {
            let ticket = own.borrow_and_update().clone();
            let pause: Duration = if self.writes {
                if !ticket.addresses.is_empty() || ticket.relay.is_some() {
                    self.write(&ticket).await;
                }
                limits::MEETING_WRITTEN_EVERY
            } else {
                self.read(finder).await;
                limits::MEETING_LOOKED_AT_EVERY
            };
            finder.is(self.health());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = own.changed() => if changed.is_err() {
                    // The host stops.
                    return Ok(());
                }
            }
        }
    }
}
