//! What a plugin is made of: how it introduces and configures itself, and a trait per hook.

use serde::de::DeserializeOwned;

use crate::Asset;
use crate::Context;
use crate::Verdict;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name, for people.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// JSON Schema of its configuration; `None` when there is nothing to configure.
    pub configuration: Option<String>,
}

impl Description {
    /// Describes a plugin without a schema. `env!("CARGO_PKG_NAME")` and its like save repeating what Cargo knows.
    #[must_use]
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        Self { name: name.to_owned(), version: version.to_owned(), summary: summary.to_owned(), configuration: None }
    }

    /// Adds the JSON Schema of the configuration.
    #[must_use]
    pub fn configured_by(mut self, schema: &str) -> Self {
        self.configuration = Some(schema.to_owned());
        self
    }
}

/// A plugin, configured.
///
/// The host makes one per instance, gives it its configuration once, and then asks it about any number of assets.
/// Instances come and go, so nothing that is remembered in one may decide a verdict; [`crate::state`] outlives them.
pub trait Plugin: Sized + 'static {
    /// Its configuration. With `#[serde(default, deny_unknown_fields)]` every key may be left out, and a misspelt one is
    /// refused with the nearest one named. [`crate::configuration::None`] where there is nothing to configure.
    type Configuration: DeserializeOwned;

    /// Introduces the plugin.
    fn describe() -> Description;

    /// Makes the plugin.
    ///
    /// # Errors
    /// Says in words what is wrong with the configuration; the plugin is then not loaded.
    fn configure(configuration: Self::Configuration) -> Result<Self, String>;
}

/// Asked once per version and library, before it is shared with anybody. An edit changes what is shared; this host goes
/// on seeing what it had.
pub trait BeforePush: Plugin {
    /// Decides.
    fn before_push(&self, asset: &Asset, context: &Context) -> Verdict;
}

/// Asked about what a peer offers, on metadata alone, before any byte is fetched. An edit changes what this host sees of
/// it.
pub trait BeforePull: Plugin {
    /// Decides.
    fn before_pull(&self, asset: &Asset, context: &Context) -> Verdict;
}

/// Asked when the content has been received and verified, before it is stored, and when a new version of stored metadata
/// comes. An edit changes what this host sees; it is not passed on.
pub trait AfterReceive: Plugin {
    /// Decides.
    fn after_receive(&self, asset: &Asset, context: &Context) -> Verdict;
}
