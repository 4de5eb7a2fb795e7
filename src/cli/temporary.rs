//! A folder for as long as a command runs.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use data_encoding::HEXLOWER;

use crate::task;

/// A folder of one's own that goes when the command ends. Nobody can have made it before, and nobody else can open it.
#[derive(Debug)]
pub(super) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one in the temporary folder of the system; `purpose` is part of its name.
    pub(super) fn make(purpose: &str) -> anyhow::Result<Self> {
        let name = format!("can-sync-{purpose}-{}", HEXLOWER.encode(&task::random::<8>()));
        let path = std::env::temp_dir().join(name);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary folder, where it is cleaned up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
