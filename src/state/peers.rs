//! Peers that have proved their membership.

use rusqlite::Row;

use super::State;
use super::StateError;
use crate::asset::HostId;

/// A peer, as it last said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: HostId,
    /// Its name, for people.
    pub name: String,
    /// The version of its program, for people.
    pub version: String,
    /// Socket addresses at which it was reached or can be, as text.
    pub addresses: Vec<String>,
    /// Its relay.
    pub relay: Option<String>,
    /// When it was first seen, in Unix milliseconds.
    pub first_seen_ms: u64,
    /// When it was last seen, in Unix milliseconds.
    pub last_seen_ms: u64,
}

impl State {
    /// Remembers a peer; the time it was first seen stays.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn saw_peer(&self, peer: Peer) -> Result<(), StateError> {
        self.database
            .write(move |connection| {
                let sql = "INSERT INTO peer (id, name, version, addresses, relay, first_seen, last_seen)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                           ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version,
                           addresses = excluded.addresses, relay = excluded.relay, last_seen = excluded.last_seen";
                let addresses = peer.addresses.join("\n");
                let (first, last) = (peer.first_seen_ms, peer.last_seen_ms);
                connection.prepare_cached(sql)?.execute((
                    peer.id.as_bytes(),
                    &peer.name,
                    &peer.version,
                    addresses,
                    &peer.relay,
                    first,
                    last,
                ))?;
                Ok(())
            })
            .await
    }

    /// Returns all peers that were ever seen, by id.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn peers(&self) -> Result<Vec<Peer>, StateError> {
        self.database
            .read(|connection| {
                let sql =
                    "SELECT id, name, version, addresses, relay, first_seen, last_seen FROM peer ORDER BY id LIMIT 10000";
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
            })
            .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Peer> {
    let addresses: String = row.get(3)?;
    Ok(Peer {
        id: HostId::from_bytes(row.get(0)?),
        name: row.get(1)?,
        version: row.get(2)?,
        addresses: addresses.lines().map(str::to_owned).collect(),
        relay: row.get(4)?,
        first_seen_ms: row.get(5)?,
        last_seen_ms: row.get(6)?,
    })
}
