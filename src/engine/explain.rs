//! Everything that happened to one asset on this host, for people.

use std::collections::HashMap;

use futures_util::future::join_all;

use super::purge;
use super::shared::Engine;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Digest;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::asset::Metadata;
use crate::asset::Value;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::limits;
use crate::state::Decided;
use crate::state::Kept;
use crate::state::Refusal;
use crate::state::StateError;
use crate::state::Wanted;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::ReadError;

/// What became of one asset on this host.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// Which asset.
    pub asset: AssetId,
    /// How it lies in the store, if it does.
    pub stored: Option<Stored>,
    /// Whether it is passed on to the library.
    pub passes: bool,
    /// What plugins answered, in the order in which an asset meets them.
    pub verdicts: Vec<Verdicted>,
    /// What stops it, or was released.
    pub decisions: Vec<Decided>,
    /// Every peer that was ever connected, and what it is known to have.
    pub peers: Vec<ExplainedPeer>,
}

/// How an asset lies in the store.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its timestamp, in Unix milliseconds.
    pub timestamp_ms: u64,
    /// Bytes of its content.
    pub size: u64,
    /// Whether the content can be read.
    pub presence: Presence,
    /// Where it was first seen.
    pub origin: Origin,
    /// Its metadata as seen here.
    pub seen: Metadata,
    /// What is shared under other values, or not at all: field, shared value, value here.
    pub local: Vec<Difference>,
    /// Digest of what is shared.
    pub version: Digest,
}

/// What was answered at one point.
#[derive(Debug, Clone)]
pub struct Verdicted {
    /// Where.
    pub point: Point,
    /// Who had offered it, with its name.
    pub peer: Option<(HostId, String)>,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Whether today's plugins were asked; else it is asked again when there is a reason to.
    pub current: bool,
    /// How long it stands.
    pub standing: Standing,
    /// What came of it.
    pub verdict: Verdict,
    /// What each plugin said, in their order.
    pub steps: Vec<ExplainedStep>,
}

/// What one plugin said.
#[derive(Debug, Clone)]
pub struct ExplainedStep {
    /// Its name.
    pub plugin: String,
    /// What it said, or what its policy said for it.
    pub verdict: Verdict,
    /// Why its policy had to answer.
    pub failure: Option<String>,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What it changed.
    pub changed: Vec<Difference>,
}

/// One field before and after; `None` for no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name; `tag/` and the tag for a tag.
    pub field: String,
    /// What it held.
    pub before: Option<String>,
    /// What it holds.
    pub after: Option<String>,
}

/// A peer, and what it is known to have of the asset.
#[derive(Debug, Clone)]
pub struct ExplainedPeer {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// Whether it is connected.
    pub connected: bool,
    /// The version it is known to have; `None` when nothing is known, it turned the asset down, or does not give it.
    pub version: Option<Digest>,
    /// How it turned the asset down, if that is what it answered last.
    pub refusal: Option<Refusal>,
}

/// An asset could not be explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// Nothing is known about it.
    #[error("asset {0} is not in the store, and no peer has offered it; check the hash")]
    Unknown(AssetId),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Engine {
    /// Returns what one decision or another made of an asset on this host.
    ///
    /// # Errors
    /// [`ExplainError`] when nothing is known about the asset, or store or state cannot be read.
    pub async fn explain(&self, asset: AssetId) -> Result<Explanation, ExplainError> {
        let shared = &self.shared;
        shared.verdicts.flush().await;
        let record = shared.store.record(&asset).await?;
        let kept = shared.state.verdicts(vec![(asset, Wanted::All)]).await?;
        let mut decisions: Vec<Decided> = shared.state.decisions(vec![asset]).await?.into_values().collect();
        decisions.sort_by_key(|decided| decided.at_ms);
        let known = shared.state.known_of_asset(asset).await?;
        if record.is_none() && kept.is_empty() && decisions.is_empty() && known.is_empty() {
            return Err(ExplainError::Unknown(asset));
        }
        let timestamp = record.as_ref().map(|record| record.key.timestamp);
        let passed = timestamp.and_then(|timestamp| shared.replica().passes(timestamp, &asset));
        let version = record.as_ref().map(|record| record.document.shared().digest());
        let mut asked = match &record {
            Some(record) => self.ask_who_has(&record.key).await,
            None => HashMap::new(),
        };
        let mut peers = Vec::new();
        for peer in shared.state.peers().await? {
            let in_sync = shared.replica().peer(&peer.id).is_some_and(|peer| peer.in_sync);
            let has = known.iter().find(|known| known.peer == peer.id).map(|known| known.document.digest());
            let gives = asked.remove(&peer.id);
            let refusal = shared.state.refusal(peer.id, asset).await?.filter(|_| gives != Some(true));
            // Where nothing of its own is known and the sets are equal, it has what is passed on to it.
            let passed = version.filter(|_| in_sync && passed.is_some() && shared.flow(peer.id).send);
            peers.push(ExplainedPeer {
                id: peer.id,
                name: peer.name,
                connected: shared.connected.contains_key(&peer.id),
                version: has.or(passed).filter(|_| refusal.is_none() && gives != Some(false)),
                refusal,
            });
        }
        let mut verdicts: Vec<Verdicted> = kept.into_iter().map(|kept| self.verdicted(kept)).collect();
        let order = |point| match point {
            Point::BeforePull => 0,
            Point::AfterReceive => 1,
            Point::BeforePush => 2,
        };
        verdicts.sort_by_key(|verdicted| (order(verdicted.point), verdicted.at_ms));
        let stored = record.map(|record| Stored {
            timestamp_ms: record.key.timestamp.as_millis(),
            size: record.key.size,
            presence: record.presence,
            origin: record.origin,
            seen: record.document.metadata(),
            local: local(&record.document),
            version: record.document.shared().digest(),
        });
        Ok(Explanation { asset, stored, passes: passed.is_some(), verdicts, decisions, peers })
    }

    /// Asks connected peers that give what they have whether they have a content; those that do not say it are left out.
    async fn ask_who_has(&self, key: &AssetKey) -> HashMap<HostId, bool> {
        let lines: Vec<_> = self.shared.connected.iter().map(|entry| (*entry.key(), entry.line.clone())).collect();
        let asking =
            lines.into_iter().filter(|(peer, _)| self.shared.flow(*peer).take).map(|(peer, line)| async move {
                let answer = tokio::time::timeout(limits::EXPLAIN_ASKED_FOR, purge::has(&line, key)).await;
                Some((peer, answer.ok()?.ok()?))
            });
        join_all(asking).await.into_iter().flatten().collect()
    }

    fn verdicted(&self, kept: Kept) -> Verdicted {
        let shared = &self.shared;
        let name = |peer| shared.registry.name(peer);
        let before = kept.answered.before.into_iter().chain(std::iter::repeat_with(Vec::new));
        let steps = kept.answered.steps.into_iter().zip(before).map(|(step, before)| {
            let changed = match &step.verdict {
                Verdict::Edit(changes) => changes
                    .iter()
                    .zip(&before)
                    .map(|((name, after), before)| Difference {
                        field: name.to_owned(),
                        before: text(before),
                        after: text(after),
                    })
                    .collect(),
                _ => Vec::new(),
            };
            ExplainedStep {
                plugin: step.plugin.to_string(),
                verdict: step.verdict,
                failure: step.failure,
                took_us: u64::try_from(step.took.as_micros()).unwrap_or(u64::MAX),
                changed,
            }
        });
        Verdicted {
            point: kept.point,
            peer: kept.peer.map(|peer| (peer, name(peer))),
            at_ms: kept.at_ms,
            current: shared.hooks.chain(kept.point, &shared.library.name) == Some(kept.chain),
            standing: kept.standing,
            verdict: kept.answered.verdict,
            steps: steps.collect(),
        }
    }
}

/// Returns where what is seen here differs from what is shared.
fn local(document: &LocalDocument) -> Vec<Difference> {
    let shared = |name: &str| document.shared().get(name).and_then(|field| text(&field.value));
    let values = document.values().map(|(name, local)| Difference {
        field: name.to_owned(),
        before: shared(name),
        after: text(&local.value),
    });
    values.collect()
}

fn text(value: &Value) -> Option<String> {
    value.text().map(str::to_owned)
}
