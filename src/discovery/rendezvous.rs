//! Rendezvous: members leave sealed records at slots of pkarr, whose keys are derived from the secret. Relays keep them,
//! or the Mainline DHT itself.
//!
//! Whoever keeps them learns which addresses use the same slots, and when; never which library that is or what a record
//! says. A record lists its writer and the members it is connected to, so more hosts meet than there are slots.

mod dht;
mod meeting;
mod record;
mod relay;
mod server;
mod slots;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use pkarr::Keypair;
use pkarr::PublicKey;
use pkarr::SignedPacket;
use pkarr::Timestamp;
use pkarr::dns::CharacterString;
use pkarr::dns::Name;
use pkarr::dns::rdata::RData;
use pkarr::dns::rdata::TXT;
use tokio::time::Instant;

pub use self::dht::Dht;
pub use self::meeting::MeetingSlot;

use self::record::Member;
use self::record::Place;
use self::record::Record;
use self::relay::Relay;
use self::server::Call;
use self::server::CallError;
use self::server::Fetched;
use self::server::Server;
use self::server::Speech;
use self::server::Stored;
use self::slots::Look;
use self::slots::Slots;
use super::finds;
use super::source::Condition;
use super::source::Finder;
use super::source::Health;
use super::source::Source;
use super::source::SourceError;
use super::source::Surroundings;
use crate::asset::HostId;
use crate::auth::ENVELOPE_NONCE_BYTES;
use crate::auth::EnvelopeKey;
use crate::auth::RendezvousKey;
use crate::library::Ticket;
use crate::limits;
use crate::task::jittered;
use crate::task::now_ms;

const SLOTS: usize = limits::RENDEZVOUS_SLOTS as usize;

/// Name of the TXT record.
const RECORD: &str = "_can_sync";

/// Where the members of a library meet.
#[derive(Debug, Clone)]
pub struct Meeting {
    /// The slots are derived from it.
    pub slots: RendezvousKey,
    /// Seals the records.
    pub envelope: EnvelopeKey,
    /// Name of the library.
    pub library: String,
    /// Epoch of the library's secret.
    pub epoch: u64,
    /// Whether this host leaves records there; the slots of an old epoch are only read.
    pub writes: bool,
}

/// What keeps the records. What a relay is given it gives to the DHT, so both kinds meet.
#[derive(Debug, Clone)]
pub enum Servers {
    /// Pkarr relays at these addresses, at most [`RENDEZVOUS_RELAYS`](limits::RENDEZVOUS_RELAYS).
    Relays(Vec<String>),
    /// The Mainline DHT.
    Dht(Dht),
}

/// How rendezvous is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// What keeps the records.
    pub servers: Servers,
    /// Where the members meet.
    pub meeting: Meeting,
    /// How often a record is written.
    pub published_every: Duration,
    /// How often a host that is connected to nobody looks at the slots.
    pub scanned_every: Duration,
    /// How often a host that is connected looks at the slots.
    pub scanned_every_connected: Duration,
    /// Time for one call.
    pub call_time: Duration,
    /// First and longest pause after a server failed.
    pub pauses: (Duration, Duration),
}

impl Options {
    /// Meets there, as often as it is meant to be.
    #[must_use]
    pub const fn new(servers: Servers, meeting: Meeting) -> Self {
        let (scanned_every, call_time) = match &servers {
            Servers::Relays(_) => (limits::RENDEZVOUS_SCANNED_EVERY, limits::RENDEZVOUS_CALL_TIME),
            Servers::Dht(_) => (limits::RENDEZVOUS_DHT_SCANNED_EVERY, limits::RENDEZVOUS_DHT_CALL_TIME),
        };
        Self {
            servers,
            meeting,
            published_every: limits::RENDEZVOUS_PUBLISHED_EVERY,
            scanned_every,
            scanned_every_connected: limits::RENDEZVOUS_SCANNED_EVERY_CONNECTED,
            call_time,
            pauses: (limits::RENDEZVOUS_PAUSE, limits::RENDEZVOUS_PAUSE_MOST),
        }
    }
}

/// Rendezvous cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// There is no relay to meet at.
    #[error("no pkarr relay is configured; name one, or switch rendezvous off")]
    NoRelay,
    /// There are too many relays.
    #[error("{0} pkarr relays are configured, more than the limit of {limit}", limit = limits::RENDEZVOUS_RELAYS)]
    TooManyRelays(usize),
    /// The address of a relay is none.
    #[error("`{0}` is no address of a pkarr relay; it begins with https:// or http://")]
    Address(String),
    /// The HTTP client cannot be built.
    #[error("the HTTP client for pkarr relays cannot be built")]
    Client(#[source] reqwest::Error),
}

/// Leaves and reads records at slots.
#[derive(Debug)]
pub struct Rendezvous {
    options: Options,
    servers: Vec<Server>,
    keys: [PublicKey; SLOTS],
}

impl Rendezvous {
    /// Its name with relays, for people and for the configuration.
    pub const NAME: &str = "rendezvous";

    /// The name of one that only reads the slots of an earlier secret.
    pub const NAME_OF_OLDER: &str = "rendezvous (earlier secret)";

    /// Its name with the DHT.
    pub const DHT_NAME: &str = "rendezvous (dht)";

    /// The name of one that only reads the slots of an earlier secret in the DHT.
    pub const DHT_NAME_OF_OLDER: &str = "rendezvous (dht, earlier secret)";

    /// Prepares it; nothing is sent before it runs.
    ///
    /// # Errors
    /// [`BeginError`] names what is wrong with the relays.
    pub fn new(options: Options) -> Result<Self, BeginError> {
        let servers = servers(&options.servers, options.call_time, options.pauses)?;
        let keys = std::array::from_fn(|slot| keypair(&options.meeting, slot).public_key());
        Ok(Self { options, servers, keys })
    }

    /// Looks at every slot of every server, and returns what is there.
    async fn scan(&self) -> [Seen; SLOTS] {
        let asked = join_all(self.servers.iter().map(|server| self.ask(server))).await;
        let mut seen: [Seen; SLOTS] = std::array::from_fn(|_| Seen { look: Look::Nothing, record: None });
        for (slot, seen) in seen.iter_mut().enumerate() {
            for fetched in asked.iter().map(|slots| slots[slot].as_ref()) {
                self.weigh(seen, slot, fetched);
            }
        }
        seen
    }

    /// Asks one server for every slot; `None` where it has not answered.
    async fn ask(&self, server: &Server) -> [Option<Fetched>; SLOTS] {
        let mut slots = [const { None }; SLOTS];
        if !server.is_due() {
            return slots;
        }
        // One that fails is asked once and not eight times.
        match server.get(&self.keys[0]).await {
            Ok(fetched) => slots[0] = Some(fetched),
            Err(error) => {
                server.went(Call::Read, Some(&error));
                return slots;
            }
        }
        let mut failure: Option<CallError> = None;
        let rest = join_all(self.keys[1..].iter().map(|key| server.get(key))).await;
        for (slot, fetched) in slots[1..].iter_mut().zip(rest) {
            match fetched {
                Ok(fetched) => *slot = Some(fetched),
                Err(error) => failure = Some(error),
            }
        }
        server.went(Call::Read, failure.as_ref());
        slots
    }

    /// Takes in what one server has for a slot: the newest packet counts, and a slot is empty only when all say so.
    fn weigh(&self, seen: &mut Seen, slot: usize, fetched: Option<&Fetched>) {
        let newest = match seen.look {
            Look::Packet(timestamp_us, _) => Some(timestamp_us),
            Look::Nothing | Look::Failed => None,
        };
        match fetched {
            None if newest.is_none() => seen.look = Look::Failed,
            None | Some(Fetched::Nothing) => {}
            Some(Fetched::Foreign(timestamp_us)) if newest.is_none_or(|newest| newest < *timestamp_us) => {
                *seen = Seen { look: Look::Packet(*timestamp_us, None), record: None };
            }
            Some(Fetched::Packet(packet)) if newest.is_none_or(|newest| newest < packet.timestamp().as_u64()) => {
                let record = sealed(packet).and_then(|sealed| Record::open(self.place(slot), &sealed).ok());
                let writer = record.as_ref().map(|record| record.writer.host);
                *seen = Seen { look: Look::Packet(packet.timestamp().as_u64(), writer), record };
            }
            Some(Fetched::Foreign(_) | Fetched::Packet(_)) => {}
        }
    }

    /// Writes this host's record to its slot. Returns whether something newer was there, so that it is time to look.
    async fn publish(&self, slots: &mut Slots, own: Ticket, connected: &[Ticket]) -> bool {
        let now_ms = now_ms();
        let Some(choice) = slots.choose(now_ms) else { return false };
        let mut random = [0; ENVELOPE_NONCE_BYTES + 8];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::error!(%error, "no random bytes, so no record is left at a slot");
            return false;
        }
        let (nonce, order) = random.split_first_chunk::<ENVELOPE_NONCE_BYTES>().expect("it is longer");
        let order = u64::from_le_bytes(order.try_into().expect("eight bytes"));
        let members = connected.iter().map(|ticket| Member { ticket: ticket.clone(), heard_ms: now_ms }).collect();
        let slot = usize::from(choice.slot);
        let sealed = Record { writer: own, written_ms: now_ms, members }.seal(self.place(slot), *nonce, order);
        let timestamp_us = (now_ms * 1000).max(choice.above_us.saturating_add(1));
        let packet = packet(&keypair(&self.options.meeting, slot), &sealed, timestamp_us);
        let due = self.servers.iter().filter(|server| server.is_due());
        let stored = due.map(async |server| {
            let stored = server.put(&packet).await;
            server.went(Call::Write, stored.as_ref().err());
            stored.is_ok_and(|stored| stored == Stored::Outdated)
        });
        join_all(stored).await.contains(&true)
    }

    fn place(&self, slot: usize) -> Place<'_> {
        let Meeting { envelope, library, epoch, .. } = &self.options.meeting;
        Place { key: envelope, library, epoch: *epoch, slot: u8::try_from(slot).expect("below eight") }
    }

    fn health(&self, slots: &Slots) -> Health {
        let parts: Vec<(String, Condition)> =
            self.servers.iter().map(|server| (server.name().to_owned(), server.condition())).collect();
        let spoiled = slots.spoiled(now_ms());
        let condition = if parts.iter().all(|(_, condition)| matches!(condition, Condition::Degraded(_))) {
            Condition::Degraded(
                "no server of pkarr can be used; hosts that are known are dialled all the same".to_owned(),
            )
        } else if spoiled > 0 {
            Condition::Degraded(format!(
                "{spoiled} of {SLOTS} meeting places hold junk or a time in the future, and are left alone; see that \
                 the clocks of all members are right"
            ))
        } else {
            Condition::Ok
        };
        Health { condition, parts }
    }
}

#[async_trait]
impl Source for Rendezvous {
    fn name(&self) -> &'static str {
        match (&self.options.servers, self.options.meeting.writes) {
            (Servers::Relays(_), true) => Self::NAME,
            (Servers::Relays(_), false) => Self::NAME_OF_OLDER,
            (Servers::Dht(_), true) => Self::DHT_NAME,
            (Servers::Dht(_), false) => Self::DHT_NAME_OF_OLDER,
        }
    }

    async fn run(&self, surroundings: Surroundings, finder: &Finder) -> Result<(), SourceError> {
        let Surroundings { mut own, mut connected } = surroundings;
        let options = &self.options;
        let host = own.borrow().host;
        let mut slots = Slots::new(host);
        let mut scan_due = Instant::now();
        let mut publish_due = scan_due;
        loop {
            let began = Instant::now();
            if scan_due <= began {
                let seen = self.scan().await;
                slots.saw(&std::array::from_fn(|slot| seen[slot].look), now_ms());
                for (ticket, at_ms) in found(seen, host, now_ms()) {
                    finder.found(ticket, at_ms, Some(at_ms + limits::RENDEZVOUS_DEAD_MS)).await;
                }
                let lonely = connected.borrow_and_update().is_empty();
                scan_due =
                    began + jittered(if lonely { options.scanned_every } else { options.scanned_every_connected });
            }
            let ticket = own.borrow_and_update().clone();
            let writes = options.meeting.writes && (!ticket.addresses.is_empty() || ticket.relay.is_some());
            if writes && publish_due <= began {
                let peers = connected.borrow().clone();
                if self.publish(&mut slots, ticket, &peers).await {
                    scan_due = scan_due.min(began + options.scanned_every);
                }
                publish_due = began + jittered(options.published_every);
            }
            finder.is(self.health(&slots));
            let changed = tokio::select! {
                () = tokio::time::sleep_until(if writes { scan_due.min(publish_due) } else { scan_due }) => Ok(()),
                changed = own.changed() => {
                    publish_due = publish_due.min(began + options.scanned_every);
                    changed
                }
                changed = connected.changed() => {
                    if connected.borrow_and_update().is_empty() {
                        scan_due = scan_due.min(began + options.scanned_every);
                    }
                    changed
                }
            };
            if changed.is_err() {
                // The host stops.
                return Ok(());
            }
        }
    }
}

/// Prepares what keeps the records.
fn servers(servers: &Servers, call_time: Duration, pauses: (Duration, Duration)) -> Result<Vec<Server>, BeginError> {
    let speeches = match servers {
        Servers::Relays(urls) => relays(urls)?.into_iter().map(Speech::Relay).collect(),
        Servers::Dht(dht) => vec![Speech::Dht(dht.clone())],
    };
    Ok(speeches.into_iter().map(|speech| Server::new(speech, call_time, pauses)).collect())
}

/// Prepares the relays at these addresses.
fn relays(urls: &[String]) -> Result<Vec<Relay>, BeginError> {
    match urls.len() {
        0 => return Err(BeginError::NoRelay),
        relays if relays > limits::RENDEZVOUS_RELAYS => return Err(BeginError::TooManyRelays(relays)),
        _ => {}
    }
    for relay in urls {
        let url = reqwest::Url::parse(relay).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        url.ok_or_else(|| BeginError::Address(relay.clone()))?;
    }
    // Another part of the program may have installed it before, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    // A redirect or a proxy of the environment would be a server that nobody has configured here.
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    let http = http.build().map_err(BeginError::Client)?;
    Ok(urls.iter().map(|url| Relay::new(url, http.clone())).collect())
}

/// What a slot holds.
struct Seen {
    look: Look,
    record: Option<Record>,
}

/// Returns who is named by the records, once per host, with all their addresses and when they were last heard.
fn found(seen: [Seen; SLOTS], own: HostId, now_ms: u64) -> Vec<(Ticket, u64)> {
    let mut hosts: BTreeMap<HostId, Vec<Member>> = BTreeMap::new();
    for member in seen.into_iter().filter_map(|seen| seen.record).flat_map(|record| record.alive(now_ms)) {
        if member.ticket.host != own {
            hosts.entry(member.ticket.host).or_default().push(member);
        }
    }
    let found = hosts.into_values().filter_map(|mut members| {
        members.sort_by_key(|member| Reverse(member.heard_ms));
        let ticket = finds::merged(members.iter().map(|member| &member.ticket))?;
        Some((ticket, members[0].heard_ms))
    });
    found.collect()
}

fn keypair(meeting: &Meeting, slot: usize) -> Keypair {
    let slot = u8::try_from(slot).expect("below eight");
    Keypair::from_secret_key(&meeting.slots.slot_seed(slot))
}

/// Signs a packet with one TXT record.
fn packet(keypair: &Keypair, sealed: &[u8], timestamp_us: u64) -> SignedPacket {
    let mut text = TXT::new();
    for piece in sealed.chunks(255) {
        text.add_char_string(CharacterString::new(piece).expect("255 bytes are the most"));
    }
    let builder = SignedPacket::builder().timestamp(Timestamp::from(timestamp_us));
    let packet = builder.txt(Name::new_unchecked(RECORD), text, limits::RENDEZVOUS_TTL_SECS).sign(keypair);
    packet.expect("a sealed record of at most `RENDEZVOUS_SEALED_BYTES` fits")
}

/// Returns what lies in the TXT record of a packet.
fn sealed(packet: &SignedPacket) -> Option<Vec<u8>> {
    let text = packet.resource_records(RECORD).find_map(|record| match &record.rdata {
        RData::TXT(text) => Some(text),
        _ => None,
    })?;
    let mut sealed = Vec::new();
    // The crate hands strings out only as what is before and behind the first `=`.
    for (before, behind) in text.iter_raw() {
        sealed.extend_from_slice(before);
        if let Some(behind) = behind {
            sealed.push(b'=');
            sealed.extend_from_slice(behind);
        }
    }
    Some(sealed)
}
