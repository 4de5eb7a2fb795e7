//! One spelling of a text.

use std::borrow::Cow;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::is_nfc;

/// Which of several equal sequences of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unicode {
    /// Composed: é is one character.
    Nfc,
    /// As it is.
    Keep,
}

/// Which case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Case {
    /// Lower case.
    Lower,
    /// As it is.
    Keep,
}

/// What becomes of spaces inside a text. Those around it always go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Spaces {
    /// One space for every run of spaces.
    Single,
    /// One dash.
    Dash,
    /// One underscore.
    Underscore,
    /// As they are.
    Keep,
}

/// How texts are spelt.
#[derive(Debug)]
pub(crate) struct Spelling {
    pub(crate) unicode: Unicode,
    pub(crate) case: Case,
    pub(crate) spaces: Spaces,
}

impl Spelling {
    /// Spells a text. Spelling it again changes nothing.
    pub(crate) fn of<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(self.spelt(text)) }
    }

    /// Tells whether a text is of the kind that most are, of which spelling leaves every byte.
    fn is_plain(&self, text: &str) -> bool {
        let mut before = b' ';
        let plain = text.bytes().all(|byte| {
            let space = byte == b' ' && (before == b' ' || !matches!(self.spaces, Spaces::Single | Spaces::Keep));
            before = byte;
            matches!(byte, b' '..=b'~') && !space && !(self.case == Case::Lower && byte.is_ascii_uppercase())
        });
        plain && before != b' '
    }

    fn spelt(&self, text: &str) -> String {
        let mut text = match self.spaces {
            Spaces::Single => joined(text, " "),
            Spaces::Dash => joined(text, "-"),
            Spaces::Underscore => joined(text, "_"),
            Spaces::Keep => text.trim_matches(is_space).to_owned(),
        };
        if self.case == Case::Lower {
            text = text.to_lowercase();
        }
        if self.unicode == Unicode::Nfc && !is_nfc(&text) {
            text = text.nfc().collect();
        }
        text
    }
}

/// Control characters separate words just as spaces do.
fn is_space(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

fn joined(text: &str, separator: &str) -> String {
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    words.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_twice_changes_nothing() {
        for spaces in [Spaces::Single, Spaces::Dash, Spaces::Underscore, Spaces::Keep] {
            for case in [Case::Lower, Case::Keep] {
                let spelling = Spelling { unicode: Unicode::Nfc, case, spaces };
                for text in [
                    "",
                    " ",
                    "a",
                    "a b",
                    " a",
                    "a ",
                    "A b",
                    "a\u{7f}",
                    "a  b",
                    "İstanbul",
                    "Cafe\u{301}",
                    "\u{1e9b}\u{323}",
                    "ΑΣ",
                    "ΑΣ ",
                    "\u{212b}",
                    "Ǆ\t\n",
                ] {
                    let once = spelling.of(text);
                    assert_eq!(spelling.of(&once), once, "{text:?} with {spelling:?}");
                    assert_eq!(once, spelling.spelt(text), "{text:?} with {spelling:?}");
                }
            }
        }
    }
}
