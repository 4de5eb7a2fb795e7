//! What runs inside a component: the bindings, and the ways between their types and those of this crate. Used by
//! [`crate::export!`] only.

#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::pedantic)]

use std::cell::OnceCell;
use std::panic;

use crate::Asset;
use crate::Change;
use crate::Context;
use crate::Direction;
use crate::Exported;
use crate::Field;
use crate::Hook;
use crate::Occasion;
use crate::Peer;
use crate::Plugin;
use crate::Refusal;
use crate::Verdict;
use crate::configuration;
use crate::log;

pub use lifecycle::can_sync::plugin::types;

// A world per hook: each `export!` adds its own world to the component, so that it exports only what the plugin has.
pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        inline: "package can-sync:sdk;
            world lifecycle {
                include can-sync:plugin/host@0.1.0;
                import can-sync:plugin/types@0.1.0;
                export can-sync:plugin/lifecycle@0.1.0;
            }",
        generate_all,
        generate_unused_types: true,
        pub_export_macro: true,
    });
}

pub mod before_push {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        inline: "package can-sync:sdk; world before-push { export can-sync:plugin/before-push@0.1.0; }",
        with: { "can-sync:plugin/types@0.1.0": crate::component::types },
        pub_export_macro: true,
    });
}

pub mod before_pull {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        inline: "package can-sync:sdk; world before-pull { export can-sync:plugin/before-pull@0.1.0; }",
        with: { "can-sync:plugin/types@0.1.0": crate::component::types },
        pub_export_macro: true,
    });
}

pub mod after_receive {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        inline: "package can-sync:sdk; world after-receive { export can-sync:plugin/after-receive@0.1.0; }",
        with: { "can-sync:plugin/types@0.1.0": crate::component::types },
        pub_export_macro: true,
    });
}

/// What the host does, with the types of this crate; [`crate::testing::host`] is the same without a host.
pub(crate) mod host {
    use super::lifecycle::can_sync::plugin;
    use crate::Refusal;
    use crate::log::Level;

    pub(crate) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Trace => plugin::log::Level::Trace,
            Level::Debug => plugin::log::Level::Debug,
            Level::Info => plugin::log::Level::Info,
            Level::Warn => plugin::log::Level::Warn,
            Level::Error => plugin::log::Level::Error,
        };
        plugin::log::log(level, message);
    }

    pub(crate) fn read(offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        plugin::content::read(offset, length).map_err(Into::into)
    }

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        plugin::state::get(key).map_err(Into::into)
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Refusal> {
        plugin::state::set(key, value).map_err(Into::into)
    }

    pub(crate) fn delete(key: &str) -> Result<(), Refusal> {
        plugin::state::delete(key).map_err(Into::into)
    }

    pub(crate) fn keys(prefix: &str) -> Result<Vec<String>, Refusal> {
        plugin::state::keys(prefix).map_err(Into::into)
    }

    pub(crate) fn now() -> Result<u64, Refusal> {
        plugin::clock::now().map_err(Into::into)
    }
}

/// The plugin of an instance, once it is configured.
pub struct Slot<P>(OnceCell<P>);

impl<P: Exported> Slot<P> {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(OnceCell::new())
    }

    pub fn configure(&self, json: &str) -> Result<(), String> {
        // A panic ends the instance; without this line nobody would learn why.
        panic::set_hook(Box::new(|panic| log::error(&panic.to_string())));
        let plugin = P::configure(configuration::read(json)?)?;
        self.0.set(plugin).map_err(|_| "configured already".to_owned())
    }

    pub fn ask(&self, hook: Hook, asset: types::Asset, context: types::Context) -> types::Verdict {
        let answer = self.0.get().and_then(|plugin| plugin.ask(hook, &asset.into(), &context.into()));
        answer.unwrap_or_else(|| Verdict::hold("the plugin was not configured")).into()
    }
}

pub fn describe<P: Plugin>() -> lifecycle::exports::can_sync::plugin::lifecycle::Description {
    let description = P::describe();
    lifecycle::exports::can_sync::plugin::lifecycle::Description {
        name: description.name,
        version: description.version,
        summary: description.summary,
        configuration: description.configuration,
    }
}

impl From<types::Asset> for Asset {
    fn from(asset: types::Asset) -> Self {
        Self {
            id: asset.id,
            timestamp: asset.timestamp,
            size: asset.size,
            mime_type: asset.mime_type,
            file_name: asset.file_name,
            path: asset.path,
            application: asset.application,
            user: asset.user,
            description: asset.description,
            tags: asset.tags,
            trashed: asset.trashed,
        }
    }
}

impl From<types::Context> for Context {
    fn from(context: types::Context) -> Self {
        Self {
            library: context.library,
            direction: match context.direction {
                types::Direction::Push => Direction::Push,
                types::Direction::Pull => Direction::Pull,
            },
            occasion: match context.occasion {
                types::Occasion::Live => Occasion::Live,
                types::Occasion::CatchUp => Occasion::CatchUp,
            },
            peer: context.peer.map(|peer| Peer { id: peer.id, name: peer.name }),
        }
    }
}

impl From<Field> for types::Field {
    fn from(field: Field) -> Self {
        match field {
            Field::MimeType => Self::MimeType,
            Field::FileName => Self::FileName,
            Field::Path => Self::Path,
            Field::Application => Self::Application,
            Field::User => Self::User,
            Field::Description => Self::Description,
        }
    }
}

impl From<Change> for types::Change {
    fn from(change: Change) -> Self {
        match change {
            Change::Set(field, value) => Self::Set(types::Assignment { field: field.into(), value }),
            Change::Clear(field) => Self::Clear(field.into()),
            Change::AddTag(tag) => Self::AddTag(tag),
            Change::RemoveTag(tag) => Self::RemoveTag(tag),
        }
    }
}

impl From<Verdict> for types::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Drop(reason) => Self::Drop(reason),
            Verdict::Hold(reason) => Self::Hold(reason),
            Verdict::Edit(changes) => Self::Edit(changes.into_iter().map(Into::into).collect()),
        }
    }
}

impl From<types::Refusal> for Refusal {
    fn from(refusal: types::Refusal) -> Self {
        match refusal {
            types::Refusal::NotGranted => Self::NotGranted,
            types::Refusal::Limit(limit) => Self::Limit(limit),
            types::Refusal::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}
