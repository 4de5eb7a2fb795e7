//! The tables, as stored; a new version is a new step at the end.

use crate::database::Migrations;

/// The steps from an empty file to the newest layout.
pub(super) const MIGRATIONS: Migrations = &["
    CREATE TABLE position (
        library TEXT PRIMARY KEY,
        -- arrival up to which the store was judged
        arrival INTEGER NOT NULL,
        -- by whom
        decider TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- Versions a peer is known to have, where they are more than what is passed on to it.
    CREATE TABLE known (
        library TEXT NOT NULL,
        asset BLOB NOT NULL,
        peer BLOB NOT NULL,
        timestamp INTEGER NOT NULL,
        size INTEGER NOT NULL,
        -- asset::Document in its frozen encoding
        document BLOB NOT NULL,
        PRIMARY KEY (library, asset, peer)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX known_by_peer ON known (library, peer);

    -- What was decided about an asset: at most one decision before a push, and one on the way in.
    CREATE TABLE decision (
        library TEXT NOT NULL,
        asset BLOB NOT NULL,
        -- 'push' or 'pull'
        way TEXT NOT NULL,
        -- 'drop' or 'hold'
        verdict TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        size INTEGER NOT NULL,
        -- 'hand' or the name of the decider
        decider TEXT NOT NULL,
        reason TEXT NOT NULL,
        -- digest of the document that was decided about
        version BLOB NOT NULL,
        -- Unix milliseconds
        decided_at INTEGER NOT NULL,
        PRIMARY KEY (library, asset, way)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX decision_by_verdict ON decision (library, verdict, decided_at);

    CREATE TABLE peer (
        id BLOB PRIMARY KEY,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        -- socket addresses, one per line
        addresses TEXT NOT NULL,
        relay TEXT,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"];
