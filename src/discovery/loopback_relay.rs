//! A pkarr relay on loopback, for tests: it checks what it is given, and misbehaves when told to.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::Path;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use parking_lot::Mutex;
use pkarr::PublicKey;
use pkarr::SignedPacket;
use tokio::net::TcpListener;

use crate::task::Group;

/// How a relay behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// As it should.
    #[default]
    Well,
    /// It answers everything with this status; 429 comes with a time after which to ask again, in seconds.
    Refuses(u16, u64),
    /// It takes this long for every answer.
    Slow(Duration),
    /// It takes writes and forgets them.
    LosesWrites,
    /// It answers reads with bytes that are no packet.
    Babbles,
}

/// A pkarr relay on a free port of 127.0.0.1. It ends when it is dropped.
#[derive(Debug)]
pub struct LoopbackRelay {
    addr: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    group: Group,
}

#[derive(Debug, Default)]
struct Shared {
    packets: BTreeMap<String, Bytes>,
    manner: Manner,
    reads: u64,
    writes: u64,
}

impl LoopbackRelay {
    /// Starts a relay.
    ///
    /// # Errors
    /// When no port of 127.0.0.1 can be bound.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let router = Router::new()
            .route("/{key}", get(read).put(write))
            .layer(DefaultBodyLimit::max(SignedPacket::MAX_BYTES as usize))
            .with_state(Arc::clone(&shared));
        let group = Group::new("loopback relay", Arc::new(|_, _, message| tracing::error!(message, "it panicked")));
        let token = group.token().clone();
        group.spawn("serve", async move {
            // It ends without error when it is told to.
            let _ = axum::serve(listener, router).with_graceful_shutdown(token.cancelled_owned()).await;
        });
        Ok(Self { addr, shared, group })
    }

    /// Returns its address, as it is configured.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, manner: Manner) {
        self.shared.lock().manner = manner;
    }

    /// Returns how many reads and writes it was asked for.
    #[must_use]
    pub fn asked(&self) -> (u64, u64) {
        let shared = self.shared.lock();
        (shared.reads, shared.writes)
    }

    /// Returns the packets it holds, without their public keys, by the z-base-32 of these.
    #[must_use]
    pub fn packets(&self) -> BTreeMap<String, Vec<u8>> {
        self.shared.lock().packets.iter().map(|(key, packet)| (key.clone(), packet.to_vec())).collect()
    }

    /// Puts a packet there unchecked, as somebody who has the key of a slot could.
    pub fn leave(&self, key: &str, payload: Vec<u8>) {
        self.shared.lock().packets.insert(key.to_owned(), payload.into());
    }

    /// Forgets every packet.
    pub fn forget(&self) {
        self.shared.lock().packets.clear();
    }

    /// Stops it: connections to it are refused.
    pub async fn stop(&self) {
        self.group.shut_down().await;
    }
}

impl Drop for LoopbackRelay {
    fn drop(&mut self) {
        self.group.token().cancel();
    }
}

async fn read(State(shared): State<Arc<Mutex<Shared>>>, Path(key): Path<String>) -> Response {
    let (manner, packet) = {
        let mut shared = shared.lock();
        shared.reads += 1;
        (shared.manner, shared.packets.get(&key).cloned())
    };
    if let Some(refusal) = misbehave(manner).await {
        return refusal;
    }
    match packet {
        _ if manner == Manner::Babbles => Bytes::from_static(&[0x5a; 900]).into_response(),
        Some(packet) => packet.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn write(State(shared): State<Arc<Mutex<Shared>>>, Path(key): Path<String>, payload: Bytes) -> Response {
    let manner = {
        let mut shared = shared.lock();
        shared.writes += 1;
        shared.manner
    };
    if let Some(refusal) = misbehave(manner).await {
        return refusal;
    }
    let Ok(public_key) = PublicKey::try_from(key.as_str()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Ok(packet) = SignedPacket::from_relay_payload(&public_key, &payload) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut shared = shared.lock();
    let held = shared.packets.get(&key).and_then(|held| SignedPacket::from_relay_payload(&public_key, held).ok());
    if held.is_some_and(|held| !packet.more_recent_than(&held)) {
        return StatusCode::CONFLICT.into_response();
    }
    if manner != Manner::LosesWrites {
        shared.packets.insert(key, payload);
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn misbehave(manner: Manner) -> Option<Response> {
    match manner {
        Manner::Well | Manner::LosesWrites | Manner::Babbles => None,
        Manner::Slow(time) => {
            tokio::time::sleep(time).await;
            None
        }
        Manner::Refuses(status, after) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut refusal = status.into_response();
            if status == StatusCode::TOO_MANY_REQUESTS {
                refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after));
            }
            Some(refusal)
        }
    }
}

#[cfg(test)]
mod tests {
    use pkarr::Keypair;
    use pkarr::Timestamp;

    use super::*;

    #[tokio::test]
    async fn it_takes_signed_packets_only_and_the_newer_of_two() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let relay = LoopbackRelay::start().await.unwrap();
        let keypair = Keypair::from_secret_key(&[1; 32]);
        let url = format!("{}/{}", relay.url(), keypair.public_key().to_z32());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let put = |payload: Bytes| async { http.put(&url).body(payload).send().await.unwrap().status().as_u16() };
        let packet = |at| SignedPacket::builder().timestamp(Timestamp::from(at)).sign(&keypair).unwrap();
        assert_eq!(http.get(&url).send().await.unwrap().status().as_u16(), 404);
        let mut forged = packet(7).to_relay_payload().to_vec();
        forged[0] ^= 1;
        assert_eq!(put(forged.into()).await, 400);
        assert_eq!(put(Bytes::from(vec![0; 2000])).await, 413);
        assert_eq!(put(packet(7).to_relay_payload()).await, 204);
        assert_eq!(put(packet(6).to_relay_payload()).await, 409);
        assert_eq!(put(packet(8).to_relay_payload()).await, 204);
        assert_eq!(http.get(&url).send().await.unwrap().bytes().await.unwrap(), packet(8).to_relay_payload());
        assert_eq!(relay.asked(), (2, 4));
        relay.stop().await;
        assert!(http.get(&url).send().await.is_err());
    }
}
