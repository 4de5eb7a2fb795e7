//! What a member leaves at a slot: where it is, and where the members are that it is connected to.
//!
//! Sealed with the library's envelope key and bound to library, epoch and slot, so a relay reads nothing, and a record
//! that is carried to another slot does not open there. Time and random bytes come in as arguments.

use prost::Message;

use crate::asset::HostId;
use crate::auth::ENVELOPE_NONCE_BYTES;
use crate::auth::ENVELOPE_OVERHEAD_BYTES;
use crate::auth::EnvelopeKey;
use crate::auth::OpenEnvelopeError;
use crate::library::Ticket;
use crate::limits;
use crate::proto::rendezvous::v1;

/// What the purpose of a record's envelope begins with.
const CONTEXT: &[u8; 27] = b"can-sync rendezvous record ";

/// A record, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The host that wrote it.
    pub(super) writer: Ticket,
    /// When, in Unix milliseconds on the writer's clock.
    pub(super) written_ms: u64,
    /// Members it was connected to.
    pub(super) members: Vec<Member>,
}

/// A member, as another one knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Where it is.
    pub(super) ticket: Ticket,
    /// When it was last heard, in Unix milliseconds.
    pub(super) heard_ms: u64,
}

/// Where a record lies; it opens only there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Seals it.
    pub(super) key: &'a EnvelopeKey,
    /// Name of the library.
    pub(super) library: &'a str,
    /// Epoch of the library's secret.
    pub(super) epoch: u64,
    /// Which slot.
    pub(super) slot: u8,
}

/// Bytes that are no record of this place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum OpenRecordError {
    /// No member sealed it for this place.
    #[error(transparent)]
    Envelope(#[from] OpenEnvelopeError),
    /// A member sealed something else.
    #[error("the record cannot be understood; a newer can-sync wrote it")]
    Content,
}

impl Record {
    /// Seals the record with as many members as fit, the most recently heard first. `random` orders those heard at the
    /// same time, so that each gets its turn.
    pub(super) fn seal(&self, place: Place<'_>, nonce: [u8; ENVELOPE_NONCE_BYTES], random: u64) -> Vec<u8> {
        let mut members: Vec<&Member> = self.members.iter().collect();
        members.sort_by_cached_key(|member| (std::cmp::Reverse(member.heard_ms), turn(member.ticket.host, random)));
        let mut record = v1::Record {
            writer: shortened(&self.writer, limits::RENDEZVOUS_WRITER_ADDRESSES).into(),
            written_ms: self.written_ms,
            members: Vec::new(),
        };
        for member in members {
            let age_secs = self.written_ms.saturating_sub(member.heard_ms) / 1000;
            record.members.push(v1::Member {
                ticket: shortened(&member.ticket, limits::RENDEZVOUS_MEMBER_ADDRESSES).into(),
                age_secs: u32::try_from(age_secs).unwrap_or(u32::MAX),
            });
            if record.encoded_len() + ENVELOPE_OVERHEAD_BYTES > limits::RENDEZVOUS_SEALED_BYTES {
                // A shorter one may still fit.
                record.members.pop();
            }
        }
        place.key.seal(nonce, &place.purpose(), &record.encode_to_vec())
    }

    /// Opens what was read at a place. What it lists of hosts that cannot be understood is left out.
    pub(super) fn open(place: Place<'_>, sealed: &[u8]) -> Result<Self, OpenRecordError> {
        let content = place.key.open(&place.purpose(), sealed)?;
        let record = v1::Record::decode(content.as_slice()).map_err(|_| OpenRecordError::Content)?;
        let written_ms = record.written_ms;
        let members = record.members.iter().filter_map(|member| {
            let heard_ms = written_ms.saturating_sub(u64::from(member.age_secs) * 1000);
            Some(Member { ticket: Ticket::from_bytes(&member.ticket).ok()?, heard_ms })
        });
        Ok(Self {
            writer: Ticket::from_bytes(&record.writer).map_err(|_| OpenRecordError::Content)?,
            written_ms,
            members: members.collect(),
        })
    }

    /// Returns who was heard lately by this host's clock: entries that are dead or from the future are left out.
    pub(super) fn alive(self, now_ms: u64) -> impl Iterator<Item = Member> {
        let writer = Member { ticket: self.writer, heard_ms: self.written_ms };
        std::iter::once(writer).chain(self.members).filter(move |member| {
            let dead = now_ms.saturating_sub(member.heard_ms) > limits::RENDEZVOUS_DEAD_MS;
            let early = member.heard_ms.saturating_sub(now_ms) > limits::RENDEZVOUS_AHEAD_MS;
            !dead && !early
        })
    }
}

impl Place<'_> {
    /// Every part has a fixed length, so no two places share a purpose.
    fn purpose(&self) -> Vec<u8> {
        let library = blake3::hash(self.library.as_bytes());
        [CONTEXT.as_slice(), library.as_bytes(), &self.epoch.to_le_bytes(), &[self.slot]].concat()
    }
}

/// Returns the ticket's encoding with no more than so many addresses.
fn shortened(ticket: &Ticket, addresses: usize) -> Vec<u8> {
    let mut ticket = ticket.clone();
    ticket.addresses.truncate(addresses);
    ticket.to_bytes()
}

/// Returns where a host stands in the order that belongs to a random number.
fn turn(host: HostId, random: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&random.to_le_bytes());
    hasher.update(host.as_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    use data_encoding::HEXLOWER;
    use proptest::collection::vec;
    use proptest::prelude::any;

    use super::*;
    use crate::auth::Keys;
    use crate::auth::LibrarySecret;

    const NOW: u64 = 1_800_000_000_000;

    fn key(secret: u8) -> EnvelopeKey {
        Keys::derive(&LibrarySecret::from_bytes([secret; 32])).envelope
    }

    fn place(key: &EnvelopeKey) -> Place<'_> {
        Place { key, library: "mirror", epoch: 0, slot: 3 }
    }

    fn ticket(host: u8) -> Ticket {
        Ticket {
            host: HostId::from_bytes([host; 32]),
            addresses: vec![SocketAddr::from(([192, 0, 2, host], 4433))],
            relay: Some("https://relay.example.org./".to_owned()),
        }
    }

    fn record(members: u8) -> Record {
        let members = (1..=members).map(|host| Member { ticket: ticket(host), heard_ms: NOW }).collect();
        Record { writer: ticket(0), written_ms: NOW, members }
    }

    #[test]
    fn a_record_opens_as_it_was_sealed_and_the_encoding_is_frozen() {
        let key = key(1);
        let sealed = record(1).seal(place(&key), [7; 24], 0);
        assert_eq!(Record::open(place(&key), &sealed).unwrap(), record(1));
        assert_eq!(
            HEXLOWER.encode(blake3::hash(&sealed).as_bytes()),
            "5108082b4005e4994d344a624f97b14553b92c7fefb5700fcd2401c3c7a451d8"
        );
    }

    #[test]
    fn a_record_opens_only_where_it_was_left() {
        let (key, other) = (key(1), key(2));
        let sealed = record(1).seal(place(&key), [7; 24], 0);
        for elsewhere in [
            Place { key: &other, ..place(&key) },
            Place { library: "photos", ..place(&key) },
            Place { epoch: 1, ..place(&key) },
            Place { slot: 4, ..place(&key) },
        ] {
            assert!(matches!(Record::open(elsewhere, &sealed), Err(OpenRecordError::Envelope(_))), "{elsewhere:?}");
        }
    }

    #[test]
    fn as_many_members_as_fit_are_listed_the_last_heard_first() {
        let key = key(1);
        let mut all = record(40);
        all.members[30].heard_ms = NOW - 60_000;
        for heard in [17, 23] {
            all.members[heard].heard_ms = NOW + 1000;
        }
        let sealed = all.seal(place(&key), [7; 24], 5);
        assert!(sealed.len() <= limits::RENDEZVOUS_SEALED_BYTES);
        let opened = Record::open(place(&key), &sealed).unwrap();
        assert!(opened.members.len() >= 8, "{}", opened.members.len());
        let first: BTreeSet<HostId> = opened.members[..2].iter().map(|member| member.ticket.host).collect();
        assert_eq!(first, [ticket(18).host, ticket(24).host].into());
        assert!(opened.members.iter().all(|member| member.ticket != ticket(31)));
        let listed = |random| {
            let opened = Record::open(place(&key), &all.seal(place(&key), [7; 24], random)).unwrap();
            opened.members.into_iter().map(|member| member.ticket.host).collect::<BTreeSet<_>>()
        };
        let turns: BTreeSet<HostId> = (0..100).flat_map(listed).collect();
        assert_eq!(turns.len(), 39, "everyone but the one not heard for longest gets a turn");
    }

    #[test]
    fn the_longest_writer_fits_and_a_member_with_much_to_say_is_listed_shortened() {
        let key = key(1);
        let much = |host: u8| Ticket {
            addresses: (0..32).map(|port| SocketAddr::from(([0xfe80, 0, 0, 0, 0, 0, 0, 1], 4000 + port))).collect(),
            relay: Some("r".repeat(limits::TICKET_RELAY_BYTES)),
            ..ticket(host)
        };
        let members = vec![Member { ticket: much(1), heard_ms: NOW }, Member { ticket: ticket(2), heard_ms: NOW - 1 }];
        let sealed = Record { writer: much(0), written_ms: NOW, members }.seal(place(&key), [7; 24], 0);
        assert!(sealed.len() <= limits::RENDEZVOUS_SEALED_BYTES, "{}", sealed.len());
        let opened = Record::open(place(&key), &sealed).unwrap();
        assert_eq!(opened.writer.addresses.len(), limits::RENDEZVOUS_WRITER_ADDRESSES);
        assert!(!opened.members.is_empty());
    }

    #[test]
    fn dead_entries_and_those_from_the_future_are_left_out() {
        let (dead, early) = (limits::RENDEZVOUS_DEAD_MS, limits::RENDEZVOUS_AHEAD_MS);
        let heard = [NOW - dead - 1, NOW - dead, NOW, NOW + early, NOW + early + 1];
        let members = (1..).zip(heard).map(|(host, heard_ms)| Member { ticket: ticket(host), heard_ms }).collect();
        let alive: Vec<Ticket> =
            Record { writer: ticket(0), written_ms: 5, members }.alive(NOW).map(|member| member.ticket).collect();
        assert_eq!(alive, [ticket(2), ticket(3), ticket(4)]);
        assert_eq!(record(2).alive(NOW).count(), 3);
    }

    proptest::proptest! {
        #[test]
        fn junk_is_refused_sealed_or_not(junk in vec(any::<u8>(), 0..1100)) {
            let key = key(1);
            let _ = Record::open(place(&key), &junk);
            let sealed = key.seal([1; 24], &place(&key).purpose(), &junk);
            if let Ok(record) = Record::open(place(&key), &sealed) {
                let _ = record.alive(NOW).count();
            }
        }

        #[test]
        fn times_at_the_ends_of_their_range_do_no_harm(written_ms in any::<u64>(), heard_ms in any::<u64>()) {
            let key = key(1);
            let members = vec![Member { ticket: ticket(1), heard_ms }];
            let sealed = Record { writer: ticket(0), written_ms, members }.seal(place(&key), [1; 24], 0);
            let opened = Record::open(place(&key), &sealed).unwrap();
            proptest::prop_assert_eq!(opened.written_ms, written_ms);
            let _ = opened.alive(u64::MAX).count();
        }
    }
}
