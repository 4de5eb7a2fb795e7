//! The phrase people copy from machine to machine: made here, or typed and then strong.

use std::borrow::Cow;
use std::fmt;

use bip39::Error as WordsError;
use bip39::Language;
use bip39::Mnemonic;
use zeroize::Zeroizing;
use zxcvbn::Score;

use crate::limits;

/// Random bytes that a generated phrase of twelve words carries.
pub const ENTROPY_BYTES: usize = 16;

/// How many words a generated phrase has.
const WORDS: usize = 12;

/// A phrase in its one spelling: outer blanks removed, Unicode in form NFKD; a generated one in lower case with single
/// blanks. It is not shown by `Debug`, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Phrase {
    text: Zeroizing<String>,
    generated: bool,
}

/// A text that is no phrase. The text itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhraseError {
    /// Nothing but blanks.
    #[error("the phrase is empty; `can-sync init` makes one")]
    Empty,
    /// More text than a phrase has.
    #[error("the phrase has {0} bytes, more than the limit of {limit}", limit = limits::PHRASE_BYTES)]
    TooLong(usize),
}

/// A phrase that could be guessed by whoever tries for long enough.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakPhrase {
    /// A generated phrase with a word that was copied wrongly.
    #[error("word {position} of the 12 is not in the list of words; compare it with the phrase on the other machine")]
    UnknownWord {
        /// Which word, counted from one.
        position: usize,
    },
    /// A generated phrase with words that were exchanged for others.
    #[error("the 12 words do not belong together; compare them with the phrase on the other machine")]
    Mistyped,
    /// A typed phrase that is too easy to guess.
    #[error(
        "the phrase can be guessed: about 10^{magnitude} tries find it, 10^14 are the least{advice}. Anyone can test \
         guesses offline, so use the twelve words that `can-sync init` makes, or set `allow_weak_passphrase: true`"
    )]
    Guessable {
        /// Decimal order of the estimated number of guesses.
        magnitude: u32,
        /// What makes it weak, as the end of a sentence; may be empty.
        advice: String,
    },
}

impl Phrase {
    /// Makes a phrase of twelve words from random bytes.
    ///
    /// # Panics
    /// Never: sixteen bytes always make twelve words.
    #[must_use]
    pub fn generate(random: [u8; ENTROPY_BYTES]) -> Self {
        let random = Zeroizing::new(random);
        let words = Mnemonic::from_entropy(random.as_slice()).expect("16 bytes make 12 words");
        Self { text: joined(words.words()), generated: true }
    }

    /// Takes a phrase as it was configured. Whether it is strong is asked by [`check_strength`](Self::check_strength).
    ///
    /// # Errors
    /// [`PhraseError`] when there is no phrase, or far too much of it.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PhraseError::Empty);
        }
        if text.len() > limits::PHRASE_BYTES {
            return Err(PhraseError::TooLong(text.len()));
        }
        let lower = Zeroizing::new(text.to_lowercase());
        if lower.split_whitespace().count() == WORDS && Mnemonic::parse_in_normalized(Language::English, &lower).is_ok()
        {
            return Ok(Self { text: joined(lower.split_whitespace()), generated: true });
        }
        let mut normal = Cow::Borrowed(text);
        Mnemonic::normalize_utf8_cow(&mut normal);
        Ok(Self { text: Zeroizing::new(normal.into_owned()), generated: false })
    }

    /// Returns the text; for stretching it, and for writing it to the configuration.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Checks that the phrase is not worth guessing: made by [`generate`](Self::generate), or at `zxcvbn`'s highest
    /// score and at least 10^14 estimated guesses. Takes milliseconds.
    ///
    /// # Errors
    /// [`WeakPhrase`] with the reason.
    pub fn check_strength(&self) -> Result<(), WeakPhrase> {
        if self.generated {
            return Ok(());
        }
        self.check_copied()?;
        let estimate = zxcvbn::zxcvbn(&self.text, &["can-sync", "cansync", "can", "sync", "mirror"]);
        if estimate.score() == Score::Four && estimate.guesses() >= limits::PHRASE_GUESSES {
            return Ok(());
        }
        let warning = estimate.feedback().and_then(zxcvbn::feedback::Feedback::warning);
        let advice = warning.map_or_else(String::new, |warning| {
            let warning = warning.to_string();
            format!(" ({})", warning.trim_end_matches('.'))
        });
        Err(WeakPhrase::Guessable { magnitude: estimate.guesses().max(1).ilog10(), advice })
    }

    /// Finds the wrong word in twelve that are nearly a generated phrase: accepted, it would be the secret of a library
    /// without any other member.
    fn check_copied(&self) -> Result<(), WeakPhrase> {
        let lower = Zeroizing::new(self.text.to_lowercase());
        if lower.split_whitespace().count() != WORDS {
            return Ok(());
        }
        let unknown = lower.split_whitespace().filter(|word| Language::English.find_word(word).is_none()).count();
        match Mnemonic::parse_in_normalized(Language::English, &lower) {
            Err(WordsError::UnknownWord(index)) if unknown == 1 => Err(WeakPhrase::UnknownWord { position: index + 1 }),
            Err(WordsError::InvalidChecksum) => Err(WeakPhrase::Mistyped),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(…)")
    }
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> Zeroizing<String> {
    // Large enough from the start, so that growing leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(limits::PHRASE_BYTES));
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GENERATED: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

    #[test]
    fn words_come_from_the_random_bytes() {
        // The second vector of BIP 39.
        assert_eq!(Phrase::generate([0x7f; 16]).expose(), GENERATED);
    }

    proptest! {
        #[test]
        fn a_generated_phrase_is_strong_and_reads_back_however_it_is_spaced(random: [u8; 16]) {
            let phrase = Phrase::generate(random);
            prop_assert!(phrase.check_strength().is_ok());
            let copied = format!("  {} \n", phrase.expose().replace(' ', "\n  ").to_uppercase());
            prop_assert_eq!(Phrase::parse(&copied).unwrap(), phrase);
        }
    }

    #[test]
    fn typed_phrases_are_strong_or_refused_with_the_reason() {
        for (text, strong) in [
            ("password", false),
            ("my-secret-phrase", false),
            ("correct horse", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("can-sync mirror", false),
            ("k7#vQ2m!xP9zLw4@", true),
            ("gravel tulip ninety oboe snorkel dwindle", true),
        ] {
            let phrase = Phrase::parse(text).unwrap();
            match phrase.check_strength() {
                Ok(()) => assert!(strong, "{text} passes"),
                Err(WeakPhrase::Guessable { .. }) => assert!(!strong, "{text} is refused"),
                Err(other) => panic!("{text}: {other}"),
            }
        }
        let message = Phrase::parse("password").unwrap().check_strength().unwrap_err().to_string();
        assert!(message.contains("can-sync init") && message.contains("allow_weak_passphrase"), "{message}");
        assert!(!message.contains("password "), "{message}");
    }

    #[test]
    fn a_word_that_was_copied_wrongly_is_pointed_at() {
        let one_wrong = Phrase::parse(&GENERATED.replacen("year", "yaer", 1)).unwrap();
        assert_eq!(one_wrong.check_strength(), Err(WeakPhrase::UnknownWord { position: 4 }));
        let exchanged = Phrase::parse(&GENERATED.replacen("year", "yellow", 1)).unwrap();
        assert_eq!(exchanged.check_strength(), Err(WeakPhrase::Mistyped));
    }

    #[test]
    fn one_phrase_has_one_spelling() {
        assert_eq!(Phrase::parse(" gr\u{fc}n \n").unwrap(), Phrase::parse("gru\u{308}n").unwrap());
        assert_eq!(Phrase::parse(" \t\n"), Err(PhraseError::Empty));
        assert_eq!(Phrase::parse(&"x".repeat(1025)), Err(PhraseError::TooLong(1025)));
        assert_eq!(format!("{:?}", Phrase::generate([1; 16])), "Phrase(…)");
    }
}
