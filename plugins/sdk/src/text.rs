//! Texts as people compare them.

use unicode_normalization::UnicodeNormalization;

/// Folds a text: texts that differ only in case, in how their characters are composed, or in spaces around them become
/// one. Fold both sides of a comparison, patterns too.
///
/// `Straße` and `STRASSE` are both `strasse`, so that a `?` is one of the two letters that `ß` became.
#[must_use]
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return trimmed(text).to_ascii_lowercase();
    }
    // Small, capital and small again: `ß` has two capitals, and two small letters have the capital `Σ`.
    let small = text.nfd().flat_map(char::to_lowercase);
    let small_again = small.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    trimmed(&small_again.nfc().collect::<String>()).to_owned()
}

/// Returns a text without the spaces around it; nobody sees control characters either.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || character.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_take_for_one_text_is_one() {
        for (one, other) in [
            ("Private", " private\t"),
            ("Café", "cafe\u{301}"),
            ("BÜRO", "bu\u{308}ro"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ΟΔΟΣ", "οδος"),
            ("οδοσ", "οδος"),
            ("\u{212b}ngström", "ångström"),
            ("\u{a0}ann\u{2003}", "Ann"),
        ] {
            assert_eq!(folded(one), folded(other), "{one:?} and {other:?}");
        }
        assert_ne!(folded("a b"), folded("ab"));
        assert_ne!(folded("cafe"), folded("café"));
    }

    #[test]
    fn every_spelling_of_a_character_folds_alike() {
        // Behind these no letter has a case.
        for character in ('\0'..='\u{1ffff}').filter(|character| !character.is_control()) {
            // Letters around it: what is trimmed is no concern here.
            let text = format!("a{character}b");
            let others = [text.nfd().collect(), text.nfc().collect(), text.to_lowercase(), text.to_uppercase()];
            let once = folded(&text);
            for other in others.iter().filter(|other| **other != text).chain([&once]) {
                assert_eq!(folded(other), once, "{text:?} and {other:?}");
            }
        }
    }
}
