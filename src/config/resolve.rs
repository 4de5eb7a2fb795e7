//! Flag beats variable beats file beats default.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::ConfigError;
use super::ConfigFile;
use super::Key;
use super::Settings;
use super::value;

/// The variable that gives the port of the CAN API alone, as CAN Service has it.
const CAN_PORT: &str = "CAN_PORT";

/// Variables that begin like those of keys and are none.
const OTHER_VARIABLES: [&str; 3] = ["CAN_SYNC_CONFIG", "CAN_SYNC_LOG", "CAN_SYNC_SEEDS"];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing was said.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag of the command.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One key as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Which key; `plugins.` and the name for what is said about a plugin.
    pub key: String,
    /// Its value as text, secrets redacted; `None` when there is none.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
}

/// A configuration, resolved.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Every key with its value.
    pub settings: Settings,
    /// Every key as people are shown it, in the order of `config.yaml`, and then what is said about plugins.
    pub shown: Vec<Shown>,
    /// What is allowed, and most likely not meant.
    pub notes: Vec<String>,
}

/// Puts file, variables and flags together. An empty variable is as if it were not there.
///
/// # Errors
/// [`ConfigError`] names the variable or flag whose value is not allowed. Whether there is a secret is asked by
/// [`Settings::secret`].
pub fn resolve(
    file: Option<&ConfigFile>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[(Key, String)],
) -> Result<Resolved, ConfigError> {
    let variables: BTreeMap<String, Zeroizing<String>> = variables
        .into_iter()
        .filter(|(name, text)| name.starts_with("CAN_") && !text.is_empty())
        .map(|(name, text)| (name, Zeroizing::new(text)))
        .collect();
    let mut settings = Settings::default();
    let mut sources = Vec::with_capacity(Key::ALL.len());
    for key in Key::ALL {
        sources.push(set(&mut settings, key, file, &variables, flags)?);
    }
    settings.plugins = file.map(|file| file.plugins.clone()).unwrap_or_default();
    if settings.listen_addr == settings.can_listen_addr
        && settings.listen_addr.port() != 0
        && settings.can_service_url.is_none()
    {
        return Err(ConfigError::SameAddress(settings.listen_addr));
    }
    let shown = Key::ALL.into_iter().zip(sources);
    let keys = shown.map(|(key, source)| {
        let value = value::show(&settings, key);
        Shown { key: key.name().to_owned(), value, source }
    });
    let plugins = file.into_iter().flat_map(|file| file.plugins.iter().map(move |entry| (&file.path, entry)));
    let plugins = plugins.map(|(path, (name, entry))| Shown {
        key: format!("plugins.{name}"),
        value: Some(entry.to_string()),
        source: Source::File(path.clone()),
    });
    let shown = keys.chain(plugins).collect();
    let notes = notes(&settings, file, &variables);
    Ok(Resolved { settings, shown, notes })
}

/// Sets one key from the strongest source that names it.
fn set(
    settings: &mut Settings,
    key: Key,
    file: Option<&ConfigFile>,
    variables: &BTreeMap<String, Zeroizing<String>>,
    flags: &[(Key, String)],
) -> Result<Source, ConfigError> {
    let mut apply = |text: &str, place: &str| {
        let refused = |reason| ConfigError::Value { place: place.to_owned(), key: key.name(), reason };
        value::apply(settings, key, text).map_err(refused)
    };
    let given = flags.iter().rev().find(|(of, _)| *of == key);
    if let (Some(flag), Some((_, text))) = (key.flag(), given) {
        apply(text, &format!("flag {flag}"))?;
        return Ok(Source::Flag(flag));
    }
    let variable = key.variable();
    if let Some(text) = variables.get(&variable) {
        apply(text, &format!("variable {variable}"))?;
        return Ok(Source::Variable(variable));
    }
    let mut source = Source::Default;
    if let Some((file, text)) = file.and_then(|file| Some((file, file.values.get(&key)?))) {
        apply(text, &file.path.display().to_string())?;
        source = Source::File(file.path.clone());
    }
    if let (Key::CanListenAddr, Some(port)) = (key, variables.get(CAN_PORT)) {
        let reason = || format!("takes its port from this variable: a number from 0 to 65535, not `{}`", **port);
        let refused =
            || ConfigError::Value { place: format!("variable {CAN_PORT}"), key: key.name(), reason: reason() };
        settings.can_listen_addr.set_port(port.parse().map_err(|_| refused())?);
        source = Source::Variable(CAN_PORT.to_owned());
    }
    if let (Key::PluginsDir, Some(folder)) = (key, file.and_then(|file| file.path.parent())) {
        // Wherever the host is started: without its plugins, what they keep back would travel.
        settings.plugins_dir = folder.join(&settings.plugins_dir);
    }
    Ok(source)
}

/// Collects what is allowed, and most likely not meant.
fn notes(
    settings: &Settings,
    file: Option<&ConfigFile>,
    variables: &BTreeMap<String, Zeroizing<String>>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let is_known =
        |name: &str| OTHER_VARIABLES.contains(&name) || Key::ALL.into_iter().any(|key| key.variable() == name);
    for name in variables.keys().filter(|name| name.starts_with("CAN_SYNC_") && !is_known(name)) {
        notes.push(format!("the variable {name} names no key and does nothing"));
    }
    if let Some(file) = file
        && file.open_to_others
        && file.values.keys().any(|key| key.is_secret())
    {
        let path = file.path.display();
        notes.push(format!("others on this machine may read the secret in {path}; `chmod 600 {path}` ends that"));
    }
    if settings.can_service_url.is_none() && !settings.can_listen_addr.ip().is_loopback() {
        let address = settings.can_listen_addr;
        notes.push(format!("the CAN API asks for no token, and {address} can be reached from other machines"));
    }
    notes
}
