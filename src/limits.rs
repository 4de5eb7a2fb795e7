//! Every number that bounds something, with its unit, its reason, and what happens when it is reached.
//!
//! A limit that belongs to a wire message is part of the protocol: a host that exceeds it is disconnected, so such a
//! number may grow in a later version but never shrink.

use std::time::Duration;

mod client;
mod discovery;
mod http;
mod judging;
mod links;
pub mod membership;
pub mod plugin;
mod reconcile;

pub use client::*;
pub use discovery::*;
pub use http::*;
pub use judging::*;
pub use links::*;
pub use reconcile::*;

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

/// Bytes of a file that are read at once to be handed out in pieces; two are in memory, one being read and one being
/// taken.
pub const CONTENT_STRETCH_BYTES: usize = 2 * CONTENT_CHUNK_BYTES;

/// Pieces of [`CONTENT_CHUNK_BYTES`] that wait between two stages of one transfer. A full queue slows the stage before.
pub const CONTENT_CHUNKS_QUEUED: usize = 4;

/// Bytes of a growing file that are hashed together at least, but for the last: less shows the per-call cost.
pub const HASHED_BYTES_LEAST: u64 = 64 * 1024;

/// Bytes of a growing file after which it is flushed while more comes, so that its end has little left to flush.
pub const SPOOL_FLUSHED_BYTES: u64 = 64 * 1024 * 1024;

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

/// Bytes of documents with which a page of a listing ends before it is full; as JSON they take up to six times as many.
/// Sixteen documents of the largest size.
pub const PAGE_BYTES: usize = 16 * DOCUMENT_BYTES;

/// Rows in one page of a listing when nothing is said.
pub const PAGE_ROWS_DEFAULT: usize = 100;

/// Assets a text may have that are looked at one by one. A text that more have is looked for along the listing, and
/// counted in one walk over all searched text.
pub const TEXT_HITS: usize = 4 * 1024;

/// Assets from which three characters in a row do not count as rare in a search for text.
pub const TEXT_PIECE_RARE: usize = 512;

/// Pieces of three characters of a wanted text that the index is asked for. The rest is only compared.
pub const TEXT_PIECES: usize = 32;

/// Rows whose text gets into its index in one transaction; about 10 ms, for which a put would wait.
pub const TEXT_BATCH_ROWS: usize = 256;

/// Totals of searches that are remembered until the store changes. Of more, the oldest is counted again.
pub const TOTALS_KEPT: usize = 64;

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

/// Pages of 4 KiB in the write-ahead log of the index after which they are copied into the index, beside the commits.
///
/// 128 MiB: a burst of some 15,000 assets of 4 KiB is over before copying begins to share its disk and its cores. As much
/// is read back at the start after a crash.
pub const WAL_PAGES: u32 = 32 * 1024;

/// Pages after which a commit copies them itself: the disk is too slow to do it beside so many commits.
pub const WAL_PAGES_MOST: u32 = 3 * WAL_PAGES;

/// The same when less than [`DISK_LOW_BYTES`] are free, so that the log does not take up what is left.
pub const WAL_PAGES_LOW: u32 = 64;

/// Free bytes under which a disk counts as nearly full.
pub const DISK_LOW_BYTES: u64 = 64 * 1024 * 1024;

/// Free bytes a put leaves alone, so that assets can still be purged when the disk is full. Below, a put is refused.
pub const DISK_RESERVE_BYTES: u64 = 3 * 1024 * 1024;

/// Prepared statements a connection keeps. All of the store's fit; searches vary by their number of tags.
pub const STATEMENTS_KEPT: usize = 96;

/// Bytes a second the background verifier hashes: a twentieth of what one core can.
pub const VERIFY_BYTES_PER_SEC: u64 = 16 * 1024 * 1024;

/// Bytes after which the verifier writes down how far it has come; at its rate, about a minute's.
pub const VERIFY_NOTED_BYTES: u64 = 1024 * 1024 * 1024;

/// Assets the verifier asks the index for at once.
pub const VERIFY_ROWS: usize = 256;

/// Times a content is hashed again because its asset was changed meanwhile. Then the last finding counts.
pub const VERIFY_TRIES: u32 = 5;

/// How long a part of a content stays when nobody writes to it: a host that is away over a week's holiday goes on
/// where it was, and what nobody offers any more does not fill the disk for ever. Then it is removed, and a transfer
/// that comes later begins anew.
pub const PART_KEPT: Duration = Duration::from_hours(7 * 24);

/// How often old parts are looked for, beside each start.
pub const PARTS_LOOKED_AT_EVERY: Duration = Duration::from_hours(24);

/// Longest extension of a flat file, in characters. A longer one is left out; the name is for people only.
pub const EXTENSION_CHARS: usize = 16;

// ── between hosts ───────────────────────────────────────────────────────────────────────────────────────────────────

/// Largest control message in bytes. A longer frame ends the connection before anything is allocated.
pub const CONTROL_FRAME_BYTES: usize = 1024 * 1024;

/// Largest frame before the proof of membership, in bytes. A longer one ends the connection.
pub const PROOF_FRAME_BYTES: usize = 1024;

/// Largest greeting in bytes. A longer one ends the connection.
pub const GREETING_FRAME_BYTES: usize = 16 * 1024;

/// Largest want, or head of a reply, in bytes. A longer one ends the connection.
pub const WANT_FRAME_BYTES: usize = 128;

/// Small writes to a stream are gathered up to this many bytes; a larger piece is sent as it is.
pub const GATHERED_BYTES: usize = 64 * 1024;

/// Bytes of wants read ahead of the one being answered, on one lane.
pub const WANTS_BUFFERED_BYTES: usize = 4 * 1024;

/// Bytes of control messages read at once.
pub const CONTROL_BUFFERED_BYTES: usize = 16 * 1024;

/// Longest reason kept of what a peer gives, in bytes; the rest is cut off.
pub const REASON_BYTES: usize = 256;

/// Bytes in flight on one stream. From 2 MiB on, a late reader can end the connection although nothing was lost.
pub const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes a member can pin on one connection. A pair holds two that it can send on, so 8 MiB in all.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Streams a member may open on one connection: control, lanes for small and for large contents, and one for a question
/// before a purge.
pub const STREAMS: u32 = 4;

/// Time a dial may take before it counts as failed, and so may the wait for a further stream on what was dialled.
pub const DIAL_TIME: Duration = Duration::from_secs(5);

/// Round-trip time that is assumed until one was measured; a first packet that nobody has answered is sent again after
/// three times that. With QUIC's own 333 ms, two hosts that start together may wait a second for each other. Where the
/// way is longer, a few packets of the handshake are sent twice.
pub const ROUND_TRIP_GUESS: Duration = Duration::from_millis(50);

/// Silence after which a connection counts as dead.
pub const IDLE_TIME: Duration = Duration::from_secs(6);

/// Silence after which one path of a connection counts as dead.
pub const PATH_IDLE_TIME: Duration = Duration::from_secs(5);

/// How often a silent connection is kept alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// How often in a row it is seen, at every [`KEEP_ALIVE`], that nothing has come on a connection before it counts as dead
/// whatever QUIC says: one whose host has moved may send on by a path that is no more, and never notice.
pub const SILENT_LOOKS: u32 = 5;

/// Bytes a stranger may send before the proof. QUIC's own windows are opened only afterwards.
pub const STRANGER_BYTES: u32 = 64 * 1024;

/// Time a connection has to prove membership. Later it is closed.
pub const PROOF_TIME: Duration = Duration::from_secs(5);

/// How long a host that waits to be accepted leaves its greeting to be read before it hangs up.
pub const PENDING_GRACE: Duration = Duration::from_secs(1);

/// Longest text about why a host is not reached; what the other side says may be in it.
pub const UNREACHED_BYTES: usize = 512;

/// Connections that may be without proof at one moment. A further one is refused. From half of them on, one whose
/// address may be made up has to show first that packets reach it there.
pub const STRANGERS: usize = 64;

/// Of those, connections from one network (a /24 of IPv4, a /56 of IPv6, a relay): as many as the hosts of a full mesh
/// that start together. A further one is refused, so that no single network takes all places.
pub const STRANGERS_PER_SOURCE: usize = 16;

/// Assets offered to a peer that it has not answered yet. Further ones wait.
pub const OFFERS_OPEN: usize = 4096;

/// Bytes of documents offered to a peer that it has not answered yet. Further ones wait.
pub const OFFERS_OPEN_BYTES: usize = 4 * 1024 * 1024;

/// Offers that are decided about before the answers go on; they share one look into the store.
pub const OFFERS_DECIDED_TOGETHER: usize = 128;

/// Offers in one message.
pub const OFFERS_PER_MESSAGE: usize = 512;

/// Answers in one message; with the longest reasons they still fit a control frame. More of them end the connection.
pub const ANSWERS_PER_MESSAGE: usize = 1024;

/// Bytes of documents in one message of offers; one document of the largest size still fits a control frame.
pub const OFFER_MESSAGE_BYTES: usize = 192 * 1024;

/// Item hashes in one request for offers.
pub const REQUESTS_PER_MESSAGE: usize = 8192;

/// Assets from this size on have a data stream of their own, so that small ones do not wait behind them.
pub const LARGE_LANE_BYTES: u64 = 1024 * 1024;

/// Small assets requested from one peer ahead of what has arrived, so that none waits for a round trip.
pub const WANTS_OPEN: usize = 1024;

/// Bytes of small assets requested from one peer ahead of what has arrived.
pub const WANTS_OPEN_BYTES: u64 = 16 * 1024 * 1024;

/// Files of contents above [`SMALL_CONTENT_BYTES`] that are open in a lane ahead of what has come: more than what is in
/// flight on a stream, which has a window of [`STREAM_WINDOW_BYTES`]. Further wants wait; a size is a claim, and open files
/// are few.
pub const PARTS_OPEN: usize = 32;

/// Large assets requested from one peer at a time: one that comes, and one that follows without a pause.
pub const LARGE_WANTS_OPEN: usize = 2;

/// How long a peer whose transfer stalled is not asked for that asset again, in milliseconds.
pub const STALLED_SOURCE_PAUSE_MS: u64 = 5_000;

/// First pause of all fetching after this host could not write, in milliseconds; it doubles.
pub const LOCAL_PAUSE_MS: u64 = 1_000;

/// Longest pause of all fetching after this host could not write, in milliseconds.
pub const LOCAL_PAUSE_MOST_MS: u64 = 60_000;

/// Times the content of one asset from one peer may turn out wrong before that peer is not asked for it again
/// while it stays connected.
pub const LIES_PER_ASSET: u32 = 2;

/// Wrong contents from one peer, in all, before the connection to it is closed.
pub const LIES_PER_PEER: u32 = 16;

/// Time without a byte of progress after which a transfer is taken from its source.
pub const STALL: Duration = Duration::from_secs(20);

/// Bytes a second below which a peer, or the client of an upload, counts as standing still: otherwise a byte now and then
/// would hold a content that others have, or a connection that others need. A modem of 1991 had more.
pub const LEAST_RATE: u32 = 1024;

// ── secrets and tickets ─────────────────────────────────────────────────────────────────────────────────────────────

/// Memory that stretching a phrase takes, in KiB (RFC 9106, second choice). Part of the derivation: never changed.
pub const STRETCH_KIB: u32 = 64 * 1024;

/// Passes over that memory. Part of the derivation: never changed.
pub const STRETCH_PASSES: u32 = 3;

/// Lanes of that memory. Part of the derivation: never changed.
pub const STRETCH_LANES: u32 = 4;

/// Longest phrase in bytes of UTF-8. A longer one is refused.
pub const PHRASE_BYTES: usize = 1024;

/// Fewest guesses that a typed phrase must be worth, as estimated. A weaker one is refused.
pub const PHRASE_GUESSES: u64 = 100_000_000_000_000;

/// Longest ticket in bytes of text; the largest one that is written has half of it. A longer text is no ticket.
pub const TICKET_BYTES: usize = 4 * 1024;

/// Addresses in a ticket, at most: as many as a host with several networks has. Further ones are left out.
pub const TICKET_ADDRESSES: usize = 32;

/// Longest relay address in a ticket, in bytes. A longer one is refused.
pub const TICKET_RELAY_BYTES: usize = 255;

// ── faces ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Largest configuration file in bytes. A larger one is refused: it is some other file.
pub const CONFIG_BYTES: u64 = 256 * 1024;

/// Longest name of a device in bytes of UTF-8. A longer one is refused; a longer host name is cut.
pub const DEVICE_NAME_BYTES: usize = 64;

// ── engine ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// News that wait for the hub. A full queue makes those who bring it wait.
pub const INPUTS_QUEUED: usize = 4096;

/// News the hub takes in together, so that what they lead to shares messages.
pub const NEWS_TOGETHER: usize = 256;

/// Small contents that have come and are told to the hub together; more would let the store wait for its work.
pub const FETCHED_TOGETHER: usize = 16;

/// Orders that wait for the actor of the peers. A full queue makes those who give them wait.
pub const PEER_ORDERS_QUEUED: usize = 256;

/// Longest time for which a device is paused that has an end: ten years.
pub const PAUSE_MOST_SECS: u64 = 10 * 365 * 24 * 3600;

/// How long peers are asked whether they have an asset that is explained.
pub const EXPLAIN_ASKED_FOR: Duration = Duration::from_secs(2);

/// Notes about what one peer has that are not written yet, beyond which its offers are not answered and none are made to
/// it: what is open by then comes on top.
pub const NOTES_UNWRITTEN: usize = 1024;

/// Notes about what peers have that are written together.
pub const NOTES_WRITTEN_TOGETHER: usize = 256;

/// Notes about what peers have that wait to be written. A peer that causes more is disconnected.
pub const NOTES_QUEUED: usize = 262_144;

/// Bytes of such notes that wait. A peer that causes more is disconnected.
pub const NOTES_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// Messages that wait to be sent to one peer; more than the protocol's windows let come together. A peer that lets more
/// gather does not read, and is disconnected.
pub const MESSAGES_QUEUED: usize = 16_384;

/// Bytes of messages a peer has asked for that wait to be sent to it. A peer that lets more gather does not read, and is
/// disconnected.
pub const MESSAGES_QUEUED_BYTES: usize = 16 * 1024 * 1024;

/// Contents of a lane that are opened together; small ones are in memory then, and as many again are being sent.
pub const CONTENTS_OPENED_AHEAD: usize = 16;

/// Rows of a store's inventory read at a time.
pub const INVENTORY_ROWS: usize = 20_000;

/// How often it is written down how far the store was followed. After a crash at most so much is judged again.
pub const POSITION_SAVED_EVERY: Duration = Duration::from_secs(5);

/// First pause after the store could not be followed; it doubles.
pub const FEED_PAUSE: Duration = Duration::from_millis(250);

/// Longest pause after the store could not be followed.
pub const FEED_PAUSE_MOST: Duration = Duration::from_secs(30);

/// First pause after a dial failed; it doubles.
pub const REDIAL_PAUSE: Duration = Duration::from_millis(250);

/// Longest pause after a dial failed.
pub const REDIAL_PAUSE_MOST: Duration = Duration::from_secs(60);

/// Time a connection has to stand so that its host is dialled at once when it ends. After a shorter one the pauses grow
/// as after dials that failed: who hangs up again and again is not dialled in a loop.
pub const LINE_STOOD: Duration = Duration::from_secs(10);

/// Times that connections of one peer push each other out, each within [`DISPLACED_COUNTED_FOR`] of the one before,
/// until people are told that two machines may use its key. A machine that was cut off does it once or twice.
pub const DISPLACED_TOLD: u32 = 5;

/// How long such a time counts, and people are told: longer than the longest pause between two dials of each machine.
pub const DISPLACED_COUNTED_FOR: Duration = Duration::from_mins(10);

/// Hosts that are dialled at a time. Beyond it, one that was a member before is left out until others were given up;
/// those that a person names are dialled all the same.
pub const HOSTS_DIALLED: usize = 256;

/// Of those, hosts that were found and have proved nothing. Of more, the one that is tried longest makes room, so that
/// whoever makes hosts up keeps nobody from being dialled.
pub const FOUND_DIALLED: usize = 64;

/// Newer tickets of one host that wait for the task that dials it. A further one is left out; the next word about the
/// host brings it again.
pub const DIAL_WISHES_QUEUED: usize = 4;

/// Dials of one host in a row that are given up because it is said to be somewhere else. The next comes to its end, so
/// that whoever says so again and again keeps nobody from being dialled.
pub const DIALS_CUT_SHORT: u32 = 4;

/// How long a host is tried that was found and has never proved to be a member: as long as a record of it may lie at a
/// slot. Then it is left alone until something new is said of it, or the same after a while.
pub const FOUND_TRIED_FOR: Duration = Duration::from_mins(10);

/// Two connections between the same hosts that were dialled in opposite directions within this time have crossed; the
/// one dialled by the lower id stays.
pub const CROSSED_DIALS: Duration = Duration::from_secs(5);

/// Free bytes of a disk below which people are told to make room.
pub const DISK_SHORT_BYTES: u64 = 1024 * 1024 * 1024;

/// Time of a rate that a pause saves up: a content that begins then goes at once. More would be a burst.
pub const PACE_SAVED: Duration = Duration::from_millis(100);

/// Largest content that `relay_policy: small_only` lets travel over a relay; larger ones wait for a direct path.
pub const RELAYED_BYTES: u64 = 1024 * 1024;

/// How long a connection may be without a direct path under `relay_policy: never`, when it begins and later. Then it is
/// closed, and dialled again later. Shorter than [`PROOF_TIME`], in which the other side waits for the greeting.
pub const RELAYED_FOR: Duration = Duration::from_secs(4);

/// How often the path of a connection is looked at where that matters.
pub const PATH_LOOKED_AT_EVERY: Duration = Duration::from_millis(500);

/// Bytes of a content that go at once where a rate is set. At the least rate that is four seconds, so that lanes which
/// share it have each their turn well within [`STALL`].
pub const PACED_BYTES: usize = 64 * 1024;

/// Least rate that a peer can be limited to, in bytes a second. Below it a content stalls before it has come.
pub const PACE_LEAST: u64 = 16 * 1024;

/// Longest text that names a peer on the command line or in a path, in bytes; ids have 64.
pub const PEER_NAMED_BYTES: usize = 255;

/// Difference of two hosts' clocks from which on it is said, in milliseconds.
pub const CLOCK_APART_MS: u64 = 60_000;

// ── node ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Happenings kept for a listener that is behind. It misses older ones and is told so.
pub const EVENTS_QUEUED: usize = 1024;

/// How often ticket files are looked at, and whether this host's own addresses are still the same.
pub const TICKET_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// Time in which everything must have stopped. What hangs is left behind.
pub const STOP_TIME: Duration = Duration::from_secs(9);
