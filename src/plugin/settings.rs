//! How a plugin is set up: what the configuration says about it, and what it is when nothing is said.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::limits;

/// What a plugin may do besides answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// Read the content of the asset it is asked about.
    Content,
    /// Keep values of its own across restarts.
    State,
    /// Know the time.
    Clock,
    /// Have random numbers that nobody can foresee, through WASI. Without it they are the same at every start.
    Random,
}

impl Grant {
    /// All grants, by their names.
    pub const ALL: [(&'static str, Self); 4] =
        [("content", Self::Content), ("state", Self::State), ("clock", Self::Clock), ("random", Self::Random)];

    /// Returns the name of the grant.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, grant)| *grant == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What becomes of an asset when a plugin cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// It waits: nothing leaks, nothing is lost.
    #[default]
    Hold,
    /// It goes on as if the plugin were not there.
    Pass,
    /// It does not go on.
    Drop,
}

/// What a component that imports WASI gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wasi {
    /// One without files, sockets, environment; its clock stands still and its random numbers are foreseeable, unless
    /// granted.
    #[default]
    Empty,
    /// None: such a component is not loaded.
    None,
}

/// Limits of one plugin; what goes beyond ends the call, and counts as a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time for one call, calls of the host included, turns that others have meanwhile not.
    pub call: Duration,
    /// Time for making an instance and configuring it.
    pub start: Duration,
    /// Bytes of memory of one instance, all its memories together.
    pub memory_bytes: usize,
    /// Elements of all tables of one instance together.
    pub table_elements: usize,
    /// Core instances in one instance of the component.
    pub instances: usize,
    /// Bytes of the stack of one call.
    pub stack_bytes: usize,
    /// Bytes that one answer, or one call of the host, may carry.
    pub answer_bytes: usize,
    /// Bytes of content that one call may read.
    pub content_bytes: u64,
    /// Bytes of keys and values in its state, with 64 for each pair.
    pub state_bytes: usize,
    /// Lines it may log in a second; more are counted and left out.
    pub log_lines_per_sec: u32,
    /// Size of its file in bytes.
    pub component_bytes: u64,
    /// Calls after which an instance is made anew.
    pub calls_per_instance: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: limits::plugin::CALL,
            start: limits::plugin::START,
            memory_bytes: limits::plugin::MEMORY_BYTES,
            table_elements: limits::plugin::TABLE_ELEMENTS,
            instances: limits::plugin::INSTANCES,
            stack_bytes: limits::plugin::STACK_BYTES,
            answer_bytes: limits::plugin::ANSWER_BYTES,
            content_bytes: limits::plugin::CONTENT_BYTES,
            state_bytes: limits::plugin::STATE_BYTES,
            log_lines_per_sec: limits::plugin::LOG_LINES_PER_SEC,
            component_bytes: limits::plugin::COMPONENT_BYTES,
            calls_per_instance: limits::plugin::CALLS_PER_INSTANCE,
        }
    }
}

/// How one plugin is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Place among the plugins; equal places are ordered by name.
    pub order: i64,
    /// Its configuration, a JSON object.
    pub configuration: serde_json::Value,
    /// What it may do besides answering.
    pub grants: BTreeSet<Grant>,
    /// What a component that imports WASI gets.
    pub wasi: Wasi,
    /// Libraries it is asked in; `None` for all.
    pub libraries: Option<BTreeSet<String>>,
    /// SHA-256 its file must have.
    pub sha256: Option<[u8; 32]>,
    /// What becomes of an asset when it cannot answer.
    pub on_failure: OnFailure,
    /// Its limits.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            order: 0,
            configuration: serde_json::Value::Object(serde_json::Map::new()),
            grants: BTreeSet::new(),
            wasi: Wasi::default(),
            libraries: None,
            sha256: None,
            on_failure: OnFailure::default(),
            limits: Limits::default(),
        }
    }
}

impl Settings {
    /// Feeds a hash with everything that changes what the plugin answers.
    pub(super) fn hash(&self, hasher: &mut blake3::Hasher) {
        let configuration = self.configuration.to_string();
        hasher.update(&(configuration.len() as u64).to_le_bytes()).update(configuration.as_bytes());
        let grants = self.grants.iter().fold(0_u8, |bits, grant| bits | 1 << *grant as u8);
        hasher.update(&[grants]);
    }

    /// Tells whether the plugin is asked in a library.
    pub(super) fn binds(&self, library: &str) -> bool {
        self.libraries.as_ref().is_none_or(|libraries| libraries.contains(library))
    }
}
