//! The thread that brings the files up to what the index says.
//!
//! It makes flat files of small contents, gives large ones their final name, writes attributes and removes purged
//! files; everything of a batch is covered by one flush of the file system (where that cannot be trusted, by one of each
//! file and folder), and only when that returned without error does the index let go of it. A file that fails is left out,
//! so that it holds up no other; a batch of which nothing works, or whose flush fails, leaves all as it was. Both are tried
//! again after a pause.
//! When the files are done it brings the index of text up to date, as long as no write waits.
//! Woken by the store after each write; reads through the readers, writes through the writer.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Condvar;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use rusqlite::Connection;

use super::attribute;
use super::attribute::Set;
use super::layout;
use super::log;
use super::readers::index;
use super::row;
use super::row::Stored;
use super::row::signed;
use super::store::Inner;
use super::text;
use super::verify;
use crate::asset::ContentDigest;
use crate::limits;
use crate::store::Disk;
use crate::store::Presence;
use crate::store::ReadError;
use crate::store::WriteError;
use crate::task::Backoff;

/// The thread, and what it is told.
#[derive(Debug, Default)]
pub(super) struct WriteBack {
    state: Mutex<State>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    /// There may be something to do.
    woken: bool,
    /// About how many bytes of small contents wait.
    bytes: u64,
    stop: Option<Stop>,
    trouble: Option<String>,
    /// The file system has no attributes; said once.
    no_attributes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// After one more try at what waits.
    WhenDone,
    Now,
}

/// A batch that did not work.
#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error("cannot write or remove {path}: {source}")]
    File { path: std::path::PathBuf, source: io::Error },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl WriteBack {
    /// Starts the thread; it looks at once for what an earlier run has left to do.
    pub(super) fn start(inner: &Arc<Inner>) -> io::Result<()> {
        let this = Arc::clone(inner);
        let thread = std::thread::Builder::new().name("store-write-back".into()).spawn(move || run(&this))?;
        *inner.write_back.thread.lock() = Some(thread);
        inner.write_back.wake(0);
        Ok(())
    }

    /// Tells that there is something to do; `bytes` of small contents came.
    pub(super) fn wake(&self, bytes: u64) {
        let mut state = self.state();
        state.bytes += bytes;
        let urgent = state.bytes >= limits::WRITE_BACK_URGENT_BYTES;
        if !state.woken || urgent {
            state.woken = true;
            self.changed.notify_all();
        }
    }

    /// Tells why files cannot be written, if so.
    pub(super) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Does what waits and ends the thread. Blocks until then.
    pub(super) fn finish(&self) {
        self.stop(Stop::WhenDone);
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the write-back of the store ended in a panic");
        }
    }

    /// Ends the thread soon, without waiting for it.
    pub(super) fn abandon(&self) {
        self.stop(Stop::Now);
    }

    fn stop(&self, stop: Stop) {
        let mut state = self.state();
        state.stop.get_or_insert(stop);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits until there is something to do and no write has come for a moment; tells how to stop, if so.
    fn wait(&self, commits: impl Fn() -> u64) -> Option<Stop> {
        let mut state = self.state();
        while !state.woken && state.stop.is_none() {
            self.changed.wait(&mut state);
        }
        let mut seen = commits();
        for _ in 0..limits::WRITE_BACK_PATIENCE {
            if state.stop.is_some() || state.bytes >= limits::WRITE_BACK_URGENT_BYTES {
                break;
            }
            let waited = self.changed.wait_for(&mut state, limits::WRITE_BACK_QUIET);
            if waited.timed_out() && commits() == seen {
                break;
            }
            seen = commits();
        }
        state.woken = false;
        state.stop
    }

    /// Pauses after a failure, unless the store is closed.
    fn pause(&self, time: Duration) {
        let mut state = self.state();
        state.woken = true;
        if state.stop.is_none() {
            self.changed.wait_while_for(&mut state, |state| state.stop.is_none(), time);
        }
    }
}

fn run(inner: &Arc<Inner>) {
    let this = &inner.write_back;
    let (first, most) = limits::WRITE_BACK_PAUSE;
    let mut backoff = Backoff::new(first, most);
    loop {
        let stop = this.wait(|| inner.writer.commits());
        if stop == Some(Stop::Now) {
            return;
        }
        let drained = drain(inner);
        match index_texts(inner) {
            Ok(true) => {}
            // It waits for a quiet moment again.
            Ok(false) => this.state().woken = true,
            Err(error) => tracing::warn!(%error, "the index of text is behind, searches are slower"),
        }
        // While it is quiet the log goes into the index for nothing; later it would hold up a commit.
        if let Err(error) = log::copy(&inner.layout.index) {
            tracing::debug!(%error, "the log of the index was not copied");
        }
        match drained {
            Ok(()) => {
                this.state().trouble = None;
                backoff.reset();
            }
            Err(error) => {
                tracing::warn!(%error, "not all files are what the index says; what failed is tried again");
                this.state().trouble = Some(format!("{error}; it is tried again, and nothing is lost meanwhile"));
                if stop.is_none() {
                    this.pause(backoff.pause());
                }
            }
        }
        if stop.is_some() {
            return;
        }
    }
}

/// Does batches until nothing waits but what fails.
fn drain(inner: &Arc<Inner>) -> Result<(), BatchError> {
    let mut failed = Failed::default();
    loop {
        if inner.write_back.state().stop == Some(Stop::Now) {
            return Ok(());
        }
        let batch = inner.readers.run_here(|connection| read(connection, &mut failed))?;
        if batch.is_empty() {
            inner.write_back.state().bytes = 0;
            return failed.outcome();
        }
        if !do_batch(inner, batch, &mut failed)? {
            return failed.outcome();
        }
    }
}

/// What did not work, and is left out until the next time.
#[derive(Default)]
struct Failed {
    /// Names of files to be removed.
    names: HashSet<String>,
    /// Numbers of assets.
    numbers: HashSet<i64>,
    first: Option<BatchError>,
}

impl Failed {
    /// Notes a file that was not removed; tells whether it was.
    fn removed(&mut self, name: &str, removed: Result<(), BatchError>) -> bool {
        let Err(error) = removed else { return true };
        self.names.insert(name.to_owned());
        self.first.get_or_insert(error);
        false
    }

    /// Notes an asset of which something failed; returns what did not.
    fn done<T>(&mut self, number: i64, done: Result<T, BatchError>) -> Option<T> {
        match done {
            Ok(done) => Some(done),
            Err(error) => {
                self.numbers.insert(number);
                self.first.get_or_insert(error);
                None
            }
        }
    }

    fn outcome(self) -> Result<(), BatchError> {
        self.first.map_or(Ok(()), Err)
    }
}

/// Brings the index of text up to date, in small batches and only while no write waits; tells whether it is.
fn index_texts(inner: &Inner) -> Result<bool, BatchError> {
    loop {
        if inner.write_back.state().stop.is_some() {
            // The next start goes on with it.
            return Ok(true);
        }
        if layout::free_bytes(&inner.layout.root).is_ok_and(|free| free < limits::DISK_LOW_BYTES) {
            // Searches find the rows all the same; what room there is belongs to the assets, and to purging them.
            return Ok(true);
        }
        if !inner.readers.run_here(|connection| text::is_behind(connection).map_err(index))? {
            return Ok(true);
        }
        if !inner.writer.is_idle() {
            return Ok(false);
        }
        inner.writer.run_blocking(0, |index| index.index_texts(limits::TEXT_BATCH_ROWS))?;
    }
}

/// What one batch does.
#[derive(Default)]
struct Batch {
    doomed: Vec<String>,
    whole: Vec<(Stored, String)>,
    small: Vec<(Stored, Vec<u8>)>,
    stale: Vec<Stored>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.doomed.is_empty() && self.whole.is_empty() && self.small.is_empty() && self.stale.is_empty()
    }
}

/// Reads what waits and has not failed.
fn read(connection: &Connection, failed: &mut Failed) -> Result<Batch, ReadError> {
    let most = signed((limits::WRITE_BACK_ROWS + failed.names.len() + failed.numbers.len()) as u64);
    let mut batch = Batch::default();
    let mut stored = |number: i64| {
        if failed.numbers.contains(&number) {
            return None;
        }
        let stored = row::by_number(connection, number).map_err(index);
        let stored = stored.and_then(|stored| stored.ok_or_else(|| index(rusqlite::Error::QueryReturnedNoRows)));
        failed.done(number, stored.map_err(BatchError::from))
    };
    let mut statement = connection.prepare_cached("SELECT name FROM doomed LIMIT ?1").map_err(index)?;
    let mut rows = statement.query([most]).map_err(index)?;
    while let Some(row) = rows.next().map_err(index)? {
        batch.doomed.push(row.get(0).map_err(index)?);
    }
    let mut statement = connection.prepare_cached("SELECT number, name FROM whole LIMIT ?1").map_err(index)?;
    let mut rows = statement.query([most]).map_err(index)?;
    while let Some(row) = rows.next().map_err(index)? {
        if let Some(stored) = stored(row.get(0).map_err(index)?) {
            batch.whole.push((stored, row.get(1).map_err(index)?));
        }
    }
    let sql = "SELECT number, bytes FROM small ORDER BY number LIMIT ?1";
    let mut statement = connection.prepare_cached(sql).map_err(index)?;
    let mut rows = statement.query([most]).map_err(index)?;
    let mut bytes = 0;
    while bytes < limits::WRITE_BACK_BYTES
        && let Some(row) = rows.next().map_err(index)?
    {
        if let Some(stored) = stored(row.get(0).map_err(index)?) {
            let content: Vec<u8> = row.get(1).map_err(index)?;
            bytes += content.len();
            batch.small.push((stored, content));
        }
    }
    // Those that are no flat files yet get their attribute with the file.
    let sql = "SELECT stale.number FROM stale JOIN asset USING (number) WHERE place = 0 LIMIT ?1";
    let mut statement = connection.prepare_cached(sql).map_err(index)?;
    let mut rows = statement.query([most]).map_err(index)?;
    while let Some(row) = rows.next().map_err(index)? {
        batch.stale.extend(stored(row.get(0).map_err(index)?));
    }
    batch.doomed.retain(|name| !failed.names.contains(name));
    Ok(batch)
}

/// Does what works of a batch; tells whether that was anything.
fn do_batch(inner: &Arc<Inner>, batch: Batch, failed: &mut Failed) -> Result<bool, BatchError> {
    let (layout, disk) = (&inner.layout, &inner.disk);
    let Batch { mut doomed, whole, small, mut stale } = batch;
    doomed.retain(|name| {
        let path = layout.root.join(name);
        failed.removed(name, disk.remove(&path).map_err(at(&path)))
    });
    let mut moved = Vec::new();
    let mut damaged = Vec::new();
    let mut lost = Vec::new();
    for (stored, name) in whole {
        let (from, to) = (layout.spool.join(&name), layout.flat(&stored.key, &stored.extension));
        let done = give_name(disk, &from, &to, stored.key.size).and_then(|is_there| {
            if is_there {
                describe(inner, &to, &stored)?;
            }
            Ok(is_there)
        });
        match failed.done(stored.number, done.map_err(at(&to))) {
            Some(true) => moved.push((stored.number, Some(name))),
            Some(false) => lost.push(stored),
            None => {}
        }
    }
    for (stored, bytes) in small {
        if ContentDigest::of(&bytes) != stored.content {
            damaged.push(stored);
            continue;
        }
        let path = layout.flat(&stored.key, &stored.extension);
        let done = write_file(disk, &path, &bytes).and_then(|()| describe(inner, &path, &stored));
        moved.extend(failed.done(stored.number, done.map_err(at(&path))).map(|()| (stored.number, None)));
    }
    stale.retain(|stored| {
        let path = layout.flat(&stored.key, &stored.extension);
        failed.done(stored.number, describe(inner, &path, stored).map_err(at(&path))).is_some()
    });
    if doomed.is_empty() && moved.is_empty() && damaged.is_empty() && lost.is_empty() && stale.is_empty() {
        return Ok(false);
    }
    if inner.flushes_whole {
        disk.sync_filesystem(&inner.root).map_err(at(&layout.root))?;
    } else {
        for folder in [&layout.root, &layout.spool] {
            disk.sync_dir(folder).map_err(at(folder))?;
        }
    }
    let stale: Vec<_> = stale.iter().map(|stored| (stored.number, stored.arrival)).collect();
    inner.writer.run_blocking(0, move |index| {
        for (number, whole) in &moved {
            index.settle(*number, whole.as_deref())?;
        }
        for name in &doomed {
            index.run("DELETE FROM doomed WHERE name = ?1", [name])?;
        }
        let sql = "DELETE FROM stale WHERE number = ?1 AND \
                   ?2 = (SELECT arrival FROM asset WHERE asset.number = stale.number)";
        for (number, arrival) in &stale {
            index.run(sql, (number, signed(arrival.0)))?;
        }
        Ok(())
    })?;
    for stored in lost {
        tracing::warn!(asset = %stored.key.id, "the file of an asset is gone");
        let number = stored.number;
        let noted = inner.writer.run_blocking(0, move |index| match index.find(&stored.key.id)? {
            Some(now) if now.arrival == stored.arrival => index.lose(&now, Presence::Missing),
            _ => Ok(()),
        });
        failed.done(number, noted.map_err(BatchError::from));
    }
    for stored in damaged {
        let reason = "its bytes in the index do not match their digest".to_owned();
        failed.done(stored.number, verify::set_aside_blocking(inner, &stored, reason).map_err(BatchError::from));
    }
    Ok(true)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BatchError {
    let path = path.to_owned();
    move |source| BatchError::File { path, source }
}

/// Gives a large content its final name, unless an earlier try has; tells whether it is there. What cannot be looked at
/// is not gone.
fn give_name(disk: &Disk, from: &Path, to: &Path, size: u64) -> io::Result<bool> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match disk.rename(from, to) {
        Err(error) if missing(&error) => match to.metadata() {
            Err(error) if missing(&error) => Ok(false),
            found => Ok(found?.len() == size),
        },
        renamed => renamed.map(|()| true),
    }
}

/// Writes a flat file anew; what an earlier try has left there is not trusted.
fn write_file(disk: &Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = match disk.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(path)?;
            disk.create(path)?
        }
        other => other?,
    };
    let written = disk.write(&file, bytes);
    if written.is_err() {
        // A part of it would look like a content if the index were lost.
        let _ = disk.remove(path);
    }
    written
}

/// Writes the document into the attribute of a file that is done, as far as that works (the index has it in any case),
/// and syncs the file where nothing else does.
fn describe(inner: &Inner, path: &Path, stored: &Stored) -> io::Result<()> {
    if !inner.write_back.state().no_attributes {
        set_attribute(inner, path, stored);
    }
    if inner.flushes_whole {
        return Ok(());
    }
    match File::open(path) {
        // Whoever reads it next notices.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => inner.disk.sync(&file?),
    }
}

fn set_attribute(inner: &Inner, path: &Path, stored: &Stored) {
    let document = match stored.document() {
        Ok(document) => document,
        Err(error) => {
            tracing::warn!(asset = %stored.key.id, %error, "a document cannot be read");
            return;
        }
    };
    match attribute::set(path, stored.origin, &document) {
        Set::Done => {}
        Set::Unsupported => {
            inner.write_back.state().no_attributes = true;
            tracing::warn!(
                root = %inner.layout.root.display(),
                "this file system has no attributes; a rebuild of the index could not recover metadata"
            );
        }
        Set::Failed => tracing::debug!(asset = %stored.key.id, "the attribute of a file was not written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_gone_counts_as_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let given = |from: &Path, to: &Path| give_name(&Disk::default(), from, to, 4);
        assert!(!given(&from, &to).unwrap(), "neither is there");
        std::fs::write(&from, "four").unwrap();
        assert!(given(&from, &to).unwrap());
        assert!(given(&from, &to).unwrap(), "an earlier try has done it");
        std::fs::write(&to, "five5").unwrap();
        assert!(!given(&from, &to).unwrap(), "what has its name is another");
        // A file where a folder should be: nobody can tell what is behind it.
        assert!(given(&to.join("from"), &to.join("to")).is_err());
    }
}
