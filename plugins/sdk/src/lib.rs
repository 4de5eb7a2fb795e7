//! Write plugins for can-sync in Rust.
//!
//! A plugin is a type that implements [`Plugin`] and one or more hooks ([`BeforePush`], [`BeforePull`],
//! [`AfterReceive`]), and is handed to [`export!`] with the hooks that it has:
//!
//! ```
//! use can_sync_plugin::{Asset, BeforePush, Context, Description, Plugin, Verdict};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Configuration {
//!     tag: String,
//! }
//!
//! impl Default for Configuration {
//!     fn default() -> Self {
//!         Self { tag: "private".into() }
//!     }
//! }
//!
//! struct Keep(Configuration);
//!
//! impl Plugin for Keep {
//!     type Configuration = Configuration;
//!
//!     fn describe() -> Description {
//!         Description::new("keep", "0.1.0", "Keeps back what carries a tag.")
//!     }
//!
//!     fn configure(configuration: Configuration) -> Result<Self, String> {
//!         Ok(Self(configuration))
//!     }
//! }
//!
//! impl BeforePush for Keep {
//!     fn before_push(&self, asset: &Asset, _: &Context) -> Verdict {
//!         if asset.has_tag(&self.0.tag) { Verdict::drop(format!("tagged {}", self.0.tag)) } else { Verdict::Pass }
//!     }
//! }
//!
//! can_sync_plugin::export!(Keep: before_push);
//! # fn main() {}
//! ```
//!
//! What a plugin may ask the host for is in [`log`], [`content`], [`state`] and [`clock`]; a component imports what it
//! calls and nothing else. Outside of WebAssembly the same functions speak to a [`testing::Host`], so that `cargo test`
//! needs neither a host nor a WebAssembly toolchain.

mod asset;
pub mod clock;
pub mod configuration;
pub mod content;
mod export;
mod glob;
pub mod limits;
pub mod log;
mod place;
mod plugin;
mod refusal;
pub mod state;
mod text;
mod verdict;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use crate::asset::Asset;
pub use crate::asset::Context;
pub use crate::asset::Direction;
pub use crate::asset::Field;
pub use crate::asset::Occasion;
pub use crate::asset::Peer;
pub use crate::export::Exported;
pub use crate::export::Hook;
pub use crate::glob::matches_glob;
pub use crate::place::Folder;
pub use crate::place::Place;
pub use crate::plugin::AfterReceive;
pub use crate::plugin::BeforePull;
pub use crate::plugin::BeforePush;
pub use crate::plugin::Description;
pub use crate::plugin::Plugin;
pub use crate::refusal::Refusal;
pub use crate::text::folded;
pub use crate::verdict::Change;
pub use crate::verdict::Changes;
pub use crate::verdict::Verdict;
