//! What a member announces: where it is, whether it keeps everything, and that its set has changed.
//!
//! Signed by the host's own key, then sealed with the library's envelope key and bound to its gossip topic: only members
//! read and make it, and none speaks for another. It carries no count and no fingerprint: they would tell of what is kept
//! back. Time and random bytes come in as arguments.

use bytes::Bytes;
use prost::Message;

use crate::asset::HostId;
use crate::auth::ENVELOPE_NONCE_BYTES;
use crate::auth::EnvelopeKey;
use crate::auth::HostKey;
use crate::auth::OpenEnvelopeError;
use crate::auth::Purpose;
use crate::auth::TopicKey;
use crate::library::Ticket;
use crate::limits;
use crate::proto::gossip::v1;

/// What the purpose of an announcement's envelope begins with.
const CONTEXT: &[u8; 29] = b"can-sync gossip announcement ";

/// What a host says of itself to all members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Who it is and where it can be reached.
    pub ticket: Ticket,
    /// Its name, for people.
    pub name: String,
    /// When it said so, in Unix milliseconds on its clock; later than what it said before.
    pub at_ms: u64,
    /// Whether it takes in and passes on every asset.
    pub keeps_everything: bool,
    /// Another number than before when its set has changed.
    pub change: u64,
}

/// What opens the announcements of a library.
#[derive(Debug, Clone)]
pub(super) struct Seal {
    envelope: EnvelopeKey,
    topic: TopicKey,
}

/// An announcement that is not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum SealError {
    /// It would be more than everybody takes.
    #[error("an announcement of {0} bytes is longer than the limit of {limit}", limit = limits::GOSSIP_SEALED_BYTES)]
    TooLong(usize),
}

/// Bytes that are no announcement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum OpenError {
    /// It is more than anybody sends.
    #[error("it is longer than the limit")]
    TooLong,
    /// No member sealed it for this library.
    #[error(transparent)]
    Envelope(#[from] OpenEnvelopeError),
    /// A member sealed something else.
    #[error("it cannot be understood")]
    Content,
}

/// An announcement whose signature is not looked at yet: that is the dear part, and others come before.
pub(super) struct Opened {
    pub(super) announcement: Announcement,
    signed: Vec<u8>,
    signature: [u8; 64],
}

impl Seal {
    pub(super) const fn new(envelope: EnvelopeKey, topic: TopicKey) -> Self {
        Self { envelope, topic }
    }

    /// Signs and seals an announcement of the host that has this key.
    pub(super) fn seal(
        &self,
        announcement: &Announcement,
        key: &HostKey,
        nonce: [u8; ENVELOPE_NONCE_BYTES],
    ) -> Result<Bytes, SealError> {
        let mut ticket = announcement.ticket.clone();
        ticket.addresses.truncate(limits::GOSSIP_ADDRESSES);
        let announcement = v1::Announcement {
            ticket: ticket.to_bytes().into(),
            name: announcement.name[..announcement.name.floor_char_boundary(limits::DEVICE_NAME_BYTES)].to_owned(),
            at_ms: announcement.at_ms,
            keeps_everything: announcement.keeps_everything,
            change: announcement.change,
        };
        let announcement = announcement.encode_to_vec();
        let signature = key.sign_for(Purpose::Announcement, &announcement).to_vec().into();
        let signed = v1::Signed { announcement: announcement.into(), signature };
        let sealed = self.envelope.seal(nonce, &self.purpose(), &signed.encode_to_vec());
        if sealed.len() > limits::GOSSIP_SEALED_BYTES {
            return Err(SealError::TooLong(sealed.len()));
        }
        Ok(sealed.into())
    }

    /// Opens an announcement. Who made it is not known before its signature was checked.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Opened, OpenError> {
        if sealed.len() > limits::GOSSIP_SEALED_BYTES {
            return Err(OpenError::TooLong);
        }
        let signed = self.envelope.open(&self.purpose(), sealed)?;
        let signed = v1::Signed::decode(signed.as_slice()).map_err(|_| OpenError::Content)?;
        let signature = signed.signature.as_ref().try_into().map_err(|_| OpenError::Content)?;
        let said = v1::Announcement::decode(signed.announcement.as_ref()).map_err(|_| OpenError::Content)?;
        if said.name.len() > limits::DEVICE_NAME_BYTES {
            return Err(OpenError::Content);
        }
        let announcement = Announcement {
            ticket: Ticket::from_bytes(&said.ticket).map_err(|_| OpenError::Content)?,
            name: said.name,
            at_ms: said.at_ms,
            keeps_everything: said.keeps_everything,
            change: said.change,
        };
        Ok(Opened { announcement, signed: signed.announcement.to_vec(), signature })
    }

    fn purpose(&self) -> Vec<u8> {
        [CONTEXT.as_slice(), self.topic.expose()].concat()
    }
}

impl Opened {
    pub(super) fn author(&self) -> HostId {
        self.announcement.ticket.host
    }

    /// Tells whether the host that it names has signed it.
    pub(super) fn is_signed(&self) -> bool {
        Purpose::Announcement.is_signed_by(self.author(), &self.signed, &self.signature)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::auth::Keys;
    use crate::auth::LibrarySecret;

    pub(in super::super) fn seal_of(secret: u8) -> Seal {
        let keys = Keys::derive(&LibrarySecret::from_bytes([secret; 32]));
        Seal::new(keys.envelope, keys.topic)
    }

    pub(in super::super) fn key(seed: u8) -> HostKey {
        HostKey::from_seed(&[seed; 32])
    }

    pub(in super::super) fn announcement(seed: u8, at_ms: u64) -> Announcement {
        let addresses = vec![([192, 0, 2, seed], 4433).into()];
        let ticket = Ticket { host: key(seed).id(), addresses, relay: None };
        Announcement { ticket, name: format!("host {seed}"), at_ms, keeps_everything: true, change: 7 }
    }

    #[test]
    fn an_announcement_reads_back_and_is_signed_by_its_host() {
        let said = announcement(1, 5);
        let sealed = seal_of(1).seal(&said, &key(1), [3; 24]).unwrap();
        let opened = seal_of(1).open(&sealed).unwrap();
        assert!(opened.is_signed());
        assert_eq!(opened.announcement, said);
        assert_eq!(seal_of(1).seal(&said, &key(1), [3; 24]).unwrap(), sealed);
        assert!(matches!(seal_of(2).open(&sealed), Err(OpenError::Envelope(_))));
        // A member speaks for itself only.
        let forged = seal_of(1).seal(&said, &key(2), [3; 24]).unwrap();
        assert!(!seal_of(1).open(&forged).unwrap().is_signed());
        let junk = seal_of(1).envelope.seal([1; 24], &seal_of(1).purpose(), b"junk");
        assert!(matches!(seal_of(1).open(&junk), Err(OpenError::Content)));
    }

    #[test]
    fn the_encoding_is_frozen() {
        let sealed = seal_of(1).seal(&announcement(1, 5), &key(1), [3; 24]).unwrap();
        assert_eq!(&blake3::hash(&sealed).to_hex()[..32], "0b6749136fab116efb18ad5c8feea002");
    }

    #[test]
    fn the_longest_announcement_stays_below_the_limit() {
        let longest = Announcement {
            ticket: Ticket {
                addresses: (0..32).map(|n| ([0x2001, 0xdb8, 0, 0, 0, 0, 0, n], u16::MAX).into()).collect(),
                relay: Some(format!("https://{}.example.org/", "r".repeat(limits::TICKET_RELAY_BYTES - 22))),
                ..announcement(1, 0).ticket
            },
            name: "ä".repeat(200),
            at_ms: u64::MAX,
            keeps_everything: true,
            change: u64::MAX,
        };
        let sealed = seal_of(1).seal(&longest, &key(1), [3; 24]).unwrap();
        let read = seal_of(1).open(&sealed).unwrap().announcement;
        assert_eq!((read.ticket.addresses.len(), read.name.len()), (limits::GOSSIP_ADDRESSES, 64));
        assert!(matches!(seal_of(1).open(&[1; limits::GOSSIP_SEALED_BYTES + 1]), Err(OpenError::TooLong)));
    }
}
