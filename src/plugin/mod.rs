//! Plugins: WASM components in a folder, which decide about assets and edit their metadata.
//!
//! It is the one place that knows wasmtime. A plugin sees only what it is shown, has the limits it is given, and every
//! answer is checked; it costs nothing but itself when it is wrong, slow or hostile. The rest of the program sees plugins
//! through [`Hooks`](crate::hook::Hooks), which [`Plugins`] implements. It knows no store, no network and no peer.
//! Called by `node`, and by `cli` for the tools of plugin authors.
//!
//! From the outside to the inside: `Plugins` (the folder, the chain) holds a `Member` per plugin (policy, breaker,
//! figures), which holds the loaded `Plugin` (compiled code, instances ready for a call), whose instances run in the
//! `sandbox` (engine, deadlines, limits). `contract_0_1` translates between them and the words of `hook`, one folder per
//! version of the contract. `Asleep` stands for the plugins of a host in safe mode.

mod asleep;
mod breaker;
mod chain;
mod compiled;
mod contract_0_1;
mod figures;
mod folder;
mod inspect;
mod instance;
mod keeper;
mod known;
mod loaded;
mod member;
mod plugins;
mod sandbox;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod turns;
mod used;
mod wasi;

pub use asleep::Asleep;
pub use breaker::BreakerState;
pub use compiled::Cache;
pub use figures::Figures;
pub use folder::{BadName, is_name, name_of};
pub use inspect::{Inspection, inspect};
pub use loaded::{Description, Failure, LoadError, Plugin};
pub use plugins::{
    Options, PluginState, PluginStatus, Plugins, Samples, SettingsOf, Sidecar, StartError, UnknownPlugin,
};
pub use settings::{Grant, Limits, OnFailure, Settings, Wasi};
pub use used::Used;
