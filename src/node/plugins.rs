//! The plugins of a host: where they come from, and what people do with them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::data_folder::DataFolder;
use super::start::Node;
use super::start::StartError;
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
    pub(super) plugins: Option<Plugins>,
    pub(super) hooks: Arc<dyn Hooks>,
    /// Whether anything is exchanged.
    pub(super) exchange: bool,
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
        let exchange = !Plugins::are_there(&options).await?;
        tracing::warn!(exchange, "safe mode: no plugin is loaded");
        return Ok(Begun { plugins: None, hooks: Arc::new(NoHooks), exchange });
    }
    let plugins = Plugins::start(options, group).await?;
    Ok(Begun { hooks: Arc::new(plugins.clone()), plugins: Some(plugins), exchange: true })
}

/// The latest assets of the store.
struct Latest {
    store: Arc<dyn Store>,
    library: String,
    host: Peer,
}

impl Samples for Latest {
    fn latest(&self, count: usize) -> BoxFuture<'_, Vec<Asked>> {
        Box::pin(async move {
            let page = self.store.page(&Query { limit: count, ..Query::default() }).await;
            let records = page.map(|page| page.records).unwrap_or_default();
            let asked = records.into_iter().map(|record| Asked {
                point: Point::BeforePush,
                library: self.library.as_str().into(),
                key: record.key,
                metadata: record.document.metadata(),
                peer: Some(self.host.clone()),
                occasion: Occasion::CatchUp,
                content: None,
            });
            asked.collect()
        })
    }
}

impl Node {
    /// Tells about every plugin; nothing in safe mode.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.plugins.as_ref().map(Plugins::status).unwrap_or_default()
    }

    /// Switches a plugin off until it is switched on again.
    ///
    /// # Errors
    /// [`UnknownPlugin`] when there is none of this name, or none is loaded at all.
    pub async fn disable_plugin(&self, name: &str) -> Result<(), UnknownPlugin> {
        self.loaded()?.disable(name).await
    }

    /// Switches a plugin on again.
    ///
    /// # Errors
    /// As [`disable_plugin`](Self::disable_plugin).
    pub async fn enable_plugin(&self, name: &str) -> Result<(), UnknownPlugin> {
        self.loaded()?.enable(name).await
    }

    /// Loads a plugin from its file again.
    ///
    /// # Errors
    /// As [`disable_plugin`](Self::disable_plugin).
    pub async fn reload_plugin(&self, name: &str) -> Result<(), UnknownPlugin> {
        self.loaded()?.reload(name).await
    }

    fn loaded(&self) -> Result<&Plugins, UnknownPlugin> {
        self.plugins.as_ref().ok_or(UnknownPlugin::SafeMode)
    }
}
