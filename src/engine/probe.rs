//! What benches measure of the inside of the engine.

use tokio::sync::mpsc;

use super::judge;
use super::judge::Question;
use super::judge::Shown;
use super::judge::Source;
use super::verdicts::Verdicts;
use crate::asset::AssetKey;
use crate::asset::Document;
use crate::hook::Chain;
use crate::hook::Occasion;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::state::VerdictKey;

/// The memory of verdicts, as a judge uses it before it asks anybody.
#[derive(Debug)]
pub struct VerdictMemory {
    verdicts: Verdicts,
    chain: Chain,
}

impl Default for VerdictMemory {
    fn default() -> Self {
        let (orders, _) = mpsc::channel(1);
        Self { verdicts: Verdicts::new(orders), chain: Chain::from_bytes([7; 32]) }
    }
}

impl VerdictMemory {
    /// Keeps that a version of an asset passes.
    pub fn keep(&self, key: AssetKey, document: &Document) {
        self.verdicts.put(self.name(key, document), &Verdict::Pass, "");
    }

    /// Looks for a verdict.
    #[must_use]
    pub fn has(&self, name: &VerdictKey) -> bool {
        self.verdicts.get(name).is_some()
    }

    /// Names what would be shown about a version of an asset.
    #[must_use]
    pub fn name(&self, key: AssetKey, document: &Document) -> VerdictKey {
        let question = Question {
            point: Point::BeforePush,
            key,
            shown: Shown::Shared(document),
            peer: None,
            occasion: Occasion::Live,
            content: Source::Nowhere,
            fresh: false,
            overruled: &[],
        };
        judge::key("mirror", "", &question, &self.chain)
    }
}
