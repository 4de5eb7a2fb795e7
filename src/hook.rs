//! Where plugins may speak: an object-safe trait, and the hook that says nothing.
//!
//! The engine sees plugins only through this. It holds no plugin and no engine of plugins, and never calls the network
//! or a store.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::HostId;
use crate::asset::Metadata;

#[cfg(any(test, feature = "testing"))]
pub mod scripted;

/// What a plugin answers about one version of one asset.
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

/// What a plugin is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Where it is asked.
    pub point: Point,
    /// In which library.
    pub library: String,
    /// Which asset.
    pub key: AssetKey,
    /// Its metadata as seen at that point.
    pub metadata: Metadata,
    /// From whom it comes; `None` before a push.
    pub peer: Option<HostId>,
}

/// The answer to come.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Something that decides about assets.
pub trait Hooks: Debug + Send + Sync + 'static {
    /// Asks about one version of one asset.
    fn ask<'a>(&'a self, asked: &'a Asked) -> Answer<'a>;

    /// Names the decider in its present form; what another form decided is asked again.
    fn decider(&self) -> String;
}

/// Lets everything pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn ask<'a>(&'a self, _: &'a Asked) -> Answer<'a> {
        Box::pin(std::future::ready(Verdict::Pass))
    }

    fn decider(&self) -> String {
        "none".to_owned()
    }
}
