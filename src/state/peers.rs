//! The registry of devices: peers that have proved their membership, what they said of themselves, and what people set.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use rusqlite::Row;

use super::State;
use super::StateError;
use crate::asset::HostId;
use crate::library::Role;

/// A peer, as it last said of itself, and as people have set it up here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: HostId,
    /// Its name, as it says.
    pub name: String,
    /// Kind of device, for people; empty when it has not said.
    pub kind: String,
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
    /// Why its last connection ended, and when in Unix milliseconds.
    pub ended: Option<(String, u64)>,
    /// What people have set.
    pub settings: PeerSettings,
}

/// What people have set for one peer on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerSettings {
    /// What it is called here.
    pub name: Option<String>,
    /// What it may do in the library.
    pub role: Role,
    /// Until when it is left alone, in Unix milliseconds; `None` when it is not.
    pub paused_until_ms: Option<u64>,
    /// Bytes of content a second that may go to it.
    pub most_sent: Option<u64>,
    /// Bytes of content a second that may come from it.
    pub most_taken: Option<u64>,
}

impl Peer {
    /// Makes a peer of which nothing but its id is known.
    #[must_use]
    pub const fn unknown(id: HostId, now_ms: u64) -> Self {
        Self {
            id,
            name: String::new(),
            kind: String::new(),
            version: String::new(),
            addresses: Vec::new(),
            relay: None,
            first_seen_ms: now_ms,
            last_seen_ms: now_ms,
            ended: None,
            settings: PeerSettings {
                name: None,
                role: Role::Mirror,
                paused_until_ms: None,
                most_sent: None,
                most_taken: None,
            },
        }
    }

    /// Returns what it is called: by people here, else by itself.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        self.settings.name.as_deref().unwrap_or(&self.name)
    }
}

impl PeerSettings {
    /// Tells whether the peer is left alone at a time, in Unix milliseconds.
    #[must_use]
    pub fn is_paused(&self, now_ms: u64) -> bool {
        self.paused_until_ms.is_some_and(|until| now_ms < until)
    }
}

/// As far as a number can be stored; a pause without an end ends then.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl State {
    /// Remembers a peer whole; the time it was first seen stays.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn keep_peer(&self, peer: Peer) -> Result<(), StateError> {
        self.database
            .write(move |connection| {
                let sql = "INSERT INTO peer (id, name, kind, version, addresses, relay, first_seen, last_seen, ended,
                           ended_at, given_name, role, paused_until, most_sent, most_taken)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
                           ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind,
                           version = excluded.version, addresses = excluded.addresses, relay = excluded.relay,
                           last_seen = excluded.last_seen, ended = excluded.ended, ended_at = excluded.ended_at,
                           given_name = excluded.given_name, role = excluded.role,
                           paused_until = excluded.paused_until, most_sent = excluded.most_sent,
                           most_taken = excluded.most_taken";
                let (ended, ended_ms) =
                    peer.ended.map_or((None, None), |(why, at_ms)| (Some(why), Some(stored(at_ms))));
                let settings = peer.settings;
                connection.prepare_cached(sql)?.execute(rusqlite::params![
                    peer.id.as_bytes(),
                    peer.name,
                    peer.kind,
                    peer.version,
                    peer.addresses.join("\n"),
                    peer.relay,
                    stored(peer.first_seen_ms),
                    stored(peer.last_seen_ms),
                    ended,
                    ended_ms,
                    settings.name,
                    settings.role.name(),
                    settings.paused_until_ms.map(stored),
                    settings.most_sent.map(stored),
                    settings.most_taken.map(stored),
                ])?;
                Ok(())
            })
            .await
    }

    /// Forgets a peer, what people have set for it, and what it is known to have.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn forget_peer(&self, id: HostId) -> Result<(), StateError> {
        let (library, known, refusals) =
            (Arc::clone(&self.library), Arc::clone(&self.known_rows), Arc::clone(&self.refusal_rows));
        let write = move |connection: &Connection| {
            connection.prepare_cached("DELETE FROM peer WHERE id = ?1")?.execute([id.as_bytes()])?;
            let of = |table: &str| {
                let sql = format!("DELETE FROM {table} WHERE library = ?1 AND peer = ?2");
                connection.prepare_cached(&sql)?.execute((&library, id.as_bytes()))
            };
            Ok::<_, StateError>((of("known")?, of("refusal")?))
        };
        let tell = move |gone: &(usize, usize)| {
            known.fetch_sub(gone.0 as u64, Ordering::SeqCst);
            refusals.fetch_sub(gone.1 as u64, Ordering::SeqCst);
        };
        self.database.write_and_tell(write, tell).await.map(drop)
    }

    /// Returns all peers that were ever seen, by id.
    ///
    /// # Errors
    /// [`StateError`] when the database refuses.
    pub async fn peers(&self) -> Result<Vec<Peer>, StateError> {
        self.database
            .read(|connection| {
                let sql = "SELECT id, name, kind, version, addresses, relay, first_seen, last_seen, ended, ended_at,
                           given_name, role, paused_until, most_sent, most_taken FROM peer ORDER BY id LIMIT 10000";
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
            })
            .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Peer> {
    let addresses: String = row.get(4)?;
    let ended: Option<String> = row.get(8)?;
    let ended_ms: Option<u64> = row.get(9)?;
    let role: String = row.get(11)?;
    Ok(Peer {
        id: HostId::from_bytes(row.get(0)?),
        name: row.get(1)?,
        kind: row.get(2)?,
        version: row.get(3)?,
        addresses: addresses.lines().map(str::to_owned).collect(),
        relay: row.get(5)?,
        first_seen_ms: row.get(6)?,
        last_seen_ms: row.get(7)?,
        ended: ended.zip(ended_ms),
        settings: PeerSettings {
            name: row.get(10)?,
            role: role.parse().unwrap_or_default(),
            paused_until_ms: row.get(12)?,
            most_sent: row.get(13)?,
            most_taken: row.get(14)?,
        },
    })
}
