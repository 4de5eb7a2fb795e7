//! The document in a file attribute, from which a lost index is rebuilt.
//!
//! Version 1: `u8 1`, `u8 origin`, `u16 count` of fields left out (little-endian), then as many of their names as were
//! given (`u8 how many`, each `u16 length, name`), then the stored form of the local document without those fields.

use std::path::Path;

use rustix::io::Errno;

use crate::asset::Document;
use crate::asset::LocalDocument;
use crate::asset::names;
use crate::limits;
use crate::store::Origin;

/// Name of the attribute.
pub(super) const NAME: &str = "user.can.document";

const VERSION: u8 = 1;

/// Names of left-out fields that are written down; of the others only the count is.
const NAMES: usize = 8;

/// What an attribute tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) origin: Origin,
    pub(super) document: LocalDocument,
    /// How many fields were left out.
    pub(super) missing: u16,
    /// The names of the first of them.
    pub(super) names: Vec<String>,
}

/// Writes a document in at most `most` bytes: without the description first, then without the largest fields.
pub(super) fn encode(origin: Origin, document: &LocalDocument, most: usize) -> Vec<u8> {
    let mut kept = document.clone();
    let mut left_out: Vec<String> = Vec::new();
    loop {
        let bytes = write(origin, &kept, &left_out);
        if bytes.len() <= most || kept.is_empty() {
            return bytes;
        }
        let next = if kept.shared().get(names::DESCRIPTION).is_some() || has_value(&kept, names::DESCRIPTION) {
            vec![names::DESCRIPTION.to_owned()]
        } else {
            // Several at once when there is far too much, so that a thousand tags are not a thousand rounds.
            let over = bytes.len() - most;
            largest(&kept, over)
        };
        kept = without(&kept, &next);
        left_out.extend(next);
    }
}

/// Reads an attribute; none when it is not understood.
pub(super) fn decode(bytes: &[u8]) -> Option<Attribute> {
    let (&[version, origin], rest) = bytes.split_first_chunk()?;
    let origin = match (version, origin) {
        (VERSION, 0) => Origin::Here,
        (VERSION, 1) => Origin::Peer,
        _ => return None,
    };
    let (missing, rest) = rest.split_first_chunk()?;
    let (&[count], mut rest) = rest.split_first_chunk()?;
    let mut names = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk()?;
        let (name, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        names.push(std::str::from_utf8(name).ok()?.to_owned());
        rest = after;
    }
    let document = LocalDocument::decode(rest).ok()?;
    Some(Attribute { origin, document, missing: u16::from_le_bytes(*missing), names })
}

/// What came of writing an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Done,
    /// The file system has no attributes.
    Unsupported,
    /// Not now, or not as much.
    Failed,
}

/// Writes the attribute of a file. Blocks on the disk.
pub(super) fn set(path: &Path, origin: Origin, document: &LocalDocument) -> Set {
    // Where other attributes take up the room, a smaller one may still fit.
    for most in [limits::ATTRIBUTE_BYTES, limits::ATTRIBUTE_BYTES / 4] {
        match xattr::set(path, NAME, &encode(origin, document, most)) {
            Ok(()) => return Set::Done,
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::OPNOTSUPP | Errno::NOSYS) => return Set::Unsupported,
                Some(Errno::NOSPC | Errno::RANGE | Errno::TOOBIG) => {}
                _ => return Set::Failed,
            },
        }
    }
    Set::Failed
}

/// Reads the attribute of a file; none when it has none that is understood.
pub(super) fn get(path: &Path) -> Option<Attribute> {
    decode(&xattr::get(path, NAME).ok()??)
}

fn write(origin: Origin, document: &LocalDocument, left_out: &[String]) -> Vec<u8> {
    let origin = match origin {
        Origin::Here => 0,
        Origin::Peer => 1,
    };
    let mut out = vec![VERSION, origin];
    out.extend(u16::try_from(left_out.len()).unwrap_or(u16::MAX).to_le_bytes());
    let names = &left_out[..left_out.len().min(NAMES)];
    out.push(u8::try_from(names.len()).expect("they are few"));
    for name in names {
        out.extend(u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        out.extend(&name.as_bytes()[..usize::from(u16::try_from(name.len()).unwrap_or(0))]);
    }
    out.extend(document.encode());
    out
}

fn has_value(document: &LocalDocument, name: &str) -> bool {
    document.values().any(|(value, _)| value == name)
}

/// Names the largest fields that are `over` bytes together; the flag that keeps an asset in the trash comes last.
fn largest(document: &LocalDocument, over: usize) -> Vec<String> {
    let mut sizes: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    let length = |value: &crate::asset::Value| value.text().map_or(0, str::len);
    for (name, field) in document.shared().iter() {
        *sizes.entry(name).or_default() += name.len() + length(&field.value) + 49;
    }
    for (name, local) in document.values() {
        *sizes.entry(name).or_default() += name.len() + length(&local.value) + 49;
    }
    let mut by_size: Vec<(usize, &str)> = sizes.into_iter().map(|(name, size)| (size, name)).collect();
    by_size.sort_by_key(|(size, name)| (*name == names::TRASHED, std::cmp::Reverse(*size)));
    let mut sum = 0;
    let mut chosen = Vec::new();
    for (size, name) in by_size {
        if sum >= over && !chosen.is_empty() {
            break;
        }
        sum += size;
        chosen.push(name.to_owned());
    }
    chosen
}

fn without(document: &LocalDocument, names: &[String]) -> LocalDocument {
    let kept = |name: &str| !names.iter().any(|left_out| left_out == name);
    let shared: Document = document
        .shared()
        .iter()
        .filter(|(name, _)| kept(name))
        .map(|(name, field)| (name.to_owned(), field.clone()))
        .collect();
    let values = document.values().filter(|(name, _)| kept(name));
    LocalDocument::from_parts(shared, values.map(|(name, value)| (name.to_owned(), value.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Changes;

    fn document(changes: &Changes) -> LocalDocument {
        let mut document = LocalDocument::default();
        document.see(changes);
        document
    }

    #[test]
    fn what_fits_reads_back_whole_and_what_does_not_is_marked() {
        let small = document(&Changes::new().set(names::PATH, "a").set(names::DESCRIPTION, "d").add_tag("t"));
        let read = decode(&encode(Origin::Peer, &small, limits::ATTRIBUTE_BYTES)).unwrap();
        assert_eq!(read, Attribute { origin: Origin::Peer, document: small, missing: 0, names: vec![] });

        let long = Changes::new().set(names::DESCRIPTION, "x".repeat(5_000)).set(names::PATH, "kept");
        let bytes = encode(Origin::Here, &document(&long), limits::ATTRIBUTE_BYTES);
        let read = decode(&bytes).unwrap();
        assert!(bytes.len() <= limits::ATTRIBUTE_BYTES);
        assert_eq!((read.missing, read.names), (1, vec!["description".to_owned()]));
        assert_eq!(read.document.metadata().path.as_deref(), Some("kept"));

        let many = (0..1000).fold(Changes::new().trashed(true), |changes, n| changes.add_tag(&format!("{n:0200}")));
        let bytes = encode(Origin::Here, &document(&many), limits::ATTRIBUTE_BYTES);
        let read = decode(&bytes).unwrap();
        assert!(bytes.len() <= limits::ATTRIBUTE_BYTES);
        assert!(read.missing > 980 && read.document.metadata().trashed);
        assert_eq!(usize::from(read.missing) + read.document.metadata().tags.len(), 1000);
    }

    #[test]
    fn damaged_bytes_are_not_understood() {
        let whole = encode(Origin::Here, &document(&Changes::new().add_tag("t")), 3000);
        for end in 0..whole.len() {
            assert_eq!(decode(&whole[..end]), None);
        }
    }
}
