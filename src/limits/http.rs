//! What bounds HTTP, as a server and as a client of a CAN Service.

use std::time::Duration;

use super::DOCUMENT_BYTES;
use super::JSON_BODY_BYTES;

// ── HTTP, as a server ───────────────────────────────────────────────────────────────────────────────────────────────

/// Connections to one listener at a time. A further one waits in the queue of the operating system.
pub const HTTP_CONNECTIONS: usize = 64;

/// Time a client has to send the head of a request, and to send the next one on a connection it keeps open.
/// Later the connection is closed.
pub const HTTP_HEAD_TIME: Duration = Duration::from_secs(10);

/// Bytes read ahead of what a handler has taken from one connection, the head of a request included.
pub const HTTP_BUFFER_BYTES: usize = 128 * 1024;

/// Time without a byte, in a request body or in an answer the client does not read. Later the connection is closed, and so
/// it is when a body comes with less than [`LEAST_RATE`](super::LEAST_RATE).
pub const HTTP_STALL: Duration = Duration::from_secs(30);

/// Bytes of request bodies that are gathered in memory at once, in all; four JSON bodies of the largest size. A further
/// one gets 500.
pub const HTTP_GATHERED_BYTES: usize = 4 * JSON_BODY_BYTES;

/// Bytes of each body that do not count for that.
pub const HTTP_SMALL_BODY_BYTES: usize = 64 * 1024;

/// Bytes of an upload that are read on after it was refused, so that a client which still sends gets the answer. Behind
/// them the connection is closed.
pub const HTTP_REST_BYTES: usize = 64 * 1024 * 1024;

/// Time in which the rest of a refused upload is read on.
pub const HTTP_REST: Duration = Duration::from_secs(2);

/// Time in which running requests may end when the host stops. Later they are broken off.
pub const HTTP_CLOSE_TIME: Duration = Duration::from_secs(3);

/// Bytes of a multipart body that are not yet part of a field: the head of a part, or what lies between parts.
/// More is refused with 400.
pub const MULTIPART_AHEAD_BYTES: u64 = 1024 * 1024;

/// Parts of a multipart body. More are refused with 400.
pub const MULTIPART_PARTS: usize = 64;

/// Event streams open at one listener, of assets or of what happens, so that they leave connections for everything else. A further one gets 500.
pub const EVENT_STREAMS: usize = 32;

/// Time after which an idle event stream carries a comment, so that both ends notice a dead connection.
pub const EVENT_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Assets read at once for an event stream. All streams that a client is slow to read hold so many documents.
pub const EVENTS_PER_READ: usize = 8;

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
/// [`DESCRIPTION_BYTES`](super::DESCRIPTION_BYTES); beyond this the bundle is refused.
pub const BUNDLE_HEAD_BYTES: usize = 4 * 1024 * 1024;

// ── HTTP, as a client of a CAN Service ──────────────────────────────────────────────────────────────────────────────

/// Time in which a connection to the service must come about.
pub const SERVICE_CONNECT_TIME: Duration = Duration::from_secs(5);

/// Time in which a call without content must be over, its whole answer read. Later the call has failed, and the service
/// counts as down. A push in which nothing moves for so long has failed too.
pub const SERVICE_CALL_TIME: Duration = Duration::from_mins(1);

/// Time in which a call that carries content must be over; a gigabyte at [`SERVICE_CONTENT_RATE`]. Of a pull only the
/// waiting for the service counts. Later the call has failed; contents that came whole before are kept, and the rest is
/// asked for again.
pub const SERVICE_CONTENT_TIME: Duration = Duration::from_hours(3);

/// Bytes a second with which pulled contents must come on the whole, beside [`SERVICE_CALL_TIME`]. The answer of a slower
/// service has failed, so that no content can hold up the others by trickling.
pub const SERVICE_CONTENT_RATE: u64 = 100 * 1024;

/// Time without a byte from the service, after which a call has failed. Above [`EVENT_KEEP_ALIVE`].
pub const SERVICE_STALL: Duration = Duration::from_secs(40);

/// Largest answer of the service that is held in memory, in bytes, the metadata of many assets included. A longer one has
/// failed; metadata is then asked for in halves.
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

/// First and longest pause before a content is read again that broke the answer of the service it came in.
pub const SERVICE_CONTENT_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// Contents of the service that are remembered as bad. Of more, all are read once more.
pub const SERVICE_UNREADABLE: usize = 10_000;

/// Assets asked for in one call of `/sync/hashes`, so that a service which lists all of them without a limit keeps within
/// [`SERVICE_ANSWER_BYTES`]. The rest is behind the cursor.
pub const SERVICE_HASHES: usize = 10_000;

/// Assets asked of the service in one call. Their contents come as one stream.
pub const SERVICE_BATCH: usize = 256;
