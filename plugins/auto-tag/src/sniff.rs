//! What the content shows of its type.

use std::cell::Cell;

use can_sync_plugin::Refusal;
use can_sync_plugin::content;
use can_sync_plugin::log;
use serde::Deserialize;

/// How much of the content is looked at. Signatures are at the beginning; those of office documents within the first
/// entries of their archive.
const LOOKED_AT_BYTES: u32 = 4096;

/// Whether contents are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sniff {
    /// Where the host grants it; otherwise the declared type counts alone.
    #[default]
    WhenGranted,
    /// Always; what cannot be looked at is held.
    Required,
    /// Never.
    Never,
}

/// Looks at contents.
#[derive(Debug)]
pub(crate) struct Sniffer {
    sniff: Sniff,
    /// Whether the missing grant has been said in the log.
    said: Cell<bool>,
}

impl Sniffer {
    pub(crate) const fn new(sniff: Sniff) -> Self {
        Self { sniff, said: Cell::new(false) }
    }

    /// Returns the type that the content of the asset that is asked about shows, if it shows one. An error is the reason
    /// to hold.
    pub(crate) fn sniff(&self) -> Result<Option<&'static str>, String> {
        if self.sniff == Sniff::Never {
            return Ok(None);
        }
        match content::read(0, LOOKED_AT_BYTES) {
            Ok(bytes) => Ok(found(&bytes)),
            Err(Refusal::NotGranted) if self.sniff == Sniff::Required => {
                Err("auto-tag must look at contents and is not granted `content`".to_owned())
            }
            Err(refusal) if self.sniff == Sniff::Required => {
                Err(format!("auto-tag must look at contents and could not: {refusal}"))
            }
            Err(Refusal::NotGranted) => {
                if !self.said.replace(true) {
                    log::info("content is not granted: types are taken as declared");
                }
                Ok(None)
            }
            Err(refusal) => {
                log::warn(&format!("content could not be looked at, the type is taken as declared: {refusal}"));
                Ok(None)
            }
        }
    }
}

/// Returns the type that the head of a content shows.
fn found(head: &[u8]) -> Option<&'static str> {
    let found = infer::get(head)?.mime_type();
    let textual = found.starts_with("text/") || ["application/pdf", "application/rtf"].contains(&found);
    // Some signatures are two letters, and notes about a BMW are no bitmap.
    (textual || !is_text(head)).then_some(found)
}

/// Says whether a head is text all along. It may end inside of a character.
fn is_text(head: &[u8]) -> bool {
    let whole = match str::from_utf8(head) {
        Err(error) if error.error_len().is_some() => return false,
        Err(error) => &head[..error.valid_up_to()],
        Ok(_) => head,
    };
    whole.iter().all(|byte| !byte.is_ascii_control() || matches!(byte, b'\t' | b'\n' | b'\r' | b'\x0c'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_more_than_a_text() {
        for text in
            ["BMW owners manual", "ID3 is a tag", "MZ notes", "FWS zero", "OTTO", "%! note", "BZh", "P\u{e4}\r\n\tx"]
        {
            assert_eq!(found(text.as_bytes()), None, "{text:?}");
            // Cut inside of a character.
            let cut = [text.as_bytes(), &"é".as_bytes()[..1]].concat();
            assert_eq!(found(&cut), None, "{text:?}");
        }
        for (text, shown) in [
            ("<!DOCTYPE html>", "text/html"),
            ("#!/bin/sh\n", "text/x-shellscript"),
            ("%PDF-1.7\n", "application/pdf"),
            ("{\\rtf1 x}", "application/rtf"),
        ] {
            assert_eq!(found(text.as_bytes()), Some(shown), "{text:?}");
        }
        assert_eq!(found(b"BM\0\0\0\0"), Some("image/bmp"));
        assert_eq!(found(b"ID3\x03\0"), Some("audio/mpeg"));
        assert_eq!(found(b"BM\xc3("), Some("image/bmp"), "no text");
    }

    /// Contents come from strangers, and may end anywhere or lie about lengths.
    #[test]
    fn no_content_ends_the_instance() {
        let heads: [&[u8]; 12] = [
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
            b"RIFF\xff\xff\xff\xffWEBP",
            b"\0\0\0\x20ftypheic\0\0\0\0",
            b"\xff\xff\xff\xffftypmif1",
            b"PK\x03\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            b"MZ\xff\xff",
            b"\x7fELF",
            b"\x1a\x45\xdf\xa3",
            b"  <!DOCTYPE",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for head in heads {
            for round in 0..400_usize {
                let mut content = head[..head.len().min(round)].to_vec();
                for _ in 0..round * 11 {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    content.push(state.to_le_bytes()[7]);
                }
                let _ = found(&content);
            }
        }
    }
}
