//! The YAML file: a map of known keys to scalar values, each at most once, and the map that sets plugins up.
//!
//! The file is walked as it is parsed, so that an unknown key, a key that stands twice and a value of the wrong kind are
//! refused at the line where they stand: the error is raised while the parser is there, and the parser adds the place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserializer;
use serde::de::DeserializeSeed;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use zeroize::Zeroizing;

use super::ConfigError;
use super::Key;
use super::PluginEntry;
use super::Settings;
use super::key;
use super::value;
use crate::limits;

/// A configuration file that was read and found right: the keys it sets, as text.
#[derive(Clone)]
pub struct ConfigFile {
    pub(super) path: PathBuf,
    /// What the keys are set to; a key that is set to nothing (`null`) is as if it were not there.
    pub(super) values: BTreeMap<Key, Zeroizing<String>>,
    /// How plugins are set up, by their names.
    pub(super) plugins: BTreeMap<String, PluginEntry>,
    /// Whether others than the owner may read the file.
    pub(super) open_to_others: bool,
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .field("keys", &self.values.keys())
            .finish_non_exhaustive()
    }
}

/// Reads a configuration file.
///
/// # Errors
/// [`ConfigError`] names file, line and reason of the first thing that is wrong.
pub fn read(path: &Path) -> Result<ConfigFile, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let open_to_others = is_open_to_others(&file.metadata().map_err(failed)?);
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limits::CONFIG_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limits::CONFIG_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let not = |reason| ConfigError::NotAConfiguration { path: path.to_owned(), reason };
    let text = std::str::from_utf8(&bytes).map_err(|_| not("it is not UTF-8 text"))?;
    let Parsed { values, plugins } = parse(path, text)?;
    Ok(ConfigFile { path: path.to_owned(), values, plugins, open_to_others })
}

#[cfg(unix)]
fn is_open_to_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &std::fs::Metadata) -> bool {
    false
}

/// What the text of a configuration file says.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) values: BTreeMap<Key, Zeroizing<String>>,
    pub(super) plugins: BTreeMap<String, PluginEntry>,
}

/// The key of the map that sets plugins up.
const PLUGINS: &str = "plugins";

/// Reads the text of a configuration file.
pub(super) fn parse(path: &Path, text: &str) -> Result<Parsed, ConfigError> {
    let walk = Walk { problem: RefCell::new(None) };
    let found = Keys(&walk).deserialize(serde_yaml::Deserializer::from_str(text));
    let error = match found {
        Ok(parsed) => {
            for (name, entry) in &parsed.plugins {
                let path = path.to_owned();
                entry.check(name).map_err(|reason| ConfigError::Plugin { path, plugin: name.clone(), reason })?;
            }
            return Ok(parsed);
        }
        Err(error) => error,
    };
    let path = path.to_owned();
    let line = error.location().map_or(1, |location| location.line());
    Err(match walk.problem.into_inner() {
        Some(Problem::Unknown(key)) => {
            let known = Key::ALL.into_iter().map(Key::name).chain([PLUGINS]);
            let hint = match key::nearest(&key, known) {
                Some(nearest) => format!("; did you mean `{nearest}`?"),
                None => "; `can-sync config show` lists all of them".to_owned(),
            };
            ConfigError::UnknownKey { path, line, key, hint }
        }
        Some(Problem::Twice(key)) => ConfigError::Twice { path, line, key },
        Some(Problem::Value(key, reason)) => {
            ConfigError::Value { place: format!("{}, line {line}", path.display()), key: key.name(), reason }
        }
        Some(Problem::NoMap) => {
            ConfigError::NotAConfiguration { path, reason: "it has no keys with values (`key: value`)" }
        }
        None if is_empty(text) => return Ok(Parsed::default()),
        None if serde_yaml::from_str::<serde_yaml::Value>(text).is_ok() => {
            ConfigError::Content { path, hint: hint(&error.to_string()), source: error }
        }
        None => ConfigError::Syntax { path, source: error },
    })
}

/// Returns what was meant by a key that the parser does not know, which names it first and then those it knows.
fn hint(error: &str) -> String {
    let mut names = error.split('`').skip(1).step_by(2);
    let unknown = names.next().filter(|_| error.contains("unknown field"));
    let nearest = unknown.and_then(|unknown| key::nearest(unknown, names));
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// Tells whether a text is nothing but blanks, comments and document marks, which the parser reports as a missing value.
fn is_empty(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

/// What is wrong, while the parser still stands at the place.
enum Problem {
    Unknown(String),
    Twice(&'static str),
    Value(Key, String),
    NoMap,
}

/// One walk through a file.
struct Walk {
    problem: RefCell<Option<Problem>>,
}

impl Walk {
    /// Keeps the problem, and returns an error that carries nothing but the place.
    fn refuse<E: serde::de::Error>(&self, problem: Problem) -> E {
        self.problem.borrow_mut().get_or_insert(problem);
        E::custom("refused")
    }
}

/// The map at the top.
struct Keys<'a>(&'a Walk);

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = Parsed;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys with values")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Parsed::default())
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(self.0.refuse(Problem::NoMap))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(self.0.refuse(Problem::NoMap))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(self.0.refuse(Problem::NoMap))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(self.0.refuse(Problem::NoMap))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(self.0.refuse(Problem::NoMap))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.0.refuse(Problem::NoMap))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut seen, mut plugins) = (BTreeMap::new(), None);
        while let Some(name) = map.next_key_seed(OneKey { walk: self.0, seen: &seen, plugins: plugins.is_some() })? {
            match name {
                Name::Key(key) => {
                    let value = map.next_value_seed(OneValue { walk: self.0, key })?;
                    seen.insert(key, value);
                }
                // One of which nothing is said is named all the same.
                Name::Plugins => {
                    let said = map.next_value::<Option<BTreeMap<String, Option<PluginEntry>>>>()?.unwrap_or_default();
                    plugins = Some(said.into_iter().map(|(name, entry)| (name, entry.unwrap_or_default())).collect());
                }
            }
        }
        let values = seen.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        Ok(Parsed { values, plugins: plugins.unwrap_or_default() })
    }
}

/// The name of a key.
enum Name {
    Key(Key),
    Plugins,
}

/// One key.
struct OneKey<'a> {
    walk: &'a Walk,
    seen: &'a BTreeMap<Key, Option<Zeroizing<String>>>,
    plugins: bool,
}

impl<'de> DeserializeSeed<'de> for OneKey<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for OneKey<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
        match Key::by_name(name) {
            Some(key) if self.seen.contains_key(&key) => Err(self.walk.refuse(Problem::Twice(key.name()))),
            Some(key) => Ok(Name::Key(key)),
            None if name == PLUGINS && self.plugins => Err(self.walk.refuse(Problem::Twice(PLUGINS))),
            None if name == PLUGINS => Ok(Name::Plugins),
            None => Err(self.walk.refuse(Problem::Unknown(name.to_owned()))),
        }
    }
}

/// One value, taken as the text it is written as.
struct OneValue<'a> {
    walk: &'a Walk,
    key: Key,
}

impl<'de> DeserializeSeed<'de> for OneValue<'_> {
    type Value = Option<Zeroizing<String>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for OneValue<'_> {
    type Value = Option<Zeroizing<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let (walk, key) = (self.walk, self.key);
        if key.is_list() {
            return deserializer.deserialize_any(List(self)).inspect_err(|_| {
                let reason = "is a list of texts";
                walk.problem.borrow_mut().get_or_insert_with(|| Problem::Value(key, reason.to_owned()));
            });
        }
        deserializer.deserialize_str(Text(self)).inspect_err(|_| {
            // Nothing else was found wrong: it is a list or a map, and the parser has added the place already.
            let reason = "is one value, not a list or a map; a text that begins with `[` or `{` stands in quotes";
            walk.problem.borrow_mut().get_or_insert_with(|| Problem::Value(key, reason.to_owned()));
        })
    }
}

/// The text of a value.
struct Text<'a>(OneValue<'a>);

impl Visitor<'_> for Text<'_> {
    type Value = Option<Zeroizing<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.0.take(text)
    }
}

impl OneValue<'_> {
    /// Tries a value and keeps its text.
    fn take<E: serde::de::Error>(&self, text: &str) -> Result<Option<Zeroizing<String>>, E> {
        let Self { walk, key } = *self;
        value::apply(&mut Settings::default(), key, text).map_err(|reason| walk.refuse(Problem::Value(key, reason)))?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }
}

/// The texts of a list, or one text with commas.
struct List<'a>(OneValue<'a>);

impl<'de> Visitor<'de> for List<'_> {
    type Value = Option<Zeroizing<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.0.take(text)
    }

    // `off` is `false` to a parser of YAML 1.1.
    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<Self::Value, E> {
        self.0.take(if flag { "true" } else { "false" })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        match (texts.is_empty(), self.0.key) {
            (false, _) => self.0.take(&texts.join(",")),
            // Nobody there is who to meet at, which is not the same as nothing said.
            (true, Key::PkarrRelays | Key::PkarrDht) => self.0.take("off"),
            (true, _) => Ok(None),
        }
    }
}
