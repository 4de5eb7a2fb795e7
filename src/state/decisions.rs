//! What was decided about assets: held, declined, kept back.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;

use super::State;
use super::StateError;
use super::count_rows;
use super::known::read_key;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Digest;
use crate::hook::Point;
use crate::hook::Standing;

/// On which way an asset was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// It is here and not passed on.
    Push,
    /// It was offered and not taken.
    Pull,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Not at all: kept back, or declined.
    Drop,
    /// Not yet: held.
    Hold,
    /// It was stopped, and a person has released this version.
    Pass,
}

/// How many decisions there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionCounts {
    /// Assets that wait.
    pub held: u64,
    /// Assets that are kept back or declined.
    pub declined: u64,
    /// Assets that wait, by whom they wait for: a plugin, or nobody.
    pub held_by: BTreeMap<String, u64>,
}

/// A decision that stopped an asset, or that released it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Which asset.
    pub key: AssetKey,
    /// On which way.
    pub way: Way,
    /// Where on that way; the chain of that point is the one that decides again.
    pub point: Point,
    /// What was decided.
    pub decision: Decision,
    /// Who decided: the name of a decider; [`HAND`] for a person.
    pub decider: String,
    /// Name of the plugin, [`HAND`] or [`PURGE`]; for people, and empty when it is nobody.
    pub by: String,
    /// How long it stands.
    pub standing: Standing,
    /// Why, for people.
    pub reason: String,
    /// Which version was decided about.
    pub version: Digest,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Plugins that a person has overruled about this version, each with the point at which it had stopped the asset.
    pub overruled: BTreeSet<(Point, String)>,
}

impl Decided {
    /// Names those whom a person has overruled at a point. Who was overruled when the content was here is so before it
    /// is fetched again, too.
    #[must_use]
    pub fn overruled_at(&self, point: Point) -> Vec<String> {
        let is_there = |at: Point| at == point || (point, at) == (Point::BeforePull, Point::AfterReceive);
        self.overruled.iter().filter(|(at, _)| is_there(*at)).map(|(_, plugin)| plugin.clone()).collect()
    }

    /// Tells whether the asset was purged, and is kept out since.
    #[must_use]
    pub fn is_purged(&self) -> bool {
        self.decider == HAND && self.by == PURGE
    }
}

/// A place in a list of decisions; the next page begins behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionMark {
    /// When it was decided, in Unix milliseconds.
    pub at_ms: u64,
    /// About which asset.
    pub asset: AssetId,
    /// On which way.
    pub way: Way,
}

/// The decider of what a person decided; asked again only by hand.
pub const HAND: &str = "hand";

/// By whom it was where a person has purged the asset.
pub const PURGE: &str = "purge";

impl State {
    /// Returns what was decided about some assets, on both ways.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn decisions(&self, assets: Vec<AssetId>) -> Result<HashMap<(AssetId, Way), Decided>, StateError> {
        if self.decision_rows.load(Ordering::SeqCst) == 0 {
            return Ok(HashMap::new());
        }
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = format!("SELECT {COLUMNS} FROM decision WHERE library = ?1 AND asset = ?2");
                let mut statement = connection.prepare_cached(&sql)?;
                let mut decisions = HashMap::new();
                for asset in assets {
                    for row in statement.query_map((&library, asset.as_bytes()), read)? {
                        let decided = row?;
                        decisions.insert((asset, decided.way), decided);
                    }
                }
                Ok(decisions)
            })
            .await
    }

    /// Returns what was decided about an asset on one way.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn decision(&self, asset: AssetId, way: Way) -> Result<Option<Decided>, StateError> {
        Ok(self.decisions(vec![asset]).await?.remove(&(asset, way)))
    }

    /// Returns decisions of one kind, oldest first: those behind a mark, at most `limit`.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn list_decisions(
        &self,
        decision: Decision,
        after: Option<DecisionMark>,
        limit: usize,
    ) -> Result<Vec<Decided>, StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = format!(
                    "SELECT {COLUMNS} FROM decision WHERE library = ?1 AND verdict = ?2
                     AND (decided_at, asset, way) > (?3, ?4, ?5) ORDER BY decided_at, asset, way LIMIT ?6"
                );
                let mut statement = connection.prepare_cached(&sql)?;
                let (at_ms, asset, way) =
                    after.map_or((0, [0; 32], ""), |mark| (mark.at_ms, *mark.asset.as_bytes(), mark.way.text()));
                let rows = statement.query_map((&library, decision.text(), at_ms, asset, way, limit), read)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Remembers a decision in place of an earlier one on the same way; tells whether it stands now. What a person said
    /// meanwhile about the same thing stays, unless `by_hand`; what one said before is known from whom she overruled.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn decide(&self, decided: Decided, by_hand: bool) -> Result<bool, StateError> {
        let (library, rows) = (Arc::clone(&self.library), Arc::clone(&self.decision_rows));
        let write = move |connection: &Connection| {
            let sql = format!("SELECT {COLUMNS} FROM decision WHERE library = ?1 AND asset = ?2 AND way = ?3");
            let place = (&library, decided.key.id.as_bytes(), decided.way.text());
            let before = connection.prepare_cached(&sql)?.query_row(place, read).optional()?;
            let said_by_hand = |before: &Decided| {
                let released = before.decision == Decision::Pass
                    && before.decider == decided.decider
                    && before.version == decided.version
                    && !before.overruled.is_subset(&decided.overruled);
                before.decider == HAND || released
            };
            if !by_hand && before.as_ref().is_some_and(said_by_hand) {
                return Ok::<_, StateError>(None);
            }
            let sql = format!(
                "INSERT OR REPLACE INTO decision (library, {COLUMNS})
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
            );
            connection.prepare_cached(&sql)?.execute((
                &library,
                decided.key.id.as_bytes(),
                decided.key.timestamp.as_millis(),
                decided.key.size,
                decided.way.text(),
                decided.decision.text(),
                &decided.decider,
                &decided.reason,
                decided.version.as_bytes(),
                decided.at_ms,
                point_text(decided.point),
                said_by(&decided),
                standing_text(decided.standing),
            ))?;
            Ok(Some(before.is_some()))
        };
        let tell = move |replaced: &Option<bool>| {
            if let Some(replaced) = replaced {
                count_rows(&rows, *replaced, true);
            }
        };
        Ok(self.database.write_and_tell(write, tell).await?.is_some())
    }

    /// Takes a decision back, unless somebody else has decided meanwhile; tells whether it was there.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn undecide(&self, decided: &Decided) -> Result<bool, StateError> {
        let (asset, way) = (decided.key.id, decided.way);
        let (decider, by) = (decided.decider.clone(), said_by(decided));
        let (library, rows) = (Arc::clone(&self.library), Arc::clone(&self.decision_rows));
        let write = move |connection: &Connection| {
            // Purging is by hand as well: only who said it tells it from a refusal.
            let sql = "DELETE FROM decision
                       WHERE library = ?1 AND asset = ?2 AND way = ?3 AND decider = ?4 AND said_by = ?5";
            let place = (&library, asset.as_bytes(), way.text(), &decider, &by);
            Ok(connection.prepare_cached(sql)?.execute(place)? > 0)
        };
        self.database.write_and_tell(write, move |gone| count_rows(&rows, *gone, false)).await
    }

    /// Counts the assets held and those declined or kept back.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn count_decisions(&self) -> Result<DecisionCounts, StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT count(*) FROM decision WHERE library = ?1 AND verdict = 'drop'";
                let declined = connection.prepare_cached(sql)?.query_row([&library], |row| row.get(0))?;
                let sql = "SELECT said_by, count(*) FROM decision WHERE library = ?1 AND verdict = 'hold'
                           GROUP BY said_by";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map([&library], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let mut held_by: BTreeMap<String, u64> = BTreeMap::new();
                for row in rows {
                    let (said_by, held): (String, u64) = row?;
                    let (by, _) = read_said_by(&said_by);
                    *held_by.entry(by).or_default() += held;
                }
                Ok(DecisionCounts { held: held_by.values().sum(), declined, held_by })
            })
            .await
    }

    /// Returns the assets that are kept back from the library, also those that were released and not judged since.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn kept_back(&self) -> Result<Vec<AssetId>, StateError> {
        if self.decision_rows.load(Ordering::SeqCst) == 0 {
            return Ok(Vec::new());
        }
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT asset FROM decision WHERE library = ?1 AND way = 'push'
                           AND (verdict <> 'pass' OR standing = 'absent')";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map([&library], |row| Ok(AssetId::from_bytes(row.get(0)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }
}

const COLUMNS: &str =
    "asset, timestamp, size, way, verdict, decider, reason, version, decided_at, point, said_by, standing";

impl Way {
    fn text(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

impl Decision {
    fn text(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Hold => "hold",
            Self::Pass => "pass",
        }
    }
}

const fn point_text(point: Point) -> &'static str {
    match point {
        Point::BeforePush => "push",
        Point::BeforePull => "pull",
        Point::AfterReceive => "receive",
    }
}

fn point_of(text: &str) -> Point {
    match text {
        "push" => Point::BeforePush,
        "pull" => Point::BeforePull,
        _ => Point::AfterReceive,
    }
}

/// Writes by whom it was, and in lines behind that whom a person has overruled.
fn said_by(decided: &Decided) -> String {
    let mut text = decided.by.clone();
    for (point, plugin) in &decided.overruled {
        text.extend(["\n", point_text(*point), " ", plugin]);
    }
    text
}

fn read_said_by(text: &str) -> (String, BTreeSet<(Point, String)>) {
    let mut lines = text.split('\n');
    let by = lines.next().unwrap_or_default().to_owned();
    let overruled = lines.filter_map(|line| line.split_once(' '));
    (by, overruled.map(|(point, plugin)| (point_of(point), plugin.to_owned())).collect())
}

const fn standing_text(standing: Standing) -> &'static str {
    match standing {
        Standing::Firm => "firm",
        Standing::Failed => "failed",
        Standing::Absent => "absent",
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Decided> {
    let (way, decision): (String, String) = (row.get(3)?, row.get(4)?);
    let (point, standing): (String, String) = (row.get(9)?, row.get(11)?);
    let (by, overruled) = read_said_by(&row.get::<_, String>(10)?);
    Ok(Decided {
        key: read_key(row.get(0)?, row.get(1)?, row.get(2)?)?,
        way: if way == Way::Push.text() { Way::Push } else { Way::Pull },
        point: point_of(&point),
        decision: match decision.as_str() {
            "hold" => Decision::Hold,
            "pass" => Decision::Pass,
            _ => Decision::Drop,
        },
        decider: row.get(5)?,
        by,
        standing: match standing.as_str() {
            "firm" => Standing::Firm,
            "failed" => Standing::Failed,
            _ => Standing::Absent,
        },
        reason: row.get(6)?,
        version: Digest::from_bytes(row.get(7)?),
        at_ms: row.get(8)?,
        overruled,
    })
}
