//! The frozen encoding of documents: what the digest covers and what is stored.
//!
//! Version 1, integers little-endian:
//! `u8 version = 1`, `u32 fields`, then per field in the order of names
//! `u32 length, name`, `u8 0` for absent or `u8 1, u32 length, text`, `u64 stamp time`, 32 bytes stamp host.
//! A local document is followed by `u32 values` and per value `name`, `value` as above and the stamp it lies over.
//! Changing a byte of it changes every digest, so a new version is a new function beside this one.

use super::Document;
use super::Field;
use super::HostId;
use super::LocalDocument;
use super::LocalValue;
use super::Stamp;
use super::Value;

/// The first byte of the encoding.
const VERSION: u8 = 1;

/// Bytes that are no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The encoding is of a later version.
    #[error("document encoding version {0} is not known; a newer can-sync wrote it")]
    Version(u8),
    /// The bytes end early, go on too long or hold something else.
    #[error("document encoding is damaged at byte {0}")]
    Damaged(usize),
}

pub(super) fn encode_document(document: &Document) -> Vec<u8> {
    let mut out = Vec::with_capacity(document_bytes(document));
    out.push(VERSION);
    put_document(&mut out, document);
    out
}

pub(super) fn decode_document(bytes: &[u8]) -> Result<Document, DecodeError> {
    let mut reader = Reader::new(bytes)?;
    let document = reader.document()?;
    reader.end()?;
    Ok(document)
}

pub(super) fn encode_local(document: &LocalDocument) -> Vec<u8> {
    let mut out = encode_document(document.shared());
    put_values(&mut out, document);
    out
}

pub(super) fn encode_values(document: &LocalDocument) -> Vec<u8> {
    let mut out = Vec::new();
    put_values(&mut out, document);
    out
}

pub(super) fn decode_local(bytes: &[u8]) -> Result<LocalDocument, DecodeError> {
    let mut reader = Reader::new(bytes)?;
    let shared = reader.document()?;
    let mut values = Vec::new();
    for _ in 0..reader.length()? {
        values.push((reader.text()?, LocalValue { value: reader.value()?, over: reader.stamp()? }));
    }
    reader.end()?;
    Ok(LocalDocument::from_parts(shared, values))
}

/// Returns how long an encoded document is, or a little more, so that it is made room for once.
fn document_bytes(document: &Document) -> usize {
    let field = |(name, field): (&str, &Field)| 4 + name.len() + 5 + field.value.text().map_or(0, str::len) + 40;
    1 + 4 + document.iter().map(field).sum::<usize>()
}

fn put_document(out: &mut Vec<u8>, document: &Document) {
    put_length(out, document.iter().count());
    for (name, field) in document.iter() {
        put_text(out, name);
        put_value(out, &field.value);
        put_stamp(out, field.stamp);
    }
}

fn put_values(out: &mut Vec<u8>, document: &LocalDocument) {
    put_length(out, document.values().count());
    for (name, local) in document.values() {
        put_text(out, name);
        put_value(out, &local.value);
        put_stamp(out, local.over);
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("a document is far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value.text() {
        None => out.push(0),
        Some(text) => {
            out.push(1);
            put_text(out, text);
        }
    }
}

fn put_stamp(out: &mut Vec<u8>, stamp: Stamp) {
    out.extend_from_slice(&stamp.time().to_le_bytes());
    out.extend_from_slice(stamp.host().as_bytes());
}

/// Reads the encoding; remembers where it is for the error.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Self { bytes, at: 0 };
        match reader.array::<1>()? {
            [VERSION] => Ok(reader),
            [other] => Err(DecodeError::Version(other)),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(DecodeError::Damaged(self.at))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| DecodeError::Damaged(at))
    }

    fn length(&mut self) -> Result<usize, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let length = self.length()?;
        let at = self.at;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Damaged(at))?;
        Ok(text.to_owned())
    }

    fn value(&mut self) -> Result<Value, DecodeError> {
        match self.array::<1>()? {
            [0] => Ok(Value::Absent),
            [1] => Ok(Value::Text(self.text()?)),
            _ => Err(DecodeError::Damaged(self.at - 1)),
        }
    }

    fn stamp(&mut self) -> Result<Stamp, DecodeError> {
        let time = u64::from_le_bytes(self.array()?);
        Ok(Stamp::from_parts(time, HostId::from_bytes(self.array()?)))
    }

    fn document(&mut self) -> Result<Document, DecodeError> {
        let fields = 0..self.length()?;
        fields.map(|_| Ok((self.text()?, Field { value: self.value()?, stamp: self.stamp()? }))).collect()
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(DecodeError::Damaged(self.at)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_bytes_are_told_apart_from_a_later_version() {
        assert_eq!(decode_document(&[]), Err(DecodeError::Damaged(0)));
        assert_eq!(decode_document(&[2, 0, 0, 0, 0]), Err(DecodeError::Version(2)));
        assert_eq!(decode_document(&[1, 0, 0, 0, 0, 9]), Err(DecodeError::Damaged(5)));
        let whole = LocalDocument::default().encode();
        for end in 0..whole.len() {
            assert!(decode_local(&whole[..end]).is_err());
        }
        // A length that lies reserves nothing.
        assert!(decode_document(&[1, 255, 255, 255, 255]).is_err());
    }
}
