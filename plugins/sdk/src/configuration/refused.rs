//! A configuration that is refused: where, and why.

use std::error::Error;
use std::fmt;
use std::fmt::Display;

use serde::de;
use serde::de::Expected;
use serde::de::Unexpected;

/// A key this far from a known one is a misspelling of it; further, it is another word.
const NEAR: usize = 3;

/// Why a configuration is refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// Keys and places, innermost first.
    path: Vec<Step>,
    words: String,
}

#[derive(Debug)]
enum Step {
    Key(String),
    Place(usize),
}

impl Refused {
    fn new(words: String) -> Self {
        Self { path: Vec::new(), words }
    }

    /// A value of another kind than the plugin expects.
    pub(super) fn kind(expected: &str, found: &str) -> Self {
        Self::new(format!("expected {expected}, not {found}"))
    }

    /// A number that does not fit.
    pub(super) fn range(number: &str, kind: &str) -> Self {
        Self::new(format!("{number} is out of range ({kind})"))
    }

    /// It happened under a key.
    pub(super) fn under(mut self, key: &str) -> Self {
        self.path.push(Step::Key(key.to_owned()));
        self
    }

    /// It happened in a list.
    pub(super) fn at(mut self, place: usize) -> Self {
        self.path.push(Step::Place(place));
        self
    }

    /// Says it.
    pub(super) fn into_words(self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Step::Place(place) => path.push_str(&format!("[{place}]")),
            }
        }
        if path.is_empty() { self.words } else { format!("`{path}`: {}", self.words) }
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Error for Refused {}

impl de::Error for Refused {
    fn custom<T: Display>(words: T) -> Self {
        Self::new(words.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Str(_) | Unexpected::Char(_) => "a text",
            Unexpected::Unit | Unexpected::Option => "null",
            Unexpected::Seq => "a list",
            Unexpected::Map => "an object",
            _ => "this",
        };
        Self::new(format!("expected {expected}, not {found}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(unknown(&format!("there is no key `{field}`"), field, expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(unknown(&format!("there is no `{variant}`"), variant, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is given twice"))
    }
}

/// Says that something is not known, which known one is near, and which there are.
fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    let Some((last, others)) = known.split_last() else {
        return format!("{what}; nothing can be set here");
    };
    let lower = given.to_lowercase();
    let nearest = known
        .iter()
        .map(|name| (distance(&lower, name), name))
        .filter(|(distance, name)| *distance <= NEAR.min(name.chars().count() / 2) || name.starts_with(&lower))
        .min_by_key(|(distance, _)| *distance);
    let list =
        if others.is_empty() { format!("is `{last}`") } else { format!("are `{}` and `{last}`", others.join("`, `")) };
    match nearest {
        Some((_, name)) => format!("{what}; did you mean `{name}`? Known {list}"),
        None => format!("{what}; known {list}"),
    }
}

/// How far two names are apart. Beyond the length of any key it does not matter, and comparing would take long.
fn distance(given: &str, known: &str) -> usize {
    if given.len() > 4 * known.len() + NEAR { usize::MAX } else { strsim::osa_distance(given, known) }
}
