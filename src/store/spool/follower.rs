//! Threads that go behind a file while it is written: one hashes it, one brings it to stable storage.
//!
//! The file itself is what lies between them, so whoever writes waits for neither, however far they fall behind.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Condvar;
use parking_lot::Mutex;
use parking_lot::MutexGuard;

use crate::asset::Verifier;
use crate::limits;
use crate::store::Disk;

/// A thread that goes behind a file and ends with a `T`. Dropped, it ends soon and without one.
#[derive(Debug)]
pub(super) struct Follower<T> {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<io::Result<T>>>,
}

/// How far the file has come.
#[derive(Debug, Default)]
struct Progress {
    reached: Mutex<Reached>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Reached {
    length: u64,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The file is whole.
    Whole,
    /// Nobody waits for the follower any more.
    Abandoned,
}

impl Progress {
    fn reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock()
    }

    /// Waits until the file is `least` bytes longer than `done`, or has ended, and returns how long it is; `None` when
    /// there is nothing more to come.
    fn beyond(&self, done: u64, least: u64) -> Option<u64> {
        let waits = |reached: &mut Reached| reached.end.is_none() && reached.length < done + least;
        let mut reached = self.reached();
        self.changed.wait_while(&mut reached, waits);
        (reached.end != Some(End::Abandoned) && reached.length > done).then_some(reached.length)
    }
}

impl<T: Send + 'static> Follower<T> {
    fn start(name: &str, follow: impl FnOnce(&Progress) -> io::Result<T> + Send + 'static) -> io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let seen = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || follow(&seen))?;
        Ok(Self { progress, thread: Some(thread) })
    }

    /// Tells how long the file is now.
    pub(super) fn grown(&self, length: u64) {
        self.progress.reached().length = length;
        self.progress.changed.notify_one();
    }

    /// Waits until the thread has followed to the end of the file.
    pub(super) fn finish(mut self) -> io::Result<T> {
        self.end(End::Whole);
        let thread = self.thread.take().expect("only this takes it");
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that follows the file panicked")))
    }

    fn end(&self, end: End) {
        self.progress.reached().end.get_or_insert(end);
        self.progress.changed.notify_one();
    }
}

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        self.progress.reached().end.get_or_insert(End::Abandoned);
        self.progress.changed.notify_one();
    }
}

/// Hashes a file that grows, from its beginning.
pub(super) fn hash(file: &File, mut verifier: Verifier) -> io::Result<Follower<Verifier>> {
    let file = file.try_clone()?;
    Follower::start("spool-hash", move |progress| {
        let mut piece = vec![0; limits::CONTENT_CHUNK_BYTES];
        while let Some(length) = progress.beyond(verifier.size(), limits::HASHED_BYTES_LEAST) {
            let rest = usize::try_from(length - verifier.size()).unwrap_or(usize::MAX);
            let piece = &mut piece[..rest.min(limits::CONTENT_CHUNK_BYTES)];
            file.read_exact_at(piece, verifier.size())?;
            verifier.update(piece);
        }
        Ok(verifier)
    })
}

/// Brings a file that grows to stable storage a stretch at a time, so that little is left to do at its end. A file that
/// could not be flushed is removed: the system tells of that once, and whoever goes on with it would never hear.
pub(super) fn flush(file: &File, path: PathBuf, disk: Disk) -> io::Result<Follower<()>> {
    let file = file.try_clone()?;
    Follower::start("spool-flush", move |progress| {
        let mut done = 0;
        while let Some(length) = progress.beyond(done, limits::SPOOL_FLUSHED_BYTES) {
            if length - done < limits::SPOOL_FLUSHED_BYTES {
                // The store flushes the whole file, this last part with it.
                break;
            }
            disk.sync(&file).inspect_err(|_| drop(std::fs::remove_file(&path)))?;
            done = length;
        }
        Ok(())
    })
}
