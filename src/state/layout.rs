//! The tables, as stored; a new version is a new step at the end.

use crate::database::Migrations;

/// The steps from an empty file to the newest layout.
pub(super) const MIGRATIONS: Migrations = &[
    "
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
        -- 'drop', 'hold', or 'pass' for what a person released
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
",
    "
    -- What was answered about assets: the latest answer for each place at which somebody is asked.
    CREATE TABLE verdict (
        library TEXT NOT NULL,
        asset BLOB NOT NULL,
        -- 0 before a push, 1 before a pull, 2 after a receive
        point INTEGER NOT NULL,
        -- who offered it; empty before a push, and where that is not known
        peer BLOB NOT NULL,
        -- BLAKE3 of everything that was shown
        key BLOB NOT NULL,
        -- hook::Chain
        chain BLOB NOT NULL,
        -- 0 firm, 1 failed, 2 absent
        standing INTEGER NOT NULL,
        -- Unix milliseconds
        answered_at INTEGER NOT NULL,
        -- verdict and steps, as state::answer writes them
        answer BLOB NOT NULL,
        PRIMARY KEY (library, asset, point, peer)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX verdict_absent ON verdict (library, asset) WHERE standing = 2;

    -- where it was decided: 'push', 'pull' or 'receive'
    ALTER TABLE decision ADD COLUMN point TEXT NOT NULL DEFAULT 'pull';
    UPDATE decision SET point = 'push' WHERE way = 'push';
    -- the plugin, for people; in lines behind that, whom a person has overruled: where, and the plugin
    ALTER TABLE decision ADD COLUMN said_by TEXT NOT NULL DEFAULT '';
    -- 'firm', 'failed' or 'absent'
    ALTER TABLE decision ADD COLUMN standing TEXT NOT NULL DEFAULT 'firm';
    DROP INDEX decision_by_verdict;
    CREATE INDEX decision_by_verdict ON decision (library, verdict, decided_at, asset, way);

    -- by whom everything that came from peers was judged
    ALTER TABLE position ADD COLUMN receiver TEXT NOT NULL DEFAULT 'none';
",
    "
    -- kind of device, for people
    ALTER TABLE peer ADD COLUMN kind TEXT NOT NULL DEFAULT '';
    -- why its last connection ended, and when in Unix milliseconds
    ALTER TABLE peer ADD COLUMN ended TEXT;
    ALTER TABLE peer ADD COLUMN ended_at INTEGER;
    -- what people set: a name, what it may do (library::Role), until when it is left alone (Unix milliseconds), and the
    -- bytes of content a second that may go to it and come from it
    ALTER TABLE peer ADD COLUMN given_name TEXT;
    ALTER TABLE peer ADD COLUMN role TEXT NOT NULL DEFAULT 'mirror';
    ALTER TABLE peer ADD COLUMN paused_until INTEGER;
    ALTER TABLE peer ADD COLUMN most_sent INTEGER;
    ALTER TABLE peer ADD COLUMN most_taken INTEGER;

    -- Whose changes are held because it trashed too much (sync::Culprit).
    CREATE TABLE braked (
        library TEXT NOT NULL,
        -- 'author' or 'peer'
        kind TEXT NOT NULL,
        host BLOB NOT NULL,
        PRIMARY KEY (library, kind, host)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- How peers turned down what was offered to them, where that is what they answered last.
    CREATE TABLE refusal (
        library TEXT NOT NULL,
        asset BLOB NOT NULL,
        peer BLOB NOT NULL,
        -- 1 held, 2 declined, 3 refused
        kind INTEGER NOT NULL,
        reason TEXT NOT NULL,
        -- Unix milliseconds
        refused_at INTEGER NOT NULL,
        PRIMARY KEY (library, asset, peer)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX refusal_by_peer ON refusal (library, peer);
",
];
