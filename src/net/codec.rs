//! Words of `sync` as wire messages, and back. What comes in is checked here, before it reaches a rule.

use super::control::Gossip;
use super::control::Word;
use super::succession;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Digest;
use crate::asset::Document;
use crate::asset::Field;
use crate::asset::HostId;
use crate::asset::Stamp;
use crate::asset::Timestamp;
use crate::asset::Value;
use crate::limits;
use crate::proto::peer::v1 as wire;
use crate::sync::Answer;
use crate::sync::ItemHash;
use crate::sync::Message;
use crate::sync::Offer;
use crate::sync::Summary;

use wire::control::Message as Wire;

/// A message that has the right form and makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A message of a kind that this version does not know, or none.
    #[error("a message of unknown kind")]
    Unknown,
    /// A field that is missing, too long, or holds something else.
    #[error("a message with a wrong {0}")]
    Field(&'static str),
}

pub(super) fn encode(word: Word) -> wire::Control {
    let message = match word {
        Word::Message(message) => encode_message(message),
        Word::Gossip(gossip) => Wire::Gossip(wire::Gossip {
            said: Some(match gossip {
                Gossip::Protocol(message) => wire::gossip::Said::Protocol(message),
                Gossip::Announcement(sealed) => wire::gossip::Said::Announcement(sealed),
            }),
        }),
        Word::Succession(told) => Wire::Succession(succession::encode(&told)),
    };
    wire::Control { message: Some(message) }
}

fn encode_message(message: Message) -> Wire {
    match message {
        Message::Summary { summary, kept } => Wire::Summary(wire::Summary {
            count: summary.count,
            fingerprint: summary.fingerprint.to_vec().into(),
            kept,
        }),
        Message::Reconcile { run, ranges } => Wire::Reconcile(wire::Reconcile { run, ranges: ranges.into() }),
        Message::ReconcileReply { run, ranges } => Wire::ReconcileReply(wire::Reconcile { run, ranges: ranges.into() }),
        Message::Request { run, hashes, last } => {
            let hashes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
            Wire::Request(wire::Request { run, hashes: hashes.into(), last })
        }
        Message::Offers(offers) => Wire::Offers(wire::Offers { offers: offers.iter().map(encode_offer).collect() }),
        Message::Answers(answers) => {
            Wire::Answers(wire::Answers { answers: answers.into_iter().map(encode_answer).collect() })
        }
        Message::Early { asset, ahead_ms } => {
            Wire::Early(wire::Early { id: asset.as_bytes().to_vec().into(), ahead_ms })
        }
        Message::Settled { run } => Wire::Settled(wire::Settled { run }),
    }
}

/// Returns a message as it travels.
#[cfg(test)]
pub(crate) fn message_bytes(message: &Message) -> Vec<u8> {
    prost::Message::encode_to_vec(&encode(message.clone().into()))
}

pub(super) fn decode(control: wire::Control) -> Result<Word, CodecError> {
    Ok(match control.message.ok_or(CodecError::Unknown)? {
        Wire::Gossip(gossip) => Word::Gossip(decode_gossip(gossip)?),
        Wire::Succession(told) => Word::Succession(succession::decode(told)?),
        message => Word::Message(decode_message(message)?),
    })
}

fn decode_gossip(gossip: wire::Gossip) -> Result<Gossip, CodecError> {
    use wire::gossip::Said;
    match gossip.said {
        Some(Said::Protocol(message)) if message.len() <= limits::GOSSIP_MESSAGE_BYTES => Ok(Gossip::Protocol(message)),
        Some(Said::Announcement(sealed)) if sealed.len() <= limits::GOSSIP_SEALED_BYTES => {
            Ok(Gossip::Announcement(sealed))
        }
        Some(_) => Err(CodecError::Field("length of gossip")),
        None => Err(CodecError::Field("kind of gossip")),
    }
}

fn decode_message(message: Wire) -> Result<Message, CodecError> {
    Ok(match message {
        Wire::Gossip(_) | Wire::Succession(_) => return Err(CodecError::Unknown),
        Wire::Summary(summary) => Message::Summary {
            summary: Summary { count: summary.count, fingerprint: fixed(&summary.fingerprint, "fingerprint")? },
            kept: summary.kept,
        },
        Wire::Reconcile(part) => Message::Reconcile { run: part.run, ranges: part.ranges.into() },
        Wire::ReconcileReply(part) => Message::ReconcileReply { run: part.run, ranges: part.ranges.into() },
        Wire::Request(request) => {
            let (hashes, rest) = request.hashes.as_chunks::<32>();
            if !rest.is_empty() || hashes.len() > limits::REQUESTS_PER_MESSAGE {
                return Err(CodecError::Field("list of item hashes"));
            }
            let hashes = hashes.iter().copied().map(ItemHash::from_bytes).collect();
            Message::Request { run: request.run, hashes, last: request.last }
        }
        Wire::Offers(offers) => {
            if offers.offers.len() > limits::OFFERS_PER_MESSAGE {
                return Err(CodecError::Field("number of offers"));
            }
            Message::Offers(offers.offers.into_iter().map(decode_offer).collect::<Result<_, _>>()?)
        }
        Wire::Answers(answers) => {
            if answers.answers.len() > limits::ANSWERS_PER_MESSAGE {
                return Err(CodecError::Field("number of answers"));
            }
            Message::Answers(answers.answers.into_iter().map(decode_answer).collect::<Result<_, _>>()?)
        }
        Wire::Early(early) => {
            Message::Early { asset: AssetId::from_bytes(fixed(&early.id, "asset id")?), ahead_ms: early.ahead_ms }
        }
        Wire::Settled(settled) => Message::Settled { run: settled.run },
    })
}

fn encode_offer(offer: &Offer) -> wire::Offer {
    wire::Offer {
        id: offer.key.id.as_bytes().to_vec().into(),
        timestamp: offer.key.timestamp.as_millis(),
        size: offer.key.size,
        fields: offer
            .document
            .iter()
            .map(|(name, field)| wire::Field {
                name: name.to_owned(),
                value: field.value.text().map(str::to_owned),
                stamp_time: field.stamp.time(),
                stamp_host: match field.stamp.is_zero() {
                    true => bytes::Bytes::new(),
                    false => field.stamp.host().as_bytes().to_vec().into(),
                },
            })
            .collect(),
    }
}

fn decode_offer(offer: wire::Offer) -> Result<Offer, CodecError> {
    let timestamp = Timestamp::new(offer.timestamp).map_err(|_| CodecError::Field("timestamp"))?;
    let key = AssetKey { id: AssetId::from_bytes(fixed(&offer.id, "asset id")?), timestamp, size: offer.size };
    let field = |field: wire::Field| {
        let host = match field.stamp_host.is_empty() {
            true => HostId::from_bytes([0; 32]),
            false => HostId::from_bytes(fixed(&field.stamp_host, "stamp")?),
        };
        let value = field.value.map_or(Value::Absent, Value::Text);
        Ok((field.name, Field { value, stamp: Stamp::from_parts(field.stamp_time, host) }))
    };
    let document = offer.fields.into_iter().map(field).collect::<Result<Document, CodecError>>()?;
    Ok(Offer::new(key, document))
}

fn encode_answer((asset, version, answer): (AssetId, Digest, Answer)) -> wire::Answer {
    use wire::answer::Kind;
    let (kind, reason) = match answer {
        Answer::Stored => (Kind::Stored, String::new()),
        Answer::Held(reason) => (Kind::Held, reason),
        Answer::Declined(reason) => (Kind::Declined, reason),
        Answer::Refused(reason) => (Kind::Refused, reason),
    };
    let reason = shortened(reason);
    let (id, document) = (asset.as_bytes().to_vec().into(), version.as_bytes().to_vec().into());
    wire::Answer { id, document, kind: kind.into(), reason }
}

fn decode_answer(answer: wire::Answer) -> Result<(AssetId, Digest, Answer), CodecError> {
    use wire::answer::Kind;
    let asset = AssetId::from_bytes(fixed(&answer.id, "asset id")?);
    let version = Digest::from_bytes(fixed(&answer.document, "document digest")?);
    let (kind, reason) = (answer.kind(), shortened(answer.reason));
    let answer = match kind {
        Kind::Stored => Answer::Stored,
        Kind::Held => Answer::Held(reason),
        Kind::Declined => Answer::Declined(reason),
        Kind::Refused => Answer::Refused(reason),
        Kind::Unspecified => return Err(CodecError::Field("kind of answer")),
    };
    Ok((asset, version, answer))
}

/// Cuts a reason to what a peer keeps of it.
fn shortened(mut reason: String) -> String {
    let mut end = reason.len().min(limits::REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

pub(super) fn fixed<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], CodecError> {
    bytes.try_into().map_err(|_| CodecError::Field(what))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::asset::names;
    use crate::asset::validate_received;

    fn offer() -> Offer {
        let timestamp = Timestamp::new(1_700_000_000_000).unwrap();
        let host = HostId::from_bytes([7; 32]);
        let mut document = Document::new();
        document.insert("path", Field { value: Value::Text("a".into()), stamp: Stamp::from_parts(9, host) });
        document.insert("tag/x", Field { value: Value::Absent, stamp: Stamp::from_parts(8, host) });
        document.insert("mime_type", Field { value: Value::Text(String::new()), stamp: Stamp::ZERO });
        let key = AssetKey { id: AssetId::from_bytes([3; 32]), timestamp, size: 5 };
        Offer::new(key, document)
    }

    fn messages() -> Vec<Message> {
        let (asset, version) = (AssetId::from_bytes([3; 32]), Digest::from_bytes([4; 32]));
        vec![
            Message::Summary { summary: Summary { count: 3, fingerprint: [5; 16] }, kept: 2 },
            Message::Reconcile { run: 1, ranges: vec![1, 2] },
            Message::ReconcileReply { run: 1, ranges: vec![3] },
            Message::Request { run: 1, hashes: vec![ItemHash::from_bytes([6; 32])], last: true },
            Message::Offers(vec![offer()]),
            Message::Answers(vec![
                (asset, version, Answer::Stored),
                (asset, version, Answer::Held("h".into())),
                (asset, version, Answer::Declined("d".into())),
                (asset, version, Answer::Refused("r".into())),
            ]),
            Message::Settled { run: 1 },
            Message::Early { asset, ahead_ms: 700_000 },
        ]
    }

    #[test]
    fn every_message_reads_back() {
        for message in messages() {
            let bytes = message_bytes(&message);
            assert_eq!(decode(wire::Control::decode(bytes.as_slice()).unwrap()).unwrap(), message.into());
        }
    }

    #[test]
    fn gossip_reads_back_and_is_bounded() {
        let read = |gossip: Gossip| {
            let bytes = encode(Word::Gossip(gossip)).encode_to_vec();
            decode(wire::Control::decode(bytes.as_slice()).unwrap())
        };
        let bytes = |length: usize| bytes::Bytes::from(vec![7; length]);
        for gossip in [
            Gossip::Protocol(bytes(limits::GOSSIP_MESSAGE_BYTES)),
            Gossip::Announcement(bytes(limits::GOSSIP_SEALED_BYTES)),
        ] {
            assert_eq!(read(gossip.clone()), Ok(Word::Gossip(gossip)));
        }
        assert!(read(Gossip::Protocol(bytes(limits::GOSSIP_MESSAGE_BYTES + 1))).is_err());
        assert!(read(Gossip::Announcement(bytes(limits::GOSSIP_SEALED_BYTES + 1))).is_err());
        let nothing = wire::Control { message: Some(Wire::Gossip(wire::Gossip { said: None })) };
        assert_eq!(decode(nothing), Err(CodecError::Field("kind of gossip")));
        assert_eq!(encode(Word::Gossip(Gossip::Protocol(bytes(2)))).encode_to_vec(), [74, 4, 10, 2, 7, 7]);
    }

    /// The bytes of version 1: a change of any of them breaks hosts that run it.
    #[test]
    fn the_bytes_of_version_1_are_frozen() {
        let bytes: Vec<u8> = messages().iter().flat_map(message_bytes).collect();
        let digest = blake3::hash(&bytes).to_hex();
        assert_eq!(&digest[..32], "e8aa48c8bfbf39b4429e437c5f8b2d6f", "{}", data_encoding::HEXLOWER.encode(&bytes));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut wrong = encode_offer(&offer());
        wrong.timestamp = 5;
        assert_eq!(decode_offer(wrong), Err(CodecError::Field("timestamp")));
        let mut wrong = encode_offer(&offer());
        wrong.id = vec![1; 31].into();
        assert_eq!(decode_offer(wrong), Err(CodecError::Field("asset id")));
        assert_eq!(decode(wire::Control { message: None }), Err(CodecError::Unknown));
        let hashes = wire::Request { run: 1, hashes: vec![0; 33].into(), last: true };
        assert!(decode(wire::Control { message: Some(Wire::Request(hashes)) }).is_err());
        let answer = (AssetId::from_bytes([3; 32]), Digest::from_bytes([4; 32]), Answer::Stored);
        for (count, fits) in [(limits::ANSWERS_PER_MESSAGE, true), (limits::ANSWERS_PER_MESSAGE + 1, false)] {
            let answers = encode_message(Message::Answers(vec![answer.clone(); count]));
            assert_eq!(decode(wire::Control { message: Some(answers) }).is_ok(), fits, "{count}");
        }
    }

    /// A document that is taken in can be passed on, whatever it was merged of.
    #[test]
    fn the_largest_document_that_is_allowed_fits_a_frame() {
        let stamp = Stamp::from_parts(u64::MAX, HostId::from_bytes([255; 32]));
        let field = |bytes: usize| Field { value: Value::Text("x".repeat(bytes)), stamp };
        let name =
            |prefix: &str, n: usize| format!("{prefix}{n:0width$}", width = limits::FIELD_NAME_BYTES - prefix.len());
        let tags = (0..limits::TAG_FIELDS).map(|n| (name(names::TAG_PREFIX, n), field(limits::TAG_BYTES)));
        let unknown = (0..limits::UNKNOWN_FIELDS).map(|n| (name("", n), field(limits::TEXT_FIELD_BYTES)));
        let texts = names::TEXTS.into_iter().chain([names::TRASHED]).map(|name| {
            let long = name == names::DESCRIPTION;
            (name.to_owned(), field(if long { limits::DESCRIPTION_BYTES } else { limits::TEXT_FIELD_BYTES }))
        });
        let document: Document = tags.chain(unknown).chain(texts).collect();
        validate_received(&document).unwrap();
        let key = AssetKey { size: u64::MAX, ..offer().key };
        let offer = Offer::new(key, document);
        let (bytes, guessed) = (message_bytes(&Message::Offers(vec![offer.clone()])).len(), offer.bytes());
        assert!(bytes <= guessed && guessed <= limits::CONTROL_FRAME_BYTES, "{bytes} bytes, {guessed} guessed");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert!(shortened("ä".repeat(limits::REASON_BYTES)).len() <= limits::REASON_BYTES);
    }
}
