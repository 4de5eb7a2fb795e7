//! Every number that bounds something, with its unit, its reason, and what happens when it is reached.
//!
//! A limit that belongs to a wire message is part of the protocol: a host that exceeds it is disconnected, so such a
//! number may grow in a later version but never shrink.

use std::time::Duration;

// ── asset ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Lowest timestamp that has exactly 13 decimal digits, in Unix milliseconds (2001-09-09).
/// Lower ones are refused: the asset id has no separator between timestamp and content.
pub const TIMESTAMP_MIN_MS: u64 = 1_000_000_000_000;

/// Highest timestamp that has exactly 13 decimal digits, in Unix milliseconds (2286-11-20). Higher ones are refused.
pub const TIMESTAMP_MAX_MS: u64 = 9_999_999_999_999;

/// Longest description in bytes of UTF-8. A longer one is refused with the limit named.
pub const DESCRIPTION_BYTES: usize = 64 * 1024;

/// Longest value of any other text field in bytes of UTF-8 (Linux `PATH_MAX`). A longer one is refused.
pub const TEXT_FIELD_BYTES: usize = 4 * 1024;

/// Longest tag in bytes of UTF-8, as many as a file name may have. A longer one is refused.
pub const TAG_BYTES: usize = 255;

/// Longest field name in bytes: a tag and its prefix fit. A longer one is refused.
pub const FIELD_NAME_BYTES: usize = 4 + TAG_BYTES;

/// Tag fields a document keeps, removed tags included. A merge keeps those with the highest stamps.
pub const TAG_FIELDS: usize = 1024;

/// Fields of unknown name a document keeps. A merge keeps those with the highest stamps.
pub const UNKNOWN_FIELDS: usize = 64;

/// Largest document in bytes of its frozen encoding that a change made here may produce. A larger one is refused.
/// A merge may exceed it (it is bounded by the field counts above) and is never refused.
pub const DOCUMENT_BYTES: usize = 256 * 1024;

/// How far ahead of this host's clock a stamp may be. A field stamped later is not taken yet, and the sender is told.
pub const STAMP_AHEAD_MS: u64 = 10 * 60 * 1000;

// ── store ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Contents up to this many bytes are first made durable inside the index, with their row, and become flat files later.
/// Larger ones are written to a file at once: above this the second copy costs more than the flush it saves.
pub const SMALL_CONTENT_BYTES: u64 = 64 * 1024;

/// Size of the pieces in which content is read, hashed, written and sent. Below 64 KiB the per-call cost shows.
pub const CONTENT_CHUNK_BYTES: usize = 256 * 1024;

/// Pieces of [`CONTENT_CHUNK_BYTES`] that wait between two stages of one transfer. A full queue slows the stage before.
pub const CONTENT_CHUNKS_QUEUED: usize = 4;

/// Writes that wait for the writer of a database. A full queue makes callers wait.
pub const WRITES_QUEUED: usize = 1024;

/// Writes that share one commit. More would only make the first of them wait longer.
pub const WRITES_PER_COMMIT: usize = 512;

/// Bytes of small contents that share one commit. Reached, the commit happens with what is there.
pub const COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// Connections that read a database at the same time; as many queries as two cores keep busy.
pub const READERS: usize = 4;

/// Rows in one page of a listing, at most. A larger `limit` is a bad request.
pub const PAGE_ROWS: usize = 1000;

/// Rows in one page of a listing when nothing is said.
pub const PAGE_ROWS_DEFAULT: usize = 100;

/// Largest JSON request body in bytes. A larger one is refused with 400.
pub const JSON_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Largest extended attribute that carries a document, in bytes; ext4 takes about 3,900 for all attributes of a file.
/// What does not fit is left out, description first, and a rebuild names it.
pub const ATTRIBUTE_BYTES: usize = 3 * 1024;

/// Bytes of small contents that one batch of the write-back reads into memory and writes to flat files.
pub const WRITE_BACK_BYTES: usize = 8 * 1024 * 1024;

/// Contents that one batch of the write-back moves. More would only hold back the flush of the first.
pub const WRITE_BACK_ROWS: usize = 2048;

/// Bytes of small contents in the index from which the write-back no longer waits for a quiet moment.
pub const WRITE_BACK_URGENT_BYTES: u64 = 64 * 1024 * 1024;

/// How long no write must have come before the write-back begins, so that it does not compete with an ingest.
pub const WRITE_BACK_QUIET: Duration = Duration::from_millis(300);

/// How many times [`WRITE_BACK_QUIET`] the write-back waits for a quiet moment. Then it begins all the same.
pub const WRITE_BACK_PATIENCE: u32 = 16;

/// First and longest pause after a write-back that failed; the contents stay in the index meanwhile.
pub const WRITE_BACK_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Pages of 4 KiB in the write-ahead log of the index after which a commit copies them into the index.
pub const WAL_PAGES: u32 = 16 * 1024;

/// The same when less than [`DISK_LOW_BYTES`] are free, so that the log does not take up what is left.
pub const WAL_PAGES_LOW: u32 = 64;

/// Free bytes under which a disk counts as nearly full.
pub const DISK_LOW_BYTES: u64 = 64 * 1024 * 1024;

/// Free bytes a put leaves alone, so that assets can still be purged when the disk is full. Below, a put is refused.
pub const DISK_RESERVE_BYTES: u64 = 1024 * 1024;

/// How long a statement waits for a lock on the index that another connection of this store holds.
pub const INDEX_BUSY: Duration = Duration::from_secs(10);

/// Prepared statements a connection keeps. All of the store's fit; searches vary by their number of tags.
pub const STATEMENTS_KEPT: usize = 96;

/// Bytes a second the background verifier hashes: a twentieth of what one core can.
pub const VERIFY_BYTES_PER_SEC: u64 = 16 * 1024 * 1024;

/// Assets the verifier asks the index for at once.
pub const VERIFY_ROWS: usize = 256;

/// Times a content is hashed again because its asset was changed meanwhile. Then the last finding counts.
pub const VERIFY_TRIES: u32 = 5;

/// Longest extension of a flat file, in characters. A longer one is left out; the name is for people only.
pub const EXTENSION_CHARS: usize = 16;

// ── between hosts ───────────────────────────────────────────────────────────────────────────────────────────────────

/// Largest control message in bytes. A longer frame ends the connection before anything is allocated.
pub const CONTROL_FRAME_BYTES: usize = 1024 * 1024;

/// Largest frame before the proof of membership, in bytes. A longer one ends the connection.
pub const PROOF_FRAME_BYTES: usize = 1024;

/// Bytes a stranger may send before the proof. QUIC's own windows are opened only afterwards.
pub const STRANGER_BYTES: u32 = 64 * 1024;

/// Time a connection has to prove membership. Later it is closed.
pub const PROOF_TIME: Duration = Duration::from_secs(5);

/// Connections that may be without proof at one moment. A further one is refused.
pub const STRANGERS: usize = 32;

/// Part of a reconcile message that ranges may fill, in bytes; the rest of the frame is for its envelope.
pub const RECONCILE_BYTES: u64 = 900 * 1024;

/// Messages one reconcile may take, at most. A longer one is ended and started again after a pause:
/// an honest one needs about log16 of the set, plus one for every [`RECONCILE_BYTES`] of differences.
pub const RECONCILE_ROUNDS: u32 = 4096;

/// Assets offered to a peer that it has not answered yet. Further ones wait.
pub const OFFERS_OPEN: usize = 4096;

/// Bytes of documents offered to a peer that it has not answered yet. Further ones wait.
pub const OFFERS_OPEN_BYTES: usize = 4 * 1024 * 1024;

/// Offers in one message.
pub const OFFERS_PER_MESSAGE: usize = 512;

/// Bytes of documents in one message of offers; one document of the largest size still fits a control frame.
pub const OFFER_MESSAGE_BYTES: usize = 192 * 1024;

/// Item hashes in one request for offers.
pub const REQUESTS_PER_MESSAGE: usize = 8192;

/// Assets requested from one data stream ahead of what has arrived, so that no asset waits for a round trip.
pub const WANTS_OPEN: usize = 256;

/// Bytes of content requested from one data stream ahead of what has arrived (one larger asset is always allowed).
pub const WANTS_OPEN_BYTES: u64 = 16 * 1024 * 1024;

/// Times the content of one asset from one peer may turn out wrong before that peer is not asked for it again
/// while it stays connected.
pub const LIES_PER_ASSET: u32 = 2;

/// Wrong contents from one peer, in all, before the connection to it is closed.
pub const LIES_PER_PEER: u32 = 16;

/// Time without a byte of progress after which a transfer is taken from its source.
pub const STALL: Duration = Duration::from_secs(20);
