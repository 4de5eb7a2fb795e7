//! One pkarr relay: `GET` and `PUT` of signed packets over HTTP, with pauses when it fails.
//!
//! The packets are pkarr's; the client around them is our own. pkarr's brings a second TLS library with it, merges what
//! the relays say into one answer, and keeps a cache that hides what others have written.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use bytes::BytesMut;
use pkarr::PKARR_INVALID_SIGNED_PACKET_SEQ;
use pkarr::PublicKey;
use pkarr::SignedPacket;
use reqwest::Client;
use reqwest::RequestBuilder;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::CACHE_CONTROL;
use reqwest::header::RETRY_AFTER;

use crate::discovery::source::Condition;
use crate::task::Backoff;

/// Largest answer: a packet without its public key, which is in the address.
const PAYLOAD_BYTES: usize = SignedPacket::MAX_BYTES as usize - 32;

/// A call to a relay failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum RelayError {
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
}

/// What a relay has for a slot.
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

/// A relay, and how it is doing.
#[derive(Debug)]
pub(super) struct Relay {
    url: String,
    http: Client,
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

/// What a relay was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// The slots.
    Read,
    /// To keep a record.
    Write,
}

impl Relay {
    pub(super) fn new(url: &str, http: Client, call_time: Duration, (first, longest): (Duration, Duration)) -> Self {
        let backoff = Backoff::new(first, longest);
        let state = State { backoff, longest, not_before: None, asked: false, trouble: [None, None] };
        let state = Mutex::new(state);
        Self { url: url.trim_end_matches('/').to_owned(), http, call_time, state }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn condition(&self) -> Condition {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = state.trouble.iter().flatten().next();
        let well = if state.asked { Condition::Well } else { Condition::Starting };
        trouble.map_or(well, |trouble| Condition::Ailing(trouble.clone()))
    }

    /// Tells whether the relay may be called now: its last failure is long enough ago.
    pub(super) fn is_due(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.not_before.is_none_or(|not_before| not_before <= Instant::now())
    }

    /// Remembers how calls of one kind went, and pauses after a failure. Only what has failed can show that it works
    /// again.
    pub(super) fn went(&self, call: Call, failure: Option<&RelayError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked = true;
        state.trouble[call as usize] = failure.map(ToString::to_string);
        if let Some(error) = failure {
            let demanded = match error {
                RelayError::Busy(Some(demanded)) => *demanded,
                _ => Duration::ZERO,
            };
            let pause = state.backoff.pause().max(demanded.min(state.longest));
            state.not_before = Some(Instant::now() + pause);
            tracing::debug!(relay = self.url, ?call, ?error, pause_ms = pause.as_millis(), "a pkarr relay failed");
        } else if state.trouble == [None, None] {
            state.backoff.reset();
            state.not_before = None;
        }
    }

    /// Reads a slot, past all caches on the way.
    pub(super) async fn get(&self, key: &PublicKey) -> Result<Fetched, RelayError> {
        let request = self.http.get(format!("{}/{}?policy=NetworkOnly", self.url, key.to_z32()));
        let reading = async {
            let response = send(request.header(CACHE_CONTROL, "no-cache, no-store, must-revalidate")).await?;
            match response.status() {
                StatusCode::NOT_FOUND => Ok(foreign(&response).map_or(Fetched::Nothing, Fetched::Foreign)),
                StatusCode::OK => {
                    let payload = payload(response).await?;
                    let packet = SignedPacket::from_relay_payload(key, &payload).map_err(|_| RelayError::Packet)?;
                    Ok(Fetched::Packet(Box::new(packet)))
                }
                status => Err(RelayError::Status(status)),
            }
        };
        tokio::time::timeout(self.call_time, reading).await.map_err(|_| RelayError::Timeout(self.call_time))?
    }

    /// Writes a slot.
    pub(super) async fn put(&self, packet: &SignedPacket) -> Result<Stored, RelayError> {
        let request = self.http.put(format!("{}/{}", self.url, packet.public_key().to_z32()));
        let writing = async {
            let response = send(request.body(packet.to_relay_payload())).await?;
            match response.status() {
                status if status.is_success() => Ok(Stored::Yes),
                StatusCode::CONFLICT | StatusCode::PRECONDITION_REQUIRED => Ok(Stored::Outdated),
                status => Err(RelayError::Status(status)),
            }
        };
        tokio::time::timeout(self.call_time, writing).await.map_err(|_| RelayError::Timeout(self.call_time))?
    }
}

async fn send(request: RequestBuilder) -> Result<Response, RelayError> {
    let response = request.send().await.map_err(RelayError::Unreachable)?;
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        return Err(RelayError::Busy(after.map(Duration::from_secs)));
    }
    Ok(response)
}

/// Reads the body of an answer, no more than a packet has.
async fn payload(mut response: Response) -> Result<Bytes, RelayError> {
    let mut payload = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(RelayError::Unreachable)? {
        if payload.len() + piece.len() > PAYLOAD_BYTES {
            return Err(RelayError::Packet);
        }
        payload.extend_from_slice(&piece);
    }
    Ok(payload.freeze())
}

/// Returns the timestamp of what lies at the slot when it is no packet, as a relay tells it.
fn foreign(response: &Response) -> Option<u64> {
    response.headers().get(PKARR_INVALID_SIGNED_PACKET_SEQ)?.to_str().ok()?.parse().ok()
}
