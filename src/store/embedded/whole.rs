//! A large content that is whole and durable, and waits in the spool folder for its row.

use std::path::Path;
use std::path::PathBuf;

use super::layout;
use crate::asset::AssetKey;
use crate::store::Disk;
use crate::store::SpoolFile;
use crate::store::WriteError;

/// The file. Dropped before its row is committed, it is removed.
#[derive(Debug)]
pub(super) struct Whole {
    dir: PathBuf,
    name: String,
    keep: bool,
}

impl Whole {
    /// Makes a spool file durable under a name that tells whose it is. Blocks on the disk.
    pub(super) fn from_spool(disk: &Disk, dir: &Path, key: &AssetKey, file: SpoolFile) -> Result<Self, WriteError> {
        let error = |path: &Path| {
            let path = path.to_owned();
            move |source| WriteError::File { path, source }
        };
        disk.sync(file.file()).map_err(error(file.path()))?;
        let name = format!("{}_{}.{}.whole", key.timestamp, key.id, layout::random_suffix());
        let path = dir.join(&name);
        file.store_as(&path).map_err(error(&path))?;
        let whole = Self { dir: dir.to_owned(), name, keep: false };
        disk.sync_dir(dir).map_err(error(dir))?;
        Ok(whole)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Leaves the file where it is: a row knows it, or may know it.
    pub(super) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.keep {
            // A file that stays behind has no row and is removed at the next start.
            let _ = std::fs::remove_file(self.dir.join(&self.name));
        }
    }
}
