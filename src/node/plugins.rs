//! The plugins of a host: where they come from, and what people do with them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::data_folder::DataFolder;
use super::start::Node;
use super::start::StartError;
use crate::engine;
use crate::hook::Asked;
use crate::hook::BoxFuture;
use crate::hook::Hooks;
use crate::hook::NoHooks;
use crate::hook::Occasion;
use crate::hook::Peer;
use crate::hook::Point;
use crate::library::Library;
use crate::limits;
use crate::plugin;
use crate::plugin::Asleep;
use crate::plugin::PluginStatus;
use crate::plugin::Plugins;
use crate::plugin::Samples;
use crate::plugin::UnknownPlugin;
use crate::store::Query;
use crate::store::Store;
use crate::task::Group;

/// Where the plugins of a host come from.
#[derive(Clone)]
pub struct PluginOptions {
    /// Folder that they are dropped into.
    pub folder: PathBuf,
    /// How each is set up.
    pub settings: plugin::SettingsOf,
    /// Those that the configuration names.
    pub named: BTreeSet<String>,
    /// Whether none is loaded, and a library that had one exchanges nothing.
    pub safe_mode: bool,
}

/// What a host begins with.
pub(super) struct Begun {
    pub(super) plugins: Present,
    pub(super) hooks: Arc<dyn Hooks>,
    /// Whether anything is exchanged.
    pub(super) exchange: bool,
}

/// The plugins of a host.
pub(super) enum Present {
    /// They are asked.
    Loaded(Plugins),
    /// None is loaded: the host runs in safe mode.
    Asleep(Asleep),
}

/// Loads the plugins, or sees to it that nothing goes without them.
pub(super) async fn begin(
    options: PluginOptions,
    folder: &DataFolder,
    store: &Arc<dyn Store>,
    host: Peer,
    group: &Group,
) -> Result<Begun, StartError> {
    let samples = Arc::new(Latest { store: Arc::clone(store), library: Library::mirror().name, host });
    let safe_mode = options.safe_mode;
    let options = plugin::Options {
        folder: options.folder,
        data: folder.path().join("plugins"),
        settings: options.settings,
        named: options.named,
        samples,
        look_every: limits::plugin::LOOK,
    };
    if safe_mode {
        let asleep = Asleep::look(&options).await?;
        let exchange = !asleep.are_there();
        tracing::warn!(exchange, "safe mode: no plugin is loaded");
        return Ok(Begun { plugins: Present::Asleep(asleep), hooks: Arc::new(NoHooks), exchange });
    }
    let plugins = Plugins::start(options, group).await?;
    Ok(Begun { hooks: Arc::new(plugins.clone()), plugins: Present::Loaded(plugins), exchange: true })
}

/// The latest assets of the store.
struct Latest {
    store: Arc<dyn Store>,
    library: Arc<str>,
    host: Peer,
}

impl Samples for Latest {
    fn latest(&self, count: usize) -> BoxFuture<'_, Vec<Asked>> {
        Box::pin(async move {
            let page = self.store.page(&Query { limit: count, ..Query::default() }).await;
            let records = page.map(|page| page.records).unwrap_or_default();
            let asked = records.into_iter().map(|record| Asked {
                point: Point::BeforePush,
                library: Arc::clone(&self.library),
                key: record.key,
                metadata: record.document.metadata(),
                peer: Some(self.host.clone()),
                occasion: Occasion::CatchUp,
                content: record.presence.is_here().then(|| engine::stored_content(Arc::clone(&self.store), record.key)),
                overruled: Vec::new(),
            });
            asked.collect()
        })
    }
}

impl Node {
    /// Says why the folder of plugins cannot be read, if so.
    pub(super) fn plugin_folder_trouble(&self) -> Option<String> {
        match &self.plugins {
            Present::Loaded(plugins) => plugins.trouble(),
            Present::Asleep(_) => None,
        }
    }

    /// Tells about every plugin, in their order.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginStatus> {
        match &self.plugins {
            Present::Loaded(plugins) => plugins.status(),
            Present::Asleep(asleep) => asleep.status(),
        }
    }

    /// Switches a plugin off until it is switched on again; in safe mode for the next start.
    ///
    /// # Errors
    /// [`UnknownPlugin`] when there is none of this name.
    pub async fn disable_plugin(&self, name: &str) -> Result<(), UnknownPlugin> {
        match &self.plugins {
            Present::Loaded(plugins) => plugins.disable(name).await,
            Present::Asleep(asleep) => asleep.switch(name, false).await,
        }
    }

    /// Switches a plugin on again; in safe mode for the next start.
    ///
    /// # Errors
    /// As [`disable_plugin`](Self::disable_plugin).
    pub async fn enable_plugin(&self, name: &str) -> Result<(), UnknownPlugin> {
        match &self.plugins {
            Present::Loaded(plugins) => plugins.enable(name).await,
            Present::Asleep(asleep) => asleep.switch(name, true).await,
        }
    }

    /// Loads a plugin from its file again.
    ///
    /// # Errors
    /// As [`disable_plugin`](Self::disable_plugin), and in safe mode.
    pub async fn reload_plugin(&self, name: &str) -> Result<(), UnknownPlugin> {
        match &self.plugins {
            Present::Loaded(plugins) => plugins.reload(name).await,
            Present::Asleep(_) => Err(UnknownPlugin::SafeMode),
        }
    }
}
