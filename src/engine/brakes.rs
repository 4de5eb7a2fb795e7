//! The brake on trashing, at work: whose changes are held, and what people do about them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use parking_lot::Mutex;
use parking_lot::MutexGuard;

use super::hand::HandError;
use super::shared::Engine;
use super::shared::Shared;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::Digest;
use crate::asset::Document;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::asset::Value;
use crate::asset::names;
use crate::asset::validate_received;
use crate::event::Event;
use crate::hook::Point;
use crate::hook::Standing;
use crate::limits;
use crate::state::Decided;
use crate::state::Decision;
use crate::state::DecisionMark;
use crate::state::State;
use crate::state::StateError;
use crate::state::Way;
use crate::store::Record;
use crate::sync::Brake;
use crate::sync::BrakeLimits;
use crate::sync::Culprit;
use crate::sync::Trashing;
use crate::sync::receive;
use crate::task::now_ms;
use crate::telemetry::causes;

/// The decider of what the brake holds.
pub(super) const BRAKE: &str = "brake";

/// Whom the brake has stopped.
pub(super) struct Brakes(Mutex<Brake>);

/// Somebody the brake has stopped; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Who.
    pub culprit: Culprit,
    /// What that host is called here, if it is known.
    pub name: String,
}

impl Brakes {
    pub(super) async fn load(limits: BrakeLimits, state: &State) -> Result<Self, StateError> {
        let mut brake = Brake::new(limits);
        state.braked().await?.into_iter().for_each(|culprit| brake.stop(culprit));
        Ok(Self(Mutex::new(brake)))
    }

    fn brake(&self) -> MutexGuard<'_, Brake> {
        self.0.lock()
    }
}

/// Looks at a change by a peer before it is made; what it says is to be held.
pub(super) async fn check(
    shared: &Shared,
    record: &Record,
    taken: &Document,
    peer: HostId,
    version: Digest,
) -> Result<Option<Decided>, StateError> {
    let Some(author) = trashed_by(record.document.shared(), taken) else { return Ok(None) };
    let library = shared.replica().summary().count;
    let trashing = Trashing { asset: record.key.id, author, peer };
    let (checked, was_stopped) = {
        let mut brake = shared.brake.brake();
        let was_stopped = brake.stopped_by(author, peer).is_some();
        (brake.check(&trashing, library, now_ms()), was_stopped)
    };
    let Err(culprit) = checked else { return Ok(None) };
    if !was_stopped {
        let host = host_of(culprit);
        tracing::warn!(host = %host.fmt_short(), "trashed too much in too short a time; its changes are held");
        shared.state.set_braked(culprit, true).await?;
        shared.announce(Event::BrakeClosed { host });
    }
    Ok(Some(held(record.key, version, &shared.registry.name(host_of(culprit)), culprit)))
}

const fn host_of(culprit: Culprit) -> HostId {
    match culprit {
        Culprit::Author(host) | Culprit::Peer(host) => host,
    }
}

/// Returns who puts an asset into the trash by a change, if it does.
fn trashed_by(before: &Document, taken: &Document) -> Option<HostId> {
    let is_trashed = |document: &Document| document.metadata().trashed;
    let trashes = !is_trashed(before) && is_trashed(&before.merged(taken));
    trashes.then(|| taken.get(names::TRASHED).map(|field| field.stamp.host()))?
}

fn held(key: AssetKey, version: Digest, name: &str, culprit: Culprit) -> Decided {
    let who = if name.is_empty() { host_of(culprit).fmt_short() } else { name.to_owned() };
    // It may have been trashed over a long time while the hosts were apart, so a person is told what was counted.
    let part = match culprit {
        Culprit::Author(_) => "made",
        Culprit::Peer(_) => "sent",
    };
    Decided {
        key,
        way: Way::Pull,
        point: Point::AfterReceive,
        decision: Decision::Hold,
        decider: BRAKE.to_owned(),
        by: BRAKE.to_owned(),
        standing: Standing::Firm,
        reason: format!("trashing that {who} {part}, of which more arrived here within an hour than is allowed"),
        version,
        at_ms: now_ms(),
        overruled: BTreeSet::new(),
    }
}

/// Returns the changes that give every field which a document would change its value of before.
fn undoing(before: &Document, taken: &Document) -> Changes {
    let never = |name: &str| if name == names::TRASHED { Value::flag(false) } else { Value::Absent };
    let was = |name: &str| before.get(name).map_or_else(|| never(name), |field| field.value.clone());
    let merged = before.merged(taken);
    let changed = merged.iter().filter(|(name, field)| before.get(name).map(|was| &was.value) != Some(&field.value));
    changed.map(|(name, _)| (name.to_owned(), was(name))).collect()
}

impl Engine {
    /// Returns everybody the brake has stopped.
    #[must_use]
    pub fn braked(&self) -> Vec<Stopped> {
        let stopped: Vec<Culprit> = self.shared.brake.brake().stopped().collect();
        let name = |culprit| self.shared.registry.name(host_of(culprit));
        stopped.into_iter().map(|culprit| Stopped { culprit, name: name(culprit) }).collect()
    }

    /// Lets everybody go on whom the brake has stopped, and makes the changes that it holds; returns how many.
    ///
    /// # Errors
    /// [`HandError`] when store or state cannot be used.
    pub async fn release_brake(&self) -> Result<u64, HandError> {
        self.open_brake().await?;
        let held = self.held_by_brake().await?;
        for decided in &held {
            match self.release_where(decided.key.id, |stop| stop.decider == BRAKE).await {
                // Somebody else was faster.
                Ok(()) | Err(HandError::NotStopped(_) | HandError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(held.len() as u64)
    }

    /// Lets everybody go on whom the brake has stopped, and undoes the changes that it holds: the values of before get
    /// new stamps, so they come back on every host. Returns how many assets those were.
    ///
    /// # Errors
    /// [`HandError`] when store or state cannot be used.
    pub async fn drop_braked(&self) -> Result<u64, HandError> {
        self.open_brake().await?;
        let held = self.held_by_brake().await?;
        for decided in &held {
            self.undo(decided).await?;
        }
        Ok(held.len() as u64)
    }

    async fn open_brake(&self) -> Result<(), HandError> {
        if !self.shared.exchange {
            return Err(HandError::Silent);
        }
        let stopped: Vec<Culprit> = self.shared.brake.brake().stopped().collect();
        for culprit in stopped {
            self.shared.state.set_braked(culprit, false).await?;
            self.shared.brake.brake().release(culprit);
        }
        Ok(())
    }

    /// Returns what the brake holds, each asset once.
    async fn held_by_brake(&self) -> Result<Vec<Decided>, HandError> {
        let (mut after, mut held) = (None, BTreeMap::<AssetId, Decided>::new());
        loop {
            let page = self.held(after, limits::PAGE_ROWS).await?;
            let Some(last) = page.last() else { break };
            after = Some(DecisionMark { at_ms: last.at_ms, asset: last.key.id, way: last.way });
            let braked = page.into_iter().filter(|decided| decided.decider == BRAKE);
            held.extend(braked.map(|decided| (decided.key.id, decided)));
        }
        Ok(held.into_values().collect())
    }

    async fn undo(&self, decided: &Decided) -> Result<(), HandError> {
        let (shared, asset) = (&self.shared, decided.key.id);
        let mut taken = Document::new();
        let known = shared.state.known_of_asset(asset).await?;
        // What was refused is remembered too, and is not to be merged in by undoing it.
        for known in known.iter().filter(|known| validate_received(&known.document).is_ok()) {
            let theirs = receive(&known.document, now_ms()).document;
            if let Some(record) = shared.store.record(&asset).await?
                && trashed_by(record.document.shared(), &theirs).is_some()
            {
                taken.merge(&theirs);
            }
        }
        let host = shared.host;
        let edit = Box::new(move |document: &mut LocalDocument| {
            let undoing = undoing(document.shared(), &taken);
            document.merge(&taken);
            document.change(&undoing, now_ms(), host);
        });
        if let Err(error) = shared.store.edit(&asset, edit).await {
            tracing::error!(asset = %asset.fmt_short(), error = %causes(&error), "a change that was held could not be undone");
            return Err(HandError::Write(error));
        }
        shared.state.undecide(decided).await?;
        shared.announce(Event::AssetStored { id: asset, from: None });
        Ok(())
    }
}
