//! Compiled code, kept so that a start compiles nothing twice.
//!
//! Running compiled code is trusting it, so only what this host has compiled itself is taken: it lies in a folder that
//! nobody else may open, and carries a BLAKE3 over the whole, keyed by a secret of this host.

use std::fs;
use std::hash::Hash;
use std::hash::Hasher;
use std::io;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::limits;

/// The layout of a file: the code, the SHA-256 of the component, and the tag over both. Another one has another name.
const LAYOUT: u8 = 2;

/// Code that can run, and the SHA-256 of the component that it was made from; hashing a large one takes longer than
/// loading its code.
pub(super) struct Compiled {
    pub(super) component: Component,
    pub(super) sha256: [u8; 32],
}

/// Where compiled code is kept.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    /// Opens or makes the folder, for this user alone. Blocks.
    ///
    /// # Errors
    /// When it cannot be made, read, or closed to others.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        let path = folder.join("key");
        let key = match fs::read(&path).ok().and_then(|key| <[u8; 32]>::try_from(key).ok()) {
            Some(key) => key,
            None => {
                let mut key = [0; 32];
                getrandom::fill(&mut key).map_err(io::Error::other)?;
                write(&path, &[&key])?;
                key
            }
        };
        Ok(Self { folder: folder.to_owned(), key })
    }

    /// Finds the code of the component with a BLAKE3, if it was kept. Blocks.
    pub(super) fn find(&self, engine: &Engine, digest: &[u8; 32]) -> Option<Compiled> {
        let path = self.path(engine, digest);
        match self.read(engine, &path) {
            Ok(compiled) => return Some(compiled),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code cannot be used, compiling again");
            }
        }
        None
    }

    /// Keeps the code of the component with a BLAKE3. Blocks.
    ///
    /// # Errors
    /// What wasmtime says about the component; that it cannot be written is told to the log alone.
    pub(super) fn keep(&self, engine: &Engine, digest: &[u8; 32], compiled: &Compiled) -> wasmtime::Result<()> {
        let path = self.path(engine, digest);
        let code = compiled.component.serialize()?;
        // The rest stands at the end, so that the code begins at the beginning, where it can be mapped.
        let tag = blake3::Hasher::new_keyed(&self.key).update(&code).update(&compiled.sha256).finalize();
        if let Err(error) = write(&path, &[&code, &compiled.sha256, tag.as_bytes()]) {
            tracing::warn!(path = %path.display(), %error, "compiled code cannot be kept");
        }
        Ok(())
    }

    /// Removes what no component of these digests needs under an engine of this version.
    pub(super) fn sweep(&self, engines: &[(Engine, [u8; 32])]) {
        let needed: Vec<PathBuf> = engines.iter().map(|(engine, digest)| self.path(engine, digest)).collect();
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "cwasm") && !needed.contains(&path) {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn path(&self, engine: &Engine, digest: &[u8; 32]) -> PathBuf {
        let mut version = Version(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut version);
        let name = version.0.update(digest).update(&[LAYOUT]).finalize();
        self.folder.join(format!("{}.cwasm", &name.to_hex()[..32]))
    }

    fn read(&self, engine: &Engine, path: &Path) -> io::Result<Compiled> {
        let mut file = fs::File::open(path)?;
        let (mut sha256, mut tag) = ([0; 32], [0; blake3::OUT_LEN]);
        let behind = (sha256.len() + tag.len()) as u64;
        let length = file.metadata()?.len().checked_sub(behind).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // The code of a large component is many megabytes, which all processors hash together.
        let mut piece = vec![0; limits::plugin::HASHED_TOGETHER.min(length as usize)];
        let mut left = length as usize;
        while left > 0 {
            let next = left.min(piece.len());
            file.read_exact(&mut piece[..next])?;
            hasher.update_rayon(&piece[..next]);
            left -= next;
        }
        file.read_exact(&mut sha256)?;
        file.read_exact(&mut tag)?;
        // Compares in constant time.
        if hasher.update(&sha256).finalize() != tag {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what this host has written"));
        }
        Ok(Compiled { component: deserialize(engine, path)?, sha256 })
    }
}

/// Loads compiled code.
#[allow(unsafe_code, reason = "the one place: tests/arch proves it")]
fn deserialize(engine: &Engine, path: &Path) -> io::Result<Component> {
    // SAFETY: the whole file was checked against a tag that only this host can make, over code that wasmtime has written
    // here, and lies in a folder that no other user can open. wasmtime itself refuses code of another version.
    unsafe { Component::deserialize_file(engine, path) }.map_err(|error| io::Error::other(format!("{error:#}")))
}

/// Writes a file that appears whole or not at all, readable by this user alone.
fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    parts.iter().try_for_each(|part| io::Write::write_all(&mut file, part))?;
    fs::rename(&temporary, path)
}

/// Turns what makes two engines different into a digest.
struct Version(blake3::Hasher);

impl Hasher for Version {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.finalize();
        u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
    }
}
