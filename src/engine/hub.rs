//! The hub: owns the replica, feeds it what happened, and has done what it says.
//!
//! It never waits for anything but news, so nobody who waits for it can be waited for: sends are attempts on bounded
//! queues, and work runs in tasks of its own, as much of it as the protocol's windows allow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::apply;
use super::early;
use super::fetch::Ended;
use super::fetch::Jobs;
use super::keep;
use super::load::Load;
use super::memory::Note;
use super::peers::PeerOrder;
use super::shared::Shared;
use crate::asset::AssetKey;
use crate::asset::HostId;
use crate::event::Event;
use crate::limits;
use crate::net::Line;
use crate::net::Word;
use crate::state::Refusal;
use crate::state::Refused;
use crate::store::Arrival;
use crate::sync::Answer;
use crate::sync::Decision;
use crate::sync::Fetched;
use crate::sync::Input;
use crate::sync::Kept;
use crate::sync::Message;
use crate::sync::Offer;
use crate::sync::Output;
use crate::task::Group;
use crate::task::now_ms;

/// News for the hub.
pub(super) enum Told {
    /// For the replica, each once the feed has judged everything up to its arrival.
    Inputs(Vec<(Arrival, Input)>),
    /// The feed has judged everything up to an arrival.
    Judged(Arrival, Vec<Input>),
    /// A peer is connected.
    Connected(Box<Connection>),
    /// A message of a connection.
    Received(HostId, u64, Message),
    /// What became of contents that were to be fetched on a connection.
    Fetched(HostId, u64, Vec<Ended>),
    /// A connection has ended.
    Disconnected(HostId, u64),
}

/// A connected peer, as the hub needs it.
pub(super) struct Connection {
    pub(super) peer: HostId,
    /// Counts the connections of this host: what belongs to an earlier one is not heard.
    pub(super) number: u64,
    pub(super) line: Line,
    pub(super) messages: mpsc::Sender<Word>,
    /// Bytes of them that wait.
    pub(super) waiting: Arc<Load>,
    pub(super) jobs: mpsc::Sender<Jobs>,
    pub(super) connected: Input,
}

struct Hub {
    shared: Arc<Shared>,
    group: Group,
    connections: BTreeMap<HostId, Connection>,
    judged: Arrival,
    waiting: BTreeMap<(Arrival, u64), Input>,
    waited: u64,
    /// What happened and is not handled yet.
    inputs: Vec<Input>,
}

impl From<Input> for Told {
    fn from(input: Input) -> Self {
        Self::Inputs(vec![(Arrival::default(), input)])
    }
}

pub(super) async fn run(shared: Arc<Shared>, group: Group, mut told: mpsc::Receiver<Told>, judged: Arrival) {
    let token = group.token().clone();
    let mut poll = tokio::time::interval(shared.poll_interval.max(Duration::from_secs(1)));
    poll.tick().await;
    let (connections, waiting) = (BTreeMap::new(), BTreeMap::new());
    let mut hub = Hub { shared, group, connections, judged, waiting, waited: 0, inputs: Vec::new() };
    let mut news = Vec::with_capacity(limits::NEWS_TOGETHER);
    loop {
        let due = hub.due();
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            heard = told.recv_many(&mut news, limits::NEWS_TOGETHER) => match heard {
                0 => return,
                _ => news.drain(..).for_each(|news| hub.hear(news)),
            },
            () = tokio::time::sleep(due) => hub.inputs.push(Input::Tick),
            _ = poll.tick() => {
                let shared = Arc::clone(&hub.shared);
                hub.group.spawn_until_cancelled("early", async move { early::take(&shared).await });
                hub.inputs.push(Input::Poll);
            }
        }
        hub.handle();
    }
}

impl Hub {
    fn due(&self) -> Duration {
        let now = self.shared.moment();
        let due = self.shared.replica().due(now);
        due.map_or(Duration::from_secs(3600), |due| Duration::from_millis(due.saturating_sub(now).max(1)))
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Inputs(inputs) => {
                for (arrival, input) in inputs {
                    if arrival <= self.judged {
                        self.inputs.push(input);
                    } else {
                        self.waited += 1;
                        self.waiting.insert((arrival, self.waited), input);
                    }
                }
            }
            Told::Judged(arrival, inputs) => {
                self.inputs.extend(inputs);
                self.judged = self.judged.max(arrival);
                while let Some(entry) = self.waiting.first_entry()
                    && entry.key().0 <= self.judged
                {
                    self.inputs.push(entry.remove());
                }
            }
            Told::Connected(mut connection) => {
                // What is still to be sent belongs to the connection before.
                self.handle();
                let connected = std::mem::replace(&mut connection.connected, Input::Tick);
                self.connections.insert(connection.peer, *connection);
                self.inputs.push(connected);
                self.handle();
            }
            Told::Received(peer, number, message) => {
                if self.connections.get(&peer).is_some_and(|connection| connection.number == number) {
                    self.inputs.push(Input::Received { peer, message });
                }
            }
            Told::Fetched(peer, number, ended) => {
                // What came on an earlier connection is wanted anew, if it still is.
                if self.connections.get(&peer).is_none_or(|connection| connection.number != number) {
                    return;
                }
                for (asset, outcome) in ended {
                    let outcome = match outcome {
                        Ok(come) => {
                            self.shared.arrived.insert(asset, come.take());
                            Fetched::Whole
                        }
                        Err(outcome) => outcome,
                    };
                    self.inputs.push(Input::Fetched { peer, asset, outcome });
                }
            }
            Told::Disconnected(peer, number) => {
                if self.connections.get(&peer).is_some_and(|connection| connection.number == number) {
                    self.handle();
                    self.connections.remove(&peer);
                    self.inputs.push(Input::Disconnected { peer });
                    self.handle();
                }
            }
        }
    }

    /// Has the replica take in what happened, and has done what it says.
    fn handle(&mut self) {
        if self.inputs.is_empty() {
            return;
        }
        let now = self.shared.moment();
        let outputs: Vec<Output> = {
            let mut replica = self.shared.replica();
            replica.handle(now, self.inputs.drain(..));
            std::iter::from_fn(|| replica.next_output()).collect()
        };
        let mut keeps = Vec::new();
        let mut fetches: BTreeMap<HostId, Jobs> = BTreeMap::new();
        for output in outputs {
            match output {
                Output::Keep { key, offers } => keeps.push((key, offers)),
                Output::Fetch { peer, key } => fetches.entry(peer).or_default().push(key),
                output => self.carry_out(output),
            }
        }
        for (peer, jobs) in fetches {
            self.fetch(peer, jobs);
        }
        if !keeps.is_empty() {
            self.keep(keeps);
        }
    }

    fn fetch(&self, peer: HostId, jobs: Jobs) {
        let left = match self.connections.get(&peer) {
            Some(connection) => connection.jobs.try_send(jobs).err().map(TrySendError::into_inner),
            None => Some(jobs),
        };
        if let Some(jobs) = left {
            let shared = Arc::clone(&self.shared);
            let stalled = |key: AssetKey| Input::Fetched { peer, asset: key.id, outcome: Fetched::Stalled };
            let stalled = jobs.into_iter().map(|key| (Arrival::default(), stalled(key))).collect();
            self.group.spawn_until_cancelled("fetch", async move { shared.tell(Told::Inputs(stalled)).await });
        }
    }

    fn keep(&self, fetched: Vec<(AssetKey, Vec<(HostId, Offer)>)>) {
        let failed = fetched.iter().map(|(key, _)| Input::Kept { asset: key.id, outcome: Kept::Failed }).collect();
        let shared = Arc::clone(&self.shared);
        self.work("keep", async move { keep::keep(&shared, fetched).await }, failed);
    }

    /// Runs work whose outcome the replica waits for; what it hears when the work ends in a panic.
    fn work(&self, task: &'static str, work: impl Future<Output = ()> + Send + 'static, failed: Vec<Input>) {
        let shared = Arc::clone(&self.shared);
        let failed = failed.into_iter().map(|input| (Arrival::default(), input)).collect();
        self.group.spawn_until_cancelled_or(task, work, async move { shared.tell(Told::Inputs(failed)).await });
    }

    fn carry_out(&mut self, output: Output) {
        let shared = Arc::clone(&self.shared);
        match output {
            Output::Send { peer, message } => {
                let sent = self.connections.get(&peer).map(|connection| {
                    connection.waiting.take(message.bytes_asked_for())
                        && connection.messages.try_send(message.into()).is_ok()
                });
                if sent == Some(false) {
                    self.close(peer, "it does not read what is sent to it");
                }
            }
            Output::Close { peer, reason } => self.close(peer, &reason),
            Output::Load { peer, assets } => {
                let failed = vec![Input::Loaded { peer, asked: assets.clone(), offers: Vec::new() }];
                self.work("load", async move { apply::load(&shared, peer, assets).await }, failed);
            }
            Output::Decide { peer, offers } => {
                let refused = || Decision::Failed("this host failed at it; see its log".to_owned());
                let failed =
                    offers.iter().map(|offer| Input::Decided { peer, offer: offer.clone(), decision: refused() });
                let failed = failed.collect();
                self.work("decide", async move { apply::decide(&shared, peer, offers).await }, failed);
            }
            Output::Fetch { peer, key } => self.fetch(peer, vec![key]),
            Output::Keep { key, offers } => self.keep(vec![(key, offers)]),
            Output::Drop { asset } => {
                shared.arrived.remove(&asset);
            }
            Output::Remember { peer, offer, replaces } => self.note(peer, Note::Remember { peer, offer, replaces }),
            Output::Forget { peer, assets } => self.note(peer, Note::Forget { peer, assets }),
            Output::Answered { peer, asset, answer } => {
                tracing::debug!(peer = %peer.fmt_short(), asset = %asset.fmt_short(), ?answer, "offer answered");
                let (kind, reason) = match answer {
                    Answer::Stored => return shared.note_refusal(peer, asset, None),
                    Answer::Held(reason) => (Refused::Held, reason),
                    Answer::Declined(reason) => (Refused::Declined, reason),
                    Answer::Refused(reason) => (Refused::Invalid, reason),
                };
                shared.note_refusal(peer, asset, Some(Refusal { kind, reason, at_ms: now_ms() }));
            }
            Output::Early { peer, asset, ahead_ms } => tracing::warn!(
                peer = %peer.fmt_short(),
                asset = %asset.fmt_short(),
                ahead_secs = ahead_ms / 1000,
                "a change made here is stamped ahead of a peer's clock and waits there; check both clocks"
            ),
            Output::InSync { peer, in_sync } => {
                if in_sync && let Some(mut connected) = shared.connected.get_mut(&peer) {
                    connected.settled = true;
                }
                tracing::debug!(peer = %peer.fmt_short(), in_sync, "compared");
                shared.announce(Event::InSync { peer, in_sync });
            }
        }
    }

    /// Has something written down about a peer; one that causes more than can be written is let go.
    fn note(&mut self, peer: HostId, note: Note) {
        let bytes = note.bytes();
        let fits = self.shared.notes.take(bytes);
        let is_queued = fits && self.shared.memory.try_send(note).is_ok();
        if fits && !is_queued {
            self.shared.notes.give_back(bytes);
        }
        if !is_queued {
            self.close(peer, "it changes faster than this host can remember");
        }
    }

    fn close(&self, peer: HostId, reason: &str) {
        if let Some(connection) = self.connections.get(&peer) {
            tracing::warn!(peer = %peer.fmt_short(), reason, "connection closed by this host");
            connection.line.close(reason);
            // It notices by itself, too; this is for a line that hangs.
            let _ = self.shared.peers.try_send(PeerOrder::Ended(peer, connection.number, reason.to_owned()));
        }
    }
}
