//! The keeper: follows the folder, loads what is new, and takes out what is gone. One task; calls never wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;

use super::compiled::Cache;
use super::figures::Counter;
use super::folder::Folder;
use super::folder::News;
use super::folder::is_missing;
use super::known::Known;
use super::known::POINTS;
use super::known::Remembered;
use super::known::Switch;
use super::loaded;
use super::loaded::LoadError;
use super::loaded::Plugin;
use super::loaded::Source;
use super::member::Member;
use super::plugins::Options;
use super::plugins::Plugins;
use super::plugins::Sidecar;
use super::plugins::UnknownPlugin;
use super::sandbox::Sandbox;
use super::settings::Settings;
use super::state::State;
use crate::database::DatabaseError;
use crate::hook::Asked;
use crate::hook::Point;
use crate::limits;
use crate::task::Backoff;

/// Something a person wants done with a plugin.
pub(super) struct Order {
    pub(super) name: String,
    pub(super) what: What,
    pub(super) done: oneshot::Sender<Result<(), UnknownPlugin>>,
}

/// What a person wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Enable(bool),
    Reload,
}

pub(super) struct Keeper {
    plugins: Plugins,
    options: Options,
    known: Known,
    cache: Cache,
    sandbox: Sandbox,
    folder: Folder,
    remembered: BTreeMap<String, Remembered>,
    /// Outlive the plugin they belong to, so that another version of it goes on with them.
    counters: BTreeMap<String, Arc<Counter>>,
    states: BTreeMap<String, State>,
    /// Those that could not be loaded for something that may pass, and when they are tried again.
    again: BTreeMap<String, (Instant, Backoff)>,
}

/// Why a plugin cannot be loaded.
struct Trouble {
    why: String,
    /// Whether it may be loaded another time, from the same file.
    passes: bool,
}

impl From<LoadError> for Trouble {
    fn from(error: LoadError) -> Self {
        Self { why: error.to_string(), passes: error.may_pass() }
    }
}

impl Keeper {
    pub(super) fn new(plugins: Plugins, options: Options, known: Known, cache: Cache) -> Self {
        Self {
            folder: Folder::new(options.folder.clone()),
            plugins,
            options,
            known,
            cache,
            sandbox: Sandbox::new(),
            remembered: BTreeMap::new(),
            counters: BTreeMap::new(),
            states: BTreeMap::new(),
            again: BTreeMap::new(),
        }
    }

    /// Loads what lies in the folder, and misses what was active before.
    pub(super) async fn begin(&mut self) -> Result<(), DatabaseError> {
        self.remembered = self.known.all().await?;
        let news = self.look(true).await;
        self.take(news).await;
        let mut missed: Vec<String> = self.remembered.keys().cloned().collect();
        missed.extend(self.options.named.iter().cloned());
        for name in missed {
            let is_gone = !self.folder.has(&name) && self.plugins.line().get(&name).is_none();
            if is_gone && self.is_nothing_left(&name) {
                self.forget(&name).await;
            } else if is_gone {
                self.miss(&name, &self.absence(&name)).await;
            }
        }
        let engines: Vec<(Engine, [u8; 32])> = self
            .plugins
            .line()
            .members
            .iter()
            .filter_map(|member| Some((member.plugin.as_ref().ok()?.engine().clone(), member.digest?)))
            .collect();
        let cache = self.cache.clone();
        if engines.len() == self.plugins.line().members.len() {
            let _ = tokio::task::spawn_blocking(move || cache.sweep(&engines)).await;
        }
        Ok(())
    }

    /// Follows the folder until it is cancelled.
    pub(super) async fn run(mut self, token: CancellationToken) {
        let mut looks = tokio::time::interval(self.options.look_every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let plugins = self.plugins.clone();
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => break,
                () = plugins.0.woken.notified() => self.obey().await,
                _ = looks.tick() => {
                    let news = self.look(false).await;
                    self.take(news).await;
                    self.try_again().await;
                    self.write_states().await;
                    self.wake_rested();
                }
            }
        }
        self.write_states().await;
        self.known.close().await;
    }

    async fn look(&mut self, at_once: bool) -> News {
        let mut folder = std::mem::replace(&mut self.folder, Folder::new(self.options.folder.clone()));
        let looking = tokio::task::spawn_blocking(move || {
            let news = folder.look(at_once);
            (folder, news)
        });
        let Ok((folder, news)) = looking.await else { return News::default() };
        self.folder = folder;
        match news {
            Ok(news) => {
                *self.plugins.0.unreadable.lock() = None;
                news
            }
            Err(error) => {
                let folder = self.options.folder.display();
                let text = format!("the plugin folder {folder} cannot be read, so plugins stay as they are: {error}");
                if self.plugins.0.unreadable.lock().replace(text).is_none() {
                    tracing::warn!(%folder, %error, "plugin folder cannot be read, plugins stay as they are");
                }
                News::default()
            }
        }
    }

    async fn take(&mut self, news: News) {
        for (file, why) in news.unnamed {
            tracing::warn!(%file, %why, "file is no plugin by its name");
        }
        self.plugins.0.unnamed.lock().clone_from(self.folder.unnamed());
        for (name, why) in news.unseen {
            if let Some(why) = why {
                tracing::warn!(plugin = %name, %why, "plugin stays as it is");
                self.plugins.0.troubles.lock().insert(name, why);
                continue;
            }
            self.plugins.0.troubles.lock().remove(&name);
            let is_missed = self.plugins.line().get(&name).is_some_and(|member| member.plugin.is_err());
            if is_missed && !self.folder.has(&name) {
                // It could not be looked at, and now it is not there.
                self.miss(&name, &self.absence(&name)).await;
            }
        }
        for name in news.changed {
            self.again.remove(&name);
            self.load(&name).await;
        }
        for name in news.gone {
            tracing::info!(plugin = %name, "plugin removed");
            self.leave(&name).await;
            self.forget(&name).await;
        }
    }

    /// Loads what could not be loaded, where that may have passed.
    async fn try_again(&mut self) {
        let now = Instant::now();
        let due = self.again.iter().filter(|(name, (at, _))| *at <= now && self.folder.has(name));
        for name in due.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.load(&name).await;
        }
    }

    /// Loads a plugin and puts it in the place of what was there. When it cannot be loaded, the one before goes on.
    async fn load(&mut self, name: &str) {
        let settings = match self.settings(name).await {
            Ok(settings) => settings,
            Err(trouble) => return self.fail(name, trouble).await,
        };
        // As long as its settings cannot be read, it stays as they said last; so that is remembered first.
        if let Err(error) = self.note_switch(name, settings.enabled).await {
            let why = format!("whether it is switched on cannot be remembered: {error}");
            return self.fail(name, Trouble { why, passes: true }).await;
        }
        if self.is_off(name, Some(&settings)) {
            self.leave(name).await;
            self.plugins.0.switched_off.lock().insert(name.to_owned(), settings);
            return;
        }
        self.plugins.0.switched_off.lock().remove(name);
        let began = Instant::now();
        let plugin = match self.make(name, settings.clone()).await {
            Ok(plugin) => plugin,
            Err(error) => return self.fail(name, error.into()).await,
        };
        let (points, digest) = (plugin.points().to_vec(), plugin.about().digest);
        // Before anything it lets through can go: a start without it must know that it is missing.
        let remembered = Remembered { digest: Some(digest), points: points.clone(), switch: Switch::On };
        if let Err(error) = self.known.remember(name, remembered.clone()).await {
            let why = format!("it cannot be remembered, so that a later start without it would miss it: {error}");
            return self.fail(name, Trouble { why, passes: true }).await;
        }
        self.remembered.insert(name.to_owned(), remembered);
        self.again.remove(name);
        self.plugins.0.troubles.lock().remove(name);
        let version = plugin.description().version.clone();
        let took_ms = began.elapsed().as_millis() as u64;
        tracing::info!(plugin = %name, version, ?points, took_ms, "plugin loaded");
        let counter = Arc::clone(self.counters.entry(name.to_owned()).or_insert_with(|| Arc::new(Counter::new())));
        let member = Member::new(name, settings, Some(digest), points, Ok(Arc::new(plugin)), counter);
        self.plugins.swap(self.plugins.line().with(member));
    }

    async fn make(&mut self, name: &str, settings: Settings) -> Result<Plugin, LoadError> {
        let (path, limit) = (self.folder.component(name), settings.limits.component_bytes);
        let reading = tokio::task::spawn_blocking(move || loaded::read(&path, limit));
        let bytes = reading.await.map_err(|_| LoadError::File("reading it failed".to_owned()))??;
        let state = match self.states.get(name) {
            Some(state) => state.clone(),
            None => {
                let values = self.known.values(name).await.map_err(|error| LoadError::File(error.to_string()))?;
                let state = State::new(values, settings.limits.state_bytes);
                self.states.entry(name.to_owned()).or_insert(state).clone()
            }
        };
        state.limit(settings.limits.state_bytes);
        let cache = Some(self.cache.clone());
        let plugin = Plugin::make(Source { name, bytes, settings, state, sandbox: &self.sandbox, cache }).await?;
        let samples: Vec<Asked> = self.options.samples.latest(limits::plugin::SAMPLES).await;
        plugin.try_on(&samples, limits::plugin::TRIAL).await?;
        Ok(plugin)
    }

    async fn settings(&self, name: &str) -> Result<Settings, Trouble> {
        let sidecar = self.folder.sidecar(name);
        let path = sidecar.clone();
        let lasts = |why| Trouble { why, passes: false };
        let passes = |why| Trouble { why, passes: true };
        let reading = tokio::task::spawn_blocking(move || match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_missing(&path) => Ok(None),
            Ok(metadata) if metadata.len() > limits::plugin::SIDECAR_BYTES => {
                Err(lasts(format!("{} has more than {} bytes", path.display(), limits::plugin::SIDECAR_BYTES)))
            }
            _ => match std::fs::read_to_string(&path) {
                Err(error) => Err(passes(format!("{}: {error}", path.display()))),
                Ok(text) => Ok(Some(text)),
            },
        });
        let text = reading.await.map_err(|_| passes("reading its settings failed".to_owned()))??;
        let sidecar = text.as_deref().map(|text| Sidecar { path: &sidecar, text });
        (self.options.settings)(name, sidecar).map_err(lasts)
    }

    /// Returns how the configuration sets a plugin up whose sidecar cannot be read, or says this instead.
    fn configured(&self, name: &str, instead: Option<&str>) -> Settings {
        let path = self.folder.sidecar(name);
        let sidecar = instead.map(|text| Sidecar { path: &path, text });
        (self.options.settings)(name, sidecar).unwrap_or_default()
    }

    /// Keeps a plugin that cannot be loaded from leaking anything: what ran goes on, else it counts as failing.
    async fn fail(&mut self, name: &str, trouble: Trouble) {
        if trouble.passes {
            let first = || (Instant::now(), Backoff::new(limits::plugin::PAUSE, limits::plugin::PAUSE_MOST));
            let (at, backoff) = self.again.entry(name.to_owned()).or_insert_with(first);
            *at = Instant::now() + backoff.pause();
        } else {
            self.again.remove(name);
        }
        let why = loaded::shortened(trouble.why);
        tracing::warn!(plugin = %name, %why, "plugin cannot be loaded");
        self.plugins.0.troubles.lock().insert(name.to_owned(), why.clone());
        let runs = self.plugins.line().get(name).is_some_and(|member| member.plugin.is_ok());
        let known = self.remembered.contains_key(name) || self.options.named.contains(name);
        if !runs && known {
            self.miss(name, &why).await;
        }
    }

    /// Has a plugin count as failing, as it was when it was active last.
    async fn miss(&mut self, name: &str, why: &str) {
        let read = self.settings(name).await;
        if let Ok(settings) = &read
            && let Err(error) = self.note_switch(name, settings.enabled).await
        {
            tracing::error!(plugin = %name, %error, "whether a plugin is switched on could not be remembered");
        }
        let remembered = self.remembered.get(name).cloned();
        let is_off = self.is_off(name, read.as_ref().ok());
        let settings = read.unwrap_or_else(|_| self.configured(name, None));
        if is_off {
            self.plugins.0.switched_off.lock().insert(name.to_owned(), settings);
            return;
        }
        self.plugins.0.switched_off.lock().remove(name);
        let all = || POINTS.iter().map(|(point, _)| *point).collect::<Vec<Point>>();
        let (digest, points) = remembered.map_or_else(|| (None, all()), |before| (before.digest, before.points));
        let points = if digest.is_none() { all() } else { points };
        if self.plugins.line().get(name).is_some_and(|member| member.is_missing(&settings, digest, &points, why)) {
            // Nobody need hear of it each time it is tried again.
            return;
        }
        tracing::warn!(plugin = %name, %why, "plugin is missing and counts as failing");
        let counter = Arc::clone(self.counters.entry(name.to_owned()).or_insert_with(|| Arc::new(Counter::new())));
        let member = Member::new(name, settings, digest, points, Err(why.to_owned()), counter);
        self.plugins.swap(self.plugins.line().with(member));
    }

    /// Says what is wrong with a plugin that has no file, or none that can be looked at.
    fn absence(&self, name: &str) -> String {
        if let Some(why) = self.folder.unseen(name) {
            return why.to_owned();
        }
        let file = self.folder.component(name);
        format!("{} is not there; put it back, or run `can-sync plugin disable {name}`", file.display())
    }

    /// Tells whether a plugin is switched off, by a person or by its settings; where these cannot be read, by what they said
    /// last, unless the configuration alone says that it is on.
    fn is_off(&self, name: &str, read: Option<&Settings>) -> bool {
        let switch = self.remembered.get(name).map_or(Switch::On, |remembered| remembered.switch);
        match (switch, read) {
            (Switch::OffByHand, _) => true,
            (_, Some(settings)) => !settings.enabled,
            (Switch::On, None) => !self.configured(name, None).enabled,
            // What the sidecar may say is beaten by a configuration that says something.
            (Switch::OffBySettings, None) => !self.configured(name, Some("enabled: false")).enabled,
        }
    }

    /// Remembers what its settings say of a plugin that would be missed, unless a person has switched it off.
    async fn note_switch(&mut self, name: &str, enabled: bool) -> Result<(), DatabaseError> {
        let before = self.remembered.get(name).cloned();
        let (digest, points) = match before {
            Some(Remembered { switch: Switch::OffByHand, .. }) => return Ok(()),
            Some(Remembered { switch, .. }) if (switch == Switch::On) == enabled => return Ok(()),
            Some(Remembered { digest: None, .. }) if enabled => {
                // It was never active: nothing but this was to be remembered.
                self.known.forget(name).await?;
                self.remembered.remove(name);
                return Ok(());
            }
            Some(Remembered { digest, points, .. }) => (digest, points),
            None if enabled || !self.options.named.contains(name) => return Ok(()),
            None => (None, Vec::new()),
        };
        let switch = if enabled { Switch::On } else { Switch::OffBySettings };
        let remembered = Remembered { digest, points, switch };
        self.known.remember(name, remembered.clone()).await?;
        self.remembered.insert(name.to_owned(), remembered);
        Ok(())
    }

    /// Tells whether nothing is left of a plugin that has no file: its settings had it switched off, they are gone as well,
    /// and the folder could be looked at.
    fn is_nothing_left(&self, name: &str) -> bool {
        let was_off = self.remembered.get(name).is_some_and(|known| known.switch == Switch::OffBySettings);
        let can_be_read = self.options.folder.is_dir() && self.plugins.0.unreadable.lock().is_none();
        let says_nothing = is_missing(&self.folder.sidecar(name)) && !self.options.named.contains(name);
        was_off && can_be_read && says_nothing && self.folder.unseen(name).is_none()
    }

    /// Takes a plugin out of the chain.
    async fn leave(&mut self, name: &str) {
        self.again.remove(name);
        self.plugins.0.troubles.lock().remove(name);
        self.plugins.0.switched_off.lock().remove(name);
        if self.plugins.line().get(name).is_some() {
            self.plugins.swap(self.plugins.line().without(name));
        }
        self.write_states().await;
    }

    async fn obey(&mut self) {
        let orders = std::mem::take(&mut *self.plugins.0.orders.lock());
        for Order { name, what, done } in orders {
            let outcome = self.carry_out(&name, what).await;
            let _ = done.send(outcome);
        }
    }

    async fn carry_out(&mut self, name: &str, what: What) -> Result<(), UnknownPlugin> {
        let named = self.options.named.contains(name);
        let is_there = self.folder.has(name) || self.folder.unseen(name).is_some();
        if !is_there && !self.remembered.contains_key(name) && !named {
            return Err(UnknownPlugin::Unknown(name.to_owned()));
        }
        if let What::Enable(enabled) = what {
            match self.known.switch(name, self.remembered.get(name).cloned(), enabled).await? {
                Some(remembered) => self.remembered.insert(name.to_owned(), remembered),
                None => self.remembered.remove(name),
            };
            self.plugins.0.switched_off.lock().remove(name);
        }
        if what == What::Enable(false) {
            let settings = self.settings(name).await.unwrap_or_else(|_| self.configured(name, None));
            self.leave(name).await;
            self.plugins.0.switched_off.lock().insert(name.to_owned(), settings);
            tracing::info!(plugin = %name, "plugin switched off");
            return Ok(());
        }
        self.again.remove(name);
        if self.folder.has(name) {
            self.load(name).await;
        } else if named || self.remembered.contains_key(name) {
            // It may be back at the next look, as it was.
            self.folder.tell_again(name);
            self.miss(name, &self.absence(name)).await;
        } else if let Some(why) = self.folder.unseen(name) {
            self.plugins.0.troubles.lock().insert(name.to_owned(), why.to_owned());
        } else {
            // It was never active and has no file: now that it is not switched off any more, there is nothing left of it.
            return Err(UnknownPlugin::Unknown(name.to_owned()));
        }
        Ok(())
    }

    async fn forget(&mut self, name: &str) {
        if let Err(error) = self.known.forget(name).await {
            tracing::error!(plugin = %name, %error, "plugin could not be forgotten");
        }
        self.remembered.remove(name);
    }

    async fn write_states(&self) {
        for (name, state) in &self.states {
            let changed = state.take_changed();
            if changed.is_empty() {
                continue;
            }
            let keys: Vec<String> = changed.iter().map(|(key, _)| key.clone()).collect();
            if let Err(error) = self.known.write(name, changed).await {
                state.put_back(keys);
                tracing::error!(plugin = %name, %error, "state of a plugin could not be written down, and waits for the next look");
            }
        }
    }

    /// Has what waits for a plugin that was left alone be asked again, once it may be tried.
    fn wake_rested(&self) {
        let again = self.plugins.0.once_more.swap(false, Ordering::SeqCst);
        // Each has to hear of it, also where one is enough to announce.
        if self.plugins.line().members.iter().filter(|member| member.rested()).count() > 0 {
            self.plugins.announce_twice();
        } else if again {
            self.plugins.announce();
        }
    }
}
