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
    #[cfg(any(test, feature = "testing"))]
    one_by_one: bool,
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

    /// Tells whether [`sync_filesystem`](Self::sync_filesystem) can be trusted with the files below a folder. Where it
    /// cannot, each file and each folder is synced for itself.
    #[must_use]
    pub fn flushes_whole(&self, root: &File) -> bool {
        #[cfg(any(test, feature = "testing"))]
        if self.one_by_one {
            return false;
        }
        #[cfg(target_os = "linux")]
        {
            let kernel = rustix::system::uname();
            rustix::fs::fstatfs(root)
                .is_ok_and(|found| flushes_whole(found.f_type, &kernel.release().to_string_lossy()))
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = root;
            false
        }
    }

    /// Brings everything on the file system of an open folder to stable storage: one flush for many files. To be told of
    /// every failure, the folder must have been open since before the files were written.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync_filesystem(&self, root: &File) -> io::Result<()> {
        self.step()?;
        #[cfg(target_os = "linux")]
        {
            Ok(rustix::fs::syncfs(root)?)
        }
        #[cfg(not(target_os = "linux"))]
        {
            root.sync_all()
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

    /// Gives a file a second name.
    ///
    /// # Errors
    /// What the file system says; some know no second names.
    pub fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        std::fs::hard_link(from, to)
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

/// FUSE hands a flush of the whole file system to its server for virtiofs alone, and answers that it is done; 9p has none
/// at all. (`FUSE_SUPER_MAGIC` and `V9FS_MAGIC` of linux/magic.h.)
#[cfg(target_os = "linux")]
const WITHOUT_FLUSH: [rustix::fs::FsWord; 2] = [0x6573_5546, 0x0102_1997];

/// Before Linux 5.8 `syncfs` did not tell that a file could not be written (syncfs(2)).
#[cfg(target_os = "linux")]
fn flushes_whole(file_system: rustix::fs::FsWord, kernel: &str) -> bool {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let version = numbers.next().zip(numbers.next());
    version.is_some_and(|version| version >= (5, 8)) && !WITHOUT_FLUSH.contains(&file_system)
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
            let faults = Faults { done: AtomicU64::new(0), fail_at: AtomicU64::new(n), kind };
            Self { faults: Some(Arc::new(faults)), one_by_one: false }
        }

        /// Makes it a disk on which no flush covers all files.
        #[must_use]
        pub fn one_by_one(self) -> Self {
            Self { one_by_one: true, ..self }
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn one_flush_is_trusted_where_it_flushes_and_tells() {
        let ext4 = 0xef53;
        for (file_system, kernel, trusted) in [
            (ext4, "6.18.4-amd64", true),
            (ext4, "5.8", true),
            (ext4, "5.7.19-rc1", false),
            (ext4, "4.19.0", false),
            (ext4, "", false),
            (ext4, "unknown", false),
            (WITHOUT_FLUSH[0], "6.18.4", false),
            (WITHOUT_FLUSH[1], "6.18.4", false),
        ] {
            assert_eq!(flushes_whole(file_system, kernel), trusted, "{file_system:#x} {kernel}");
        }
    }
}
