//! The Mainline DHT itself, without a relay in between: slower, and nobody has to be trusted to be there.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::sync::Arc;

use pkarr::PublicKey;
use pkarr::SignedPacket;
use pkarr::dht::DhtClient;
use pkarr::dht::DhtConfig;
use pkarr::dht::PublishError;
use pkarr::dht::ResolveError;
use tokio::sync::OnceCell;

use super::server::CallError;
use super::server::Fetched;
use super::server::Stored;

/// This host's node in the DHT, which only asks and never answers. It starts with the first call, and ends with the last
/// clone.
#[derive(Debug, Clone)]
pub struct Dht(Arc<Node>);

#[derive(Debug)]
struct Node {
    bind: Ipv4Addr,
    bootstrap: Option<Vec<SocketAddrV4>>,
    client: OnceCell<DhtClient>,
}

impl Dht {
    /// Its name, for people.
    pub(super) const NAME: &str = "mainline";

    /// Prepares a node; nothing is bound or sent before the first call.
    ///
    /// `bind` is the address of its UDP socket, on a port of its own; `bootstrap` are nodes to begin at, the public ones
    /// without.
    #[must_use]
    pub fn new(bind: Ipv4Addr, bootstrap: Option<Vec<SocketAddrV4>>) -> Self {
        Self(Arc::new(Node { bind, bootstrap, client: OnceCell::new() }))
    }

    async fn client(&self) -> Result<&DhtClient, CallError> {
        let started = self.0.client.get_or_try_init(async || {
            let mut config = DhtConfig::default();
            config.bind_address = Some(self.0.bind);
            config.bootstrap.clone_from(&self.0.bootstrap);
            // It looks up the names of the public nodes.
            let built = tokio::task::spawn_blocking(move || DhtClient::build(config)).await;
            built
                .map_err(|error| CallError::Socket(error.to_string()))?
                .map_err(|error| CallError::Socket(error.to_string()))
        });
        started.await
    }

    pub(super) async fn get(&self, key: &PublicKey) -> Result<Fetched, CallError> {
        // Every node near the key is heard: the first answer may be an old one.
        let outcome = self.client().await?.resolve(key, None).await.complete().await;
        match outcome.most_recent {
            Ok(packet) => Ok(Fetched::Packet(Box::new(packet))),
            Err(ResolveError::NotFound) => Ok(Fetched::Nothing),
            Err(ResolveError::InvalidSignedPacket { seq }) => Ok(Fetched::Foreign(u64::try_from(seq).unwrap_or(0))),
            Err(error) => Err(CallError::Nodes(error.to_string())),
        }
    }

    pub(super) async fn put(&self, packet: &SignedPacket) -> Result<Stored, CallError> {
        match self.client().await?.publish(packet).await {
            Ok(_) => Ok(Stored::Yes),
            Err(PublishError::NotMostRecent) => Ok(Stored::Outdated),
            Err(error) => Err(CallError::Nodes(error.to_string())),
        }
    }
}
