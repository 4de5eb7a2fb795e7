//! What a source is: something that learns where members may be, and runs beside the others.

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::sync::watch;

use super::finds::News;
use crate::asset::HostId;
use crate::library::Ticket;

/// Where a host may be, and who says so. A hint: it never authorises anybody, it only causes a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find {
    /// The host and where it may be, by all that is known of it.
    pub ticket: Ticket,
    /// Name of the source that said something new.
    pub source: &'static str,
    /// When the host was last there by the word of that source, in Unix milliseconds.
    pub at_ms: u64,
    /// Whether that source [is sure](Source::is_sure) of the host.
    pub sure: bool,
}

/// What sources are told.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where this host can be reached, as it changes.
    pub own: watch::Receiver<Ticket>,
    /// The members this host is connected to, and where they can be reached.
    pub connected: watch::Receiver<Vec<Ticket>>,
}

/// How something is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Switched off by the configuration.
    Off,
    /// Nothing has been tried yet.
    Starting,
    /// It works.
    Ok,
    /// It does not work, or not all of it; it is tried again. With the reason.
    Degraded(String),
    /// It has ended by a fault of the program and does not come back before the next start. With what is known of it.
    Failed(String),
}

/// How a source is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The source as a whole.
    pub condition: Condition,
    /// What it depends on, by name: each relay, for example.
    pub parts: Vec<(String, Condition)>,
}

impl From<Condition> for Health {
    fn from(condition: Condition) -> Self {
        Self { condition, parts: Vec::new() }
    }
}

/// A source cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The machine does not offer what it needs.
    #[error("{what}: {source}")]
    Unavailable {
        /// What it cannot do, and what helps.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Learns where members may be.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns its name, for people and for the configuration.
    fn name(&self) -> &'static str;

    /// Tells whether the hosts it names belong to the library as far as is known here: a person says so, or they proved it
    /// once. They are dialled as long as this host runs; others only until they prove to be none, or for a while.
    fn is_sure(&self) -> bool {
        false
    }

    /// Reports what it learns, and how it is doing, until it is dropped. A source that has nothing more to say returns;
    /// what it said still counts.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot go on; it is run again after a pause.
    ///
    /// # Cancel safety
    /// It is dropped at any await when the host stops.
    async fn run(&self, surroundings: Surroundings, finder: &Finder) -> Result<(), SourceError>;
}

/// Takes what one source learns.
#[derive(Debug)]
pub struct Finder {
    source: &'static str,
    sure: bool,
    news: mpsc::Sender<News>,
    health: watch::Sender<Health>,
}

impl Finder {
    pub(super) fn new(source: &dyn Source, news: mpsc::Sender<News>, health: watch::Sender<Health>) -> Self {
        Self { source: source.name(), sure: source.is_sure(), news, health }
    }

    /// Reports where a host was at `at_ms`, Unix milliseconds; after `until_ms` it is no longer believed.
    pub async fn found(&self, ticket: Ticket, at_ms: u64, until_ms: Option<u64>) {
        let find = Find { ticket, source: self.source, at_ms, sure: self.sure };
        // The receiver has gone when the host stops.
        let _ = self.news.send(News::Found { find, until_ms }).await;
    }

    /// Reports that a host is no longer where it was found.
    pub async fn gone(&self, host: HostId) {
        let _ = self.news.send(News::Gone { host, source: self.source }).await;
    }

    /// Says how the source is doing.
    pub fn is(&self, health: impl Into<Health>) {
        let health = health.into();
        self.health.send_if_modified(|before| {
            let changed = *before != health;
            if changed {
                tracing::info!(source = self.source, ?health, "a source of peers has changed");
                *before = health;
            }
            changed
        });
    }
}
