//! The configuration: from a YAML file, variables and flags to plain [`Settings`].
//!
//! Every key is in [`Key`], and nowhere else: file, variables, flags and `config show` go through that list. Nothing
//! below the faces knows this module; what a lower module needs is handed to it as its own options.
//!
//! Called by `cli`.

mod error;
mod file;
mod init;
mod key;
mod plugins;
mod resolve;
mod settings;
#[cfg(test)]
mod tests;
mod value;

pub use error::{ConfigError, InitError};
pub use file::{ConfigFile, read};
pub use init::{TEMPLATE, template_with, write_new};
pub use key::Key;
pub use plugins::{PluginEntry, plugin_settings};
pub use resolve::{Resolved, Shown, Source, resolve};
pub use settings::{Hidden, PkarrDht, Settings};
