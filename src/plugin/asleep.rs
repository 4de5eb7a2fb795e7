//! Plugins that are known and not loaded: what a host in safe mode tells of them, and lets a person switch.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::folder::Folder;
use super::known::Known;
use super::known::POINTS;
use super::known::Remembered;
use super::known::Switch;
use super::plugins;
use super::plugins::Options;
use super::plugins::PluginStatus;
use super::plugins::SettingsOf;
use super::plugins::StartError;
use super::plugins::UnknownPlugin;

/// The plugins of a host that loads none.
pub struct Asleep {
    known: Known,
    settings: SettingsOf,
    /// Those that are there, or would be missed; what is remembered of each.
    plugins: Mutex<BTreeMap<String, Option<Remembered>>>,
    /// Whether the folder can be read; one that cannot may hold some.
    readable: bool,
}

impl Asleep {
    /// Looks which plugins there are: in the folder, in the configuration, or active before.
    ///
    /// # Errors
    /// [`StartError`] when the memory cannot be used.
    pub async fn look(options: &Options) -> Result<Self, StartError> {
        let (data, mut folder) = (options.data.clone(), Folder::new(options.folder.clone()));
        let looking = tokio::task::spawn_blocking(move || {
            let (known, _) = plugins::open(&data)?;
            Ok::<_, StartError>((known, folder.look(true)))
        });
        let (known, news) = looking.await.expect("looking does not panic and is not cancelled")?;
        let mut remembered = known.all().await?;
        let readable = news.is_ok();
        let mut names: BTreeSet<String> = news.map(|news| news.changed.into_iter().collect()).unwrap_or_default();
        names.extend(options.named.iter().cloned());
        names.extend(remembered.keys().cloned());
        let plugins = names.into_iter().map(|name| {
            let before = remembered.remove(&name);
            (name, before)
        });
        let plugins = Mutex::new(plugins.collect());
        Ok(Self { known, settings: options.settings.clone(), plugins, readable })
    }

    /// Tells whether one may be there that is not switched off.
    #[must_use]
    pub fn are_there(&self) -> bool {
        !self.readable || self.status().iter().any(|plugin| plugin.enabled)
    }

    /// Tells about every plugin, by name.
    #[must_use]
    pub fn status(&self) -> Vec<PluginStatus> {
        let plugins = self.plugins.lock().clone();
        let one = |(name, before): (String, Option<Remembered>)| {
            let settings = (self.settings)(&name, None).unwrap_or_default();
            let enabled = settings.enabled && before.as_ref().is_none_or(|before| before.switch != Switch::OffByHand);
            let trouble = enabled.then(|| "the host runs in safe mode".to_owned());
            let points = before.map(|before| before.points).filter(|points| !points.is_empty());
            let points = points.unwrap_or_else(|| POINTS.iter().map(|(point, _)| *point).collect());
            PluginStatus { points, ..PluginStatus::absent(name, enabled, trouble, settings) }
        };
        plugins.into_iter().map(one).collect()
    }

    /// Switches a plugin on or off, for the next start and those after it.
    ///
    /// # Errors
    /// [`UnknownPlugin`] when there is none of this name, or it cannot be remembered.
    pub async fn switch(&self, name: &str, enabled: bool) -> Result<(), UnknownPlugin> {
        let before = self.plugins.lock().get(name).cloned();
        let before = before.ok_or_else(|| UnknownPlugin::Unknown(name.to_owned()))?;
        let now = self.known.switch(name, before, enabled).await?;
        self.plugins.lock().insert(name.to_owned(), now);
        Ok(())
    }

    /// Commits what waits and closes the memory.
    pub async fn close(&self) {
        self.known.close().await;
    }
}
