//! Making a new index from the files.
//!
//! The name of a flat file gives timestamp and id, its bytes are hashed whole, its attribute gives the document. A large
//! content that waits in the spool folder for its final name has all of that but the attribute, and is taken as well,
//! whether or not an index still knows it. What the old index can still tell is taken too: small contents that were not
//! flat files yet, documents that an attribute has only in part, what was purged and whose file is not gone yet, and
//! assets whose content was missing or is not found now, which are missing in the new index, so that they are not
//! forgotten. Where an attribute does not say all that the new index does, the write-back writes it again, so that the
//! next rebuild finds it too. The old index is renamed, never deleted.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::types::FromSql;

use super::attribute;
use super::index::Index;
use super::index::LabelNumbers;
use super::index::Sums;
use super::layout;
use super::layout::Layout;
use super::open;
use super::open::OpenError;
use super::reading;
use super::row;
use super::schema;
use super::verify;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::ContentDigest;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::limits;
use crate::store::Arrival;
use crate::store::Disk;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::Record;
use crate::store::WriteError;
use crate::task;

/// What a rebuild has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Assets in the new index.
    pub assets: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Assets that the old index knew and whose content is not here; the new one knows them as missing.
    pub missing: u64,
    /// Where the old index is now; `None` when there was none.
    pub old_index: Option<PathBuf>,
    /// What could not be recovered, or not whole.
    pub unrecovered: Vec<Unrecovered>,
}

/// Something a rebuild could not recover.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unrecovered {
    /// The content is sound, its metadata is lost.
    Document(AssetId),
    /// The content is sound, some fields of its metadata are lost.
    Fields {
        /// Of which asset.
        id: AssetId,
        /// How many fields.
        count: u16,
        /// The names of the first of them.
        names: Vec<String>,
    },
    /// A file that is not what its name says, or cannot be read. It was left where it is, and is not in the index.
    Content {
        /// Which file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}

/// The index could not be rebuilt. The old one is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new index could not be written.
    #[error("cannot write the new index {path}")]
    Index {
        /// Which index.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// There is nothing to rebuild it from.
    #[error("there is no store in {path}: neither an index nor contents; `storage_root` names the folder", path = path.display())]
    NoStore {
        /// Which folder.
        path: PathBuf,
    },
    /// A file could not be used.
    #[error("cannot use {path}; look at its rights and at the disk, and run it again")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Builds a new index beside the old one and puts it in its place; `progress` is told the assets done so far.
/// Blocks, for as long as hashing all contents takes. The store must be closed.
///
/// # Errors
/// [`RebuildError`] when the folder is in use or cannot be written; the old index stays in place then.
pub fn rebuild(storage_root: &Path, disk: &Disk, mut progress: impl FnMut(u64)) -> Result<Rebuilt, RebuildError> {
    let layout = Layout::new(storage_root);
    if !is_store(&layout) {
        return Err(RebuildError::NoStore { path: storage_root.to_owned() });
    }
    let lock = open::lock(&layout, disk)?;
    let new = storage_root.join(".can.db.new");
    let at_new = |source| RebuildError::Index { path: new.clone(), source };
    for suffix in ["", "-wal", "-shm"] {
        let path = with_suffix(&new, suffix);
        disk.remove(&path).map_err(at(&path))?;
    }
    let old = Old::open(&layout);
    let mut rebuilt = Rebuilt::default();
    let purged = old.purged();
    old.save_contents(&layout, disk, &mut rebuilt)?;
    save_whole(&layout, disk, &purged)?;

    let mut connection = schema::make(&new).map_err(at_new)?;
    let prepared = schema::prepare(&mut connection, task::now_ms()).map_err(at_new)?;
    if let Err(schema::Newer(found)) = prepared {
        return Err(OpenError::Newer { path: new, found, known: schema::VERSION }.into());
    }
    let mut labels = LabelNumbers::new();
    let mut batch = Vec::new();
    for entry in std::fs::read_dir(storage_root).map_err(at(storage_root))? {
        let entry = entry.map_err(at(storage_root))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !purged.contains(*name)) else { continue };
        let Some((timestamp, id)) = layout::parse_name(name) else { continue };
        let path = entry.path();
        match examine(&path, timestamp, id) {
            Err(reason) => rebuilt.unrecovered.push(Unrecovered::Content { path, reason }),
            Ok((key, content)) => batch.push(describe(&path, key, content, &old, &mut rebuilt)),
        }
        if batch.len() >= limits::WRITES_PER_COMMIT {
            write(&connection, &mut labels, &mut batch, &mut rebuilt).map_err(at_new)?;
            progress(rebuilt.assets);
        }
    }
    write(&connection, &mut labels, &mut batch, &mut rebuilt).map_err(at_new)?;
    let mut after = 0;
    while let Some((last, missing)) = old.not_in(&connection, after).map_err(at_new)? {
        after = last;
        batch = missing;
        write(&connection, &mut labels, &mut batch, &mut rebuilt).map_err(at_new)?;
    }
    doom(&connection, &purged).map_err(at_new)?;
    progress(rebuilt.assets);
    // The log goes into the index, so that one file is the whole of it.
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(at_new)?;
    connection.close().map_err(|(_, source)| at_new(source))?;
    drop(old);
    rebuilt.old_index = swap(&layout, disk, &new)?;
    for unrecovered in &mut rebuilt.unrecovered {
        if let (Unrecovered::Content { path, .. }, Some(old)) = (unrecovered, &rebuilt.old_index)
            && *path == layout.index
        {
            path.clone_from(old);
        }
    }
    drop(lock);
    Ok(rebuilt)
}

/// Tells whether somebody has kept a store in a folder, or contents lie in it. A new and empty store in the wrong folder
/// would look as if all had gone well.
fn is_store(layout: &Layout) -> bool {
    let is_content = |entry: io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(|name| layout::parse_name(name).is_some()))
    };
    let has_content = || std::fs::read_dir(&layout.root).is_ok_and(|mut entries| entries.any(is_content));
    layout.index.exists() || layout.spool.exists() || has_content()
}

/// Gives large contents that wait in the spool folder their final names. Where no index knows them, one of them may be
/// all that is left of an asset.
fn save_whole(layout: &Layout, disk: &Disk, purged: &HashSet<String>) -> Result<(), RebuildError> {
    for entry in std::fs::read_dir(&layout.spool).map_err(at(&layout.spool))? {
        let entry = entry.map_err(at(&layout.spool))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| layout::is_whole(name)) else { continue };
        let Some((timestamp, id)) = layout::parse_name(name) else { continue };
        if !purged.contains(&layout::name_in_spool(name)) {
            // A second one of the same asset is as good as the first, if it is sound; which is not known yet.
            let to = layout::free_flat(&layout.root, timestamp, &id);
            disk.rename(&entry.path(), &to).map_err(at(&to))?;
        }
    }
    Ok(())
}

/// Has the write-back remove the files of what was purged.
fn doom(connection: &Connection, purged: &HashSet<String>) -> rusqlite::Result<()> {
    let mut insert = connection.prepare("INSERT OR IGNORE INTO doomed VALUES (?1)")?;
    purged.iter().try_for_each(|name| insert.execute([name]).map(drop))
}

/// Puts the new index in the place of the old one, which gets a name of its own. Where that fails, the old one is in its
/// place again.
///
/// There is an index at any time, the old one or the new: what a crash leaves behind is a second name of the one that is in
/// its place. A log is only there where the old one cannot be opened; that one is moved first, as it must not be taken for
/// the new one's.
fn swap(layout: &Layout, disk: &Disk, new: &Path) -> Result<Option<PathBuf>, RebuildError> {
    let old = with_suffix(&layout.index, &format!(".before-{}", task::now_ms()));
    // Where the file system knows no second names, there is none for a moment.
    let has_second = layout.index.exists() && disk.link(&layout.index, &old).is_ok();
    let pairs = ["-wal", "-shm", ""].map(|suffix| (with_suffix(&layout.index, suffix), with_suffix(&old, suffix)));
    let stays = |from: &PathBuf| has_second && *from == layout.index;
    let there: Vec<_> = pairs.into_iter().filter(|(from, _)| from.exists() && !stays(from)).collect();
    let mut swapped = there.iter().try_for_each(|(from, to)| disk.rename(from, to).map_err(at(from)));
    swapped = swapped.and_then(|()| disk.rename(new, &layout.index).map_err(at(new)));
    if swapped.is_err() {
        if has_second && let Err(error) = std::fs::remove_file(&old) {
            tracing::error!(path = %old.display(), %error, "a second name of the index could not be removed");
        }
        for (from, to) in there.iter().rev().filter(|(_, to)| to.exists()) {
            if let Err(error) = std::fs::rename(to, from) {
                tracing::error!(from = %to.display(), to = %from.display(), %error, "the old index is not in its place");
            }
        }
    }
    swapped?;
    disk.sync_dir(&layout.root).map_err(at(&layout.root))?;
    Ok((has_second || !there.is_empty()).then_some(old))
}

/// An asset on its way into the new index.
struct Adopted {
    record: Record,
    extension: String,
    /// Its attribute does not say what its document does.
    is_stale: bool,
}

/// Hashes a file; the error says why it is not the content its name says.
fn examine(path: &Path, timestamp: Timestamp, id: AssetId) -> Result<(AssetKey, ContentDigest), String> {
    let mut verifier = Verifier::new(timestamp);
    let read = File::open(path).and_then(|mut file| verify::read_into(&mut verifier, &mut file));
    // One bad sector is no reason to go without all others.
    read.map_err(|error| format!("it cannot be read: {error}"))?;
    let proof = verifier.finish(&id).map_err(|mismatch| mismatch.to_string())?;
    Ok((proof.key(), proof.content()))
}

/// Finds the document of a sound content.
fn describe(path: &Path, key: AssetKey, content: ContentDigest, old: &Old, rebuilt: &mut Rebuilt) -> Adopted {
    // All of it, as the row must lead to the file.
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let extension = name.split_once('.').map_or("", |(_, extension)| extension).to_owned();
    let (origin, document, is_stale) = match (old.record(&key.id), attribute::get(path)) {
        (Some(Record { origin, document, .. }), found) => {
            let says_all =
                found.is_some_and(|found| (found.missing, found.origin) == (0, origin) && found.document == document);
            (origin, document, !says_all)
        }
        (None, Some(found)) => {
            if found.missing > 0 {
                let (count, names) = (found.missing, found.names);
                rebuilt.unrecovered.push(Unrecovered::Fields { id: key.id, count, names });
            }
            (found.origin, found.document, false)
        }
        (None, None) => {
            rebuilt.unrecovered.push(Unrecovered::Document(key.id));
            (Origin::Here, LocalDocument::default(), false)
        }
    };
    let record = Record { key, content, document, origin, presence: Presence::Here, arrival: Arrival(0) };
    Adopted { record, extension, is_stale }
}

fn write(
    connection: &Connection,
    labels: &mut LabelNumbers,
    batch: &mut Vec<Adopted>,
    rebuilt: &mut Rebuilt,
) -> rusqlite::Result<()> {
    let mut refused = None;
    let sums = Sums::load(connection)?;
    let mut index = Index::new(connection, sums, labels);
    let written = index.write_all(std::iter::once(|index: &mut Index<'_>| {
        let rows = batch.len();
        let mut adopted = batch.drain(..).try_for_each(|adopted| adopt(index, adopted));
        if adopted.is_ok() {
            adopted = index.index_texts(rows);
        }
        refused = adopted.err();
        refused.is_none()
    }));
    if let Some(WriteError::Index(cause)) = refused {
        return Err(cause
            .downcast::<rusqlite::Error>()
            .map_or_else(rusqlite::Error::ToSqlConversionFailure, |error| *error));
    }
    written?;
    let sums = index.committed();
    rebuilt.assets = sums.assets;
    rebuilt.bytes = sums.bytes;
    rebuilt.missing = sums.missing;
    Ok(())
}

fn adopt(index: &mut Index<'_>, adopted: Adopted) -> Result<(), WriteError> {
    let Adopted { record, extension, is_stale } = adopted;
    let id = record.key.id;
    index.adopt(record, &extension)?;
    if is_stale {
        index.run("INSERT OR IGNORE INTO stale SELECT number FROM asset WHERE id = ?1", [id.as_bytes()])?;
    }
    Ok(())
}

/// The index as it was, as far as it can be read.
struct Old(Option<Connection>);

impl Old {
    fn open(layout: &Layout) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&layout.index, flags).ok();
        let version = |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get(0));
        Self(connection.filter(|connection| version(connection).is_ok_and(|found: i64| found == schema::VERSION)))
    }

    fn record(&self, id: &AssetId) -> Option<Record> {
        row::by_id(self.0.as_ref()?, id).ok()??.record().ok()
    }

    /// Reads on behind a row, and returns as missing what the new index does not know; none at the end, or where the
    /// old index cannot be read any further.
    fn not_in(&self, new: &Connection, after: i64) -> rusqlite::Result<Option<(i64, Vec<Adopted>)>> {
        let Some(connection) = &self.0 else { return Ok(None) };
        let rows = row::numbered(connection, after, limits::WRITES_PER_COMMIT).unwrap_or_default();
        let Some((last, _)) = rows.last() else { return Ok(None) };
        let last = *last;
        let mut missing = Vec::new();
        for (number, id) in rows {
            if row::by_id(new, &id)?.is_some() {
                continue;
            }
            let Ok(Some(stored)) = row::by_number(connection, number) else { continue };
            if let Ok(record) = stored.record() {
                let record = Record { presence: Presence::Missing, ..record };
                // It has no file to describe; the one that comes again is described then.
                missing.push(Adopted { record, extension: stored.extension, is_stale: false });
            }
        }
        Ok(Some((last, missing)))
    }

    /// The files of what was purged and is not removed yet, as the index names them.
    fn purged(&self) -> HashSet<String> {
        // What cannot be read of it comes back, which is better than that something else goes.
        let names = self.0.as_ref().map(|connection| column(connection, "SELECT name FROM doomed").0);
        names.unwrap_or_default().into_iter().collect()
    }

    /// Makes flat files of the contents that only the old index has or knows.
    fn save_contents(&self, layout: &Layout, disk: &Disk, rebuilt: &mut Rebuilt) -> Result<(), RebuildError> {
        let Some(connection) = &self.0 else { return Ok(()) };
        let mut lost = |path: &Path, reason: String| {
            rebuilt.unrecovered.push(Unrecovered::Content { path: path.to_owned(), reason });
        };
        for table in ["small", "whole"] {
            let (numbers, ended) = column::<i64>(connection, &format!("SELECT number FROM {table}"));
            if let Some(error) = ended {
                lost(&layout.index, format!("the old index tells only some of its contents: {error}"));
            }
            for number in numbers {
                let stored = match row::by_number(connection, number) {
                    Ok(Some(stored)) => stored,
                    Ok(None) => continue,
                    Err(error) => {
                        lost(&layout.index, format!("an asset of the old index cannot be read: {error}"));
                        continue;
                    }
                };
                let to = layout.flat(&stored.key, &stored.extension);
                if table == "whole" {
                    // One whose name cannot be read is found in the spool folder all the same.
                    if let Ok(Some(from)) = reading::whole(connection, layout, number) {
                        rename_if_there(disk, &from, &to)?;
                    }
                    continue;
                }
                match reading::small(connection, number) {
                    Ok(Some(bytes)) if ContentDigest::of(&bytes) == stored.content => {
                        disk.remove(&to).map_err(at(&to))?;
                        let file = disk.create(&to).map_err(at(&to))?;
                        disk.write(&file, &bytes).map_err(at(&to))?;
                        disk.sync(&file).map_err(at(&to))?;
                    }
                    Ok(Some(_)) => lost(&to, "its bytes in the old index do not match their digest".to_owned()),
                    Ok(None) => {}
                    Err(error) => lost(&to, format!("its bytes in the old index cannot be read: {error}")),
                }
            }
        }
        Ok(())
    }
}

/// A column of a table of the old index, as far as it can be read, and why that was not all.
fn column<T: FromSql>(connection: &Connection, sql: &str) -> (Vec<T>, Option<rusqlite::Error>) {
    let mut values = Vec::new();
    let mut reading = || {
        let mut statement = connection.prepare(sql)?;
        for value in statement.query_map([], |row| row.get(0))? {
            values.push(value?);
        }
        Ok(())
    };
    let ended = reading().err();
    (values, ended)
}

fn rename_if_there(disk: &Disk, from: &Path, to: &Path) -> Result<(), RebuildError> {
    match disk.rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(at(to)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RebuildError {
    let path = path.to_owned();
    move |source| RebuildError::File { path, source }
}
