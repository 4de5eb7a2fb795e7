//! What plugins answered, so that nobody is asked twice about the same thing, and people can see it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::OptionalExtension;
use rusqlite::Row;

use super::Answered;
use super::State;
use super::StateError;
use crate::asset::AssetId;
use crate::asset::HostId;
use crate::hook::Chain;
use crate::hook::Point;
use crate::hook::Standing;

/// BLAKE3 of everything that those who were asked have been shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerdictKey(pub [u8; 32]);

impl fmt::Debug for VerdictKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerdictKey({})", data_encoding::HEXLOWER.encode(&self.0[..5]))
    }
}

/// The latest answer about an asset at one point, and for one peer where the point has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which asset.
    pub asset: AssetId,
    /// Where it was asked about.
    pub point: Point,
    /// Who had offered it.
    pub peer: Option<HostId>,
    /// What was shown.
    pub key: VerdictKey,
    /// Who was asked.
    pub chain: Chain,
    /// How long it stands; only what is firm may be used again.
    pub standing: Standing,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// What was answered.
    pub answered: Answered,
}

/// Which answers about an asset to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// That before a push.
    Push,
    /// Those about what this peer offered.
    From(HostId),
    /// Those after a receive, of whomever.
    Received,
    /// All of them.
    All,
}

impl State {
    /// Looks up the latest answers about some assets.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses or an answer cannot be understood.
    pub async fn verdicts(&self, wanted: Vec<(AssetId, Wanted)>) -> Result<Vec<Kept>, StateError> {
        if !self.has_verdicts.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT asset, point, peer, key, chain, standing, answered_at, answer FROM verdict
                           WHERE library = ?1 AND asset = ?2 AND point BETWEEN ?3 AND ?4 AND (?5 IS NULL OR peer = ?5)";
                let mut statement = connection.prepare_cached(sql)?;
                let mut found = Vec::new();
                for (asset, wanted) in wanted {
                    let (from, to, peer) = match &wanted {
                        Wanted::Push => (Point::BeforePush, Point::BeforePush, None),
                        Wanted::From(peer) => (Point::BeforePull, Point::AfterReceive, Some(peer.as_bytes())),
                        Wanted::Received => (Point::AfterReceive, Point::AfterReceive, None),
                        Wanted::All => (Point::BeforePush, Point::AfterReceive, None),
                    };
                    let place = (&library, asset.as_bytes(), number(from), number(to), peer);
                    for row in statement.query_map(place, read)? {
                        found.push(row??);
                    }
                }
                Ok(found)
            })
            .await
    }

    /// Keeps answers, each in place of an earlier one at the same place. One at a new place is kept only while there are
    /// less than `room` new ones. Returns how many new ones were kept, and how many found no room; where there is room
    /// for all, nobody looks, and all count as new.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn keep_verdicts(&self, kept: Vec<Kept>, room: u64) -> Result<(u64, u64), StateError> {
        self.has_verdicts.store(true, Ordering::SeqCst);
        let library = Arc::clone(&self.library);
        self.database
            .write(move |connection| {
                let exists = "SELECT 1 FROM verdict WHERE library = ?1 AND asset = ?2 AND point = ?3 AND peer = ?4";
                let sql = "INSERT OR REPLACE INTO verdict
                           (library, asset, point, peer, key, chain, standing, answered_at, answer)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
                let room_for_all = room >= kept.len() as u64;
                let (mut new, mut left_out) = (0, 0);
                let (mut exists, mut insert) = (connection.prepare_cached(exists)?, connection.prepare_cached(sql)?);
                for kept in kept {
                    let peer = kept.peer.as_ref().map_or(&[][..], |peer| peer.as_bytes());
                    let place = (&library, kept.asset.as_bytes(), number(kept.point), peer);
                    if room_for_all || exists.query_row(place, |_| Ok(())).optional()?.is_none() {
                        if new >= room {
                            left_out += 1;
                            continue;
                        }
                        new += 1;
                    }
                    insert.execute((
                        &library,
                        kept.asset.as_bytes(),
                        number(kept.point),
                        peer,
                        kept.key.0,
                        kept.chain.as_bytes(),
                        standing_number(kept.standing),
                        kept.at_ms,
                        kept.answered.encode(),
                    ))?;
                }
                Ok((new, left_out))
            })
            .await
    }

    /// Lets an answer stand for another question than the one it was given to: the version that its own edit has made.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn extend_verdict(
        &self,
        asset: AssetId,
        point: Point,
        from: VerdictKey,
        to: VerdictKey,
    ) -> Result<(), StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .write(move |connection| {
                let sql = "UPDATE verdict SET key = ?1 WHERE library = ?2 AND asset = ?3 AND point = ?4 AND key = ?5";
                let place = (to.0, &library, asset.as_bytes(), number(point), from.0);
                connection.prepare_cached(sql)?.execute(place)?;
                Ok(())
            })
            .await
    }

    /// Lets no answer about some assets stand any longer. They can still be seen until others take their place.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn retire_verdicts(&self, assets: Vec<AssetId>) -> Result<(), StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .write(move |connection| {
                // A key and a chain that nothing has.
                let sql = "UPDATE verdict SET key = zeroblob(32), chain = zeroblob(32)
                           WHERE library = ?1 AND asset = ?2";
                for asset in assets {
                    connection.prepare_cached(sql)?.execute((&library, asset.as_bytes()))?;
                }
                Ok(())
            })
            .await
    }

    /// Counts the answers that are kept.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn count_verdicts(&self) -> Result<u64, StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT count(*) FROM verdict WHERE library = ?1";
                Ok(connection.prepare_cached(sql)?.query_row([&library], |row| row.get(0))?)
            })
            .await
    }

    /// Forgets what others than the chains of today (before a push, before a pull, after a receive) answered, among the
    /// next `rows` answers behind an asset. Returns where that stretch ended, if it was not the last, and how many went.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn prune_verdicts(
        &self,
        chains: [Option<Chain>; 3],
        after: AssetId,
        rows: usize,
    ) -> Result<(Option<AssetId>, u64), StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .write(move |connection| {
                let sql = "SELECT asset FROM verdict WHERE library = ?1 AND asset > ?2 ORDER BY asset
                           LIMIT 1 OFFSET ?3";
                let place = (&library, after.as_bytes(), rows.saturating_sub(1));
                let end: Option<[u8; 32]> =
                    connection.prepare_cached(sql)?.query_row(place, |row| row.get(0)).optional()?;
                // Without an end, everything behind the asset belongs to the stretch.
                let last = end.unwrap_or([0xff; 32]);
                let sql = "DELETE FROM verdict WHERE library = ?1 AND asset > ?2 AND asset <= ?3
                           AND chain IS NOT CASE point WHEN 0 THEN ?4 WHEN 1 THEN ?5 ELSE ?6 END";
                let [push, pull, receive] = chains.map(|chain| chain.map(|chain| *chain.as_bytes()));
                let stretch = (&library, after.as_bytes(), last, push, pull, receive);
                let gone = connection.prepare_cached(sql)?.execute(stretch)?;
                Ok((end.map(AssetId::from_bytes), gone as u64))
            })
            .await
    }

    /// Returns assets behind one that a plugin could not be asked about and its policy answered for, except before a
    /// pull: by id, at most `limit`.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn absent(&self, after: AssetId, limit: usize) -> Result<Vec<AssetId>, StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT asset FROM verdict WHERE library = ?1 AND asset > ?2 AND standing = 2 AND point <> 1
                           UNION
                           SELECT asset FROM decision
                           WHERE library = ?1 AND asset > ?2 AND way = 'push' AND standing = 'absent'
                           ORDER BY asset LIMIT ?3";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map((&library, after.as_bytes(), limit), |row| row.get(0))?;
                Ok(rows.map(|row| row.map(AssetId::from_bytes)).collect::<Result<_, _>>()?)
            })
            .await
    }
}

const fn number(point: Point) -> u8 {
    match point {
        Point::BeforePush => 0,
        Point::BeforePull => 1,
        Point::AfterReceive => 2,
    }
}

const fn standing_number(standing: Standing) -> u8 {
    match standing {
        Standing::Firm => 0,
        Standing::Failed => 1,
        Standing::Absent => 2,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<Kept, StateError>> {
    let (peer, answer): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(7)?);
    let (point, standing): (u8, u8) = (row.get(1)?, row.get(5)?);
    let (asset, key, chain): ([u8; 32], [u8; 32], [u8; 32]) = (row.get(0)?, row.get(3)?, row.get(4)?);
    let at_ms = row.get(6)?;
    let kept = |answered| Kept {
        asset: AssetId::from_bytes(asset),
        point: match point {
            0 => Point::BeforePush,
            1 => Point::BeforePull,
            _ => Point::AfterReceive,
        },
        peer: <[u8; 32]>::try_from(peer).ok().map(HostId::from_bytes),
        key: VerdictKey(key),
        chain: Chain::from_bytes(chain),
        standing: match standing {
            0 => Standing::Firm,
            1 => Standing::Failed,
            _ => Standing::Absent,
        },
        at_ms,
        answered,
    };
    Ok(Answered::decode(&answer).map(kept).map_err(StateError::from))
}
