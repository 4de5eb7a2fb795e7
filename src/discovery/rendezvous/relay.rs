//! A pkarr relay: `GET` and `PUT` of signed packets over HTTP.
//!
//! The packets are pkarr's; the client around them is our own. pkarr's brings a second TLS library with it, merges what
//! the relays say into one answer, and keeps a cache that hides what others have written.

use std::time::Duration;

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

use super::server::CallError;
use super::server::Fetched;
use super::server::Stored;

/// Largest answer: a packet without its public key, which is in the address.
const PAYLOAD_BYTES: usize = SignedPacket::MAX_BYTES as usize - 32;

/// A relay.
#[derive(Debug)]
pub(super) struct Relay {
    url: String,
    http: Client,
}

impl Relay {
    pub(super) fn new(url: &str, http: Client) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), http }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn get(&self, key: &PublicKey) -> Result<Fetched, CallError> {
        let request = self.http.get(format!("{}/{}?policy=NetworkOnly", self.url, key.to_z32()));
        let response = send(request.header(CACHE_CONTROL, "no-cache, no-store, must-revalidate")).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(foreign(&response).map_or(Fetched::Nothing, Fetched::Foreign)),
            StatusCode::OK => {
                let payload = payload(response).await?;
                let packet = SignedPacket::from_relay_payload(key, &payload).map_err(|_| CallError::Packet)?;
                Ok(Fetched::Packet(Box::new(packet)))
            }
            status => Err(CallError::Status(status)),
        }
    }

    pub(super) async fn put(&self, packet: &SignedPacket) -> Result<Stored, CallError> {
        let request = self.http.put(format!("{}/{}", self.url, packet.public_key().to_z32()));
        let response = send(request.body(packet.to_relay_payload())).await?;
        match response.status() {
            status if status.is_success() => Ok(Stored::Yes),
            StatusCode::CONFLICT | StatusCode::PRECONDITION_REQUIRED => Ok(Stored::Outdated),
            status => Err(CallError::Status(status)),
        }
    }
}

async fn send(request: RequestBuilder) -> Result<Response, CallError> {
    let response = request.send().await.map_err(CallError::Unreachable)?;
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        return Err(CallError::Busy(after.map(Duration::from_secs)));
    }
    Ok(response)
}

/// Reads the body of an answer, no more than a packet has.
async fn payload(mut response: Response) -> Result<Bytes, CallError> {
    let mut payload = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(CallError::Unreachable)? {
        if payload.len() + piece.len() > PAYLOAD_BYTES {
            return Err(CallError::Packet);
        }
        payload.extend_from_slice(&piece);
    }
    Ok(payload.freeze())
}

/// Returns the timestamp of what lies at the slot when it is no packet, as a relay tells it.
fn foreign(response: &Response) -> Option<u64> {
    response.headers().get(PKARR_INVALID_SIGNED_PACKET_SEQ)?.to_str().ok()?.parse().ok()
}
