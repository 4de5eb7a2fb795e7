//! What can be wrong with a configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::auth::WeakPhrase;
use crate::limits;

/// A configuration that is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}; `can-sync init {path}` writes a new one", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no configuration.
    #[error("{path} is no configuration: {reason}", path = path.display())]
    NotAConfiguration {
        /// Which file.
        path: PathBuf,
        /// Why, for people.
        reason: &'static str,
    },
    /// The file is larger than any configuration.
    #[error("{path} is no configuration: it has more than {limit} bytes", path = path.display(), limit = limits::CONFIG_BYTES)]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// The file is no YAML.
    #[error("{path} is not written as YAML", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_yaml::Error,
    },
    /// Below a key of the file stands something that does not belong there.
    #[error("{path} says something that is not expected{hint}", path = path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What may have been meant, as the end of a sentence; may be empty.
        hint: String,
        /// Where and what.
        source: serde_yaml::Error,
    },
    /// A key that does not exist.
    #[error("{path}, line {line}: there is no key `{key}`{hint}", path = path.display())]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// Which line, from one.
        line: usize,
        /// As it is written there.
        key: String,
        /// The nearest key, as the end of the sentence.
        hint: String,
    },
    /// A key that stands there twice.
    #[error("{path}, line {line}: `{key}` is set a second time; remove one of the two", path = path.display())]
    Twice {
        /// Which file.
        path: PathBuf,
        /// Line of the second time, from one.
        line: usize,
        /// Which key.
        key: &'static str,
    },
    /// A value that the key does not take.
    #[error("{place}: `{key}` {reason}")]
    Value {
        /// File and line, variable or flag.
        place: String,
        /// Which key.
        key: &'static str,
        /// What it takes, as the end of the sentence.
        reason: String,
    },
    /// A plugin cannot be set up like this.
    #[error("{path}: `plugins.{plugin}`: {reason}", path = path.display())]
    Plugin {
        /// Which file.
        path: PathBuf,
        /// Which plugin.
        plugin: String,
        /// What is wrong.
        reason: String,
    },
    /// Both HTTP faces on one address.
    #[error("`listen_addr` and `can_listen_addr` are both {0}; give one of them another port")]
    SameAddress(SocketAddr),
    /// There is no secret.
    #[error(
        "there is no `sync_passphrase`, the secret that the members share; `can-sync init` writes a configuration with a \
         new one; a further machine takes the same, or is paired (`can-sync pair`) and needs none"
    )]
    MissingSecret,
    /// There is no key for the CAN Service.
    #[error(
        "there is no `sync_api_key`, which the CAN Service at `can_service_url` asks for; copy it from its settings"
    )]
    MissingSyncKey,
    /// The secret can be guessed.
    #[error("`sync_passphrase` is refused")]
    WeakPhrase(#[source] WeakPhrase),
}

/// A new configuration that could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// There is one already.
    #[error("{path} is there already and is left as it is; name another file, or remove it first", path = path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
