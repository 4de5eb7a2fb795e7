//! What is remembered about plugins across restarts: which were active, which are switched off, and their state.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::state::Changed;
use crate::database::Database;
use crate::database::DatabaseError;
use crate::database::Migrations;
use crate::database::OpenError;
use crate::hook::Point;

const MIGRATIONS: Migrations = &["
    CREATE TABLE plugin (
        name TEXT PRIMARY KEY,
        -- BLAKE3 of the component that was active last; NULL when none was
        digest BLOB,
        -- hooks of that component: 1 before a push, 2 before a pull, 4 after receive
        points INTEGER NOT NULL,
        -- 1 when it is switched on, 0 when a person has switched it off, 2 when its settings had
        enabled INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE value (
        plugin TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (plugin, key)
    ) STRICT, WITHOUT ROWID;
"];

/// A plugin that was active, or was switched on or off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) digest: Option<[u8; 32]>,
    pub(super) points: Vec<Point>,
    pub(super) switch: Switch,
}

/// Whether a plugin is switched on, as far as that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    /// A person has switched it off, until it is switched on again.
    OffByHand,
    /// Its settings said so when they could be read last.
    OffBySettings,
}

impl Switch {
    const ALL: [(Self, i64); 3] = [(Self::On, 1), (Self::OffByHand, 0), (Self::OffBySettings, 2)];

    fn number(self) -> i64 {
        Self::ALL.iter().find(|(switch, _)| *switch == self).map_or(1, |(_, number)| *number)
    }

    fn of(number: i64) -> Self {
        Self::ALL.iter().find(|(_, of)| *of == number).map_or(Self::On, |(switch, _)| *switch)
    }
}

/// The memory about plugins.
#[derive(Debug, Clone)]
pub(super) struct Known(Database);

impl Known {
    /// Opens or makes the memory. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        Database::open(path, MIGRATIONS).map(Self)
    }

    /// Returns all plugins that are remembered.
    pub(super) async fn all(&self) -> Result<BTreeMap<String, Remembered>, DatabaseError> {
        self.0
            .read(|connection| {
                let mut statement = connection.prepare_cached("SELECT name, digest, points, enabled FROM plugin")?;
                let rows = statement.query_map([], |row| {
                    let switch = Switch::of(row.get(3)?);
                    let remembered = Remembered { digest: row.get(1)?, points: points(row.get(2)?), switch };
                    Ok((row.get(0)?, remembered))
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Remembers a plugin.
    pub(super) async fn remember(&self, name: &str, remembered: Remembered) -> Result<(), DatabaseError> {
        let name = name.to_owned();
        self.0
            .write(move |connection| {
                let sql = "INSERT OR REPLACE INTO plugin (name, digest, points, enabled) VALUES (?1, ?2, ?3, ?4)";
                let row = (&name, remembered.digest, bits(&remembered.points), remembered.switch.number());
                connection.prepare_cached(sql)?.execute(row)?;
                Ok(())
            })
            .await
    }

    /// Remembers that a person has switched a plugin on or off; returns what is remembered of it now.
    pub(super) async fn switch(
        &self,
        name: &str,
        before: Option<Remembered>,
        enabled: bool,
    ) -> Result<Option<Remembered>, DatabaseError> {
        let (digest, points) = before.map_or((None, Vec::new()), |before| (before.digest, before.points));
        if enabled && digest.is_none() {
            // It was never active, so nothing is missed without it.
            self.forget(name).await?;
            return Ok(None);
        }
        let switch = if enabled { Switch::On } else { Switch::OffByHand };
        let remembered = Remembered { digest, points, switch };
        self.remember(name, remembered.clone()).await?;
        Ok(Some(remembered))
    }

    /// Forgets that a plugin was active. Its state is kept, in case it comes back.
    pub(super) async fn forget(&self, name: &str) -> Result<(), DatabaseError> {
        let name = name.to_owned();
        self.0
            .write(move |connection| {
                connection.prepare_cached("DELETE FROM plugin WHERE name = ?1")?.execute([&name])?;
                Ok(())
            })
            .await
    }

    /// Returns the state of a plugin.
    pub(super) async fn values(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>, DatabaseError> {
        let name = name.to_owned();
        self.0
            .read(move |connection| {
                let mut statement = connection.prepare_cached("SELECT key, value FROM value WHERE plugin = ?1")?;
                let rows = statement.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Writes changes of the state of a plugin down.
    pub(super) async fn write(&self, name: &str, changed: Changed) -> Result<(), DatabaseError> {
        let name = name.to_owned();
        self.0
            .write(move |connection: &Connection| {
                for (key, value) in &changed {
                    match value {
                        Some(value) => {
                            let sql = "INSERT OR REPLACE INTO value (plugin, key, value) VALUES (?1, ?2, ?3)";
                            connection.prepare_cached(sql)?.execute((&name, key, value))?;
                        }
                        None => {
                            let sql = "DELETE FROM value WHERE plugin = ?1 AND key = ?2";
                            connection.prepare_cached(sql)?.execute((&name, key))?;
                        }
                    }
                }
                Ok(())
            })
            .await
    }

    /// Commits what waits and closes.
    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

/// All hooks, with the bit each is remembered by.
pub(super) const POINTS: [(Point, u8); 3] = [(Point::BeforePush, 1), (Point::BeforePull, 2), (Point::AfterReceive, 4)];

fn bits(points: &[Point]) -> u8 {
    POINTS.iter().filter(|(point, _)| points.contains(point)).fold(0, |bits, (_, bit)| bits | bit)
}

fn points(bits: u8) -> Vec<Point> {
    POINTS.iter().filter(|(_, bit)| bits & bit != 0).map(|(point, _)| *point).collect()
}
