//! The endpoint: binding, dialling, accepting, closing.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use iroh::Endpoint;
use iroh::EndpointAddr;
use iroh::EndpointId;
use iroh::RelayMode;
use iroh::RelayUrl;
use iroh::SecretKey;
use iroh::Watcher;
use iroh::endpoint::Connection;
use iroh::endpoint::Incoming;
use iroh::endpoint::QuicTransportConfig;
use iroh::endpoint::RelayStatus;
use iroh::endpoint::VarInt;
use iroh::endpoint::presets;
use tokio::sync::mpsc;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::control::Line;
use super::frame::FrameError;
use super::pairing;
use super::pairing::PairingStream;
use super::proof;
use super::proof::Link;
use super::proof::ProofError;
use super::strangers::Entry;
use super::strangers::Strangers;
use super::succession::Moved;
use crate::asset::HostId;
use crate::auth::members::Circle;
use crate::library::Relay;
use crate::library::Ticket;
use crate::limits;
use crate::task::Group;

/// What a connection is for; each has an ALPN of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Comparing sets and offering; one per pair.
    Control,
    /// Content towards the side that dialled.
    Bulk,
}

impl Purpose {
    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Control => b"/can-sync/peer/1",
            Self::Bulk => b"/can-sync/bulk/1",
        }
    }
}

/// How to bind the endpoint.
#[derive(Debug, Clone)]
pub struct Options {
    /// The host's key.
    pub key: Zeroizing<[u8; 32]>,
    /// Socket to bind; `None` for a free port on every interface.
    pub bind_addr: Option<SocketAddr>,
    /// Port to take if it is free and `bind_addr` names none: the one of the last run.
    pub last_port: Option<u16>,
    /// Relays.
    pub relay: Relay,
    /// Who the members are, and what they can prove.
    pub circle: watch::Receiver<Arc<Circle>>,
}

/// Returns the id of the host that has this key.
#[must_use]
pub fn host_id(key: &[u8; 32]) -> HostId {
    HostId::from_bytes(*SecretKey::from_bytes(key).public().as_bytes())
}

/// The endpoint could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The relay's address is no URL.
    #[error("`relay_url` is no URL: {0}")]
    Relay(String),
    /// The socket could not be bound.
    #[error(
        "cannot bind the UDP socket for peers{}; if another program uses it, stop that or choose another with `bind_addr`",
        .addr.map(|addr| format!(" at {addr}")).unwrap_or_default()
    )]
    Socket {
        /// Which address was asked for.
        addr: Option<SocketAddr>,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A peer could not be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The ticket's id is no key.
    #[error("{0} is not the id of a host")]
    Id(HostId),
    /// Nobody answered in time.
    #[error("no answer within {} s", limits::DIAL_TIME.as_secs())]
    Timeout,
    /// The connection could not be made.
    #[error("cannot connect")]
    Connect(#[source] Box<iroh::endpoint::ConnectError>),
    /// The other side is no member.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// A connection that came in.
#[derive(Debug)]
#[non_exhaustive]
pub enum Accepted {
    /// Its other side is a member.
    Member {
        /// What it is for.
        purpose: Purpose,
        /// The connection.
        link: Link,
    },
    /// Its other side uses another secret of the library, and told of the members; the connection has ended.
    Moved(Moved),
    /// A stranger that wants to pair.
    Pairing(PairingStream),
}

/// How a connection's packets travel at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Whether they go straight to the peer, not over a relay.
    pub direct: bool,
    /// Round-trip time.
    pub rtt: Duration,
}

/// Which ways packets may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaching {
    /// Straight to the other side, or over a relay.
    Directly,
    /// Over a relay alone.
    #[cfg_attr(not(test), allow(dead_code, reason = "only tests block UDP"))]
    OverRelay,
}

/// How this host may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachability {
    /// The sockets it is bound to.
    pub sockets: Vec<SocketAddr>,
    /// The addresses it knows of itself, from its networks and as others see it.
    pub addresses: Vec<SocketAddr>,
    /// The relays it is or should be connected to; with the error where it is not.
    pub relays: Vec<(String, Result<(), String>)>,
}

impl Reachability {
    /// Returns the UDP port that others have to reach; 0 when none is bound.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.sockets.first().map_or(0, SocketAddr::port)
    }
}

/// The endpoint of this host.
#[derive(Debug, Clone)]
pub struct Net {
    endpoint: Endpoint,
    circle: watch::Receiver<Arc<Circle>>,
    refused: Arc<AtomicU64>,
}

impl Net {
    /// Binds the endpoint. Nothing is accepted before [`accept`](Self::accept).
    ///
    /// # Errors
    /// [`BindError`] names the address that cannot be bound.
    pub async fn bind(options: Options) -> Result<Self, BindError> {
        Self::bind_reaching(options, Reaching::Directly).await
    }

    /// Binds an endpoint whose packets all go over its relay, as where UDP is blocked.
    #[cfg(test)]
    pub(crate) async fn bind_behind_relay(options: Options) -> Self {
        Self::bind_reaching(options, Reaching::OverRelay).await.unwrap()
    }

    async fn bind_reaching(options: Options, reaching: Reaching) -> Result<Self, BindError> {
        let relay_mode = match &options.relay {
            Relay::Public => None,
            Relay::Off => Some(RelayMode::Disabled),
            Relay::Own(url) => {
                let url: RelayUrl = url.parse().map_err(|_| BindError::Relay(url.clone()))?;
                Some(RelayMode::custom([url]))
            }
        };
        let build = |addr: Option<SocketAddr>| {
            let builder = match &relay_mode {
                None => Endpoint::builder(presets::N0),
                Some(mode) => Endpoint::builder(presets::Minimal).relay_mode(mode.clone()),
            };
            let builder = builder
                .secret_key(SecretKey::from_bytes(&options.key))
                .transport_config(transport())
                .alpns([Purpose::Control.alpn(), Purpose::Bulk.alpn(), pairing::ALPN].map(<[u8]>::to_vec).to_vec());
            let refused = |source| BindError::Socket { addr, source: Box::new(source) };
            match addr {
                _ if reaching == Reaching::OverRelay => Ok(builder.clear_ip_transports()),
                None => Ok(builder),
                // The pre-configured IPv6 socket stays beside it.
                Some(addr) if addr.ip().is_unspecified() && addr.is_ipv4() => builder.bind_addr(addr).map_err(refused),
                Some(addr) => builder.clear_ip_transports().bind_addr(addr).map_err(refused),
            }
        };
        let wished = match (options.bind_addr, options.last_port) {
            (Some(addr), Some(port)) if addr.port() == 0 => Some(SocketAddr::new(addr.ip(), port)),
            (Some(_), _) | (None, None) => None,
            (None, Some(port)) => Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        };
        // The port of the last run, so that known addresses stay true; any other when it is taken.
        let kept = match wished {
            Some(addr) => build(Some(addr))?.bind().await.ok(),
            None => None,
        };
        let endpoint = match kept {
            Some(endpoint) => endpoint,
            None => build(options.bind_addr)?
                .bind()
                .await
                .map_err(|source| BindError::Socket { addr: options.bind_addr, source: Box::new(source) })?,
        };
        Ok(Self { endpoint, circle: options.circle, refused: Arc::default() })
    }

    /// Returns the id of this host.
    #[must_use]
    pub fn id(&self) -> HostId {
        HostId::from_bytes(*self.endpoint.id().as_bytes())
    }

    /// Returns the port on which peers reach this host.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let sockets = self.endpoint.bound_sockets();
        sockets.iter().find(|socket| socket.is_ipv4()).or(sockets.first()).map(SocketAddr::port)
    }

    /// Tells whether only this machine can reach the host directly.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        self.endpoint.bound_sockets().iter().all(|socket| socket.ip().is_loopback())
    }

    /// Returns where this host can be reached now.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        let addr = self.endpoint.addr();
        let mut addresses: Vec<SocketAddr> = addr.ip_addrs().copied().collect();
        for socket in self.endpoint.bound_sockets() {
            if !socket.ip().is_unspecified() && !addresses.contains(&socket) {
                addresses.push(socket);
            }
        }
        Ticket { host: self.id(), addresses, relay: addr.relay_urls().next().map(ToString::to_string) }
    }

    /// Returns how this host may be reached.
    #[must_use]
    pub fn reachability(&self) -> Reachability {
        let relay = |status: &RelayStatus| {
            let failed = || status.last_error().map_or_else(|| "not connected yet".to_owned(), ToString::to_string);
            (status.url().to_string(), if status.is_connected() { Ok(()) } else { Err(failed()) })
        };
        Reachability {
            sockets: self.endpoint.bound_sockets(),
            addresses: self.ticket().addresses,
            relays: self.endpoint.home_relay_status().get().iter().map(relay).collect(),
        }
    }

    /// Returns how many connections came without a proof of membership.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Dials a peer and proves membership on both sides.
    ///
    /// # Errors
    /// [`DialError`] when it does not answer, or is no member.
    pub async fn dial(&self, to: &Ticket, purpose: Purpose) -> Result<Link, DialError> {
        let connection = self.reach(to, purpose.alpn()).await?;
        let circle = Arc::clone(&self.circle.borrow());
        let link = proof::prove(connection, self.id(), &circle).await?;
        link.fit_for(purpose).await.map_err(DialError::from)
    }

    /// Dials a host to pair with it; nothing is proved to it yet.
    ///
    /// # Errors
    /// [`DialError`] when it does not answer.
    pub async fn dial_to_pair(&self, to: &Ticket) -> Result<PairingStream, DialError> {
        let connection = self.reach(to, pairing::ALPN).await?;
        Ok(PairingStream::open(connection, self.id()).await.map_err(ProofError::from)?)
    }

    /// Dials a peer and proves nothing, as a stranger does.
    #[cfg(test)]
    pub(super) async fn connect_bare(&self, to: &Ticket, purpose: Purpose) -> Connection {
        self.reach(to, purpose.alpn()).await.unwrap()
    }

    /// Accepts no bulk connections, as behind a firewall that lets only one connection through.
    #[cfg(test)]
    pub(crate) fn refuse_bulk(&self) {
        self.endpoint.set_alpns(vec![Purpose::Control.alpn().to_vec()]);
    }

    async fn reach(&self, to: &Ticket, alpn: &[u8]) -> Result<Connection, DialError> {
        let id = EndpointId::from_bytes(to.host.as_bytes()).map_err(|_| DialError::Id(to.host))?;
        let mut addr = EndpointAddr::new(id);
        for address in &to.addresses {
            addr = addr.with_ip_addr(*address);
        }
        if let Some(Ok(relay)) = to.relay.as_deref().map(str::parse::<RelayUrl>) {
            addr = addr.with_relay_url(relay);
        }
        let connecting = self.endpoint.connect(addr, alpn);
        tokio::time::timeout(limits::DIAL_TIME, connecting)
            .await
            .map_err(|_| DialError::Timeout)?
            .map_err(|error| DialError::Connect(Box::new(error)))
    }

    /// Accepts connections until the group ends, and hands on those whose other side is a member.
    pub async fn accept(
        &self,
        group: &Group,
        accepted: mpsc::Sender<Accepted>,
        refused: impl Fn(HostId) + Send + Sync + 'static,
    ) {
        let strangers = Arc::new(Strangers::default());
        let refused = Arc::new(refused);
        while let Some(incoming) = self.endpoint.accept().await {
            let place = match strangers.enter(&incoming.remote_addr(), incoming.remote_addr_validated()) {
                Entry::Place(place) => place,
                Entry::Show => {
                    // It fails for one that has shown it, and this one has not.
                    drop(incoming.retry());
                    continue;
                }
                Entry::Full => {
                    incoming.refuse();
                    continue;
                }
            };
            let (net, accepted, refused) = (self.clone(), accepted.clone(), Arc::clone(&refused));
            group.spawn_until_cancelled("accept", async move {
                let _place = place;
                match net.admit(incoming).await {
                    Ok(link) => {
                        // The receiver has gone when the host stops.
                        let _ = accepted.send(link).await;
                    }
                    Err(Some(stranger)) => refused(stranger),
                    Err(None) => {}
                }
            });
        }
    }

    /// Closes every connection in order, so that peers see it at once.
    pub async fn close(&self) {
        self.endpoint.close().await;
    }

    /// Lets a connection in when its other side is a member or wants to pair; else returns who it was, when that is known.
    async fn admit(&self, incoming: Incoming) -> Result<Accepted, Option<HostId>> {
        let handshake = async { incoming.accept().map_err(|_| None)?.await.map_err(|_| None) };
        let connection: Connection = tokio::time::timeout(limits::PROOF_TIME, handshake).await.map_err(|_| None)??;
        let stranger = HostId::from_bytes(*connection.remote_id().as_bytes());
        let purpose = match connection.alpn() {
            alpn if alpn == pairing::ALPN => {
                let stream = PairingStream::accept(connection, self.id()).await.map_err(|_| None)?;
                return Ok(Accepted::Pairing(stream));
            }
            alpn if alpn == Purpose::Control.alpn() => Purpose::Control,
            _ => Purpose::Bulk,
        };
        let circle = Arc::clone(&self.circle.borrow());
        match proof::check_and_prove(connection, self.id(), &circle).await {
            Ok(link) => {
                let link = link.fit_for(purpose).await.map_err(|_| Some(stranger))?;
                Ok(Accepted::Member { purpose, link })
            }
            Err(ProofError::Moved(moved)) => Ok(Accepted::Moved(*moved)),
            Err(error) => {
                tracing::debug!(peer = %stranger.fmt_short(), error = error.to_string(), "connection without proof refused");
                // A member may let go in the middle, for it is connected by then.
                if !matches!(
                    error,
                    ProofError::Connection(_) | ProofError::Frame(FrameError::Ended | FrameError::Read(_))
                ) {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(Some(stranger))
            }
        }
    }
}

impl Link {
    /// Closes a connection for content where one side has yet to accept the other; the side that dialled does, so that it
    /// has read why.
    async fn fit_for(self, purpose: Purpose) -> Result<Self, ProofError> {
        if self.pending && purpose == Purpose::Bulk {
            if !self.dialled {
                let _ = tokio::time::timeout(limits::PROOF_TIME, self.connection.closed()).await;
            }
            self.line().close("not accepted yet");
            return Err(ProofError::Pending);
        }
        Ok(self)
    }

    /// Returns the connection, seen from outside its streams.
    #[must_use]
    pub fn line(&self) -> Line {
        Line(self.connection.clone())
    }
}

/// Returns how the packets of a connection travel.
pub(super) fn path(connection: &Connection) -> Option<Path> {
    let paths = connection.paths();
    let selected = paths.iter().find(|path| path.is_selected())?;
    Some(Path { direct: selected.is_ip(), rtt: selected.rtt() })
}

/// Windows and times of every connection. A stranger gets one stream and [`limits::STRANGER_BYTES`]; a member more,
/// once it has proved itself. What a peer can pin on two connections stays below 8 MiB.
fn transport() -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::STRANGER_BYTES))
        .send_window(u64::from(limits::CONNECTION_WINDOW_BYTES))
        .datagram_receive_buffer_size(None)
        .initial_rtt(limits::ROUND_TRIP_GUESS)
        .max_idle_timeout(Some(limits::IDLE_TIME.try_into().expect("six seconds fit")))
        .keep_alive_interval(limits::KEEP_ALIVE)
        .default_path_max_idle_timeout(limits::PATH_IDLE_TIME)
        .default_path_keep_alive_interval(limits::KEEP_ALIVE)
        .build()
}
