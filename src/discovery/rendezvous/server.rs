//! What keeps the packets, a pkarr relay or the Mainline DHT, and how it is doing: it is left alone for a while after it
//! failed.

use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;
use pkarr::PublicKey;
use pkarr::SignedPacket;
use reqwest::StatusCode;

use super::dht::Dht;
use super::relay::Relay;
use crate::discovery::source::Condition;
use crate::task::Backoff;

/// A call to a server failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum CallError {
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection to it, or the connection broke.
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It is asked too often.
    #[error("it says that it is asked too often (429); it is asked less")]
    Busy(Option<Duration>),
    /// It answers something else than it should.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// It sent more than a packet, or one that the slot's key has not signed.
    #[error("what it sent is no packet of the slot")]
    Packet,
    /// This host cannot take part in the DHT.
    #[error("no socket for it: {0}")]
    Socket(String),
    /// No node of the DHT is of use.
    #[error("{0}")]
    Nodes(String),
}

/// What a server has for a slot.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Nothing.
    Nothing,
    /// A packet, signed with the slot's key.
    Packet(Box<SignedPacket>),
    /// Something newer than any packet, with this timestamp, that is none.
    Foreign(u64),
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is there.
    Yes,
    /// Something newer is there.
    Outdated,
}

/// What a server was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// The slots.
    Read,
    /// To keep a record.
    Write,
}

/// How a server is spoken to.
#[derive(Debug)]
pub(super) enum Speech {
    /// Over HTTP.
    Relay(Relay),
    /// As a node of the DHT.
    Dht(Dht),
}

/// A server, and how it is doing.
#[derive(Debug)]
pub(super) struct Server {
    name: String,
    speech: Speech,
    call_time: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    backoff: Backoff,
    longest: Duration,
    not_before: Option<Instant>,
    asked: bool,
    /// Why the last reads and the last write failed.
    trouble: [Option<String>; 2],
}

impl Server {
    pub(super) fn new(speech: Speech, call_time: Duration, (first, longest): (Duration, Duration)) -> Self {
        let name = match &speech {
            Speech::Relay(relay) => relay.url().to_owned(),
            Speech::Dht(_) => Dht::NAME.to_owned(),
        };
        let backoff = Backoff::new(first, longest);
        let state = State { backoff, longest, not_before: None, asked: false, trouble: [None, None] };
        Self { name, speech, call_time, state: Mutex::new(state) }
    }

    /// Its name, for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn condition(&self) -> Condition {
        let state = self.state.lock();
        let trouble = state.trouble.iter().flatten().next();
        let well = if state.asked { Condition::Ok } else { Condition::Starting };
        trouble.map_or(well, |trouble| Condition::Degraded(trouble.clone()))
    }

    /// Tells whether the server may be called now: its last failure is long enough ago.
    pub(super) fn is_due(&self) -> bool {
        let state = self.state.lock();
        state.not_before.is_none_or(|not_before| not_before <= Instant::now())
    }

    /// Remembers how calls of one kind went, and pauses after a failure. Only what has failed can show that it works
    /// again.
    pub(super) fn went(&self, call: Call, failure: Option<&CallError>) {
        let mut state = self.state.lock();
        state.asked = true;
        state.trouble[call as usize] = failure.map(ToString::to_string);
        if let Some(error) = failure {
            let demanded = match error {
                CallError::Busy(Some(demanded)) => *demanded,
                _ => Duration::ZERO,
            };
            let pause = state.backoff.pause().max(demanded.min(state.longest));
            state.not_before = Some(Instant::now() + pause);
            tracing::debug!(server = self.name, ?call, ?error, pause_ms = pause.as_millis(), "a pkarr server failed");
        } else if state.trouble == [None, None] {
            state.backoff.reset();
            state.not_before = None;
        }
    }

    /// Reads a slot, past all caches on the way.
    pub(super) async fn get(&self, key: &PublicKey) -> Result<Fetched, CallError> {
        let reading = async {
            match &self.speech {
                Speech::Relay(relay) => relay.get(key).await,
                Speech::Dht(dht) => dht.get(key).await,
            }
        };
        self.in_time(reading).await
    }

    /// Writes a slot.
    pub(super) async fn put(&self, packet: &SignedPacket) -> Result<Stored, CallError> {
        let writing = async {
            match &self.speech {
                Speech::Relay(relay) => relay.put(packet).await,
                Speech::Dht(dht) => dht.put(packet).await,
            }
        };
        self.in_time(writing).await
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        tokio::time::timeout(self.call_time, call).await.map_err(|_| CallError::Timeout(self.call_time))?
    }
}
