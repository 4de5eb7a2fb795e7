//! The file operations of a store, in one place, so that a test can make any of them fail.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;

/// Does file operations; in tests the n-th of them can be made to fail.
///
/// Cloning shares the count. All operations block.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    #[cfg(any(test, feature = "testing"))]
    faults: Option<std::sync::Arc<faults::Faults>>,
}

impl Disk {
    /// Creates a folder and its parents.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        std::fs::create_dir_all(path)
    }

    /// Creates a new file for reading and writing; it must not exist.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Opens a file for reading and appending, made when missing. As long as it is open, it is locked: nobody else opens
    /// it this way, and nobody takes it for left behind.
    ///
    /// # Errors
    /// What the file system says; [`io::ErrorKind::WouldBlock`] when somebody has it open.
    pub fn append(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        loop {
            let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
            file.try_lock()?;
            // Somebody may have removed it between the two calls; what is written to it then would be lost.
            let is_there = rustix::fs::fstat(&file)?.st_nlink > 0;
            if is_there {
                return Ok(file);
            }
        }
    }

    /// Writes all of a piece.
    ///
    /// # Errors
    /// What the file system says; part of the piece may be written then.
    pub fn write(&self, mut file: &File, piece: &[u8]) -> io::Result<()> {
        self.step()?;
        file.write_all(piece)
    }

    /// Brings the content of a file to stable storage.
    ///
    /// # Errors
    /// What the file system says. The content must then be taken as lost: a second try may falsely succeed.
    pub fn sync(&self, file: &File) -> io::Result<()> {
        self.step()?;
        file.sync_all()
    }

    /// Brings the names in a folder to stable storage.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        File::open(path)?.sync_all()
    }

    /// Brings everything on the file system of a folder to stable storage: one flush for many files.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        let dir = File::open(path)?;
        #[cfg(target_os = "linux")]
        {
            Ok(rustix::fs::syncfs(&dir)?)
        }
        #[cfg(not(target_os = "linux"))]
        {
            dir.sync_all()
        }
    }

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        std::fs::rename(from, to)
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    #[cfg(not(any(test, feature = "testing")))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the place where tests inject faults")]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(any(test, feature = "testing"))]
    fn step(&self) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |faults| faults.step())
    }
}

#[cfg(any(test, feature = "testing"))]
mod faults {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    use super::Disk;

    #[derive(Debug)]
    pub(super) struct Faults {
        done: AtomicU64,
        fail_at: AtomicU64,
        kind: io::ErrorKind,
    }

    impl Faults {
        pub(super) fn step(&self) -> io::Result<()> {
            let n = self.done.fetch_add(1, Ordering::SeqCst) + 1;
            if n == self.fail_at.load(Ordering::SeqCst) { Err(io::Error::new(self.kind, "injected")) } else { Ok(()) }
        }
    }

    impl Disk {
        /// Makes a disk whose n-th operation (from 1) fails once; zero for none.
        #[must_use]
        pub fn failing(n: u64, kind: io::ErrorKind) -> Self {
            Self { faults: Some(Arc::new(Faults { done: AtomicU64::new(0), fail_at: AtomicU64::new(n), kind })) }
        }

        /// Returns how many operations were done.
        #[must_use]
        pub fn operations(&self) -> u64 {
            self.faults.as_ref().map_or(0, |faults| faults.done.load(Ordering::SeqCst))
        }

        /// Makes the n-th operation from now on fail once.
        pub fn fail_in(&self, n: u64) {
            if let Some(faults) = &self.faults {
                faults.fail_at.store(faults.done.load(Ordering::SeqCst) + n, Ordering::SeqCst);
            }
        }
    }
}
