//! Joining a library with the words of pairing: finds the device that shows them, takes over what it hands over, and
//! keeps it. The host runs only afterwards.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::data_folder::DataFolder;
use super::data_folder::DataFolderError;
use super::discovery::Pkarr;
use super::discovery::meeting_sources;
use crate::asset::HostId;
use crate::auth::LibrarySecret;
use crate::auth::members::Circle;
use crate::auth::members::NotTheBirth;
use crate::auth::pairing::Handover;
use crate::auth::pairing::Joiner;
use crate::auth::pairing::PairingCode;
use crate::auth::pairing::PairingFailure;
use crate::auth::pairing::Refused;
use crate::discovery::BeginError;
use crate::discovery::Search;
use crate::discovery::Servers;
use crate::discovery::Surroundings;
use crate::library::MIRROR;
use crate::library::Ticket;
use crate::limits;
use crate::net;
use crate::net::BindError;
use crate::net::DialError;
use crate::net::FrameError;
use crate::net::Net;
use crate::net::PairingStream;
use crate::task::Group;
use crate::task::random;
use crate::telemetry::causes;

/// How a device joins.
pub struct JoinOptions {
    /// Folder of what it will remember, locked.
    pub folder: DataFolder,
    /// Its name, for people.
    pub name: String,
    /// The words.
    pub code: PairingCode,
    /// Where the device is that shows them, if that is known; it is looked for all the same.
    pub ticket: Option<Ticket>,
    /// Socket for peers; `None` for any.
    pub bind_addr: Option<SocketAddr>,
    /// Relays.
    pub relay: net::Relay,
    /// Whether the other device is looked for on the local network.
    pub mdns: bool,
    /// Where it is looked for elsewhere.
    pub pkarr: Pkarr,
}

/// What a device has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Name of the library.
    pub library: String,
    /// What the device is called that let it in.
    pub device: String,
    /// Its id.
    pub host: HostId,
}

/// A device could not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The endpoint cannot be bound.
    #[error(transparent)]
    Net(#[from] BindError),
    /// The meeting place cannot be looked at.
    #[error("`pkarr_relays` cannot be used")]
    Relays(#[from] BeginError),
    /// There is no way to find the other device.
    #[error(
        "there is nowhere to look for the other device: `mdns`, `pkarr_relays` and `pkarr_dht` are off; give its ticket \
         (`can-sync pair --ticket`), or switch one of them on"
    )]
    Nowhere,
    /// Nobody was there.
    #[error(
        "no device that shows this code was found within {} s; see that `can-sync pair` still shows it there and that both \
         are on one network, or give its ticket (`can-sync pair --ticket`)", limits::MEETING_TIME.as_secs()
    )]
    Nobody,
    /// Those that were there do not show this code.
    #[error("the device at {} did not let this one in: {refused}", .host.fmt_short())]
    Refused {
        /// Who.
        host: HostId,
        /// What it said.
        refused: Refused,
    },
    /// What was handed over begins no library.
    #[error(transparent)]
    Birth(#[from] NotTheBirth),
}

/// One exchange came to nothing.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Failure(#[from] PairingFailure),
    #[error("it said nothing in time")]
    Late,
}

/// Joins a library, and keeps it in the data folder in place of any that was there.
///
/// # Errors
/// [`JoinError`] says what to do next.
pub async fn join(options: JoinOptions) -> Result<Joined, JoinError> {
    let JoinOptions { folder, name, code, ticket, bind_addr, relay, mdns, pkarr } = options;
    let key = folder.host_key()?;
    // A circle that nobody else is in: nothing is proved on this connection.
    let nobody = Circle::new(net::host_id(&key), MIRROR, LibrarySecret::from_bytes(random()));
    let (_circle, follows) = watch::channel(Arc::new(nobody));
    let net = Net::bind(net::Options { key, bind_addr, last_port: folder.last_port(), relay, circle: follows }).await?;
    let group = Group::new("join", Arc::new(|_, task, message| tracing::error!(task, message, "a task panicked")));
    let loopback_only = net.is_loopback_only();
    let pkarr = pkarr.servers(loopback_only);
    let meet = Meet { net: &net, code: &code, name: &name, ticket, mdns: mdns && !loopback_only, pkarr };
    let met = meet.run(&group).await;
    let joined = match met {
        Ok((stream, handover)) => {
            let (library, device, host) = (handover.library.clone(), handover.device.clone(), stream.other());
            let kept = Circle::paired(net.id(), handover).map_err(JoinError::from);
            let kept = kept.and_then(|circle| Ok(folder.keep_circle(&circle)?));
            match kept {
                Ok(()) => stream.finish(),
                Err(_) => stream.refuse(),
            }
            kept.map(|()| Joined { library, device, host })
        }
        Err(error) => Err(error),
    };
    group.shut_down().await;
    net.close().await;
    joined
}

/// Looking for the device that shows a code.
struct Meet<'a> {
    net: &'a Net,
    code: &'a PairingCode,
    name: &'a str,
    ticket: Option<Ticket>,
    mdns: bool,
    pkarr: Vec<Servers>,
}

impl Meet<'_> {
    /// Tries every device that is found, each once: a wrong code is not tried again.
    async fn run(self, group: &Group) -> Result<(PairingStream, Handover), JoinError> {
        let place = self.code.meeting();
        let planned = meeting_sources(place, self.mdns, &self.pkarr, false)?;
        if planned.is_empty() && self.ticket.is_none() {
            return Err(JoinError::Nowhere);
        }
        let looks = !planned.is_empty();
        let (own, connected) = (watch::Sender::new(self.net.ticket()), watch::Sender::new(Vec::new()));
        let surroundings = Surroundings { own: own.subscribe(), connected: connected.subscribe() };
        let (_search, mut finds) = Search::start(planned, surroundings, group);
        let (mut refused, mut tried) = (None, BTreeSet::new());
        let mut next = self.ticket.clone();
        let looking = tokio::time::timeout(limits::MEETING_TIME, async {
            loop {
                let ticket = match next.take() {
                    Some(ticket) => ticket,
                    None if looks => match finds.recv().await {
                        Some(find) => find.ticket,
                        None => return None,
                    },
                    None => return None,
                };
                if tried.contains(&ticket.host) {
                    continue;
                }
                match tokio::time::timeout(limits::membership::PAIRING_TIME, self.exchange(&ticket)).await {
                    Ok(Ok(done)) => return Some(done),
                    Ok(Err(error @ ExchangeError::Dial(_))) => {
                        tracing::warn!(host = %ticket.host.fmt_short(), error = causes(&error), "a device that may show the code cannot be reached");
                    }
                    other => {
                        let error = other.unwrap_or(Err(ExchangeError::Late)).err();
                        let error = error.map(|error| causes(&error));
                        tracing::warn!(host = %ticket.host.fmt_short(), error, "a device did not let this one in");
                        tried.insert(ticket.host);
                        refused = Some(ticket.host);
                        if !looks {
                            return None;
                        }
                    }
                }
            }
        });
        let met = looking.await.ok().flatten();
        met.ok_or_else(|| refused.map_or(JoinError::Nobody, |host| JoinError::Refused { host, refused: Refused }))
    }

    async fn exchange(&self, ticket: &Ticket) -> Result<(PairingStream, Handover), ExchangeError> {
        let mut stream = self.net.dial_to_pair(ticket).await?;
        let binding = stream.binding()?;
        let (joiner, hello) = Joiner::new(self.code, binding, self.name, random())?;
        stream.send_hello(&hello).await?;
        let answer = stream.answer().await?;
        let (confirming, confirm) = joiner.confirm(&answer)?;
        stream.send_confirm(&confirm).await?;
        let welcome = stream.welcome().await?;
        Ok((stream, confirming.finish(&welcome)?))
    }
}
