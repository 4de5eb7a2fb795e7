//! Where things lie under the storage root, and how the flat files are named.
//!
//! ```text
//! {timestamp}_{hash}.{ext}          one flat file per asset, trashed ones too
//! .can.db                           the index
//! .spool/{random}.ingest            on its way in, id not known yet; removed at start
//! .spool/{timestamp}_{hash}.part    on its way in from a peer; kept over a restart
//! .spool/{timestamp}_{hash}.{random}.whole   durable, not yet at its final name; the index knows it
//! .trash/quarantine/                contents that did not match their ids, for people to look at; never read again
//! .thumbs/                          kept for the CAN Service, not used
//! ```

use std::path::Path;
use std::path::PathBuf;

use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::asset::names;
use crate::limits;

/// The folders of one store.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
    pub(super) spool: PathBuf,
    pub(super) quarantine: PathBuf,
    pub(super) thumbs: PathBuf,
    pub(super) index: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            spool: root.join(".spool"),
            quarantine: root.join(".trash").join("quarantine"),
            thumbs: root.join(".thumbs"),
            index: root.join(".can.db"),
        }
    }

    pub(super) fn flat(&self, key: &AssetKey, extension: &str) -> PathBuf {
        self.root.join(flat_name(key, extension))
    }
}

/// The name of an asset's flat file.
pub(super) fn flat_name(key: &AssetKey, extension: &str) -> String {
    let dot = if extension.is_empty() { "" } else { "." };
    format!("{}_{}{dot}{extension}", key.timestamp, key.id)
}

/// A name for a flat file of an asset of which not even the extension is known, not taken yet.
pub(super) fn free_flat(root: &Path, timestamp: Timestamp, id: &AssetId) -> PathBuf {
    let name = format!("{timestamp}_{id}");
    let plain = root.join(&name);
    if plain.exists() { root.join(format!("{name}.{}", random_suffix())) } else { plain }
}

/// Tells whether a file in the spool folder is a large content that is durable.
pub(super) fn is_whole(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, suffix)| suffix == "whole")
}

/// How the index names a file in the spool folder, where it names files below the root.
pub(super) fn name_in_spool(name: &str) -> String {
    format!(".spool/{name}")
}

/// Reads timestamp and id from the name of a flat file, or of a whole one in the spool.
pub(super) fn parse_name(name: &str) -> Option<(Timestamp, AssetId)> {
    let (timestamp, rest) = name.split_once('_')?;
    if timestamp.len() != 13 || !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let id = rest.split('.').next()?;
    if id.len() != 64 || id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    Some((Timestamp::new(timestamp.parse().ok()?).ok()?, id.parse().ok()?))
}

/// The extension that a flat file gets from the asset's file name, for people; empty when there is none that is safe.
pub(super) fn extension(document: &LocalDocument) -> String {
    let name = document.value(names::FILE_NAME).text().unwrap_or_default();
    match name.rsplit_once('.') {
        Some((_, extension))
            if extension.len() <= limits::EXTENSION_CHARS && extension.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            extension.to_ascii_lowercase()
        }
        _ => String::new(),
    }
}

/// How many bytes are free on the file system of a path, for this user; plenty when it does not count them.
pub(super) fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let free = rustix::fs::statvfs(path)?;
    if free.f_blocks == 0 {
        return Ok(u64::MAX);
    }
    Ok(free.f_bavail.saturating_mul(free.f_frsize))
}

/// Eight random bytes in hex, so that two files never share a name.
pub(super) fn random_suffix() -> String {
    let mut name = [0; 8];
    getrandom::fill(&mut name).expect("the operating system has randomness");
    data_encoding::HEXLOWER.encode(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Changes;

    #[test]
    fn names_read_back_and_extensions_are_safe() {
        let id = AssetId::from_bytes([0xab; 32]);
        let key = AssetKey { id, timestamp: Timestamp::new(1_700_000_000_000).unwrap(), size: 1 };
        for (file_name, expected) in [
            ("photo.JPG", "jpg"),
            ("archive.tar.gz", "gz"),
            ("no extension", ""),
            ("../../x.p/../ng", ""),
            ("nul.p\0g", ""),
            ("a.12345678901234567", ""),
            (".", ""),
        ] {
            let mut document = LocalDocument::default();
            document.see(&Changes::new().set(names::FILE_NAME, file_name));
            let name = flat_name(&key, &extension(&document));
            assert_eq!(name, flat_name(&key, expected));
            assert_eq!(parse_name(&name), Some((key.timestamp, id)));
        }
        for other in [".can.db", "1_2", "170000000000x_ab", "1700000000000_abc"] {
            assert_eq!(parse_name(other), None);
        }
    }
}
