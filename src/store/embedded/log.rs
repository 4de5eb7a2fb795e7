//! The write-ahead log of the index: it is copied into the index beside the commits, so that none of them has to wait
//! for it.
//!
//! Who talks to whom: each commit of the writer tells how long the log is; from a length on the thread is told to copy
//! what is there. Only when it cannot keep up, or the disk is nearly full, a commit does it itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::schema;
use crate::limits;

/// Keeps the log short.
#[derive(Debug)]
pub(super) struct Log {
    long: SyncSender<()>,
    /// Pages from which a commit copies the log itself.
    most: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Log {
    /// Starts the thread.
    pub(super) fn start(index: PathBuf) -> io::Result<Self> {
        let (long, told) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("store-log".into()).spawn(move || {
            while let Ok(()) = told.recv() {
                if let Err(error) = copy(&index) {
                    tracing::debug!(%error, "the log of the index was not copied");
                }
            }
        })?;
        Ok(Self { long, most: Arc::new(AtomicU32::new(limits::WAL_PAGES_MOST)), thread })
    }

    /// Follows how long the log is after each commit of a connection.
    pub(super) fn follow(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let (long, most) = (self.long.clone(), Arc::clone(&self.most));
        let mut next = limits::WAL_PAGES;
        connection.wal_hook(Some(move |wal: &mut Wal, pages: i32| {
            let pages = pages.unsigned_abs();
            if pages >= most.load(Ordering::Relaxed) {
                // The commit has happened. A log that cannot be copied now is copied after the next one.
                if let Err(error) = wal.checkpoint() {
                    tracing::debug!(%error, "the log of the index was not copied");
                }
            } else if pages >= next {
                next += limits::WAL_PAGES;
                // When it is copied already, what is new waits for the next time.
                let _ = long.try_send(());
            } else if pages + limits::WAL_PAGES < next {
                // It was copied whole, and begins anew.
                next = limits::WAL_PAGES;
            }
            Ok(())
        }))
    }

    /// Has every commit keep the log as short as it can, so that it does not take up what is left of a disk.
    pub(super) fn keep_short(&self, short: bool) {
        let most = if short { limits::WAL_PAGES_LOW } else { limits::WAL_PAGES_MOST };
        self.most.store(most, Ordering::Relaxed);
    }

    /// Ends the thread, after what it does now. The connections that are followed must be closed.
    pub(super) fn finish(self) {
        drop(self.long);
        if self.thread.join().is_err() {
            tracing::error!("the thread that copies the log of the index ended in a panic");
        }
    }
}

/// Copies the log into the index, as far as no reader needs what is there. Blocks, and holds up neither readers nor the
/// writer.
pub(super) fn copy(index: &std::path::Path) -> rusqlite::Result<()> {
    // The connections of the readers may not write.
    schema::connect(index)?.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::Instant;

    use super::*;

    /// Commits so many MiB, and returns how long the index was before and is then; the log is apart.
    fn commit(connection: &Connection, index: &std::path::Path, mib: u64) -> (u64, u64) {
        let length = || index.metadata().unwrap().len();
        let before = length();
        connection.execute_batch("BEGIN").unwrap();
        for _ in 0..mib {
            connection.execute("INSERT INTO small (bytes) VALUES (zeroblob(1048576))", []).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
        (before, length())
    }

    #[test]
    fn a_long_log_is_copied_beside_the_commits_and_on_a_full_disk_by_each() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("index");
        let mut connection = schema::make(&index).unwrap();
        schema::prepare(&mut connection, 0).unwrap().unwrap();
        let log = Log::start(index.clone()).unwrap();
        log.follow(&mut connection).unwrap();
        let pages = u64::from(limits::WAL_PAGES) * 4096 / (1024 * 1024);
        let (before, after) = commit(&connection, &index, pages / 2);
        assert_eq!(before, after, "a short log stays");
        commit(&connection, &index, pages / 2 + 1);
        let began = Instant::now();
        while index.metadata().unwrap().len() < before + pages * 1024 * 1024 {
            assert!(began.elapsed() < Duration::from_secs(60), "it was not copied");
            std::thread::sleep(Duration::from_millis(5));
        }
        log.keep_short(true);
        // The thread may still be at its last page, and only one copies at a time.
        while let (before, after) = commit(&connection, &index, 1)
            && after < before + 1024 * 1024
        {
            assert!(began.elapsed() < Duration::from_secs(60), "no commit has copied it");
        }
        drop(connection);
        log.finish();
    }
}
