//! Joining a library with the words of pairing: finds the device that shows them, takes over what it hands over, and
//! keeps it. The host runs only afterwards.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

use super::data_folder::DataFolder;
use super::data_folder::DataFolderError;
use super::discovery::Pkarr;
use super::discovery::meeting_sources;
use crate::asset::HostId;
use crate::auth::LibrarySecret;
use crate::auth::members::Circle;
use crate::auth::members::NotTheBirth;
use crate::auth::pairing::Answer;
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
use crate::library::Relay;
use crate::library::Ticket;
use crate::limits;
use crate::limits::membership as pairing;
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
    /// Where the device is that shows them, if that is known; then no other is tried.
    pub ticket: Option<Ticket>,
    /// Socket for peers; `None` for any.
    pub bind_addr: Option<SocketAddr>,
    /// Relays.
    pub relay: Relay,
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
    /// Tries every device that is found, again and again until it says something: it may be on its way, or busy.
    async fn run(self, group: &Group) -> Result<(PairingStream, Handover), JoinError> {
        let place = self.code.meeting();
        let planned = meeting_sources(place, self.mdns, &self.pkarr, false)?;
        if planned.is_empty() && self.ticket.is_none() {
            return Err(JoinError::Nowhere);
        }
        let (own, connected) = (watch::Sender::new(self.net.ticket()), watch::Sender::new(Vec::new()));
        let surroundings = Surroundings { own: own.subscribe(), connected: connected.subscribe() };
        let (_search, mut finds) = Search::start(planned, surroundings, group);
        let mut tries = Tries::new(self.ticket.clone());
        let mut under_way = FuturesUnordered::new();
        let meet = &self;
        let approach = |ticket: Ticket| async move {
            let approached = in_time(meet.approach(&ticket)).await;
            (ticket.host, approached)
        };
        let mut again = tokio::time::interval(limits::MEETING_TRIED_EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut end = Instant::now() + limits::MEETING_TIME;
        loop {
            // A new one is tried at once, the others with the next tick.
            let due = tokio::select! {
                () = tokio::time::sleep_until(end) => return Err(tries.outcome()),
                Some(find) = finds.recv() => {
                    tries.hear(find.ticket);
                    Due::New
                }
                _ = again.tick() => Due::All,
                Some((host, approached)) = under_way.next() => {
                    tries.is_done(host);
                    match approached {
                        Err(error @ ExchangeError::Dial(_)) => {
                            tracing::warn!(host = %host.fmt_short(), error = causes(&error), "a device that may show the code cannot be reached");
                            continue;
                        }
                        Err(error) => {
                            tracing::warn!(host = %host.fmt_short(), error = causes(&error), "a device did not answer; trying again");
                            tries.refused(host);
                        }
                        // One after the other: whoever is shown that this device has the words has one guess at them.
                        Ok(approached) => match in_time(Approach::confirm(approached)).await {
                            Ok(met) => return Ok(met),
                            Err(error) => {
                                tracing::warn!(host = %host.fmt_short(), error = causes(&error), "a device did not let this one in");
                                tries.wrong(host);
                                // The right one may be there as well.
                                end = end.min(Instant::now() + limits::MEETING_TIME_AFTER_REFUSAL);
                            }
                        },
                    }
                    if tries.are_over() {
                        return Err(tries.outcome());
                    }
                    continue;
                }
            };
            under_way.extend(tries.due(due).into_iter().map(approach));
        }
    }

    /// Dials a device, and hears its part of the exchange.
    async fn approach(&self, ticket: &Ticket) -> Result<Approach, ExchangeError> {
        let mut stream = self.net.dial_to_pair(ticket).await?;
        let binding = stream.binding()?;
        let (joiner, hello) = Joiner::new(self.code, binding, self.name, random())?;
        stream.send_hello(&hello).await?;
        let answer = stream.answer().await?;
        Ok(Approach { stream, joiner, answer })
    }
}

/// A device that has answered.
struct Approach {
    stream: PairingStream,
    joiner: Joiner,
    answer: Answer,
}

impl Approach {
    /// Shows that this device has the words, and is handed the library.
    async fn confirm(self) -> Result<(PairingStream, Handover), ExchangeError> {
        let Self { mut stream, joiner, answer } = self;
        let (confirming, confirm) = joiner.confirm(&answer)?;
        stream.send_confirm(&confirm).await?;
        let welcome = stream.welcome().await?;
        Ok((stream, confirming.finish(&welcome)?))
    }
}

async fn in_time<T>(step: impl Future<Output = Result<T, ExchangeError>>) -> Result<T, ExchangeError> {
    tokio::time::timeout(pairing::PAIRING_TIME, step).await.unwrap_or(Err(ExchangeError::Late))
}

/// Which devices are to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    New,
    All,
}

/// Whom a device that joins tries, and what that has come to.
#[derive(Debug, Default)]
struct Tries {
    /// Who alone is tried: a person has named it.
    only: Option<HostId>,
    places: BTreeMap<HostId, Ticket>,
    tried: BTreeSet<HostId>,
    under_way: BTreeSet<HostId>,
    /// How often a device did not answer.
    refusals: BTreeMap<HostId, u32>,
    /// Those that were shown the words and did not have them.
    wrong: BTreeSet<HostId>,
    last: Option<HostId>,
}

impl Tries {
    fn new(named: Option<Ticket>) -> Self {
        let mut tries = Self { only: named.as_ref().map(|ticket| ticket.host), ..Self::default() };
        named.into_iter().for_each(|ticket| tries.hear(ticket));
        tries
    }

    /// Takes in where a device is that may show the code.
    fn hear(&mut self, ticket: Ticket) {
        if self.only.is_none_or(|only| only == ticket.host) {
            self.places.insert(ticket.host, ticket);
        }
    }

    /// Returns whom to try now, which are under way then.
    fn due(&mut self, due: Due) -> Vec<Ticket> {
        let room = limits::MEETING_TRIED_AT_ONCE.saturating_sub(self.under_way.len());
        let is_due = |host: &HostId| {
            let wanted = due == Due::All || !self.tried.contains(host);
            wanted && !self.under_way.contains(host) && !self.is_given_up(host)
        };
        let due = self.places.values().filter(|ticket| is_due(&ticket.host)).take(room).cloned();
        let due: Vec<Ticket> = due.collect();
        self.tried.extend(due.iter().map(|ticket| ticket.host));
        self.under_way.extend(due.iter().map(|ticket| ticket.host));
        due
    }

    fn is_done(&mut self, host: HostId) {
        self.under_way.remove(&host);
    }

    fn refused(&mut self, host: HostId) {
        self.last = Some(host);
        *self.refusals.entry(host).or_default() += 1;
    }

    fn wrong(&mut self, host: HostId) {
        self.last = Some(host);
        self.wrong.insert(host);
    }

    fn is_given_up(&self, host: &HostId) -> bool {
        self.wrong.contains(host)
            || self.refusals.get(host).is_some_and(|refusals| *refusals >= limits::MEETING_REFUSALS)
    }

    /// Tells whether nobody else is tried. As the side that shows a code bears with three wrong ones, so does this side.
    fn are_over(&self) -> bool {
        self.wrong.len() >= pairing::PAIRING_WRONG_TRIES as usize
            || self.only.is_some_and(|only| self.is_given_up(&only))
    }

    fn outcome(&self) -> JoinError {
        self.last.map_or(JoinError::Nobody, |host| JoinError::Refused { host, refused: Refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(host: u8) -> Ticket {
        Ticket { host: HostId::from_bytes([host; 32]), addresses: Vec::new(), relay: None }
    }

    fn due(tries: &mut Tries) -> Vec<u8> {
        tries.due(Due::All).iter().map(|ticket| ticket.host.as_bytes()[0]).collect()
    }

    #[test]
    fn who_cannot_be_reached_or_is_busy_is_tried_again() {
        let mut tries = Tries::new(None);
        tries.hear(ticket(1));
        assert_eq!((due(&mut tries), due(&mut tries)), (vec![1], vec![]), "it is under way");
        tries.is_done(ticket(1).host);
        assert_eq!(due(&mut tries), [1]);
        for _ in 0..limits::MEETING_REFUSALS {
            tries.is_done(ticket(1).host);
            assert_eq!(due(&mut tries), [1]);
            tries.refused(ticket(1).host);
        }
        tries.is_done(ticket(1).host);
        assert!(due(&mut tries).is_empty());
        assert!(!tries.are_over() && matches!(tries.outcome(), JoinError::Refused { .. }));
        tries.hear(ticket(2));
        assert_eq!(due(&mut tries), [2]);
        tries.is_done(ticket(2).host);
        assert!(tries.due(Due::New).is_empty(), "others that are found do not hurry it");
    }

    #[test]
    fn at_most_three_have_a_guess_at_the_words() {
        let mut tries = Tries::new(None);
        assert!(matches!(tries.outcome(), JoinError::Nobody));
        (1..=20).for_each(|host| tries.hear(ticket(host)));
        assert_eq!(due(&mut tries).len(), limits::MEETING_TRIED_AT_ONCE);
        for host in 1..=3 {
            assert!(!tries.are_over());
            tries.is_done(ticket(host).host);
            tries.wrong(ticket(host).host);
        }
        assert!(tries.are_over());
    }

    #[test]
    fn where_a_person_names_a_device_nobody_else_is_tried() {
        let mut tries = Tries::new(Some(ticket(7)));
        tries.hear(ticket(1));
        assert_eq!(due(&mut tries), [7]);
        tries.is_done(ticket(7).host);
        tries.wrong(ticket(7).host);
        assert!(tries.are_over());
    }
}
