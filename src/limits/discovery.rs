//! What bounds how hosts find each other.

use std::time::Duration;

/// Finds that wait to be merged. A full queue makes the sources wait.
pub const FINDS_QUEUED: usize = 64;

/// Hosts of which one source's word is kept. Of more, the one not heard of for longest makes room, so that a stranger
/// who floods one source pushes out nothing that another source says.
pub const FINDS_PER_SOURCE: usize = 1024;

/// Age of a word about a host, in milliseconds, at which it is handed on again while it stands and the host is not
/// connected: whoever was given up in between (see [`FOUND_TRIED_FOR`](super::FOUND_TRIED_FOR)) may be there now.
pub const FINDS_AGAIN_MS: u64 = 10 * 60 * 1000;

/// How often it is looked which words are that old.
pub const FINDS_LOOKED_AT_EVERY: Duration = Duration::from_secs(60);

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

/// How often a host that is connected to nobody looks at the slots in the DHT, where one look asks some hundred nodes.
pub const RENDEZVOUS_DHT_SCANNED_EVERY: Duration = Duration::from_secs(30);

/// Time for one call to the DHT: several rounds of nodes, of which many never answer (2 s each). Later it has failed.
pub const RENDEZVOUS_DHT_CALL_TIME: Duration = Duration::from_secs(30);

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

/// How long it goes on looking once a device was there that did not have the words: a wrong word is told soon, and the
/// right device is found all the same if another was faster.
pub const MEETING_TIME_AFTER_REFUSAL: Duration = Duration::from_secs(10);

/// How often it tries a device again that cannot be reached or does not answer.
pub const MEETING_TRIED_EVERY: Duration = Duration::from_secs(3);

/// Devices that it tries at one moment.
pub const MEETING_TRIED_AT_ONCE: usize = 8;

/// Times a device may not answer: it may have more than one joiner (see
/// [`PAIRING_PAUSE_MS`](super::membership::PAIRING_PAUSE_MS)), or show no code at all.
pub const MEETING_REFUSALS: u32 = 3;

/// Largest sealed announcement in bytes. A larger one is not sent, and one that comes ends the connection.
pub const GOSSIP_SEALED_BYTES: usize = 1024;

/// Largest message of the gossip protocol in bytes: an announcement and what the protocol puts around it. A larger one
/// that comes ends the connection.
pub const GOSSIP_MESSAGE_BYTES: usize = 2048;

/// Addresses in an announcement. Further ones are left out, so that it stays below [`GOSSIP_SEALED_BYTES`].
pub const GOSSIP_ADDRESSES: usize = 8;

/// Age at which an announcement is no longer believed or passed on, in milliseconds. Each host makes a new one three
/// times as often.
pub const GOSSIP_LIFE_MS: u64 = 60 * 60 * 1000;

/// How far ahead of this host's clock an announcement may be, in milliseconds. Later ones are not believed.
pub const GOSSIP_AHEAD_MS: u64 = 10 * 60 * 1000;

/// Shortest time between two announcements of one host that only say that its set has changed, for each member it knows:
/// so all of them together make one a second, however many they are.
pub const GOSSIP_SPACING_PER_MEMBER: Duration = Duration::from_secs(1);

/// Shortest time between two such announcements of one host.
pub const GOSSIP_SPACING: Duration = Duration::from_secs(10);

/// How often it is looked whether there is something to announce.
pub const GOSSIP_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// Announcements of one author that are taken at once; then one every [`GOSSIP_AUTHOR_EVERY`]. Further ones are dropped.
/// A host keeps to it with its own.
pub const GOSSIP_AUTHOR_BURST: u32 = 8;

/// How often an author is heard.
pub const GOSSIP_AUTHOR_EVERY: Duration = Duration::from_secs(5);

/// Authors that are heard for the first time at once, as many as there are in a large library; then one every
/// [`GOSSIP_NEW_AUTHOR_EVERY`]. Further ones are dropped: who knows the secret can make up as many as it likes.
pub const GOSSIP_NEW_AUTHORS: u32 = 1024;

/// How often a new author is heard.
pub const GOSSIP_NEW_AUTHOR_EVERY: Duration = Duration::from_secs(1);

/// Gossip of one neighbour that is taken at once; then one message every [`GOSSIP_NEIGHBOUR_EVERY`]. Further ones are
/// dropped unread.
pub const GOSSIP_NEIGHBOUR_BURST: u32 = 1024;

/// How often a neighbour is heard.
pub const GOSSIP_NEIGHBOUR_EVERY: Duration = Duration::from_millis(30);

/// Gossip that waits to be heard. Further messages are dropped: all that matters is said again.
pub const GOSSIP_QUEUED: usize = 4096;

/// Announcements of others that a new neighbour is told directly, a part of its own by each that tells it.
pub const GOSSIP_TOLD: usize = 256;

/// Hops an announcement travels. One that has come farther is dropped.
pub const GOSSIP_HOPS: u16 = 64;

/// Announcements that neighbours may promise before what the protocol remembers of promises is forgotten: it forgets
/// none that is never kept.
pub const GOSSIP_PROMISED: usize = 65_536;

/// Neighbours of the gossip protocol, at most. It is above what a host is ever linked to.
pub const GOSSIP_NEIGHBOURS: usize = 4096;

/// Shortest time between two comparisons with the connected peers that gossip causes.
pub const GOSSIP_COMPARED_EVERY: Duration = Duration::from_secs(10);
