//! The four words of a pairing code.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use bip39::Language;
use data_encoding::HEXLOWER;
use zeroize::Zeroize;
use zeroize::ZeroizeOnDrop;
use zeroize::Zeroizing;

use crate::limits::membership as limits;

/// Random bytes that a code is made from; 44 bits of them count.
pub const CODE_RANDOM_BYTES: usize = 8;

/// How many words a code has.
const WORDS: usize = 4;

/// Letters from which on a word of the list is known.
const PREFIX: usize = 4;

/// Most changed letters over which a word is suggested for another.
const NEAR: usize = 2;

/// Four words of the English list of BIP 39, by their numbers. `Display` shows them, for the person who says them on;
/// `Debug` does not. Wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PairingCode([u16; WORDS]);

/// Where two devices with the same code look for each other. Public, as is all that comes from it: 2,048 places are
/// soon tried, and may be in use by others too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeetingPlace(u16);

/// A text that is no pairing code. The text itself is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// More text than a code has.
    #[error("a pairing code has four words, this has {0} bytes; compare it with the other device")]
    TooLong(usize),
    /// Not four words.
    #[error("a pairing code has four words, this has {0}; compare it with the other device")]
    Count(usize),
    /// A word that is not in the list.
    #[error(
        "word {position} of the pairing code is not in the list of words{hint}",
        hint = nearest.map_or_else(String::new, |word| format!("; is it `{word}`?"))
    )]
    UnknownWord {
        /// Which word, counted from one.
        position: usize,
        /// The word of the list that is spelt most like it, if one is.
        nearest: Option<&'static str>,
    },
}

impl PairingCode {
    /// Makes a code from random bytes.
    #[must_use]
    pub fn from_random(random: [u8; CODE_RANDOM_BYTES]) -> Self {
        let random = Zeroizing::new(random);
        // Each word takes the lower eleven of sixteen bits: all of the 2,048 words are equally likely.
        Self(std::array::from_fn(|word| u16::from_le_bytes([random[2 * word], random[2 * word + 1]]) % 2048))
    }

    /// Returns where the devices meet.
    #[must_use]
    pub fn meeting(&self) -> MeetingPlace {
        MeetingPlace(self.0[0])
    }

    /// Returns what goes into the password-authenticated key exchange: the words behind the first.
    pub(super) fn password(&self) -> Zeroizing<[u8; 2 * (WORDS - 1)]> {
        let mut password = Zeroizing::new([0; 2 * (WORDS - 1)]);
        for (bytes, word) in password.chunks_exact_mut(2).zip(&self.0[1..]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        password
    }
}

impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, number) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("-")?;
            }
            f.write_str(word(*number))?;
        }
        Ok(())
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode(…)")
    }
}

impl FromStr for PairingCode {
    type Err = CodeError;

    /// Reads a code as people write it: upper or lower case, with blanks or hyphens between the words, and of each word
    /// at least its first four letters.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > limits::PAIRING_CODE_BYTES {
            return Err(CodeError::TooLong(text.len()));
        }
        let lower = Zeroizing::new(text.to_lowercase());
        let words: Vec<_> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let words: [&str; WORDS] = words.try_into().map_err(|words: Vec<_>| CodeError::Count(words.len()))?;
        let mut code = Self([0; WORDS]);
        for (place, typed) in words.into_iter().enumerate() {
            code.0[place] =
                number(typed).ok_or_else(|| CodeError::UnknownWord { position: place + 1, nearest: nearest(typed) })?;
        }
        Ok(code)
    }
}

impl MeetingPlace {
    /// Returns the name of the place for the local network: sixteen hex characters.
    #[must_use]
    pub fn label(self) -> String {
        HEXLOWER.encode(&blake3::derive_key("can-sync v1 meeting place label", self.word())[..8])
    }

    /// Returns the Ed25519 seed of the place's rendezvous slot. Anyone can write there; what is found is only a hint.
    #[must_use]
    pub fn slot_seed(self) -> [u8; 32] {
        blake3::derive_key("can-sync v1 meeting place slot", self.word())
    }

    fn word(self) -> &'static [u8] {
        word(self.0).as_bytes()
    }
}

fn word(number: u16) -> &'static str {
    Language::English.word_list()[usize::from(number)]
}

/// Returns the number of a word, or of the one word that begins so.
fn number(typed: &str) -> Option<u16> {
    let begun = || match Language::English.words_by_prefix(typed) {
        [only] if typed.len() >= PREFIX => Language::English.find_word(only),
        _ => None,
    };
    Language::English.find_word(typed).or_else(begun)
}

/// Finds the word that is spelt most like what was typed; of several the longest, as letters are lost more often than
/// won.
fn nearest(typed: &str) -> Option<&'static str> {
    let words = Language::English.word_list().iter();
    words
        .map(|word| (strsim::damerau_levenshtein(typed, word), *word))
        .min_by_key(|(distance, word)| (*distance, typed.chars().next() != word.chars().next(), Reverse(word.len())))
        .filter(|(distance, _)| *distance <= NEAR)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_come_from_the_random_bytes() {
        let code = PairingCode::from_random([0, 0, 1, 0, 0xff, 0x07, 0x00, 0x08]);
        assert_eq!(code.to_string(), "abandon-ability-zoo-abandon");
        assert_eq!(format!("{code:?}"), "PairingCode(…)");
        assert_eq!(*code.password(), [1, 0, 0xff, 7, 0, 0]);
    }

    #[test]
    fn the_meeting_place_is_frozen_and_depends_on_the_first_word_only() {
        let code: PairingCode = "legal winner thank year".parse().unwrap();
        assert_eq!(code.meeting().label(), "8493b2d72c663251");
        assert_eq!(
            HEXLOWER.encode(&code.meeting().slot_seed()),
            "aa77ce7e72e319aad0af4106f328d02f86a7904082a101aade56780d9e33ae1c"
        );
        let same: PairingCode = "legal zoo zoo zoo".parse().unwrap();
        let other: PairingCode = "zoo winner thank year".parse().unwrap();
        assert_eq!(same.meeting(), code.meeting());
        assert_ne!(other.meeting().slot_seed(), code.meeting().slot_seed());
        assert_ne!(same.password(), code.password());
        assert_eq!(other.password(), code.password());
    }

    proptest! {
        #[test]
        fn a_code_reads_back_however_it_is_written(random: [u8; 8], upper: bool, separator in "[ \t-]{1,3}", cut: bool) {
            let code = PairingCode::from_random(random);
            let shown = code.to_string();
            let words = shown.split('-').map(|word| if cut { &word[..word.len().min(4)] } else { word });
            let text = format!(" {}\n", words.collect::<Vec<_>>().join(&separator));
            let text = if upper { text.to_uppercase() } else { text };
            prop_assert_eq!(text.parse::<PairingCode>().unwrap(), code);
        }

        #[test]
        fn no_text_is_too_odd(text in ".{0,40}") {
            let _ = text.parse::<PairingCode>().map_err(|error| error.to_string());
        }

        #[test]
        fn a_slip_is_answered_with_the_word_or_one_as_near(random: [u8; 8], at in any::<prop::sample::Index>()) {
            let code = PairingCode::from_random(random);
            let mut text = code.to_string();
            let first_end = text.find('-').unwrap();
            text.replace_range(at.index(first_end).., "");
            text.push_str("qq-zoo-zoo-zoo");
            let typed = text.split('-').next().unwrap().to_owned();
            match text.parse::<PairingCode>() {
                Err(CodeError::UnknownWord { position: 1, nearest: Some(word) }) => {
                    prop_assert!(strsim::damerau_levenshtein(&typed, word) <= 2);
                }
                Err(CodeError::UnknownWord { position: 1, nearest: None }) => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_code_gets_a_fitting_answer() {
        for (text, answer) in [
            ("", "this has 0"),
            ("legal winner thank", "this has 3"),
            ("legal winner thank year wave", "this has 5"),
            ("legal winer thank year", "word 2 of the pairing code is not in the list of words; is it `winner`?"),
            ("legal winner thnak year", "word 3 of the pairing code is not in the list of words; is it `thank`?"),
            ("legal winner thank xxxxxxxxxx", "word 4 of the pairing code is not in the list of words"),
            // Three letters begin several words.
            ("abo winner thank year", "word 1"),
            (&"legal ".repeat(30), "180 bytes"),
        ] {
            let error = text.parse::<PairingCode>().unwrap_err().to_string();
            assert!(error.contains(answer), "{text}: {error}");
            assert!(!error.contains("xxxx"), "repeats what was typed: {error}");
        }
    }
}
