//! The data folder: locked by one host at a time, and home of its private files.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

use crate::asset::HostId;
use crate::auth::HostKey;
use crate::auth::LibrarySecret;
use crate::auth::Phrase;
use crate::auth::PhraseCheck;
use crate::auth::members::Circle;
use crate::auth::members::DecodeCircleError;
use crate::engine::Keep;
use crate::task::random;
use crate::telemetry::causes;

/// The key by which this host is known.
const HOST_KEY: &str = "host_key";

/// The stretched secret of the library, with the check of its phrase.
const LIBRARY_SECRET: &str = "library_secret";

/// Who belongs to the library, and its secrets; there once anything was stated about members, or this device was paired.
const MEMBERS: &str = "members";

/// The token of the host API.
const API_TOKEN: &str = "api_token";

/// The port peers reached this host at last.
const LAST_PORT: &str = "last_port";

/// Mode of the private files.
const FILE_MODE: u32 = 0o600;

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataFolderError {
    /// A file or the folder itself could not be used.
    #[error("cannot use {path}; `data_dir` must be a folder this user may write")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another host runs on it.
    #[error("{0} is in use by another can-sync; stop it, or give this one a `data_dir` of its own")]
    InUse(PathBuf),
    /// A private file holds something else than it should.
    #[error("{path} is damaged: {length} bytes and not {expected}; restore it, or remove it to have a new one made")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How long it is.
        length: usize,
        /// How long it should be.
        expected: usize,
    },
    /// What is kept about the members does not read.
    #[error("{path} is damaged ({reason}); restore it, or move it away and pair this device again")]
    Members {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: DecodeCircleError,
    },
    /// The phrase is of another library than the one whose members are known here.
    #[error(
        "`sync_passphrase` is none of the library whose members are kept in {0}; correct it, or give another library a \
         `data_dir` of its own"
    )]
    OtherPhrase(PathBuf),
    /// There is no secret.
    #[error(
        "there is no `sync_passphrase`, and this device was not paired; `can-sync init` writes a configuration with a new \
         one, and a further device is paired with `can-sync pair`"
    )]
    NoSecret,
    /// Others can read a private file.
    #[error("{path} can be read by others (mode {mode:o}); run `chmod 600 {path}`")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The system gives no randomness.
    #[error("the system has no random bytes for {path}: {reason}")]
    NoRandomness {
        /// For which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// An open, locked data folder. The lock ends with it, also when the process is killed.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder (mode 0700) when it is missing, and locks it. Blocks.
    ///
    /// # Errors
    /// [`DataFolderError::InUse`] when another host has it, [`DataFolderError::File`] when it cannot be used.
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        let error = |source| DataFolderError::File { path: path.to_owned(), source };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(error)?;
        // Whoever could open it could hold it.
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
        let lock = options.open(path.join("lock")).map_err(error)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DataFolderError::InUse(path.to_owned())),
            Err(errno) => Err(error(errno.into())),
        }
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the key by which this host is known; made at the first start.
    ///
    /// # Errors
    /// [`DataFolderError`] when it cannot be read or made.
    pub fn host_key(&self) -> Result<Zeroizing<[u8; 32]>, DataFolderError> {
        match self.load::<32>(HOST_KEY)? {
            Some(key) => Ok(key),
            None => self.make(HOST_KEY, |key| key.to_vec()),
        }
    }

    /// Returns the token of the host API, 64 hex characters; made at the first start.
    ///
    /// # Errors
    /// [`DataFolderError`] when it cannot be read or made.
    pub fn api_token(&self) -> Result<Zeroizing<String>, DataFolderError> {
        let line = self.load::<65>(API_TOKEN)?.and_then(|line| String::from_utf8(line[..64].to_vec()).ok());
        if let Some(token) = line {
            return Ok(Zeroizing::new(token));
        }
        let token = self.make(API_TOKEN, |key| format!("{}\n", HEXLOWER.encode(key)).into_bytes())?;
        Ok(Zeroizing::new(HEXLOWER.encode(token.as_ref())))
    }

    /// Returns the secret of the library: the one that was kept, if it came from this phrase; else it is stretched
    /// anew, which takes most of a second.
    ///
    /// # Errors
    /// [`DataFolderError`] when it cannot be read or kept.
    pub fn library_secret(&self, phrase: &Phrase, library: &str) -> Result<LibrarySecret, DataFolderError> {
        if let Some(kept) = self.load::<64>(LIBRARY_SECRET)? {
            let (secret, check) = kept.split_at(32);
            let fixed = |half: &[u8]| <[u8; 32]>::try_from(half).expect("half of 64 bytes");
            let secret = LibrarySecret::from_bytes(fixed(secret));
            if secret.is_from(phrase, &PhraseCheck::from_bytes(fixed(check))) {
                return Ok(secret);
            }
            tracing::info!("the phrase has changed; stretching it");
        }
        let secret = LibrarySecret::stretch(phrase, library);
        let kept = Zeroizing::new([*secret.expose(), *secret.check(phrase).as_bytes()].concat());
        self.save(LIBRARY_SECRET, &kept)?;
        Ok(secret)
    }

    /// Tells whether a data folder holds a library that pairing handed over, or of which anything was stated.
    #[must_use]
    pub fn has_members(path: &Path) -> bool {
        path.join(MEMBERS).exists()
    }

    /// Begins a library with a new phrase: this host, which makes it, is the first that may sign who belongs to it. A
    /// folder that was used before is left as it is. Tells whether it did; takes most of a second.
    ///
    /// # Errors
    /// [`DataFolderError`] when it cannot be read or written.
    pub fn found(&self, phrase: &Phrase, library: &str) -> Result<bool, DataFolderError> {
        if [MEMBERS, LIBRARY_SECRET].iter().any(|name| self.file(name).exists()) {
            return Ok(false);
        }
        let key = HostKey::from_seed(&*self.host_key()?);
        let mut circle = Circle::new(key.id(), library, self.library_secret(phrase, library)?);
        circle.found(&key, random());
        self.keep_circle(&circle)?;
        Ok(true)
    }

    /// Returns who the members of the library are, as this host knows them, and its secrets: as they were kept, else
    /// with the secret of the phrase and no statement. A library that pairing handed over stays, whatever the phrase;
    /// one of which nothing was stated but its birth makes room for that of another phrase.
    ///
    /// # Errors
    /// [`DataFolderError`] when it cannot be read, there is no secret, or the phrase is of another library: to go on
    /// without what was stated would let those in again who were removed.
    pub fn circle(&self, own: HostId, phrase: Option<&Phrase>, library: &str) -> Result<Circle, DataFolderError> {
        let path = self.file(MEMBERS);
        let kept = match std::fs::read(&path) {
            Ok(bytes) => {
                check_mode(&path)?;
                let bytes = Zeroizing::new(bytes);
                let circle = Circle::decode(own, &bytes);
                Some(circle.map_err(|reason| DataFolderError::Members { path: path.clone(), reason })?)
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(DataFolderError::File { path, source }),
        };
        let Some(phrase) = phrase else { return kept.ok_or(DataFolderError::NoSecret) };
        let secret = self.library_secret(phrase, library)?;
        match kept {
            Some(circle) if circle.holds(&secret) => Ok(circle),
            Some(circle) if circle.is_paired() => {
                tracing::warn!(
                    "this device was paired, so `sync_passphrase` is not used; take it out of the configuration"
                );
                Ok(circle)
            }
            Some(circle) if circle.is_used() => Err(DataFolderError::OtherPhrase(path)),
            Some(_) | None => Ok(Circle::new(own, library, secret)),
        }
    }

    /// Keeps who the members are and the secrets of the library. Blocks.
    ///
    /// # Errors
    /// [`DataFolderError`] when it cannot be written.
    pub fn keep_circle(&self, circle: &Circle) -> Result<(), DataFolderError> {
        keep_circle(&self.path, circle)
    }

    /// Returns what keeps who the members are, whenever that changes.
    #[must_use]
    pub fn keeper(&self) -> Keep {
        let folder = self.path.clone();
        Arc::new(move |circle| keep_circle(&folder, circle).map_err(|error| causes(&error)))
    }

    /// Returns the port peers reached this host at last.
    #[must_use]
    pub fn last_port(&self) -> Option<u16> {
        std::fs::read_to_string(self.file(LAST_PORT)).ok()?.trim().parse().ok()
    }

    /// Remembers the port at which peers reach this host.
    ///
    /// # Errors
    /// [`DataFolderError`] when it cannot be written.
    pub fn keep_port(&self, port: u16) -> Result<(), DataFolderError> {
        self.save(LAST_PORT, format!("{port}\n").as_bytes())
    }

    /// Makes a private file of 32 random bytes, in the form that `form` gives them.
    fn make(&self, name: &str, form: impl Fn(&[u8; 32]) -> Vec<u8>) -> Result<Zeroizing<[u8; 32]>, DataFolderError> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(random.as_mut())
            .map_err(|error| DataFolderError::NoRandomness { path: self.file(name), reason: error.to_string() })?;
        self.save(name, &Zeroizing::new(form(&random)))?;
        Ok(random)
    }

    /// Reads a private file of a fixed length; `None` when there is none.
    fn load<const N: usize>(&self, name: &str) -> Result<Option<Zeroizing<[u8; N]>>, DataFolderError> {
        let path = self.file(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DataFolderError::File { path, source }),
        };
        check_mode(&path)?;
        match bytes.as_slice().try_into() {
            Ok(fixed) => Ok(Some(Zeroizing::new(fixed))),
            Err(_) => Err(DataFolderError::Damaged { path, length: bytes.len(), expected: N }),
        }
    }

    fn save(&self, name: &str, bytes: &[u8]) -> Result<(), DataFolderError> {
        save(&self.path, name, bytes)
    }
}

fn keep_circle(folder: &Path, circle: &Circle) -> Result<(), DataFolderError> {
    save(folder, MEMBERS, &circle.encode())
}

/// Writes a private file (mode 0600): whole or not at all, and durable.
fn save(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), DataFolderError> {
    let path = folder.join(name);
    let write = || {
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| DataFolderError::File { path: path.clone(), source })
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), DataFolderError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|source| DataFolderError::File { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(DataFolderError::Exposed { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<(), DataFolderError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::members::Membership;
    use crate::auth::members::Standing;

    fn phrase(text: &str) -> Phrase {
        Phrase::parse(text).unwrap()
    }

    #[test]
    fn one_host_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path()).unwrap();
        let message = DataFolder::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("in use"), "{message}");
        drop(folder);
        DataFolder::open(dir.path()).unwrap();
    }

    #[test]
    fn key_and_token_stay_the_same_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path()).unwrap();
        assert_eq!(folder.host_key().unwrap(), folder.host_key().unwrap());
        let token = folder.api_token().unwrap();
        assert_eq!(folder.api_token().unwrap(), token);
        assert_eq!(std::fs::read_to_string(folder.file(API_TOKEN)).unwrap(), format!("{}\n", *token));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.file(HOST_KEY);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(folder.host_key(), Err(DataFolderError::Exposed { .. })));
        }
        std::fs::write(folder.file(API_TOKEN), b"short").unwrap();
        assert!(matches!(folder.api_token(), Err(DataFolderError::Damaged { length: 5, .. })));
    }

    /// A folder that was there may be anybody's: a volume of a container, or one that others read from.
    #[cfg(unix)]
    #[test]
    fn in_a_folder_that_others_see_the_lock_is_private_and_the_folder_stays_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o2775)).unwrap();
        let folder = DataFolder::open(dir.path()).unwrap();
        assert_eq!((mode(dir.path()), mode(&folder.file("lock"))), (0o2775, 0o600));
    }

    #[test]
    fn only_another_phrase_is_stretched_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path()).unwrap();
        let first = folder.library_secret(&phrase("one phrase"), "mirror").unwrap();
        let kept = std::fs::read(folder.file(LIBRARY_SECRET)).unwrap();
        assert_eq!(folder.library_secret(&phrase("one phrase"), "mirror").unwrap().expose(), first.expose());
        assert_eq!(std::fs::read(folder.file(LIBRARY_SECRET)).unwrap(), kept);
        assert_ne!(folder.library_secret(&phrase("another phrase"), "mirror").unwrap().expose(), first.expose());
    }

    #[test]
    fn whoever_makes_a_library_is_its_first_admin() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path()).unwrap();
        let own = HostKey::from_seed(&folder.host_key().unwrap()).id();
        assert!(folder.found(&phrase("one phrase"), "mirror").unwrap());
        let circle = folder.circle(own, Some(&phrase("one phrase")), "mirror").unwrap();
        assert_eq!(circle.standing(own), Standing::Member { admin: true });
        assert_eq!(circle.membership(), Membership::Secret);
        // A configuration that was written over begins anew, and nothing is founded twice.
        let other = folder.circle(own, Some(&phrase("another phrase")), "mirror").unwrap();
        assert!(other.roster().is_none());
        assert!(!folder.found(&phrase("another phrase"), "mirror").unwrap());
    }

    #[test]
    fn a_mistyped_phrase_lets_nobody_in_again_who_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path()).unwrap();
        let key = HostKey::from_seed(&folder.host_key().unwrap());
        let lost = HostId::from_bytes([9; 32]);
        let mut circle = folder.circle(key.id(), Some(&phrase("one phrase")), "mirror").unwrap();
        circle.remove(&key, lost, &[], &[], [1; 16], LibrarySecret::from_bytes([7; 32])).unwrap();
        folder.keep_circle(&circle).unwrap();
        let error = folder.circle(key.id(), Some(&phrase("one phrsae")), "mirror").unwrap_err();
        assert!(error.to_string().contains("correct it"), "{error}");
        let again = folder.circle(key.id(), Some(&phrase("one phrase")), "mirror").unwrap();
        assert_eq!((again.standing(lost), again.epoch()), (Standing::Removed, 1));
    }
}
