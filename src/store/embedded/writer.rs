//! The one thread that writes the index.
//!
//! Who talks to whom: the store and its write-back send jobs through a bounded channel; the thread takes all that wait,
//! up to a limit, does them in one transaction, commits, and only then answers each of them. A job is refused before it
//! changes anything, and then alone. When one breaks off in the middle, or the commit fails, every job of it fails, and
//! the connection is closed and opened again before the next.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

use super::index::Index;
use super::index::Sums;
use super::layout;
use super::log::Log;
use super::schema;
use crate::limits;
use crate::store::Arrival;
use crate::store::Cause;
use crate::store::WriteError;

/// A write on its way, with its answer.
trait Job: Send {
    fn bytes(&self) -> usize;
    /// Does the write; tells whether it may stay.
    fn apply(&mut self, index: &mut Index<'_>) -> bool;
    /// Sends the answer: the job's own, or the failure of the commit.
    fn answer(self: Box<Self>, failure: Option<&Arc<rusqlite::Error>>);
}

struct Write<T, F> {
    bytes: usize,
    run: Option<F>,
    result: Option<Result<T, WriteError>>,
    reply: oneshot::Sender<Result<T, WriteError>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnOnce(&mut Index<'_>) -> Result<T, WriteError> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn apply(&mut self, index: &mut Index<'_>) -> bool {
        let Some(run) = self.run.take() else { return false };
        // An edit is a closure of someone else; its panic must not end the thread that all writes need.
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| run(index)));
        let result = result.unwrap_or_else(|_| Err(WriteError::Index("the change ended in a panic".into())));
        let stays = result.is_ok();
        self.result = Some(result);
        stays
    }

    fn answer(self: Box<Self>, failure: Option<&Arc<rusqlite::Error>>) {
        let result = match (failure, self.result) {
            // What a job was refused for says more than that its neighbours failed.
            (_, Some(Err(refused))) => Err(refused),
            (Some(failure), _) => Err(WriteError::Index(Box::new(Shared(Arc::clone(failure))))),
            (None, Some(result)) => result,
            (None, None) => Err(WriteError::Closed),
        };
        // A caller that no longer waits has been cancelled; the write has happened all the same.
        let _ = self.reply.send(result);
    }
}

/// One failure, told to many.
#[derive(Debug)]
struct Shared(Arc<rusqlite::Error>);

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the commit failed")
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    sender: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    latest: watch::Sender<Arrival>,
    commits: Arc<AtomicU64>,
    is_low: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread on a connection whose tables are there.
    pub(super) fn start(path: PathBuf, mut connection: Connection) -> Result<Self, Cause> {
        let sums = Sums::load(&connection)?;
        let log = Log::start(path.clone())?;
        log.follow(&mut connection)?;
        let latest = watch::Sender::new(Arrival(sums.arrival));
        let (sender, jobs) = mpsc::channel(limits::WRITES_QUEUED);
        let commits = Arc::new(AtomicU64::new(0));
        // As long as nobody has looked.
        let is_low = Arc::new(AtomicBool::new(true));
        let desk = Desk {
            path,
            connection: Some(connection),
            sums,
            labels: std::collections::HashMap::new(),
            latest: latest.clone(),
            commits: Arc::clone(&commits),
            log,
            is_low: Arc::clone(&is_low),
            is_short: false,
        };
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || desk.run(jobs))?;
        Ok(Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), latest, commits, is_low })
    }

    pub(super) fn latest(&self) -> watch::Receiver<Arrival> {
        self.latest.subscribe()
    }

    /// Counts the commits so far, by which the write-back sees that the store is busy.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Tells whether the disk was nearly full when a commit looked at it last.
    pub(super) fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    /// Tells whether the thread has ended, which it does when it is stopped, and by a panic.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.lock().as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Tells whether no write waits, so that one that is not urgent holds up nobody.
    pub(super) fn is_idle(&self) -> bool {
        self.sender().is_ok_and(|sender| sender.capacity() == sender.max_capacity())
    }

    /// Has a write done; `bytes` is about how much it puts into the index.
    pub(super) async fn run<T, F>(&self, bytes: usize, write: F) -> Result<T, WriteError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Index<'_>) -> Result<T, WriteError> + Send + 'static,
    {
        let (job, answer) = job(bytes, write);
        self.sender()?.send(job).await.map_err(|_| WriteError::Closed)?;
        answer.await.map_err(|_| WriteError::Closed)?
    }

    /// Has a write done, from a thread of the store's own.
    pub(super) fn run_blocking<T, F>(&self, bytes: usize, write: F) -> Result<T, WriteError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Index<'_>) -> Result<T, WriteError> + Send + 'static,
    {
        let (job, answer) = job(bytes, write);
        self.sender()?.blocking_send(job).map_err(|_| WriteError::Closed)?;
        answer.blocking_recv().map_err(|_| WriteError::Closed)?
    }

    /// Takes no more jobs. The thread ends when those that wait are done.
    pub(super) fn stop(&self) -> Option<JoinHandle<()>> {
        self.sender.lock().take();
        self.thread.lock().take()
    }

    fn sender(&self) -> Result<mpsc::Sender<Box<dyn Job>>, WriteError> {
        self.sender.lock().clone().ok_or(WriteError::Closed)
    }
}

fn job<T, F>(bytes: usize, write: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, WriteError>>)
where
    T: Send + 'static,
    F: FnOnce(&mut Index<'_>) -> Result<T, WriteError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Write { bytes, run: Some(write), result: None, reply }), answer)
}

/// What the thread has before it.
struct Desk {
    path: PathBuf,
    /// None after a commit that failed.
    connection: Option<Connection>,
    sums: Sums,
    labels: super::index::LabelNumbers,
    latest: watch::Sender<Arrival>,
    commits: Arc<AtomicU64>,
    log: Log,
    /// The disk is nearly full.
    is_low: Arc<AtomicBool>,
    /// The log is kept short, since it is.
    is_short: bool,
}

impl Desk {
    fn run(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut bytes = first.bytes();
            let mut batch = vec![first];
            while batch.len() < limits::WRITES_PER_COMMIT && bytes < limits::COMMIT_BYTES {
                let Ok(next) = jobs.try_recv() else { break };
                bytes += next.bytes();
                batch.push(next);
            }
            let failure = self.commit(&mut batch).err().map(Arc::new);
            self.commits.fetch_add(1, Ordering::Relaxed);
            for job in batch {
                job.answer(failure.as_ref());
            }
        }
        drop(self.connection);
        self.log.finish();
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        if self.connection.is_none() {
            self.connection = Some(self.reopen()?);
        }
        let connection = self.connection.as_ref().expect("it was opened above");
        let is_low = layout::free_bytes(&self.path).map_or(true, |free| free < limits::DISK_LOW_BYTES);
        self.is_low.store(is_low, Ordering::Relaxed);
        if is_low != self.is_short {
            self.is_short = is_low;
            self.log.keep_short(is_low);
        }
        let mut index = Index::new(connection, self.sums, &mut self.labels);
        match index.write_all(batch.iter_mut().map(|job| |index: &mut Index<'_>| job.apply(index))) {
            Ok(()) => {
                self.sums = index.committed();
                self.latest.send_if_modified(|latest| {
                    let newer = self.sums.arrival > latest.0;
                    latest.0 = latest.0.max(self.sums.arrival);
                    newer
                });
                Ok(())
            }
            Err(failure) => {
                tracing::warn!(error = %failure, "a commit of the store's index failed");
                let files = index.abandon();
                self.labels.clear();
                // After a failed flush nobody knows what is on the disk; this connection must not go on.
                self.connection = None;
                match self.reopen() {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        drop(files);
                    }
                    // The log may still hold the commit; what it would need after a restart stays where it is.
                    Err(_) => files.into_iter().for_each(super::whole::Whole::keep),
                }
                Err(failure)
            }
        }
    }

    /// Opens the index again and commits a little, which overwrites in the log what a failed commit may have left.
    fn reopen(&mut self) -> rusqlite::Result<Connection> {
        let mut connection = schema::connect(&self.path)?;
        self.log.follow(&mut connection)?;
        // On a full disk this makes room in the log.
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        let last = self.sums.arrival + limits::WRITES_PER_COMMIT as u64;
        let settle = "INSERT INTO counter VALUES ('arrival', ?1) \
                      ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)";
        connection.execute(settle, [super::row::signed(last)])?;
        self.sums = Sums::load(&connection)?;
        Ok(connection)
    }
}
