//! A plugin as a member of the chain: what becomes of an asset when it cannot answer, and when it is left alone.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

use super::breaker::Breaker;
use super::breaker::BreakerState;
use super::breaker::Gate;
use super::breaker::Turn;
use super::contract_0_1::VERSION;
use super::figures::Counter;
use super::loaded::Failure;
use super::loaded::Plugin;
use super::loaded::shortened;
use super::settings::OnFailure;
use super::settings::Settings;
use crate::asset::Metadata;
use crate::hook::Asked;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Step;
use crate::hook::Verdict;

/// A plugin that is asked, or counts as failing.
pub(super) struct Member {
    pub(super) name: Arc<str>,
    pub(super) settings: Settings,
    /// BLAKE3 of its component; of the one it last had, when it is not there.
    pub(super) digest: Option<[u8; 32]>,
    pub(super) points: Vec<Point>,
    /// What is asked, or why there is nothing to ask.
    pub(super) plugin: Result<Arc<Plugin>, String>,
    pub(super) counter: Arc<Counter>,
    breaker: Mutex<Breaker>,
    last_failure: Mutex<Option<String>>,
}

/// What a member says about an asset.
pub(super) struct Said {
    pub(super) step: Step,
    pub(super) standing: Standing,
    /// Whether others must be asked again: it was left alone, and can be asked now.
    pub(super) recovered: bool,
}

impl Member {
    pub(super) fn new(
        name: &str,
        settings: Settings,
        digest: Option<[u8; 32]>,
        points: Vec<Point>,
        plugin: Result<Arc<Plugin>, String>,
        counter: Arc<Counter>,
    ) -> Self {
        let (breaker, last_failure) = (Mutex::default(), Mutex::default());
        Self { name: name.into(), settings, digest, points, plugin, counter, breaker, last_failure }
    }

    /// Tells whether it is asked at a point, in a library.
    pub(super) fn serves(&self, point: Point, library: &str) -> bool {
        self.points.contains(&point) && self.settings.binds(library)
    }

    /// Tells whether it is not there, for this reason, and is set up like this.
    pub(super) fn is_missing(
        &self,
        settings: &Settings,
        digest: Option<[u8; 32]>,
        points: &[Point],
        why: &str,
    ) -> bool {
        let same = self.digest == digest && self.points == points && self.settings == *settings;
        same && self.plugin.as_ref().err().is_some_and(|before| before == why)
    }

    /// Feeds a hash with everything that changes what it answers.
    pub(super) fn hash(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&(self.name.len() as u64).to_le_bytes()).update(self.name.as_bytes());
        hasher.update(VERSION.as_bytes()).update(&self.digest.unwrap_or_default());
        self.settings.hash(hasher);
    }

    /// Asks about an asset whose metadata is as earlier plugins left it.
    pub(super) async fn ask(&self, asked: &Asked, metadata: &Metadata) -> Said {
        let plugin = match &self.plugin {
            Ok(plugin) => plugin,
            Err(why) => return self.absent(format!("it is not loaded: {why}")),
        };
        let mut call = Call { member: self, gate: self.breaker.lock().enter(Instant::now()) };
        if call.gate == Gate::Shut {
            let last = self.last_failure.lock().clone().unwrap_or_default();
            return self.absent(format!("it is left alone for a while, since it kept failing: {last}"));
        }
        let (answer, took) = plugin.ask_timed(asked, metadata).await;
        if let Err(failure @ Failure::Content(_)) = &answer {
            // Another call says whether the plugin works.
            self.counter.failed(asked.point, false, false, took);
            return self.failed(failure.to_string(), Standing::Failed, took);
        }
        let gate = std::mem::replace(&mut call.gate, Gate::Through);
        match answer {
            Ok(verdict) => {
                self.counter.answered(asked.point, &verdict, took);
                let recovered = gate == Gate::Trial && self.breaker.lock().succeeded(gate) == Turn::Closed;
                if recovered {
                    tracing::info!(plugin = %self.name, "plugin has recovered");
                }
                let step = Step { plugin: self.name.clone(), verdict, failure: None, took };
                Said { step, standing: Standing::Firm, recovered }
            }
            Err(failure) => {
                let trapped = matches!(failure, Failure::Trap(_) | Failure::Broken(_));
                self.counter.failed(asked.point, trapped, matches!(failure, Failure::Deadline(_)), took);
                let text = shortened(failure.to_string());
                *self.last_failure.lock() = Some(text.clone());
                if self.breaker.lock().failed(gate, Instant::now()) == Turn::Opened {
                    tracing::warn!(plugin = %self.name, failure = %text, "plugin keeps failing and is left alone for a while");
                }
                self.failed(text, Standing::Failed, took)
            }
        }
    }

    fn absent(&self, failure: String) -> Said {
        self.failed(failure, Standing::Absent, Duration::ZERO)
    }

    fn failed(&self, failure: String, standing: Standing, took: Duration) -> Said {
        let failure = shortened(failure);
        let reason = || format!("plugin {} could not decide: {failure}", self.name);
        let verdict = match self.settings.on_failure {
            OnFailure::Hold => Verdict::Hold(reason()),
            OnFailure::Drop => Verdict::Drop(reason()),
            OnFailure::Pass => Verdict::Pass,
        };
        let step = Step { plugin: self.name.clone(), verdict, failure: Some(failure), took };
        Said { step, standing, recovered: false }
    }

    /// Returns how it failed last.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().clone()
    }

    /// Returns what its breaker does now.
    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.lock().state(Instant::now())
    }

    /// Tells once for each rest that it was left alone long enough, and can be tried again.
    pub(super) fn rested(&self) -> bool {
        self.breaker.lock().rested(Instant::now())
    }
}

/// A call that may be given up while it runs.
struct Call<'a> {
    member: &'a Member,
    gate: Gate,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.gate == Gate::Trial {
            self.member.breaker.lock().given_up(self.gate);
        }
    }
}
