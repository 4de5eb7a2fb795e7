//! What names, values and documents are allowed.
//!
//! Control characters, `..` and NUL are allowed: names are data, never paths, and faces escape what they show.

use super::Changes;
use super::Document;
use super::Value;
use super::document::is_tag;
use super::document::is_unknown;
use super::names;
use crate::limits;

/// Metadata that no host takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMetadata {
    /// A text is longer than its field allows.
    #[error("{field} has {bytes} bytes, more than the limit of {limit}")]
    TooLong {
        /// Which field, or `tag`.
        field: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A tag without a character.
    #[error("a tag is empty")]
    EmptyTag,
    /// The metadata as a whole is too large.
    #[error("the metadata has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// How large it is in its frozen encoding.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// More fields of a kind than a document keeps.
    #[error("the metadata has {count} {kind}, more than the limit of {limit}")]
    TooMany {
        /// `tags` or `unknown fields`.
        kind: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// Checks wishes before they are carried out.
///
/// # Errors
/// [`InvalidMetadata`] names the first field that is not allowed.
pub fn validate_changes(changes: &Changes) -> Result<(), InvalidMetadata> {
    changes.iter().try_for_each(|(name, value)| field(name, value))
}

/// Checks a document that a change made here has produced.
///
/// # Errors
/// [`InvalidMetadata`] when a field is not allowed, or the whole is above [`limits::DOCUMENT_BYTES`].
pub fn validate_document(document: &Document) -> Result<(), InvalidMetadata> {
    validate_received(document)?;
    let bytes = document.encode().len();
    let limit = limits::DOCUMENT_BYTES;
    if bytes > limit { Err(InvalidMetadata::TooLarge { bytes, limit }) } else { Ok(()) }
}

/// Checks a document that came from a peer: every field and the field counts.
///
/// # Errors
/// [`InvalidMetadata`] names what is not allowed.
pub fn validate_received(document: &Document) -> Result<(), InvalidMetadata> {
    document.iter().try_for_each(|(name, of)| field(name, &of.value))?;
    count(document, "tags", is_tag, limits::TAG_FIELDS)?;
    count(document, "unknown fields", is_unknown, limits::UNKNOWN_FIELDS)
}

fn field(name: &str, value: &Value) -> Result<(), InvalidMetadata> {
    let too_long = |field: &str, bytes, limit| InvalidMetadata::TooLong { field: field.to_owned(), bytes, limit };
    if let Some(tag) = name.strip_prefix(names::TAG_PREFIX) {
        if tag.is_empty() {
            return Err(InvalidMetadata::EmptyTag);
        }
        if tag.len() > limits::TAG_BYTES {
            return Err(too_long("tag", tag.len(), limits::TAG_BYTES));
        }
    }
    if name.len() > limits::FIELD_NAME_BYTES {
        return Err(too_long("field name", name.len(), limits::FIELD_NAME_BYTES));
    }
    let limit = match name {
        names::DESCRIPTION => limits::DESCRIPTION_BYTES,
        // A document with as many of them as it may have still fits a frame.
        tag if is_tag(tag) => limits::TAG_BYTES,
        _ => limits::TEXT_FIELD_BYTES,
    };
    match value.text() {
        Some(text) if text.len() > limit => Err(too_long(name, text.len(), limit)),
        _ => Ok(()),
    }
}

fn count(
    document: &Document,
    kind: &'static str,
    of_kind: fn(&str) -> bool,
    limit: usize,
) -> Result<(), InvalidMetadata> {
    let count = document.iter().filter(|(name, _)| of_kind(name)).count();
    if count > limit { Err(InvalidMetadata::TooMany { kind, count, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_data_and_have_limits() {
        let long = "x".repeat(limits::DESCRIPTION_BYTES);
        for (changes, fits) in [
            (Changes::new().set(names::PATH, "../\0\u{1b}[31m"), true),
            (Changes::new().set(names::DESCRIPTION, long.clone()), true),
            (Changes::new().set(names::DESCRIPTION, long + "x"), false),
            (Changes::new().set(names::USER, "x".repeat(limits::TEXT_FIELD_BYTES + 1)), false),
            (Changes::new().add_tag(&"x".repeat(limits::TAG_BYTES)), true),
            (Changes::new().add_tag(&"x".repeat(limits::TAG_BYTES + 1)), false),
            (Changes::new().add_tag(""), false),
        ] {
            assert_eq!(validate_changes(&changes).is_ok(), fits, "{changes:.60?}");
        }
    }

    #[test]
    fn the_error_names_field_and_limit() {
        let changes = Changes::new().set(names::DESCRIPTION, "x".repeat(limits::DESCRIPTION_BYTES + 1));
        let message = validate_changes(&changes).unwrap_err().to_string();
        assert_eq!(message, "description has 65537 bytes, more than the limit of 65536");
    }
}
