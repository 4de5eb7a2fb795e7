//! All plugins of a host, as the rest of the program holds them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::sync::watch;

use super::breaker::BreakerState;
use super::chain::Line;
use super::compiled::Cache;
use super::figures::Figures;
use super::folder::BadName;
use super::keeper;
use super::keeper::Keeper;
use super::known::Known;
use super::loaded::Description;
use super::settings::Settings;
use super::used::Used;
use crate::database::DatabaseError;
use crate::database::OpenError;
use crate::hook::Asked;
use crate::hook::BoxFuture;
use crate::hook::Chain;
use crate::hook::Hooks;
use crate::hook::Judgement;
use crate::hook::Point;
use crate::task::Group;

/// Where plugins come from, and how they are set up.
#[derive(Clone)]
pub struct Options {
    /// Folder that components are dropped into.
    pub folder: PathBuf,
    /// Folder for what is remembered about them.
    pub data: PathBuf,
    /// How each is set up.
    pub settings: SettingsOf,
    /// Plugins that the configuration names: those are missed when they are not there.
    pub named: BTreeSet<String>,
    /// Assets to try a new plugin on.
    pub samples: Arc<dyn Samples>,
    /// How often the folder is looked at; [`limits::plugin::LOOK`](crate::limits::plugin::LOOK) where nobody waits for it.
    pub look_every: Duration,
}

/// Says how a plugin is set up, from its name and its sidecar; an error is for people.
pub type SettingsOf = Arc<dyn Fn(&str, Option<Sidecar<'_>>) -> Result<Settings, String> + Send + Sync>;

/// The file beside a plugin that says how it is set up.
#[derive(Debug, Clone, Copy)]
pub struct Sidecar<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// What it says.
    pub text: &'a str,
}

/// Where assets to try a plugin on come from.
pub trait Samples: Send + Sync + 'static {
    /// Returns the latest assets, at most `count`.
    fn latest(&self, count: usize) -> BoxFuture<'_, Vec<Asked>>;
}

/// Plugins could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The memory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The memory cannot be read.
    #[error("what is remembered about plugins cannot be read")]
    Database(#[from] DatabaseError),
    /// The folder of compiled code cannot be used.
    #[error("the folder of compiled plugins {path} cannot be used: check its owner and its rights")]
    Cache {
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Something was asked for about a plugin that does not exist, or could not be written down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownPlugin {
    /// There is no such plugin.
    #[error("there is no plugin {0}: no file of that name in the folder, and none was there before")]
    Unknown(String),
    /// None is loaded at all.
    #[error("this host runs in safe mode and loads no plugins; start it without `--safe-mode`")]
    SafeMode,
    /// It could not be remembered.
    #[error("it could not be written down")]
    Database(#[from] DatabaseError),
}

/// What a plugin is and does, for people.
#[derive(Debug, Clone)]
pub struct PluginStatus {
    /// Its name: that of its file without the ending.
    pub name: String,
    /// Whether a person, or the configuration, has it switched on.
    pub enabled: bool,
    /// Whether it can be asked now.
    pub loaded: bool,
    /// What is wrong with it, if something is.
    pub trouble: Option<String>,
    /// How it introduces itself.
    pub description: Description,
    /// SHA-256 of its file.
    pub sha256: Option<[u8; 32]>,
    /// Hooks it is asked at.
    pub points: Vec<Point>,
    /// How it is set up.
    pub settings: Settings,
    /// What its breaker does.
    pub breaker: BreakerState,
    /// How it failed last.
    pub last_failure: Option<String>,
    /// What is counted about it.
    pub figures: Figures,
    /// What it has used at most of what it may.
    pub used: Used,
    /// Lines of its log that were left out.
    pub lines_left_out: u64,
}

/// How a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginState {
    /// It is asked.
    Loaded,
    /// It cannot be asked, and its policy answers for it.
    Failing,
    /// It cannot be loaded, was never active, and stops nothing.
    Refused,
    /// It is switched off.
    Disabled,
}

/// All plugins of a host. Cloning shares them.
#[derive(Clone)]
pub struct Plugins(pub(super) Arc<Inside>);

pub(super) struct Inside {
    line: RwLock<Arc<Line>>,
    generation: watch::Sender<u64>,
    /// What is wrong with files, by plugin.
    pub(super) troubles: Mutex<BTreeMap<String, String>>,
    /// Why the folder cannot be read, if so.
    pub(super) unreadable: Mutex<Option<String>>,
    /// Files that are no plugins by their names, and why.
    pub(super) unnamed: Mutex<BTreeMap<String, BadName>>,
    /// Plugins that are switched off, with how they are set up.
    pub(super) switched_off: Mutex<BTreeMap<String, Settings>>,
    /// Orders for the keeper.
    pub(super) orders: Mutex<Vec<keeper::Order>>,
    pub(super) woken: Notify,
    /// Whether the keeper announces at its next look what was announced before it.
    pub(super) once_more: AtomicBool,
}

impl Plugins {
    /// Loads what lies in the folder, and follows the folder from then on. Returns when every plugin that is known is
    /// loaded or counts as failing.
    ///
    /// # Errors
    /// [`StartError`] when the memory or the cache cannot be used. A plugin that cannot be loaded is no error.
    pub async fn start(options: Options, group: &Group) -> Result<Self, StartError> {
        let data = options.data.clone();
        let opening = tokio::task::spawn_blocking(move || open(&data));
        let (known, cache) = opening.await.expect("opening does not panic and is not cancelled")?;
        let plugins = Self(Arc::new(Inside {
            line: RwLock::default(),
            generation: watch::Sender::new(0),
            troubles: Mutex::default(),
            unreadable: Mutex::default(),
            unnamed: Mutex::default(),
            switched_off: Mutex::default(),
            orders: Mutex::default(),
            woken: Notify::new(),
            once_more: AtomicBool::new(false),
        }));
        let mut keeper = Keeper::new(plugins.clone(), options, known, cache);
        keeper.begin().await?;
        let token = group.token().clone();
        group.spawn("plugins", async move { keeper.run(token).await });
        Ok(plugins)
    }

    /// Switches a plugin off, until it is switched on again: it is no longer asked, and not missed.
    ///
    /// # Errors
    /// [`UnknownPlugin`] when there is none of this name.
    pub async fn disable(&self, name: &str) -> Result<(), UnknownPlugin> {
        self.order(name, keeper::What::Enable(false)).await
    }

    /// Switches a plugin on again.
    ///
    /// # Errors
    /// [`UnknownPlugin`] when there is none of this name.
    pub async fn enable(&self, name: &str) -> Result<(), UnknownPlugin> {
        self.order(name, keeper::What::Enable(true)).await
    }

    /// Loads a plugin from its file again; one that is left alone for failing gets another chance.
    ///
    /// # Errors
    /// [`UnknownPlugin`] when there is none of this name.
    pub async fn reload(&self, name: &str) -> Result<(), UnknownPlugin> {
        self.order(name, keeper::What::Reload).await
    }

    async fn order(&self, name: &str, what: keeper::What) -> Result<(), UnknownPlugin> {
        let (done, answer) = tokio::sync::oneshot::channel();
        self.0.orders.lock().push(keeper::Order { name: name.to_owned(), what, done });
        self.0.woken.notify_one();
        answer.await.unwrap_or_else(|_| Err(DatabaseError::Closed.into()))
    }

    /// Says why the folder cannot be read, if so.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.unreadable.lock().clone()
    }

    /// Tells about every plugin, in their order.
    #[must_use]
    pub fn status(&self) -> Vec<PluginStatus> {
        let (line, mut troubles) = (self.line(), self.0.troubles.lock().clone());
        let mut all: Vec<PluginStatus> = line
            .members
            .iter()
            .map(|member| {
                let plugin = member.plugin.as_ref().ok();
                let about = plugin.map(|plugin| plugin.about());
                let trouble = troubles.remove(&*member.name).map(|trouble| match plugin {
                    Some(_) => format!(
                        "{trouble}; what was loaded before goes on until the next start, and then counts as failing"
                    ),
                    None => trouble,
                });
                PluginStatus {
                    name: member.name.to_string(),
                    enabled: true,
                    loaded: plugin.is_some(),
                    trouble: trouble.or_else(|| member.plugin.as_ref().err().cloned()),
                    description: plugin.map(|plugin| plugin.description().clone()).unwrap_or_default(),
                    sha256: plugin.map(|plugin| *plugin.sha256()),
                    points: member.points.clone(),
                    settings: member.settings.clone(),
                    breaker: member.breaker(),
                    last_failure: member.last_failure(),
                    figures: member.counter.figures(),
                    used: plugin.map(|plugin| plugin.used()).unwrap_or_default(),
                    lines_left_out: about.map_or(0, |about| about.log.lines_left_out()),
                }
            })
            .collect();
        let switched_off = self.0.switched_off.lock().clone();
        all.extend(switched_off.into_iter().map(|(name, settings)| {
            let trouble = troubles.remove(&name);
            PluginStatus::absent(name, false, trouble, settings)
        }));
        let unnamed = self.0.unnamed.lock().clone();
        troubles.extend(unnamed.into_iter().map(|(file, why)| (file, why.to_string())));
        let refused = |(name, trouble)| PluginStatus::absent(name, true, Some(trouble), Settings::default());
        all.extend(troubles.into_iter().map(refused));
        all
    }

    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.0.line.read())
    }

    /// Puts another line in place of the present one; calls under way end as they began.
    pub(super) fn swap(&self, line: Line) {
        *self.0.line.write() = Arc::new(line);
        self.announce();
    }

    /// Has others ask again what could not be asked.
    pub(super) fn announce(&self) {
        self.0.generation.send_modify(|generation| *generation += 1);
    }

    /// The same, and once more a look later: what was answered for a plugin a moment before it could be asked again may
    /// not be written down yet, and nobody would ask about it again.
    pub(super) fn announce_twice(&self) {
        self.0.once_more.store(true, Ordering::SeqCst);
        self.announce();
    }
}

/// Opens the memory about plugins, and the folder of their compiled code. Blocks.
pub(super) fn open(data: &Path) -> Result<(Known, Cache), StartError> {
    let folder = data.join("compiled");
    let cache = Cache::open(&folder).map_err(|source| StartError::Cache { path: folder, source })?;
    Ok((Known::open(&data.join("plugins.db"))?, cache))
}

impl PluginStatus {
    /// Tells how it is.
    #[must_use]
    pub fn state(&self) -> PluginState {
        match (self.enabled, self.loaded, self.points.is_empty()) {
            (false, ..) => PluginState::Disabled,
            (true, true, _) => PluginState::Loaded,
            (true, false, false) => PluginState::Failing,
            (true, false, true) => PluginState::Refused,
        }
    }

    /// Returns what is wrong with it now: with its file, or with its calls, where it is left alone for failing.
    #[must_use]
    pub fn ails(&self) -> Option<&str> {
        let resting = || self.last_failure.as_deref().filter(|_| self.breaker != BreakerState::Closed);
        self.trouble.as_deref().or_else(resting)
    }

    /// One that is not there to be asked.
    #[must_use]
    pub fn absent(name: String, enabled: bool, trouble: Option<String>, settings: Settings) -> Self {
        Self {
            name,
            enabled,
            loaded: false,
            trouble,
            description: Description::default(),
            sha256: None,
            points: Vec::new(),
            settings,
            breaker: BreakerState::Closed,
            last_failure: None,
            figures: Figures::default(),
            used: Used::default(),
            lines_left_out: 0,
        }
    }
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.line().members.iter().map(|member| member.name.clone()).collect();
        f.debug_tuple("Plugins").field(&names).finish()
    }
}

impl Hooks for Plugins {
    fn ask<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Judgement> {
        Box::pin(async move {
            let (judgement, recovered) = self.line().ask(asked).await;
            if recovered {
                self.announce_twice();
            }
            judgement
        })
    }

    fn chain(&self, point: Point, library: &str) -> Option<Chain> {
        self.line().digest(point, library)
    }

    fn generation(&self) -> u64 {
        *self.0.generation.borrow()
    }

    fn changed(&self, seen: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut generations = self.0.generation.subscribe();
            // The sender is our own, so this ends only with another generation.
            let _ = generations.wait_for(|generation| *generation != seen).await;
        })
    }
}
