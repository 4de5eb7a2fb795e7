//! What hosts take in a change. A plugin that checks its configuration by these does not fail at every asset later.

use crate::Field;

/// The longest tag, in bytes.
pub const TAG_BYTES: usize = 255;
/// The longest description, in bytes.
pub const DESCRIPTION_BYTES: usize = 65_536;
/// The longest text of every other field, in bytes.
pub const TEXT_BYTES: usize = 4096;

/// Checks a tag.
///
/// # Errors
/// What is wrong, to be put behind the name of the key: `has 300 bytes, more than the 255 of a tag`.
pub fn check_tag(tag: &str) -> Result<(), String> {
    if tag.is_empty() {
        return Err("is empty".to_owned());
    }
    check(tag, TAG_BYTES, "a tag", "")
}

/// Checks a text for a field. Only descriptions have lines and tabs.
///
/// # Errors
/// What is wrong, to be put behind the name of the key.
pub fn check_text(field: Field, text: &str) -> Result<(), String> {
    match field {
        Field::Description => check(text, DESCRIPTION_BYTES, "a description", "\n\t"),
        _ => check(text, TEXT_BYTES, "such a text", ""),
    }
}

fn check(text: &str, most: usize, what: &str, allowed: &str) -> Result<(), String> {
    if text.len() > most {
        return Err(format!("has {} bytes, more than the {most} of {what}", text.len()));
    }
    match text.chars().find(|&character| character.is_control() && !allowed.contains(character)) {
        Some(character) => Err(format!("has the control character {}", character.escape_unicode())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_take_is_taken() {
        let long = |bytes: usize| "x".repeat(bytes);
        assert_eq!(check_tag(&long(255)), Ok(()));
        assert_eq!(check_tag("a tag"), Ok(()));
        assert_eq!(check_text(Field::User, &long(4096)), Ok(()));
        assert_eq!(check_text(Field::Description, &long(65_536)), Ok(()));
        assert_eq!(check_text(Field::Description, "a\n\tb"), Ok(()));
    }

    #[test]
    fn what_they_refuse_is_named() {
        let words = |checked: Result<(), String>| checked.unwrap_err();
        assert_eq!(words(check_tag("")), "is empty");
        assert_eq!(words(check_tag(&"é".repeat(128))), "has 256 bytes, more than the 255 of a tag");
        assert_eq!(words(check_tag("a\u{7}b")), "has the control character \\u{7}");
        assert_eq!(words(check_tag("a\tb")), "has the control character \\u{9}");
        let long = "x".repeat(65_537);
        assert_eq!(words(check_text(Field::Path, &long)), "has 65537 bytes, more than the 4096 of such a text");
        assert_eq!(words(check_text(Field::Path, "a\nb")), "has the control character \\u{a}");
        assert_eq!(
            words(check_text(Field::Description, &long)),
            "has 65537 bytes, more than the 65536 of a description"
        );
        assert_eq!(words(check_text(Field::Description, "a\r\n")), "has the control character \\u{d}");
    }
}
