//! Who is stopped because it trashed too much.

use std::sync::Arc;

use super::State;
use super::StateError;
use crate::asset::HostId;
use crate::sync::Culprit;

impl State {
    /// Remembers that somebody is stopped, or no longer.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn set_braked(&self, culprit: Culprit, stopped: bool) -> Result<(), StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .write(move |connection| {
                let sql = match stopped {
                    true => "INSERT OR IGNORE INTO braked (library, kind, host) VALUES (?1, ?2, ?3)",
                    false => "DELETE FROM braked WHERE library = ?1 AND kind = ?2 AND host = ?3",
                };
                let (kind, host) = match culprit {
                    Culprit::Author(host) => ("author", host),
                    Culprit::Peer(host) => ("peer", host),
                };
                connection.prepare_cached(sql)?.execute((&library, kind, host.as_bytes()))?;
                Ok(())
            })
            .await
    }

    /// Returns all that are stopped.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn braked(&self) -> Result<Vec<Culprit>, StateError> {
        let library = Arc::clone(&self.library);
        self.database
            .read(move |connection| {
                let sql = "SELECT kind, host FROM braked WHERE library = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map([&library], |row| {
                    let (kind, host): (String, [u8; 32]) = (row.get(0)?, row.get(1)?);
                    let host = HostId::from_bytes(host);
                    Ok(if kind == "author" { Culprit::Author(host) } else { Culprit::Peer(host) })
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }
}
