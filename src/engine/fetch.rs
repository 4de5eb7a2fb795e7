//! Fetching content from one peer: a bulk connection that this host dials, with a lane for small contents and one for
//! large ones.
//!
//! The hub queues jobs; a lane sends their wants ahead and takes the replies in order. Content is hashed and written
//! on a blocking thread while more of it comes. Where no bulk connection can be made, lanes run on the control
//! connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::greet::SILENT;
use super::hub::Told;
use super::shared::Shared;
use super::shared::Traffic;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::HostId;
use crate::library::Ticket;
use crate::limits;
use crate::net::FrameError;
use crate::net::Head;
use crate::net::Line;
use crate::net::Piece;
use crate::net::Purpose;
use crate::net::WantReader;
use crate::net::WantWriter;
use crate::store::Spool;
use crate::store::SpoolError;
use crate::store::Spooled;
use crate::sync::Fetched;
use crate::task::Group;
use crate::task::Patience;
use crate::telemetry::causes;

/// Contents to fetch; those that are wanted together come together.
pub(super) type Jobs = Vec<AssetKey>;

/// What became of a content that was to be fetched: it is here, or why it is not.
pub(super) type Ended = (AssetId, Result<Come, Fetched>);

/// A content that has come, on its way to the hub. Where it does not get there, since the connection has ended, it is
/// left to the next try, which goes on at its end.
#[derive(Debug)]
pub(super) struct Come(Option<Spooled>);

impl Come {
    const fn new(spooled: Spooled) -> Self {
        Self(Some(spooled))
    }

    /// Takes over the content; unless it is stored, it is removed then.
    pub(super) fn take(mut self) -> Spooled {
        self.0.take().expect("only this takes it")
    }
}

impl Drop for Come {
    fn drop(&mut self) {
        if let Some(spooled) = self.0.take() {
            spooled.leave();
        }
    }
}

/// A large transfer under way, for people.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) peer: HostId,
    pub(super) key: AssetKey,
    pub(super) done: AtomicU64,
}

/// A connected peer from which contents are fetched.
pub(super) struct Remote {
    pub(super) shared: Arc<Shared>,
    pub(super) group: Group,
    pub(super) address: Ticket,
    /// Its control connection, which number that has, and what ends with it.
    pub(super) control: Line,
    pub(super) number: u64,
    pub(super) ends: CancellationToken,
}

/// Serves the jobs of a peer until its control connection ends.
pub(super) async fn run(from: Remote, mut jobs: mpsc::Receiver<Jobs>) {
    let mut lanes: Option<Lanes> = None;
    let serving = async {
        while let Some(keys) = jobs.recv().await {
            if lanes.as_ref().is_none_or(Lanes::ended) {
                lanes = open(&from).await;
            }
            let left = match &lanes {
                Some(lanes) => lanes.send(keys).await,
                None => keys,
            };
            if !left.is_empty() {
                lanes = None;
                let told = left.into_iter().map(|key| (key.id, Err(Fetched::Stalled))).collect();
                from.shared.tell(Told::Fetched(from.address.host, from.number, told)).await;
            }
        }
    };
    from.ends.run_until_cancelled(serving).await;
}

/// The open lanes of a peer.
struct Lanes {
    small: mpsc::Sender<Jobs>,
    large: mpsc::Sender<Jobs>,
}

impl Lanes {
    fn ended(&self) -> bool {
        self.small.is_closed() || self.large.is_closed()
    }

    /// Hands contents to their lanes; returns those whose lane has ended.
    async fn send(&self, keys: Jobs) -> Jobs {
        let mut left = Jobs::new();
        let (small, large): (Jobs, Jobs) = keys.into_iter().partition(|key| key.size < limits::LARGE_LANE_BYTES);
        for (lane, keys) in [(&self.small, small), (&self.large, large)] {
            if !keys.is_empty()
                && let Err(mpsc::error::SendError(keys)) = lane.send(keys).await
            {
                left.extend(keys);
            }
        }
        left
    }
}

async fn open(from: &Remote) -> Option<Lanes> {
    let Remote { shared, group, address, control, number, ends } = from;
    let opened = match shared.net.dial(address, Purpose::Bulk).await {
        Ok(link) => {
            let (line, writer, reader) = link.into_lane();
            let large = line.open_lane().await;
            if large.is_err() {
                line.close("no lane could be opened");
            }
            large.map(|large| (line, (writer, reader), large))
        }
        Err(error) => {
            tracing::info!(peer = %address.host.fmt_short(), error = %causes(&error), "no bulk connection, using the control connection");
            let both = async { Ok((control.clone(), control.open_lane().await?, control.open_lane().await?)) };
            both.await
        }
    };
    let (line, small, large) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::info!(peer = %address.host.fmt_short(), error = %causes(&error), "no lane could be opened");
            return None;
        }
    };
    let (watched, token) = (line.clone(), ends.clone());
    group.spawn("watch", async move {
        if token.run_until_cancelled(watched.falls_silent()).await.is_some() {
            watched.close(SILENT);
        }
    });
    let start = |(writer, reader): (WantWriter, WantReader)| {
        let (jobs, queue) = mpsc::channel(limits::WANTS_OPEN);
        let traffic = shared.traffic(address.host);
        let lane =
            Lane { shared: Arc::clone(shared), traffic, peer: address.host, number: *number, line: line.clone() };
        let (ends, line) = (ends.clone(), line.clone());
        group.spawn("lane", async move {
            ends.run_until_cancelled(lane.run(writer, reader, queue)).await;
            line.close("the lane has ended");
        });
        jobs
    };
    Some(Lanes { small: start(small), large: start(large) })
}

/// A large transfer that people see as long as it is under way.
struct Shown<'a>(Arc<Transfer>, &'a Shared);

impl<'a> Shown<'a> {
    fn new(shared: &'a Shared, transfer: Transfer) -> Self {
        let transfer = Arc::new(transfer);
        shared.transfers.insert(transfer.key.id, Arc::clone(&transfer));
        Self(transfer, shared)
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.1.transfers.remove_if(&self.0.key.id, |_, shown| Arc::ptr_eq(shown, &self.0));
    }
}

struct Lane {
    shared: Arc<Shared>,
    traffic: Arc<Traffic>,
    peer: HostId,
    number: u64,
    line: Line,
}

/// A want whose reply has not come.
struct Pending {
    key: AssetKey,
    spool: Spool,
    /// Among the open files.
    place: Option<OwnedSemaphorePermit>,
}

/// What a lane is to ask for.
struct Asked {
    jobs: mpsc::Receiver<Jobs>,
    /// Taken from the jobs and not asked for yet.
    next: VecDeque<AssetKey>,
}

impl Asked {
    /// Returns the next content to ask for, which stays the next until it is taken away.
    async fn next(&mut self) -> Option<AssetKey> {
        while self.next.is_empty() {
            self.next.extend(self.jobs.recv().await?);
        }
        self.next.front().copied()
    }

    fn is_empty(&self) -> bool {
        self.next.is_empty() && self.jobs.is_empty()
    }
}

impl Lane {
    async fn run(self, writer: WantWriter, mut reader: WantReader, jobs: mpsc::Receiver<Jobs>) {
        let (pending, mut replies) = mpsc::channel(limits::WANTS_OPEN);
        let mut asked = Asked { jobs, next: VecDeque::new() };
        let asking = async {
            self.ask(writer, &mut asked, pending).await;
            std::future::pending::<Infallible>().await
        };
        // Answering ends when all jobs are answered, or the connection broke.
        tokio::select! {
            never = asking => match never {},
            () = self.answer(&mut reader, &mut replies) => {}
        }
        replies.close();
        asked.jobs.close();
        let mut left = Jobs::from(asked.next);
        while let Some(Pending { key, .. }) = replies.recv().await {
            left.push(key);
        }
        while let Some(keys) = asked.jobs.recv().await {
            left.extend(keys);
        }
        self.tell(left.into_iter().map(|key| (key.id, Err(Fetched::Stalled))).collect()).await;
    }

    /// Tells what became of contents, if there are any.
    async fn tell(&self, ended: Vec<Ended>) {
        if !ended.is_empty() {
            self.shared.tell(Told::Fetched(self.peer, self.number, ended)).await;
        }
    }

    /// Sends the wants of jobs until there are no more, or the connection breaks.
    async fn ask(&self, mut writer: WantWriter, asked: &mut Asked, pending: mpsc::Sender<Pending>) {
        let places = Arc::new(Semaphore::new(limits::PARTS_OPEN));
        loop {
            // The reply to a want that was not sent is not waited for.
            if asked.is_empty() && writer.flush().await.is_err() {
                return;
            }
            let Some(key) = asked.next().await else { return };
            if !self.shared.may_travel(self.peer, &self.line, key.size) {
                // It is tried again later, from whoever has it.
                asked.next.pop_front();
                self.tell(vec![(key.id, Err(Fetched::Stalled))]).await;
                continue;
            }
            let mut place = None;
            if key.size > limits::SMALL_CONTENT_BYTES {
                if places.available_permits() == 0 && writer.flush().await.is_err() {
                    return;
                }
                place = Arc::clone(&places).acquire_owned().await.ok();
            }
            let spool = match self.shared.store.resume(&key).await {
                Ok(spool) => spool,
                Err(error) => {
                    let outcome = if matches!(error, SpoolError::Busy(_)) {
                        tracing::debug!(asset = %key.id.fmt_short(), "an earlier fetch of a content is about to end");
                        Fetched::Stalled
                    } else {
                        tracing::error!(asset = %key.id.fmt_short(), error = %causes(&error), "no place for a content");
                        Fetched::Local
                    };
                    asked.next.pop_front();
                    self.tell(vec![(key.id, Err(outcome))]).await;
                    continue;
                }
            };
            let offset = spool.offset();
            if pending.capacity() == 0 && writer.flush().await.is_err() {
                return;
            }
            let Ok(slot) = pending.reserve().await else { return };
            slot.send(Pending { key, spool, place });
            asked.next.pop_front();
            if writer.want(&key.id, offset).await.is_err() {
                return;
            }
        }
    }

    /// Takes in the replies to wants in their order, until all are there or the connection breaks.
    async fn answer(&self, reader: &mut WantReader, replies: &mut mpsc::Receiver<Pending>) {
        let mut news = Vec::new();
        loop {
            // What has ended is told together, and before anything is waited for.
            let waits = replies.is_empty() || !reader.is_buffered();
            if waits || news.len() >= limits::FETCHED_TOGETHER {
                self.tell(std::mem::take(&mut news)).await;
            }
            let Some(Pending { key, spool, place: _place }) = replies.recv().await else { return };
            // What is not small may take its time, and does not have others wait; nor does it wait for them.
            let is_small = key.size <= limits::SMALL_CONTENT_BYTES;
            if !is_small {
                self.tell(std::mem::take(&mut news)).await;
            }
            let received = self.receive(reader, key, spool).await;
            let broken = received.is_err();
            news.push((key.id, received.unwrap_or(Err(Fetched::Stalled))));
            if broken || !is_small {
                self.tell(std::mem::take(&mut news)).await;
            }
            if broken {
                return;
            }
        }
    }

    /// Takes in one content. An error means that the lane cannot go on.
    async fn receive(
        &self,
        reader: &mut WantReader,
        key: AssetKey,
        spool: Spool,
    ) -> Result<Result<Come, Fetched>, FrameError> {
        match in_time(reader.head()).await? {
            Head::NotHere(id) if id == key.id => return Ok(Err(Fetched::NotHere)),
            Head::Content(id, offset) if id == key.id && offset == spool.offset() => {}
            Head::Content(..) | Head::NotHere(_) => return Err(FrameError::Ended),
        }
        let from_its_beginning = spool.offset() == 0;
        let outcome = if key.size <= limits::SMALL_CONTENT_BYTES {
            self.receive_small(reader, key, spool).await?
        } else {
            self.receive_large(reader, key, spool).await?
        };
        Ok(outcome.map_err(|error| match error {
            None => Fetched::NotHere,
            Some(error) => {
                tracing::warn!(peer = %self.peer.fmt_short(), asset = %key.id.fmt_short(), error = %causes(&error), "content not taken");
                match error {
                    SpoolError::Mismatch(_) if !from_its_beginning => Fetched::Mixed,
                    SpoolError::Mismatch(_) | SpoolError::TooLong { .. } | SpoolError::TooShort { .. } => {
                        Fetched::Wrong
                    }
                    SpoolError::File { .. } | SpoolError::Busy(_) => Fetched::Local,
                }
            }
        }))
    }

    /// Takes in a piece of a content of this size, or what has come of it when it is late: on a slow path, that is what
    /// the next try goes on behind. The path may have changed since it was asked for.
    async fn piece(&self, reader: &mut WantReader, patience: &mut Patience, size: u64) -> Result<Piece, FrameError> {
        let piece = match patience.wait(reader.piece()).await {
            Some(piece) => piece?,
            None => Piece::Bytes(reader.part().ok_or(FrameError::Ended)?),
        };
        if let Piece::Bytes(bytes) = &piece {
            patience.earn(bytes.len());
            if !self.shared.may_travel(self.peer, &self.line, size) {
                return Err(FrameError::Ended);
            }
            self.traffic.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.traffic.receiving.take(bytes.len()).await;
        }
        Ok(piece)
    }

    /// Takes in a content that stays in memory; hashing it takes less than handing it to a thread.
    async fn receive_small(&self, reader: &mut WantReader, key: AssetKey, mut spool: Spool) -> Received {
        let (mut failed, mut patience) = (None, Patience::new(limits::STALL, limits::LEAST_RATE));
        loop {
            match self.piece(reader, &mut patience, key.size).await? {
                Piece::Bytes(bytes) if failed.is_none() => failed = spool.write(&bytes).err(),
                // More than a piece too much is no mistake.
                Piece::Bytes(_) => return Err(FrameError::Ended),
                Piece::BrokenOff => return Ok(Err(None)),
                Piece::End => {
                    let spooled = failed.map_or_else(|| spool.finish(&key.id), Err);
                    return Ok(spooled.map(Come::new).map_err(Some));
                }
            }
        }
    }

    /// Takes in a content piece by piece, while a blocking thread hashes and writes.
    async fn receive_large(&self, reader: &mut WantReader, key: AssetKey, spool: Spool) -> Received {
        let transfer =
            Shown::new(&self.shared, Transfer { peer: self.peer, key, done: AtomicU64::new(spool.offset()) });
        let (pieces, mut queue) = mpsc::channel::<Bytes>(limits::CONTENT_CHUNKS_QUEUED);
        let (whole, is_whole) = tokio::sync::oneshot::channel::<bool>();
        let writing = tokio::task::spawn_blocking(move || {
            let mut spool = spool;
            while let Some(piece) = queue.blocking_recv() {
                if let Err(error) = spool.write(&piece) {
                    return Err(Some(error));
                }
            }
            match is_whole.blocking_recv() {
                Ok(true) => spool.finish(&key.id).map(Come::new).map_err(Some),
                // What was broken off by the peer itself may be damaged already.
                Ok(false) => {
                    spool.discard();
                    Err(None)
                }
                // The connection broke: what is there is kept for the next try.
                Err(_) => Err(None),
            }
        });
        let (mut listening, mut patience) = (true, Patience::new(limits::STALL, limits::LEAST_RATE));
        let ended = loop {
            match self.piece(reader, &mut patience, key.size).await {
                Ok(Piece::Bytes(bytes)) => {
                    let done = transfer.0.done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    if done > key.size {
                        break Err(FrameError::Ended);
                    }
                    // After a failed write the rest is read and dropped, so that the lane can go on.
                    listening = listening && pieces.send(bytes).await.is_ok();
                }
                Ok(Piece::End) => break Ok(true),
                Ok(Piece::BrokenOff) => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        drop(pieces);
        let broke = match ended {
            Ok(ended) => {
                let _ = whole.send(ended);
                None
            }
            Err(error) => {
                drop(whole);
                Some(error)
            }
        };
        // Only when nobody writes to the spool any more may another source go on with it.
        let written = writing.await.unwrap_or(Err(None));
        broke.map_or(Ok(written), Err)
    }
}

/// The content, or why it was not taken: `None` when the peer could not go on. The outer error ends the lane.
type Received = Result<Result<Come, Option<SpoolError>>, FrameError>;

/// Waits for something of the peer, but not for ever.
async fn in_time<T>(reading: impl Future<Output = Result<T, FrameError>>) -> Result<T, FrameError> {
    tokio::time::timeout(limits::STALL, reading).await.unwrap_or(Err(FrameError::Ended))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Timestamp;
    use crate::asset::Verifier;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn a_content_of_which_the_hub_does_not_hear_is_left_to_the_next_try() {
        let (store, content) = (MemoryStore::new().unwrap(), vec![3; 100_000]);
        let timestamp = Timestamp::new(1_700_000_000_000).unwrap();
        let mut verifier = Verifier::new(timestamp);
        verifier.update(&content);
        let key = AssetKey { id: verifier.id(), timestamp, size: content.len() as u64 };
        let mut spool = store.resume(&key).await.unwrap();
        spool.write(&content).unwrap();
        drop(Come::new(spool.finish(&key.id).unwrap()));
        let spool = store.resume(&key).await.unwrap();
        assert_eq!(spool.offset(), key.size);
        // What it has heard of is stored or removed.
        drop(Come::new(spool.finish(&key.id).unwrap()).take());
        assert_eq!(store.resume(&key).await.unwrap().offset(), 0);
    }
}
