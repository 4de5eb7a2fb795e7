//! Where plugins may speak: an object-safe trait, and the hook that says nothing.
//!
//! The engine sees plugins only through this. It holds no plugin and no engine of plugins, and never calls the network
//! or a store.

use std::fmt;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::HostId;
use crate::asset::Metadata;
use crate::asset::bytes32;

mod course;
#[cfg(any(test, feature = "testing"))]
pub mod scripted;

pub use course::Course;

/// What is answered about one version of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it is.
    Pass,
    /// Not at all, with the reason.
    Drop(String),
    /// Not yet, with the reason.
    Hold(String),
    /// With these changes.
    Edit(Changes),
}

/// Where an asset is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Before a version is shared with a library; asked once per library, not per peer.
    BeforePush,
    /// Before a byte of an offered asset is fetched.
    BeforePull,
    /// After the content was verified, before it is stored; and when a new version of a stored asset comes.
    AfterReceive,
}

/// Why an asset is asked about now. What is answered must not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// It has just been made, changed or offered.
    Live,
    /// It was there before.
    CatchUp,
}

/// From whom an asset comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id, which its key proves.
    pub id: HostId,
    /// What it calls itself.
    pub name: String,
}

/// What plugins are shown.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Where they are asked.
    pub point: Point,
    /// In which library.
    pub library: Arc<str>,
    /// Which asset.
    pub key: AssetKey,
    /// Its metadata as seen at that point.
    pub metadata: Metadata,
    /// From whom it comes; `None` before a push.
    pub peer: Option<Peer>,
    /// Why now.
    pub occasion: Occasion,
    /// Its content, where there is one at that point.
    pub content: Option<Arc<dyn Content>>,
    /// Names of those whom a person has overruled: what they stop goes on to the next one.
    pub overruled: Vec<String>,
}

/// The content of the asset that is asked about.
pub trait Content: Debug + Send + Sync {
    /// Reads up to `length` bytes from `offset`; fewer where the content ends. An error is for people.
    fn read(&self, offset: u64, length: usize) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// The answer about one version of one asset, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What becomes of the asset.
    pub verdict: Verdict,
    /// How long that stands.
    pub standing: Standing,
    /// What each plugin said, in their order; the last one decided where the verdict stops the asset.
    pub steps: Vec<Step>,
    /// Who was asked, as [`Hooks::chain`] names them; `None` when it was nobody.
    pub chain: Option<Chain>,
}

/// How long a judgement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As long as the asset and the chain are the same.
    Firm,
    /// A plugin failed at this asset and its policy answered for it. Asked again when the asset or the chain changes, or
    /// by hand.
    Failed,
    /// A plugin could not be asked at all and its policy answered for it. Asked again as soon as it can.
    Absent,
}

/// What one plugin said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub plugin: Arc<str>,
    /// What it said, or what its policy said for it.
    pub verdict: Verdict,
    /// Why its policy had to answer.
    pub failure: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Judgement {
    /// The judgement where nobody is asked: it passes.
    #[must_use]
    pub const fn by_nobody() -> Self {
        Self { verdict: Verdict::Pass, standing: Standing::Firm, steps: Vec::new(), chain: None }
    }

    /// Tells whether it comes from who was asked last itself, and not from its policy.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.steps.last().is_none_or(|step| step.failure.is_none())
    }

    /// Returns the plugin that stopped the asset, if one did.
    #[must_use]
    pub fn stopped_by(&self) -> Option<&str> {
        let stops = matches!(self.verdict, Verdict::Drop(_) | Verdict::Hold(_));
        self.steps.last().filter(|_| stops).map(|step| &*step.plugin)
    }
}

/// Names those who are asked at a point, in their order and present form: BLAKE3 of what makes them answer as they do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chain([u8; 32]);

bytes32!(Chain);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.hex())
    }
}

/// Something to come.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Those who decide about assets.
pub trait Hooks: Debug + Send + Sync + 'static {
    /// Asks about one version of one asset; says in the judgement who was asked, as they may be replaced meanwhile.
    fn ask<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Judgement>;

    /// Names those who are asked at a point, in their present form; what another chain said is asked again. `None` when
    /// nobody is asked, and everything passes.
    fn chain(&self, point: Point, library: &str) -> Option<Chain>;

    /// Counts the changes after which something must be asked again: a chain is another one, or a plugin that could not
    /// be asked can be.
    fn generation(&self) -> u64;

    /// Waits until [`generation`](Self::generation) is another than `seen`.
    fn changed(&self, seen: u64) -> BoxFuture<'_, ()>;
}

/// Lets everything pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn ask<'a>(&'a self, _: &'a Asked) -> BoxFuture<'a, Judgement> {
        Box::pin(std::future::ready(Judgement::by_nobody()))
    }

    fn chain(&self, _: Point, _: &str) -> Option<Chain> {
        None
    }

    fn generation(&self) -> u64 {
        0
    }

    fn changed(&self, _: u64) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
