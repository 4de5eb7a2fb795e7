//! A loaded plugin: compiled code, and instances that are ready for a call.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wasmtime::component::Component;
use wasmtime::component::Linker;

use super::compiled::Cache;
use super::compiled::Compiled;
use super::contract_0_1;
use super::contract_0_1::Exports;
use super::figures::Log;
use super::inspect;
use super::inspect::Inspection;
use super::instance::About;
use super::instance::Code;
use super::instance::Instance;
use super::instance::one_line;
use super::sandbox::Sandbox;
use super::settings::Settings;
use super::state::State;
use super::used::Peaks;
use super::used::Used;
use super::wasi;
use crate::asset::Metadata;
use crate::hook::Asked;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::limits;

/// How a plugin introduces itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name, for people.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// What it does.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub configuration: Option<String>,
}

/// A file could not be loaded as a plugin.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(String),
    /// The file is larger than allowed.
    #[error("the file has {bytes} bytes, more than the limit of {limit} (limits.component_mib)")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The file is something else.
    #[error("this is no WebAssembly; a plugin is a WebAssembly component")]
    NotWasm,
    /// The file is a core module.
    #[error(
        "this is a core module, not a component; build it for wasm32-wasip2, or run `wasm-tools component new` on it"
    )]
    CoreModule,
    /// The file is not the one that was pinned.
    #[error("its SHA-256 is {found}, the configuration wants {wanted}")]
    Pin {
        /// What the file has.
        found: String,
        /// What it should have.
        wanted: String,
    },
    /// wasmtime does not take it.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// It speaks another version of the contract.
    #[error("it speaks {interface}, this host speaks {host}; build it against that version")]
    Version {
        /// What it speaks.
        interface: String,
        /// What this host speaks.
        host: String,
    },
    /// It imports something that no plugin gets.
    #[error("it imports {interface}, which no plugin is given")]
    Import {
        /// What it imports.
        interface: String,
    },
    /// It imports WASI, and shall not.
    #[error("it imports {interface}, and `wasi: none` refuses that; build it without WASI, or set `wasi: empty`")]
    Wasi {
        /// What it imports.
        interface: String,
    },
    /// It does not introduce itself.
    #[error("it does not export {host}, which every plugin does")]
    NoLifecycle {
        /// What is missing.
        host: String,
    },
    /// It has no hook.
    #[error("it exports none of before-push, before-pull and after-receive, so there is nothing to ask it")]
    NoHook,
    /// It does not start.
    #[error("it does not start: {0}")]
    Start(#[source] Failure),
    /// It failed at assets of this store.
    #[error("it failed at {failed} of the {tried} latest assets: {last}")]
    Trial {
        /// How many it failed at.
        failed: usize,
        /// How many it was tried on.
        tried: usize,
        /// How it failed last.
        last: Failure,
    },
}

impl LoadError {
    /// Tells whether the same file may be loaded another time: the cause is around it, and not in its bytes.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::File(_) | Self::Trial { .. } => true,
            Self::Start(failure) => !matches!(failure, Failure::Configuration(_)),
            _ => false,
        }
    }
}

/// A plugin could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It trapped.
    #[error("it trapped: {0}")]
    Trap(String),
    /// It took too long.
    #[error("it took longer than {} ms", .0.as_millis())]
    Deadline(Duration),
    /// It wanted more than it may have.
    #[error("it wanted {0}")]
    Limit(String),
    /// It answered what is not allowed.
    #[error("it answered what is not allowed: {0}")]
    Answer(String),
    /// It does not take its configuration.
    #[error("it does not take its configuration: {0}")]
    Configuration(String),
    /// The host could not read the content it wanted to see; that is no fault of the plugin.
    #[error("the content could not be read for it: {0}")]
    Content(String),
    /// It did something else that ends it.
    #[error("it broke: {0}")]
    Broken(String),
}

/// A plugin that can be asked.
pub struct Plugin {
    description: Description,
    inspection: Inspection,
    points: Vec<Point>,
    sha256: [u8; 32],
    code: Code,
    about: Arc<About>,
    idle: Mutex<Vec<Instance>>,
    /// Bounds how many calls run at a time.
    places: Semaphore,
}

/// What a plugin is loaded from.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: Vec<u8>,
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) sandbox: &'a Sandbox,
    pub(super) cache: Option<Cache>,
}

impl Plugin {
    /// Loads a plugin alone, for the tools of plugin authors: its state is kept nowhere.
    ///
    /// # Errors
    /// [`LoadError`] says why this host would not load it.
    pub async fn load(path: &Path, name: &str, settings: Settings, cache: Option<Cache>) -> Result<Self, LoadError> {
        let bytes = read(path, settings.limits.component_bytes)?;
        let state = State::new(BTreeMap::new(), settings.limits.state_bytes);
        Self::make(Source { name, bytes, settings, state, sandbox: &Sandbox::new(), cache }).await
    }

    /// Checks, compiles, starts and configures a plugin.
    pub(super) async fn make(source: Source<'_>) -> Result<Self, LoadError> {
        let Source { name, bytes, settings, state, sandbox, cache } = source;
        inspect::kind(&bytes)?;
        let (digest, size) = (digest(&bytes), bytes.len() as u64);
        let invalid = |error: wasmtime::Error| LoadError::Invalid(one_line(&error));
        let engine = sandbox.engine(settings.limits.stack_bytes).map_err(invalid)?;
        let pin = settings.sha256;
        let compiling = tokio::task::spawn_blocking(move || compile(&engine, &bytes, &digest, cache.as_ref(), pin));
        let compiled = compiling.await.map_err(|_| LoadError::Invalid("compiling it failed".to_owned()))?;
        let Compiled { component, sha256 } = compiled?;
        let inspection = inspect::of(&component);
        inspection.check(&settings)?;
        let mut linker = Linker::new(component.engine());
        contract_0_1::link(&mut linker).map_err(invalid)?;
        if inspection.wasi {
            wasi::link(&mut linker).map_err(invalid)?;
        }
        let pre = linker.instantiate_pre(&component).map_err(invalid)?;
        let exports = Exports::find(&pre).map_err(invalid)?;
        let points = exports.points();
        let log = Arc::new(Log::new(name, settings.limits.log_lines_per_sec));
        let about = Arc::new(About {
            name: name.to_owned(),
            digest,
            bytes: size,
            settings,
            log,
            state,
            peaks: Peaks::default(),
        });
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let places = processors * limits::plugin::CALLS_PER_PROCESSOR;
        let others = u32::try_from(places - 1).unwrap_or(u32::MAX);
        let code = Code { sandbox: sandbox.clone(), pre, wasi: inspection.wasi, exports, others };
        let began = Instant::now();
        let (mut instance, description) = Instance::introduce(&code, &about).await.map_err(LoadError::Start)?;
        instance.configure(&code).await.map_err(LoadError::Start)?;
        about.peaks.started(began.elapsed());
        let description = Description {
            name: one_text(&description.name),
            version: one_text(&description.version),
            summary: one_text(&description.summary),
            configuration: description.configuration,
        };
        let places = Semaphore::new(places);
        let idle = Mutex::new(vec![instance]);
        Ok(Self { description, inspection, points, sha256, code, about, idle, places })
    }

    /// Tries the plugin on assets, without a trace in its state; it must not fail at most of them. Ends when that is sure,
    /// or after so long with what is known then.
    pub(super) async fn try_on(&self, samples: &[Asked], time: Duration) -> Result<(), LoadError> {
        let mut trial = Trial { all: samples.len() * self.points.len(), tried: 0, failed: 0, last: None };
        // A call in the middle of which the time ends says nothing.
        tokio::time::timeout(time, self.try_each(samples, &mut trial)).await.unwrap_or(Ok(()))?;
        trial.outcome()
    }

    async fn try_each(&self, samples: &[Asked], trial: &mut Trial) -> Result<(), LoadError> {
        let About { name, digest, bytes, settings, log, state, .. } = &*self.about;
        let (name, settings, peaks) = (name.clone(), settings.clone(), Peaks::default());
        let (log, state) = (Arc::clone(log), state.scratch());
        let about = Arc::new(About { name, digest: *digest, bytes: *bytes, settings, log, state, peaks });
        let mut instance = None;
        for asked in samples {
            for point in &self.points {
                if trial.is_sure() {
                    return Ok(());
                }
                let peer = asked.peer.clone().filter(|_| *point != Point::BeforePush);
                let content = asked.content.clone().filter(|_| *point != Point::BeforePull);
                let asked = Asked { point: *point, peer, content, ..asked.clone() };
                let mut trying = match instance.take() {
                    Some(instance) => instance,
                    None => Instance::start(&self.code, &about).await.map_err(LoadError::Start)?,
                };
                match trying.ask(&self.code, &asked, &asked.metadata).await {
                    Ok(_) => instance = Some(trying),
                    // No fault of the plugin, as when the store is slow.
                    Err(Failure::Content(_)) => {}
                    Err(Failure::Deadline(_)) if trying.ended_reading() => {}
                    Err(failure) => {
                        trial.failed += 1;
                        trial.last = Some(failure);
                    }
                }
                trial.tried += 1;
            }
        }
        Ok(())
    }

    /// Asks about an asset whose metadata is as earlier plugins left it.
    ///
    /// # Errors
    /// [`Failure`] when there is no answer, or none that is allowed.
    ///
    /// # Cancel safety
    /// The instance that was asked is let go.
    pub async fn ask(&self, asked: &Asked, metadata: &Metadata) -> Result<Verdict, Failure> {
        self.ask_timed(asked, metadata).await.0
    }

    /// The same, with the time it took; that until it was its turn is not the plugin's.
    pub(super) async fn ask_timed(&self, asked: &Asked, metadata: &Metadata) -> (Result<Verdict, Failure>, Duration) {
        let Ok(_place) = self.places.acquire().await else {
            return (Err(Failure::Broken("it is being stopped".to_owned())), Duration::ZERO);
        };
        let began = Instant::now();
        let answer = self.ask_now(asked, metadata).await;
        (answer, began.elapsed())
    }

    async fn ask_now(&self, asked: &Asked, metadata: &Metadata) -> Result<Verdict, Failure> {
        let idle = self.idle.lock().pop();
        let mut instance = match idle {
            Some(instance) => instance,
            None => Box::pin(Instance::start(&self.code, &self.about)).await?,
        };
        let verdict = instance.ask(&self.code, asked, metadata).await?;
        if !instance.is_worn() {
            self.idle.lock().push(instance);
        }
        Ok(verdict)
    }

    /// Drops the instances that are ready, so that the next call starts a new one.
    pub fn drop_instances(&self) {
        self.idle.lock().clear();
    }

    /// Returns how the plugin introduces itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns what it exports and imports.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Returns the hooks it has.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Returns the SHA-256 of its file.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Returns what it has used at most of what it may.
    #[must_use]
    pub fn used(&self) -> Used {
        let About { bytes, log, state, peaks, .. } = &*self.about;
        let (state_bytes, log_lines_per_sec) = (state.bytes(), log.most_lines());
        Used { state_bytes, log_lines_per_sec, component_bytes: *bytes, ..peaks.used() }
    }

    pub(super) fn about(&self) -> &About {
        &self.about
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        self.code.pre.engine()
    }
}

/// How a plugin does at the assets it is tried on.
struct Trial {
    all: usize,
    tried: usize,
    failed: usize,
    /// How it failed last.
    last: Option<Failure>,
}

impl Trial {
    /// Tells whether the assets that are left change nothing.
    fn is_sure(&self) -> bool {
        self.failed * 2 > self.all || (self.failed + self.all - self.tried) * 2 <= self.all
    }

    fn outcome(self) -> Result<(), LoadError> {
        let Self { tried, failed, last, .. } = self;
        match last {
            Some(last) if failed * 2 > tried => Err(LoadError::Trial { failed, tried, last }),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.about.name).finish_non_exhaustive()
    }
}

/// Returns the code of a component: what was kept, or else what is compiled and kept now; with a pin, only that of the
/// component it names. Blocks for as long as compiling takes.
fn compile(
    engine: &wasmtime::Engine,
    bytes: &[u8],
    digest: &[u8; 32],
    cache: Option<&Cache>,
    pin: Option<[u8; 32]>,
) -> Result<Compiled, LoadError> {
    let invalid = |error: wasmtime::Error| LoadError::Invalid(one_line(&error));
    let kept = cache.and_then(|cache| cache.find(engine, digest));
    let sha256 = kept.as_ref().map_or_else(|| sha256(bytes), |kept| kept.sha256);
    if let Some(wanted) = pin.filter(|wanted| *wanted != sha256) {
        return Err(LoadError::Pin { found: HEXLOWER.encode(&sha256), wanted: HEXLOWER.encode(&wanted) });
    }
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let component = Component::from_binary(engine, bytes).map_err(invalid)?;
    let compiled = Compiled { component, sha256 };
    if let Some(cache) = cache {
        cache.keep(engine, digest, &compiled).map_err(invalid)?;
    }
    Ok(compiled)
}

/// Reads a file that is not larger than allowed. Blocks.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LoadError> {
    let told = |error: io::Error| LoadError::File(error.to_string());
    let file = std::fs::File::open(path).map_err(told)?;
    let bytes = file.metadata().map_err(told)?.len();
    if bytes > limit {
        return Err(LoadError::TooLarge { bytes, limit });
    }
    let mut content = Vec::with_capacity(bytes as usize);
    io::Read::read_to_end(&mut io::Read::take(file, limit + 1), &mut content).map_err(told)?;
    Ok(content)
}

/// Returns BLAKE3 of a component; of a large one with all processors.
fn digest(bytes: &[u8]) -> [u8; 32] {
    blake3::Hasher::new().update_rayon(bytes).finalize().into()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Cuts a text where it gets longer than anybody reads: what a plugin gives as a reason, or what is told about how it
/// failed, which may be its own words.
pub(super) fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::plugin::REASON_BYTES));
    text
}

/// Makes one short line of what a plugin says about itself.
fn one_text(text: &str) -> String {
    let end = text.floor_char_boundary(limits::plugin::DESCRIPTION_BYTES);
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_bytes_does_not_pass() {
        let trap = || Failure::Trap("unreachable".to_owned());
        let pin = LoadError::Pin { found: String::new(), wanted: String::new() };
        let refused = LoadError::Start(Failure::Configuration("no".to_owned()));
        for error in [pin, refused, LoadError::NotWasm, LoadError::NoHook, LoadError::Invalid(String::new())] {
            assert!(!error.may_pass(), "{error}");
        }
        let trial = LoadError::Trial { failed: 1, tried: 1, last: trap() };
        let late = LoadError::Start(Failure::Deadline(Duration::from_secs(2)));
        for error in [LoadError::File("busy".to_owned()), LoadError::Start(trap()), late, trial] {
            assert!(error.may_pass(), "{error}");
        }
    }

    #[test]
    fn a_trial_ends_as_it_would_with_all_assets() {
        for all in 0..=12_usize {
            for answers in 0..1_u32 << all {
                let fails = |n: usize| answers & (1 << n) != 0;
                let mut trial = Trial { all, tried: 0, failed: 0, last: None };
                while trial.tried < all && !trial.is_sure() {
                    if fails(trial.tried) {
                        trial.failed += 1;
                        trial.last = Some(Failure::Trap(String::new()));
                    }
                    trial.tried += 1;
                }
                let refused = (0..all).filter(|n| fails(*n)).count() * 2 > all;
                assert_eq!(trial.outcome().is_err(), refused, "{answers:b} of {all}");
            }
        }
    }
}
