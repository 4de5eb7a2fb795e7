//! Content on its way out.
//!
//! A content that is read from its beginning is checked against its BLAKE3, and ends in an error when it is damaged.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use tokio::task::JoinHandle;

use super::layout::Layout;
use super::readers::index;
use super::row;
use super::row::Stored;
use super::schema::Place;
use crate::asset::AssetId;
use crate::asset::ContentDigest;
use crate::limits;
use crate::store::Arrival;
use crate::store::Content;
use crate::store::ContentStream;
use crate::store::ReadError;

/// Where a content was found.
pub(super) enum Found {
    /// There is no such asset, or its content is not here.
    Nothing,
    /// The index says that it is here, but there is no file.
    Lost(Stored),
    Here(Stored, Source),
}

/// The bytes of a content, wherever they are.
pub(super) enum Source {
    Bytes(Bytes),
    File(File, PathBuf),
}

/// What opening a content has come to.
pub(super) enum Opened {
    Nothing,
    /// There is no file, although the index said so at this arrival.
    Lost(Arrival),
    Content(Content),
}

/// Finds a content; row and small content are of one state of the index.
pub(super) fn find(connection: &Connection, layout: &Layout, id: &AssetId) -> Result<Found, ReadError> {
    let Some(stored) = row::by_id(connection, id).map_err(index)? else { return Ok(Found::Nothing) };
    if !stored.presence.is_here() {
        return Ok(Found::Nothing);
    }
    let flat = layout.flat(&stored.key, &stored.extension);
    let paths = match stored.place {
        Place::Index => {
            let bytes = small(connection, stored.number).map_err(index)?;
            return Ok(match bytes {
                Some(bytes) => Found::Here(stored, Source::Bytes(bytes.into())),
                None => Found::Lost(stored),
            });
        }
        Place::Flat => vec![flat],
        // It moves from one to the other before the index says so.
        Place::Spool => whole(connection, layout, stored.number).map_err(index)?.into_iter().chain([flat]).collect(),
    };
    for path in paths {
        match File::open(&path) {
            Ok(file) => return Ok(Found::Here(stored, Source::File(file, path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ReadError::File { path, source }),
        }
    }
    Ok(Found::Lost(stored))
}

pub(super) fn small(connection: &Connection, number: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM small WHERE number = ?1")?;
    statement.query_row([number], |row| row.get(0)).optional()
}

/// The path of a large content that has its spool name.
pub(super) fn whole(connection: &Connection, layout: &Layout, number: i64) -> rusqlite::Result<Option<PathBuf>> {
    let mut statement = connection.prepare_cached("SELECT name FROM whole WHERE number = ?1")?;
    let name: Option<String> = statement.query_row([number], |row| row.get(0)).optional()?;
    Ok(name.map(|name| layout.spool.join(name)))
}

/// Opens a content from `offset` on. Blocks on the disk.
pub(super) fn open(connection: &Connection, layout: &Layout, id: &AssetId, offset: u64) -> Result<Opened, ReadError> {
    let (stored, source) = match find(connection, layout, id)? {
        Found::Nothing => return Ok(Opened::Nothing),
        Found::Lost(stored) => return Ok(Opened::Lost(stored.arrival)),
        Found::Here(stored, source) => (stored, source),
    };
    let key = stored.key;
    let offset = offset.min(key.size);
    let stream = match source {
        Source::Bytes(bytes) => whole_stream(&stored, &bytes, offset),
        Source::File(mut file, path) => {
            let error = |source| ReadError::File { path: path.clone(), source };
            if file.metadata().map_err(error)?.len() != key.size {
                stream::iter([Err(ReadError::Damaged(key.id))]).boxed()
            } else if key.size <= limits::SMALL_CONTENT_BYTES {
                let mut bytes =
                    Vec::with_capacity(usize::try_from(key.size).expect("a small content fits into memory"));
                file.take(key.size).read_to_end(&mut bytes).map_err(error)?;
                whole_stream(&stored, &bytes.into(), offset)
            } else {
                file.seek(SeekFrom::Start(offset)).map_err(error)?;
                let hasher = (offset == 0).then(blake3::Hasher::new);
                file_stream(Walk { file, path, id: key.id, digest: stored.content, left: key.size - offset, hasher })
            }
        }
    };
    Ok(Opened::Content(Content { key, digest: stored.content, offset, stream }))
}

/// Hands out a small content; damaged, it is not handed out at all.
fn whole_stream(stored: &Stored, bytes: &Bytes, offset: u64) -> ContentStream {
    let piece = if ContentDigest::of(bytes) == stored.content {
        let start = usize::try_from(offset).expect("a small content fits into memory");
        Ok(bytes.slice(start..))
    } else {
        Err(ReadError::Damaged(stored.key.id))
    };
    let nothing = piece.as_ref().is_ok_and(Bytes::is_empty);
    stream::iter((!nothing).then_some(piece)).boxed()
}

/// A file that is being read.
struct Walk {
    file: File,
    path: PathBuf,
    id: AssetId,
    digest: ContentDigest,
    left: u64,
    /// Only when it is read from the beginning.
    hasher: Option<blake3::Hasher>,
}

/// What comes next of a file.
enum Next {
    /// Nothing was asked for yet.
    Begin(Box<Walk>),
    /// A blocking thread reads ahead.
    Reading(Reading),
}

type Reading = JoinHandle<(Result<Bytes, ReadError>, Box<Walk>)>;

/// Hands out a file in pieces; while they are taken, the next stretch of it is read.
fn file_stream(walk: Walk) -> ContentStream {
    let stretches = stream::unfold(Some(Next::Begin(Box::new(walk))), |next| async move {
        let reading = match next? {
            Next::Begin(walk) if walk.left == 0 => return None,
            Next::Begin(walk) => walk.read_ahead(),
            Next::Reading(reading) => reading,
        };
        match reading.await {
            Ok((Ok(stretch), walk)) => Some((Ok(stretch), (walk.left > 0).then(|| Next::Reading(walk.read_ahead())))),
            Ok((Err(error), _)) => Some((Err(error), None)),
            Err(error) => Some((Err(ReadError::Index(error.into())), None)),
        }
    });
    let pieces = |stretch: Result<Bytes, ReadError>| {
        let (mut rest, error) = stretch.map_or_else(|error| (Bytes::new(), Some(Err(error))), |rest| (rest, None));
        let pieces = std::iter::from_fn(move || {
            let piece = rest.split_to(rest.len().min(limits::CONTENT_CHUNK_BYTES));
            (!piece.is_empty()).then_some(Ok(piece))
        });
        stream::iter(pieces.chain(error))
    };
    stretches.flat_map(pieces).boxed()
}

impl Walk {
    fn read_ahead(mut self: Box<Self>) -> Reading {
        tokio::task::spawn_blocking(move || {
            let stretch = self.next();
            (stretch, self)
        })
    }

    /// Reads the next stretch; the last one is handed out only when the whole is sound.
    fn next(&mut self) -> Result<Bytes, ReadError> {
        let length = self.left.min(limits::CONTENT_STRETCH_BYTES as u64);
        let mut stretch = Vec::with_capacity(usize::try_from(length).expect("a stretch fits into memory"));
        let read = (&self.file).take(length).read_to_end(&mut stretch);
        let read = read.map_err(|source| ReadError::File { path: self.path.clone(), source })?;
        if (read as u64) < length {
            return Err(ReadError::Damaged(self.id));
        }
        self.left -= length;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&stretch);
            if self.left == 0 && hasher.finalize().as_bytes() != self.digest.as_bytes() {
                return Err(ReadError::Damaged(self.id));
            }
        }
        Ok(stretch.into())
    }
}
