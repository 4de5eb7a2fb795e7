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

// ── HTTP, as a server ───────────────────────────────────────────────────────────────────────────────────────────────

/// Connections to one listener at a time. A further one waits in the queue of the operating system.
pub const HTTP_CONNECTIONS: usize = 64;

/// Time a client has to send the head of a request, and to send the next one on a connection it keeps open.
/// Later the connection is closed.
pub const HTTP_HEAD_TIME: Duration = Duration::from_secs(10);

/// Bytes read ahead of what a handler has taken from one connection, the head of a request included.
pub const HTTP_BUFFER_BYTES: usize = 128 * 1024;

/// Time without a byte, in a request body or in an answer the client does not read. Later the connection is closed.
pub const HTTP_STALL: Duration = Duration::from_secs(30);

/// Time in which running requests may end when the host stops. Later they are broken off.
pub const HTTP_CLOSE_TIME: Duration = Duration::from_secs(3);

/// Bytes of a multipart body that are not yet part of a field: the head of a part, or what lies between parts.
/// More is refused with 400.
pub const MULTIPART_AHEAD_BYTES: u64 = 1024 * 1024;

/// Parts of a multipart body. More are refused with 400.
pub const MULTIPART_PARTS: usize = 64;

/// Event streams open at one listener, so that they leave connections for everything else. A further one gets 500.
pub const EVENT_STREAMS: usize = 32;

/// Time after which an idle event stream carries a comment, so that both ends notice a dead connection.
pub const EVENT_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Assets read at once for an event stream.
pub const EVENTS_PER_READ: usize = 64;

/// Assets in one answer to `/sync/hashes`, at most; about 100 bytes each. The rest is behind the cursor.
pub const SYNC_HASHES: usize = 10_000;

/// Assets in one request to `/sync/pull`, at most. More are refused with 400.
pub const SYNC_PULL_ASSETS: usize = 1000;

/// Largest body of `/sync/pull` and `/sync/meta` in bytes; sixteen documents of the largest size. A larger one is
/// refused with 400.
pub const SYNC_REQUEST_BYTES: usize = 16 * DOCUMENT_BYTES;

/// Changes in one request to `/sync/meta`, at most. More are refused with 400.
pub const SYNC_META_CHANGES: usize = 1000;

/// Bytes of one asset in a bundle that are not its content. A service may hold descriptions longer than
/// [`DESCRIPTION_BYTES`]; beyond this the bundle is refused.
pub const BUNDLE_HEAD_BYTES: usize = 4 * 1024 * 1024;

// ── HTTP, as a client of a CAN Service ──────────────────────────────────────────────────────────────────────────────

/// Time in which a connection to the service must come about.
pub const SERVICE_CONNECT_TIME: Duration = Duration::from_secs(5);

/// Time in which the service must have answered a call without content. Later the call has failed.
pub const SERVICE_CALL_TIME: Duration = Duration::from_mins(1);

/// Time in which a call that carries content must be over; a gigabyte at 100 KiB a second.
pub const SERVICE_CONTENT_TIME: Duration = Duration::from_hours(3);

/// Time without a byte from the service, after which a call has failed. Above [`EVENT_KEEP_ALIVE`].
pub const SERVICE_STALL: Duration = Duration::from_secs(40);

/// Largest answer of the service that is held in memory, in bytes. A longer one is an error of the service.
pub const SERVICE_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Longest event of the service in bytes: a JSON asset of the largest size, every character escaped. A longer one ends
/// the stream, which is opened again.
pub const SERVICE_EVENT_BYTES: usize = 8 * DOCUMENT_BYTES;

/// Text of an error answer of the service that is shown, in bytes. The rest is left out.
pub const SERVICE_ERROR_BYTES: usize = 1024;

/// First pause before the event stream of a service is opened again; it doubles up to [`SERVICE_PAUSE_MOST`].
pub const SERVICE_PAUSE: Duration = Duration::from_millis(250);

/// Longest pause between two tries to reach the service.
pub const SERVICE_PAUSE_MOST: Duration = Duration::from_secs(30);

/// Time a service has to answer for the first time when a host starts. Later the start has failed.
pub const SERVICE_START_TIME: Duration = Duration::from_secs(30);

/// Assets asked of the service in one call. Their contents come as one stream.
pub const SERVICE_BATCH: usize = 256;

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
