//! Parts of contents that nobody went on with.
//!
//! A part stays in the spool folder when its transfer breaks off, so that it can be resumed. Of an asset that nobody
//! offers any more it would stay for ever; here it is removed when it was not written to for
//! [`PART_KEPT`](limits::PART_KEPT). Called by the stores that have a spool folder, when they open and once a day.

use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use crate::limits;

/// Removes the parts in a folder that were not written to for so long, but never one that is open. Blocks on the disk.
///
/// # Errors
/// What the file system says of the folder; a file that cannot be removed is left for the next time.
pub(super) fn remove_old(spool: &Path) -> io::Result<()> {
    let Some(before) = SystemTime::now().checked_sub(limits::PART_KEPT) else { return Ok(()) };
    for entry in std::fs::read_dir(spool)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "part") {
            continue;
        }
        match remove_if_old(&path, before) {
            Ok(false) => {}
            Ok(true) => tracing::info!(file = %path.display(), "removed a part that nobody went on with"),
            Err(error) => tracing::warn!(file = %path.display(), %error, "a part that is old could not be removed"),
        }
    }
    Ok(())
}

/// Does the same once a day, for ever.
pub(super) async fn keep_removing_old(spool: PathBuf, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let folder = spool.clone();
        match tokio::task::spawn_blocking(move || remove_old(&folder)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(folder = %spool.display(), %error, "the spool folder cannot be read"),
            Err(error) => tracing::error!(%error, "looking for old parts ended in a panic"),
        }
    }
}

fn remove_if_old(path: &Path, before: SystemTime) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    // Whoever has it open has locked it, and whoever opens it now is told to try again.
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    if file.metadata()?.modified()? >= before {
        return Ok(false);
    }
    std::fs::remove_file(path)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Disk;

    /// Makes a file that was written to as long ago as a part is kept, and a minute more.
    fn old(path: &Path) {
        let file = File::create(path).unwrap();
        let minute = Duration::from_mins(1);
        file.set_modified(SystemTime::now() - limits::PART_KEPT - minute).unwrap();
    }

    #[test]
    fn only_parts_that_are_old_and_closed_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.part", "open.part", "a.whole", "a.ingest"] {
            old(&dir.path().join(name));
        }
        std::fs::write(dir.path().join("new.part"), b"x").unwrap();
        let open = Disk::default().append(&dir.path().join("open.part")).unwrap();
        let left = || {
            let mut names: Vec<_> =
                std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        remove_old(dir.path()).unwrap();
        assert_eq!(left(), ["a.ingest", "a.whole", "new.part", "open.part"]);
        drop(open);
        remove_old(dir.path()).unwrap();
        assert_eq!(left(), ["a.ingest", "a.whole", "new.part"]);
    }

    #[test]
    fn a_part_that_is_removed_while_it_is_opened_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        // Which of the two comes first is not the same every time.
        for round in 0..200 {
            let path = dir.path().join(format!("{round}.part"));
            std::fs::write(&path, b"old").unwrap();
            let remover = File::open(&path).unwrap();
            remover.try_lock().unwrap();
            let (going, gone) = std::sync::mpsc::sync_channel(0);
            let opening = std::thread::spawn({
                let path = path.clone();
                move || {
                    going.send(()).unwrap();
                    loop {
                        match Disk::default().append(&path) {
                            Err(busy) if busy.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                            opened => return opened.unwrap(),
                        }
                    }
                }
            });
            gone.recv().unwrap();
            std::fs::remove_file(&path).unwrap();
            drop(remover);
            let opened = opening.join().unwrap();
            Disk::default().write(&opened, b"new").unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"new", "round {round}");
        }
    }

    #[tokio::test]
    async fn they_are_looked_for_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.part");
        let removing = keep_removing_old(dir.path().to_owned(), Duration::from_millis(5));
        let seeing = async {
            for _ in 0..2 {
                old(&path);
                while path.exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        let seeing = tokio::time::timeout(Duration::from_mins(1), seeing);
        tokio::select! {
            () = removing => unreachable!("it has no end"),
            seen = seeing => seen.unwrap(),
        }
    }
}
