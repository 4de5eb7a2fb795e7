//! Content on its way into a store: written, hashed and counted as it comes.
//!
//! Small contents stay in memory. Larger ones go to a file in the store's spool folder, and threads of their own hash
//! and flush what is there while more comes. The file of a known asset survives a crash, and what it holds is hashed
//! once more while the rest arrives. All methods block on the disk, unless [`Spool::stays_in_memory`].

mod follower;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use follower::Follower;

use super::Disk;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Mismatch;
use crate::asset::Timestamp;
use crate::asset::Verified;
use crate::asset::Verifier;
use crate::limits;

/// Content could not be taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The spool file could not be used.
    #[error("cannot write {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content of that asset is being written already.
    #[error("the content of asset {0} is being written already")]
    Busy(AssetId),
    /// The content does not belong to the id.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// More content came than the asset has.
    #[error("content of asset {id} is longer than the {size} bytes announced")]
    TooLong {
        /// Of which asset.
        id: AssetId,
        /// How long it was said to be.
        size: u64,
    },
    /// The content is the asset's, and shorter than announced.
    #[error("asset {id} has {found} bytes of content, not the {size} announced")]
    TooShort {
        /// Of which asset.
        id: AssetId,
        /// How long it was said to be.
        size: u64,
        /// How long it is.
        found: u64,
    },
}

/// An open spool.
#[derive(Debug)]
pub struct Spool {
    disk: Disk,
    dir: PathBuf,
    timestamp: Timestamp,
    /// The asset, when it is known beforehand.
    expected: Option<AssetKey>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File(Growing),
}

/// A file that grows, and the threads behind it.
#[derive(Debug)]
struct Growing {
    file: SpoolFile,
    length: u64,
    timestamp: Timestamp,
    /// Only once something is written, so that a content that is merely asked for costs no thread.
    hashing: Option<Follower<Verifier>>,
    /// Only when there is much to flush.
    flushing: Option<Follower<()>>,
}

impl Spool {
    /// Starts content of which only the timestamp is known.
    #[must_use]
    pub fn begin(disk: Disk, dir: &Path, timestamp: Timestamp) -> Self {
        Self { disk, dir: dir.to_owned(), timestamp, expected: None, place: Place::Memory(Vec::new()) }
    }

    /// Starts or resumes the content of a known asset. A large one is written by one spool at a time.
    ///
    /// # Errors
    /// [`SpoolError::Busy`] when another writes it, [`SpoolError::File`] when the spool file cannot be opened.
    pub fn resume(disk: Disk, dir: &Path, key: &AssetKey) -> Result<Self, SpoolError> {
        let place = if key.size <= limits::SMALL_CONTENT_BYTES {
            Place::Memory(Vec::new())
        } else {
            let path = dir.join(format!("{}_{}.part", key.timestamp, key.id));
            let open = || {
                let file = disk.append(&path)?;
                let length = file.metadata()?.len();
                if length > key.size {
                    file.set_len(0)?;
                    return Ok((file, 0));
                }
                Ok((file, length))
            };
            let (file, length) = open().map_err(|source: io::Error| match source.kind() {
                io::ErrorKind::WouldBlock => SpoolError::Busy(key.id),
                _ => SpoolError::File { path: path.clone(), source },
            })?;
            let file = SpoolFile { disk: disk.clone(), file, path, is_part: true, keep: true };
            Place::File(Growing::new(file, length, key.timestamp))
        };
        Ok(Self { disk, dir: dir.to_owned(), timestamp: key.timestamp, expected: Some(*key), place })
    }

    /// Returns how many bytes are here; the next piece must begin there.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match &self.place {
            Place::Memory(content) => content.len() as u64,
            Place::File(growing) => growing.length,
        }
    }

    /// Tells whether a piece of so many bytes, and all before it, fit into memory; nothing blocks on a disk then.
    #[must_use]
    pub fn stays_in_memory(&self, more: usize) -> bool {
        match &self.place {
            Place::Memory(content) => (content.len() + more) as u64 <= limits::SMALL_CONTENT_BYTES,
            Place::File(_) => false,
        }
    }

    /// Takes in the next piece.
    ///
    /// # Errors
    /// [`SpoolError::TooLong`] when it is more than the known asset has, what was written is removed then;
    /// [`SpoolError::File`] when the disk refuses.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        if let Some(key) = self.expected
            && self.offset() + piece.len() as u64 > key.size
        {
            // It is something else from its beginning on: nobody goes on with that.
            if let Place::File(growing) = &mut self.place {
                growing.file.keep = false;
            }
            return Err(SpoolError::TooLong { id: key.id, size: key.size });
        }
        if !self.stays_in_memory(piece.len()) {
            self.spill()?;
        }
        match &mut self.place {
            Place::Memory(content) => {
                content.extend_from_slice(piece);
                Ok(())
            }
            Place::File(growing) => growing.write(piece),
        }
    }

    /// Ends content that must have the id of the known asset.
    ///
    /// # Errors
    /// [`SpoolError::Mismatch`] when it has another, [`SpoolError::TooShort`] when it is less than was announced; what
    /// was written is removed then. [`SpoolError::File`] when the disk refuses.
    pub fn finish(self, expected: &AssetId) -> Result<Spooled, SpoolError> {
        let announced = self.expected;
        let (verifier, bytes) = self.whole()?;
        let verified = verifier.finish(expected)?;
        match announced.filter(|announced| announced.size != verified.key().size) {
            // The id says nothing about the length, and plugins are asked by it.
            Some(AssetKey { id, size, .. }) => Err(SpoolError::TooShort { id, size, found: verified.key().size }),
            None => Ok(Spooled { verified, bytes }),
        }
    }

    /// Ends content that has no id yet and gets it now (an ingest).
    ///
    /// # Errors
    /// [`SpoolError::File`] when the disk refuses.
    pub fn finish_ingest(self) -> Result<Spooled, SpoolError> {
        let (verifier, bytes) = self.whole()?;
        let id = verifier.id();
        Ok(Spooled { verified: verifier.finish(&id)?, bytes })
    }

    /// Gives up and removes what was written.
    pub fn discard(mut self) {
        if let Place::File(growing) = &mut self.place {
            growing.file.keep = false;
        }
    }

    /// Hashes what is left to hash.
    fn whole(self) -> Result<(Verifier, SpooledBytes), SpoolError> {
        match self.place {
            Place::Memory(content) => {
                let mut verifier = Verifier::new(self.timestamp);
                verifier.update(&content);
                Ok((verifier, SpooledBytes::Memory(Bytes::from(content))))
            }
            Place::File(mut growing) => {
                let hashing = growing.hasher()?;
                let Growing { mut file, flushing, .. } = growing;
                // Stored or not: what could not be read or flushed is not gone on with.
                file.keep = false;
                let flushed = flushing.map_or(Ok(()), Follower::finish);
                let verifier = flushed.and_then(|()| hashing.finish()).map_err(|source| file.error(source))?;
                Ok((verifier, SpooledBytes::File(file)))
            }
        }
    }

    /// Moves an ingest from memory to a file.
    fn spill(&mut self) -> Result<(), SpoolError> {
        let Place::Memory(content) = &self.place else { return Ok(()) };
        let name = data_encoding::HEXLOWER.encode(&random_name());
        let path = self.dir.join(format!("{name}.ingest"));
        let file = self.disk.create(&path).map_err(|source| SpoolError::File { path: path.clone(), source })?;
        let file = SpoolFile { disk: self.disk.clone(), file, path, is_part: false, keep: false };
        let mut growing = Growing::new(file, 0, self.timestamp);
        growing.write(content)?;
        self.place = Place::File(growing);
        Ok(())
    }
}

impl Growing {
    const fn new(file: SpoolFile, length: u64, timestamp: Timestamp) -> Self {
        Self { file, length, timestamp, hashing: None, flushing: None }
    }

    /// Takes what hashes the file, which is started now if nothing does, and tells it how much there is.
    fn hasher(&mut self) -> Result<Follower<Verifier>, SpoolError> {
        let hashing = match self.hashing.take() {
            Some(hashing) => hashing,
            None => follower::hash(&self.file.file, Verifier::new(self.timestamp))
                .map_err(|source| self.file.error(source))?,
        };
        hashing.grown(self.length);
        Ok(hashing)
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        if let Err(source) = self.file.disk.write(&self.file.file, piece) {
            // What a broken write left behind would be taken for content after a restart.
            let _ = self.file.file.set_len(self.length);
            return Err(self.file.error(source));
        }
        self.length += piece.len() as u64;
        self.hashing = Some(self.hasher()?);
        if self.flushing.is_none() && self.length >= limits::SPOOL_FLUSHED_BYTES {
            let flushing = follower::flush(&self.file.file, self.file.path.clone(), self.file.disk.clone());
            self.flushing = Some(flushing.map_err(|source| self.file.error(source))?);
        }
        if let Some(flushing) = &self.flushing {
            flushing.grown(self.length);
        }
        Ok(())
    }
}

/// Sixteen random bytes, so that two ingests never share a file.
fn random_name() -> [u8; 16] {
    let mut name = [0; 16];
    getrandom::fill(&mut name).expect("the operating system has randomness");
    name
}

/// Content that was taken in whole and verified. Dropped without being stored, it is removed.
#[derive(Debug)]
pub struct Spooled {
    verified: Verified,
    bytes: SpooledBytes,
}

/// Where verified content waits.
#[derive(Debug)]
pub enum SpooledBytes {
    /// In memory; at most [`limits::SMALL_CONTENT_BYTES`].
    Memory(Bytes),
    /// In a spool file.
    File(SpoolFile),
}

impl SpooledBytes {
    /// Lets go of the bytes as [`Spooled::leave`] does.
    pub fn leave(self) {
        if let Self::File(mut file) = self {
            file.keep = file.is_part;
        }
    }
}

impl Spooled {
    /// Returns id, timestamp and size.
    #[must_use]
    pub fn key(&self) -> AssetKey {
        self.verified.key()
    }

    /// Returns a way to read the content while it is not stored yet.
    ///
    /// # Errors
    /// What the file system says.
    pub fn reader(&self) -> io::Result<SpooledReader> {
        let size = self.key().size;
        Ok(match &self.bytes {
            SpooledBytes::Memory(content) => SpooledReader { size, place: ReadPlace::Memory(content.clone()) },
            SpooledBytes::File(file) => {
                SpooledReader { size, place: ReadPlace::File(Arc::new(file.file.try_clone()?)) }
            }
        })
    }

    /// Lets go of the content without removing what a later [`Spool::resume`] can go on with, from its end.
    pub fn leave(self) {
        self.bytes.leave();
    }

    /// Hands proof and bytes to a store.
    pub fn into_parts(self) -> (Verified, SpooledBytes) {
        (self.verified, self.bytes)
    }
}

/// Reads a content that is not stored yet, or was a moment ago. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SpooledReader {
    size: u64,
    place: ReadPlace,
}

#[derive(Debug, Clone)]
enum ReadPlace {
    Memory(Bytes),
    File(Arc<File>),
}

impl SpooledReader {
    /// Reads up to `length` bytes from `offset`; fewer only where the content ends. Blocks on the disk when the content
    /// is large.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let left = self.size.saturating_sub(offset);
        let length = usize::try_from(left).map_or(length, |left| left.min(length));
        match &self.place {
            ReadPlace::Memory(content) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
                Ok(content[start..(start + length).min(content.len())].to_vec())
            }
            ReadPlace::File(file) => {
                let mut read = vec![0; length];
                file.read_exact_at(&mut read, offset)?;
                Ok(read)
            }
        }
    }
}

/// A file in the spool folder. Unless it is kept or stored, it is removed when dropped.
#[derive(Debug)]
pub struct SpoolFile {
    disk: Disk,
    file: File,
    path: PathBuf,
    /// Whether it is that of a known asset, by whose name it is found again.
    is_part: bool,
    keep: bool,
}

impl SpoolFile {
    /// Returns the open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its final name. The caller has synced the file, and syncs the folder.
    ///
    /// # Errors
    /// What the file system says; the spool file is removed then.
    pub fn store_as(mut self, path: &Path) -> io::Result<()> {
        self.disk.rename(&self.path, path)?;
        self.keep = true;
        Ok(())
    }

    fn error(&self, source: io::Error) -> SpoolError {
        SpoolError::File { path: self.path.clone(), source }
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        // As long as it has a name it is locked: whoever opened it in between would write to a file that nobody finds.
        if !self.keep {
            // It is a leftover then, and reclaimed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
        // A thread behind it may hold it open for a moment longer; it only reads and flushes.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SMALL_CONTENT_BYTES;

    fn timestamp() -> Timestamp {
        Timestamp::new(1_700_000_000_000).unwrap()
    }

    fn key(content: &[u8]) -> AssetKey {
        let mut verifier = Verifier::new(timestamp());
        verifier.update(content);
        AssetKey { id: verifier.id(), timestamp: timestamp(), size: content.len() as u64 }
    }

    #[test]
    fn content_of_any_size_gets_the_same_id_and_leaves_no_file_behind() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, SMALL_CONTENT_BYTES as usize, SMALL_CONTENT_BYTES as usize + 1, 1_000_000] {
            let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut spool = Spool::begin(Disk::default(), dir.path(), timestamp());
            for piece in content.chunks(10_000) {
                spool.write(piece).unwrap();
            }
            let spooled = spool.finish_ingest().unwrap();
            assert_eq!(spooled.key(), key(&content), "{size}");
            let reader = spooled.reader().unwrap();
            assert_eq!(reader.read(0, usize::MAX).unwrap(), content);
            let from = size / 2;
            assert_eq!(reader.read(from as u64, 10).unwrap(), content[from..size.min(from + 10)]);
            assert!(reader.read(size as u64 + 1, 10).unwrap().is_empty());
            drop(spooled);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{size}");
        }
    }

    #[test]
    fn a_broken_transfer_resumes_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
        let key = key(&content);
        let mut spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        spool.write(&content[..1_700_000]).unwrap();
        let second = Spool::resume(Disk::default(), dir.path(), &key);
        assert!(matches!(second, Err(SpoolError::Busy(id)) if id == key.id), "two would write into each other");
        drop(spool);
        let mut spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        assert_eq!(spool.offset(), 1_700_000);
        for piece in content[1_700_000..].chunks(100_000) {
            spool.write(piece).unwrap();
        }
        assert_eq!(spool.finish(&key.id).unwrap().key(), key);
    }

    /// Which of the two comes first is not the same every time.
    #[test]
    fn a_part_that_is_opened_while_another_gives_it_up_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let key = key(&vec![3; 100_000]);
        for round in 0..500 {
            let given_up = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
            let (going, gone) = std::sync::mpsc::sync_channel(0);
            std::thread::scope(|scope| {
                let opening = scope.spawn(|| {
                    going.send(()).unwrap();
                    loop {
                        match Spool::resume(Disk::default(), dir.path(), &key) {
                            Err(SpoolError::Busy(_)) => {}
                            opened => return opened.unwrap(),
                        }
                    }
                });
                gone.recv().unwrap();
                given_up.discard();
                let opened = opening.join().unwrap();
                assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "round {round}");
                opened.discard();
            });
        }
    }

    #[test]
    fn a_content_that_is_merely_asked_for_costs_no_thread() {
        let dir = tempfile::tempdir().unwrap();
        let content = vec![3; 100_000];
        let key = key(&content);
        let is_hashed = |spool: &Spool| matches!(&spool.place, Place::File(growing) if growing.hashing.is_some());
        let mut spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        assert!(!is_hashed(&spool));
        spool.write(&content[..10]).unwrap();
        assert!(is_hashed(&spool));
        drop(spool);
        // Nor does what is here of it, until it is gone on with.
        let mut spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        assert!(!is_hashed(&spool));
        spool.write(&content[10..]).unwrap();
        assert_eq!(spool.finish(&key.id).unwrap().key(), key);
    }

    #[test]
    fn what_is_whole_and_left_is_gone_on_with_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let content = vec![3; 100_000];
        let key = key(&content);
        let mut spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        spool.write(&content).unwrap();
        spool.finish(&key.id).unwrap().leave();
        let spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        assert_eq!(spool.offset(), key.size);
        drop(spool.finish(&key.id).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        // Nobody finds what had no name of its own.
        let mut ingest = Spool::begin(Disk::default(), dir.path(), timestamp());
        ingest.write(&content).unwrap();
        ingest.finish_ingest().unwrap().leave();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// With the threads behind it in the middle of their work, and with a prefix that nobody has hashed.
    #[test]
    fn a_content_longer_than_a_flush_is_hashed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..limits::SPOOL_FLUSHED_BYTES as u32 + 3_000_001).map(|n| (n % 249) as u8).collect();
        let key = key(&content);
        let half = content.len() / 2;
        let mut spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        spool.write(&content[..half]).unwrap();
        drop(spool);
        let mut spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        content[half..].chunks(1_000_003).for_each(|piece| spool.write(piece).unwrap());
        assert_eq!(spool.finish(&key.id).unwrap().key(), key);
    }

    #[test]
    fn a_flush_that_fails_on_the_way_fails_the_content() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::failing(0, io::ErrorKind::Other);
        let mut spool = Spool::begin(disk.clone(), dir.path(), timestamp());
        let piece = vec![5; limits::SPOOL_FLUSHED_BYTES as usize];
        // Creating and writing, then the flush.
        disk.fail_in(4);
        spool.write(&piece).unwrap();
        assert!(matches!(spool.finish_ingest(), Err(SpoolError::File { .. })));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// The system tells of it once: a second flush would succeed, and the content be taken for durable.
    #[test]
    fn a_part_that_could_not_be_flushed_is_not_gone_on_with() {
        let piece = vec![5; limits::SPOOL_FLUSHED_BYTES as usize];
        let key = AssetKey { size: 2 * piece.len() as u64, ..key(&piece) };
        for breaks_off in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let disk = Disk::failing(0, io::ErrorKind::Other);
            disk.fail_in(100);
            let mut spool = Spool::resume(disk.clone(), dir.path(), &key).unwrap();
            // Writing, then the flush.
            disk.fail_in(2);
            let before = disk.operations();
            spool.write(&piece).unwrap();
            let began = std::time::Instant::now();
            let soon = || began.elapsed() < std::time::Duration::from_mins(1);
            while disk.operations() < before + 2 && soon() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            if breaks_off {
                drop(spool);
            } else {
                assert!(matches!(spool.finish(&key.id), Err(SpoolError::File { .. })));
            }
            let gone = || std::fs::read_dir(dir.path()).unwrap().count() == 0;
            while !gone() && soon() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert!(gone(), "broken off: {breaks_off}");
        }
    }

    #[test]
    fn wrong_or_long_content_is_refused_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let content = vec![7; 200_000];
        let key = key(&content);
        let mut spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        spool.write(&vec![8; 200_000]).unwrap();
        assert!(matches!(spool.write(b"x"), Err(SpoolError::TooLong { .. })));
        assert!(matches!(spool.finish(&key.id), Err(SpoolError::Mismatch(_))));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        // Nobody goes on with what was too long, whoever gives it up.
        let mut spool = Spool::resume(Disk::default(), dir.path(), &key).unwrap();
        assert!(spool.write(&vec![8; 200_000]).is_ok() && spool.write(b"x").is_err());
        drop(spool);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        // Less than was announced is refused although its hash is right.
        let longer = AssetKey { size: 200_001, ..key };
        let mut spool = Spool::resume(Disk::default(), dir.path(), &longer).unwrap();
        spool.write(&content).unwrap();
        let short = spool.finish(&key.id);
        assert!(matches!(short, Err(SpoolError::TooShort { size: 200_001, found: 200_000, .. })), "{short:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
