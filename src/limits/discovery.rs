//! What bounds how hosts find each other.

use std::time::Duration;

/// Finds that wait to be merged. A full queue makes the sources wait.
pub const FINDS_QUEUED: usize = 64;

/// Hosts of which one source's word is kept. Of more, the one not heard of for longest makes room, so that a stranger
/// who floods one source pushes out nothing that another source says.
pub const FINDS_PER_SOURCE: usize = 1024;

/// First pause before a source that failed runs again; it doubles.
pub const SOURCE_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause before a source that failed runs again.
pub const SOURCE_PAUSE_MOST: Duration = Duration::from_secs(60);

/// Places at which members meet on pkarr. Part of the protocol: never changed.
pub const RENDEZVOUS_SLOTS: u8 = 8;

/// Age at which a record, and every entry in it, is dead, in milliseconds. The place of such a record is empty.
pub const RENDEZVOUS_DEAD_MS: u64 = 10 * 60 * 1000;

/// How far ahead of this host's clock a record or an entry may be, in milliseconds. Later ones are not believed, and
/// their place is given up: nothing older could be written there.
pub const RENDEZVOUS_AHEAD_MS: u64 = 10 * 60 * 1000;

/// How long a record may be cached, in seconds.
pub const RENDEZVOUS_TTL_SECS: u32 = 300;

/// How often a host writes its record.
pub const RENDEZVOUS_PUBLISHED_EVERY: Duration = Duration::from_secs(60);

/// How often a host that is connected to nobody looks at the slots. A record whose addresses have changed is not
/// written again sooner either.
pub const RENDEZVOUS_SCANNED_EVERY: Duration = Duration::from_secs(15);

/// How often a host that is connected looks at the slots.
pub const RENDEZVOUS_SCANNED_EVERY_CONNECTED: Duration = Duration::from_secs(5 * 60);

/// Time a relay has for one call, in which it asks the network behind it. Later the call has failed.
pub const RENDEZVOUS_CALL_TIME: Duration = Duration::from_secs(10);

/// First pause after a relay failed or said that it is asked too often; it doubles. What it demands itself counts when
/// that is longer, up to [`RENDEZVOUS_PAUSE_MOST`].
pub const RENDEZVOUS_PAUSE: Duration = Duration::from_secs(15);

/// Longest pause after a relay failed.
pub const RENDEZVOUS_PAUSE_MOST: Duration = Duration::from_secs(10 * 60);

/// Relays that are asked. Further ones in the configuration are refused.
pub const RENDEZVOUS_RELAYS: usize = 8;

/// Sealed bytes of a record: what is left of the 1000 bytes of a packet behind its head (12), the name of the record
/// (64), its type, class, life and length (10), and a length for every 255 bytes of text (4). What does not fit of the
/// members is left out.
pub const RENDEZVOUS_SEALED_BYTES: usize = 910;

/// Addresses of the writer in its record. Further ones are left out.
pub const RENDEZVOUS_WRITER_ADDRESSES: usize = 8;

/// Addresses of every other member in a record. Further ones are left out, so that more members fit.
pub const RENDEZVOUS_MEMBER_ADDRESSES: usize = 4;

/// How often the hosts of a local network are asked for, by one of them for all. Three times as long after it was last
/// heard, a host counts as gone.
pub const MDNS_ASKED_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked whether this machine can send to a local network at all.
pub const MDNS_PROBED_EVERY: Duration = Duration::from_secs(60);

/// How often the device that shows a pairing code leaves its ticket at the meeting place.
pub const MEETING_WRITTEN_EVERY: Duration = Duration::from_secs(20);

/// How often a device that wants to join looks at the meeting place.
pub const MEETING_LOOKED_AT_EVERY: Duration = Duration::from_secs(3);

/// How long a device that wants to join looks for the other one; then it gives up and says what it tried.
pub const MEETING_TIME: Duration = Duration::from_secs(120);
