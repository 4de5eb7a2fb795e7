//! The key by which this host is known: made once, kept in a file that only its owner can read.

use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use iroh::SecretKey;
use zeroize::Zeroizing;

/// The host's key could not be loaded or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file could not be read or written.
    #[error("cannot use the host key {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds {length} bytes and not the 32 of a host key; restore it, or remove it to become a new host")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How long it is.
        length: usize,
    },
    /// Others can read the file.
    #[error("{path} can be read by others (mode {mode:o}); run `chmod 600 {path}`")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Loads the key from a file, or makes a new one there, atomically and with mode 0600. Blocks.
///
/// # Errors
/// [`IdentityError`] when the file cannot be used, is damaged, or can be read by others.
pub fn load_or_make(path: &Path) -> Result<SecretKey, IdentityError> {
    let error = |source| IdentityError::File { path: path.to_owned(), source };
    match std::fs::read(path) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            check_mode(path)?;
            let key: [u8; 32] = bytes
                .as_slice()
                .try_into()
                .map_err(|_| IdentityError::Damaged { path: path.to_owned(), length: bytes.len() })?;
            Ok(SecretKey::from_bytes(&key))
        }
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let mut key = Zeroizing::new([0; 32]);
            getrandom::fill(key.as_mut()).map_err(|cause| error(io::Error::other(cause)))?;
            let made = path.with_extension("new");
            write_private(&made, key.as_ref()).and_then(|()| std::fs::rename(&made, path)).map_err(error)?;
            if let Some(dir) = path.parent() {
                std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(error)?;
            }
            Ok(SecretKey::from_bytes(&key))
        }
        Err(other) => Err(error(other)),
    }
}

/// Writes a file that only its owner can read, and brings it to stable storage.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|source| IdentityError::File { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(IdentityError::Exposed { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<(), IdentityError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_the_same_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.key");
        let first = load_or_make(&path).unwrap();
        assert_eq!(load_or_make(&path).unwrap().to_bytes(), first.to_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(load_or_make(&path), Err(IdentityError::Exposed { .. })));
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(load_or_make(&path), Err(IdentityError::Damaged { length: 5, .. })));
    }
}
