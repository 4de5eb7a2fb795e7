//! Tests of plugins without a host: a host for one call ([`Host`]), and golden files ([`golden`]).
//!
//! Not part of a component.

mod golden;
pub(crate) mod host;
#[cfg(test)]
mod tests;

pub use golden::golden;
pub use host::Grant;
pub use host::Host;

use crate::Asset;
use crate::Context;
use crate::Direction;
use crate::Hook;
use crate::Occasion;
use crate::Plugin;
use crate::configuration;

/// When an asset was made that says nothing of it: the earliest time that hosts take, in Unix milliseconds.
pub(crate) const TIMESTAMP: u64 = 1_000_000_000_000;

/// Makes a plugin as a host does.
///
/// # Errors
/// What the plugin says of the configuration.
pub fn configured<P: Plugin>(json: &str) -> Result<P, String> {
    P::configure(configuration::read(json)?)
}

/// Returns an asset with the given tags and nothing else of its own.
#[must_use]
pub fn asset(tags: &[&str]) -> Asset {
    let mut tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
    tags.sort();
    tags.dedup();
    Asset { id: "0".repeat(64), timestamp: TIMESTAMP, tags, ..Asset::default() }
}

/// Returns the circumstances at a hook.
#[must_use]
pub fn context(hook: Hook) -> Context {
    let direction = if hook == Hook::BeforePush { Direction::Push } else { Direction::Pull };
    Context { library: "mirror".to_owned(), direction, occasion: Occasion::Live, peer: None }
}
