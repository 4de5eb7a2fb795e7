//! Hashing contents again, on demand and slowly by itself, and moving aside what is wrong.

use std::io;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::index;
use super::index::Index;
use super::reading;
use super::reading::Found;
use super::reading::Source;
use super::row;
use super::row::Stored;
use super::row::signed;
use super::schema::Place;
use super::store::Inner;
use crate::asset::AssetId;
use crate::asset::Verifier;
use crate::event::Event;
use crate::limits;
use crate::store::Disk;
use crate::store::Presence;
use crate::store::ReadError;
use crate::store::Verification;
use crate::store::WriteError;
use crate::task;
use crate::telemetry::causes;

/// Verifies one asset. What is wrong with it alone is an answer, so that it keeps no other from being verified.
pub(super) async fn one(inner: &Arc<Inner>, id: AssetId) -> Result<Option<Verification>, ReadError> {
    match look_at(inner, id).await {
        Err(error) if error.is_about_one() => Ok(Some(Verification::Unreadable { reason: causes(&error) })),
        other => other,
    }
}

/// Hashes one asset; a content that changes while it is hashed is hashed again.
async fn look_at(inner: &Arc<Inner>, id: AssetId) -> Result<Option<Verification>, ReadError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let layout = inner.layout.clone();
        let exists = move |connection: &rusqlite::Connection| {
            let found = reading::find(connection, &layout, &id)?;
            let known = row::by_id(connection, &id).map_err(index_error)?.is_some();
            Ok((found, known))
        };
        let (found, known) = inner.read(exists).await?;
        let (stored, source) = match found {
            Found::Nothing => return Ok(known.then_some(Verification::Missing)),
            Found::Lost(stored) => {
                if set_aside(inner, stored, None).await?.is_some() || tries >= limits::VERIFY_TRIES {
                    return Ok(Some(Verification::Missing));
                }
                continue;
            }
            Found::Here(stored, source) => (stored, source),
        };
        let key = stored.key;
        let hashed = tokio::task::spawn_blocking(move || hash(&key, source)).await;
        let reason = match hashed.map_err(|error| ReadError::Index(error.into()))?? {
            Ok(bytes) => return Ok(Some(Verification::Sound { bytes })),
            Err(reason) => reason,
        };
        if set_aside(inner, stored, Some(reason.clone())).await?.is_some() {
            return Ok(Some(Verification::Quarantined { reason }));
        }
        if tries >= limits::VERIFY_TRIES {
            return Err(ReadError::Damaged(id));
        }
    }
}

/// Walks everything again and again, slowly: a walk begins `interval` after the one before began, or when that one is
/// over if it took longer. After a restart it goes on where it was.
pub(super) async fn background(inner: Arc<Inner>, interval: Duration, bytes_per_sec: u64) {
    loop {
        let position = inner.read(|connection| position(connection).map_err(index_error)).await;
        let (mut after, began_ms) = position.unwrap_or_default();
        let walked = async {
            if after == 0 {
                tokio::time::sleep(until_next(interval, began_ms, task::now_ms())).await;
                let now = signed(task::now_ms());
                let noted = inner.writer.run(0, move |index| index.set_counter(BEGAN, now));
                noted.await.map_err(|error| ReadError::Index(error.into()))?;
            }
            walk(&inner, &mut after, bytes_per_sec).await
        };
        match walked.await {
            Ok(()) => {}
            Err(ReadError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "the background verification stopped and is tried again later");
                tokio::time::sleep(limits::WRITE_BACK_PAUSE.1).await;
            }
        }
    }
}

/// How long to wait for the next walk. A clock that was set back holds it up by one interval at most.
fn until_next(interval: Duration, began_ms: u64, now_ms: u64) -> Duration {
    interval.saturating_sub(Duration::from_millis(now_ms.saturating_sub(began_ms)))
}

/// Counter: behind which row the walk is; 0 between two walks.
const AFTER: &str = "verify_after";

/// Counter: when the last walk began, in Unix milliseconds.
pub(super) const BEGAN: &str = "verify_began_ms";

/// Where the walk is, and when the last one began in Unix milliseconds; zero when none has.
fn position(connection: &rusqlite::Connection) -> rusqlite::Result<(i64, u64)> {
    let value = |name: &str| {
        let mut statement = connection.prepare_cached("SELECT value FROM counter WHERE name = ?1")?;
        let mut rows = statement.query([name])?;
        rows.next()?.map_or(Ok(0_i64), |row| row.get(0))
    };
    Ok((value(AFTER)?, value(BEGAN)?.cast_unsigned()))
}

async fn walk(inner: &Arc<Inner>, after: &mut i64, bytes_per_sec: u64) -> Result<(), ReadError> {
    loop {
        let from = *after;
        let rows = inner.read(move |c| row::numbered(c, from, limits::VERIFY_ROWS).map_err(index_error)).await?;
        let ended = rows.is_empty();
        let mut hashed = 0;
        for (number, id) in rows {
            let bytes = match one(inner, id).await? {
                Some(Verification::Sound { bytes }) => bytes,
                Some(Verification::Unreadable { reason }) => {
                    tracing::warn!(asset = %id, reason, "an asset cannot be verified");
                    0
                }
                _ => 0,
            };
            *after = number;
            hashed += bytes;
            if hashed >= limits::VERIFY_NOTED_BYTES {
                // A machine that is off every night would begin at the same large files again.
                hashed = 0;
                note(inner, number).await?;
            }
            let millis = bytes.saturating_mul(1000) / bytes_per_sec.max(1);
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        note(inner, if ended { 0 } else { *after }).await?;
        if ended {
            *after = 0;
            return Ok(());
        }
    }
}

/// Writes down behind which row it goes on.
async fn note(inner: &Inner, after: i64) -> Result<(), ReadError> {
    let noted = inner.writer.run(0, move |index| index.set_counter(AFTER, after));
    noted.await.map_err(|error| ReadError::Index(error.into()))
}

/// Hashes a content whole; the inner error says what is wrong with it. What the disk cannot read any more is as good as
/// damaged.
pub(super) fn hash(key: &crate::asset::AssetKey, source: Source) -> Result<Result<u64, String>, ReadError> {
    let mut verifier = Verifier::new(key.timestamp);
    match source {
        Source::Bytes(bytes) => verifier.update(&bytes),
        Source::File(mut file, path) => match read_into(&mut verifier, &mut file) {
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                return Ok(Err(format!("the disk cannot read it: {error}")));
            }
            read => read.map_err(|source| ReadError::File { path, source })?,
        },
    }
    Ok(verifier.finish(&key.id).map(|verified| verified.key().size).map_err(|mismatch| mismatch.to_string()))
}

/// Hashes a file to its end.
pub(super) fn read_into(verifier: &mut Verifier, file: &mut impl Read) -> io::Result<()> {
    let mut piece = vec![0; limits::CONTENT_CHUNK_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(n) => verifier.update(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Notes a content as gone (no reason) or damaged, and moves it aside; none when the asset has changed meanwhile.
async fn set_aside(inner: &Arc<Inner>, stored: Stored, reason: Option<String>) -> Result<Option<()>, ReadError> {
    let (this, id, damaged) = (Arc::clone(inner), stored.key.id, reason.is_some());
    let done = inner.writer.run(0, move |index| move_aside(index, &this, &stored, damaged)).await;
    let done = done.map_err(|error| match error {
        WriteError::File { path, source } => ReadError::File { path, source },
        WriteError::Read(error) => error,
        error => ReadError::Index(error.into()),
    })?;
    if done.is_some()
        && let Some(reason) = reason
    {
        announce(inner, id, reason);
    }
    Ok(done)
}

/// The same for a damaged content, from the thread of the write-back.
pub(super) fn set_aside_blocking(inner: &Arc<Inner>, stored: &Stored, reason: String) -> Result<(), WriteError> {
    let (this, id, stored) = (Arc::clone(inner), stored.key.id, stored.clone());
    let done = inner.writer.run_blocking(0, move |index| move_aside(index, &this, &stored, true))?;
    if done.is_some() {
        announce(inner, id, reason);
    }
    Ok(())
}

fn announce(inner: &Inner, id: AssetId, reason: String) {
    tracing::error!(asset = %id, reason, "a damaged content was moved aside");
    (inner.notice)(Event::AssetQuarantined { id, reason });
}

/// Runs in the writer, so that no put brings the content back while its file is moved.
fn move_aside(index: &mut Index<'_>, inner: &Inner, seen: &Stored, damaged: bool) -> Result<Option<()>, WriteError> {
    let Some(stored) = index.find(&seen.key.id)? else { return Ok(None) };
    if stored.arrival != seen.arrival || !stored.presence.is_here() {
        return Ok(None);
    }
    let presence = if damaged { Presence::Quarantined } else { Presence::Missing };
    if !damaged {
        index.lose(&stored, presence)?;
        return Ok(Some(()));
    }
    let layout = &inner.layout;
    let flat = layout.flat(&stored.key, &stored.extension);
    let suffix = super::layout::random_suffix();
    let aside = layout.quarantine.join(format!("{}_{}.{suffix}", stored.key.timestamp, stored.key.id));
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError::File { path, source }
    };
    let bytes = reading::small(index.connection(), stored.number).map_err(index::write)?;
    let whole = reading::whole(index.connection(), layout, stored.number).map_err(index::write)?;
    // The row first: what cannot be noted is not moved.
    index.lose(&stored, presence)?;
    if stored.place == Place::Index {
        write_aside(&inner.disk, &aside, &bytes.unwrap_or_default()).map_err(error(&aside))?;
    } else {
        for path in whole.into_iter().chain([flat]) {
            match inner.disk.rename(&path, &aside) {
                Ok(()) => break,
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(error(&path)(source)),
            }
        }
    }
    Ok(Some(()))
}

fn write_aside(disk: &Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(path)?;
    disk.write(&file, bytes)
}

fn index_error(source: rusqlite::Error) -> ReadError {
    super::readers::index(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_begins_one_interval_after_the_last_one_began() {
        let hours = |hours: u64| Duration::from_hours(hours);
        let at = |after_hours: u64| 1_700_000_000_000 + after_hours * 3_600_000;
        for (began, now, waits) in [
            (0, at(0), hours(0)),
            (at(0), at(0), hours(12)),
            (at(0), at(5), hours(7)),
            (at(0), at(12), hours(0)),
            (at(0), at(30), hours(0)),
            (at(5), at(0), hours(12)),
        ] {
            assert_eq!(until_next(hours(12), began, now), waits, "began {began}, now {now}");
        }
    }
}
