//! Verdicts that stand: a bounded memory of them, and the task that writes them down.
//!
//! Whoever is about to ask about many assets has what was written about them read first, in one go; a question then
//! looks into memory only. What is answered goes to the writer over a bounded queue and is not waited for: a verdict
//! that a crash loses costs one more call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::asset::AssetId;
use crate::asset::Value;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Step;
use crate::hook::Verdict;
use crate::limits;
use crate::state::Answered;
use crate::state::Kept;
use crate::state::StateError;
use crate::state::VerdictKey;
use crate::state::Wanted;
use crate::telemetry::causes;

/// Parts of the memory that are locked apart.
const SHARDS: usize = 16;

/// A verdict in memory. Nearly all of them let the asset pass.
#[derive(Debug, Clone)]
pub(super) enum Brief {
    Pass,
    /// What was said, and by which plugin where it stops the asset.
    Said(Arc<(Verdict, String)>),
}

/// Something for the task that writes.
#[derive(Debug)]
pub(super) enum Order {
    /// In which epoch it was asked, and its part of the bytes that may wait.
    Keep { kept: Box<Kept>, epoch: u64, room: OwnedSemaphorePermit },
    /// Let the answer to one question about an asset be the answer to another.
    Extend { asset: AssetId, point: Point, from: VerdictKey, to: VerdictKey },
    /// Let nothing about assets stand any longer, and tell when that is durable.
    Retire(Vec<AssetId>, oneshot::Sender<Result<(), StateError>>),
    /// Tell when everything before is written.
    Flush(oneshot::Sender<()>),
    /// Rows may have gone: count them again.
    Count,
}

/// The verdicts in memory, and the way to those that are written down.
#[derive(Debug)]
pub(super) struct Verdicts {
    shards: [Mutex<Shard>; SHARDS],
    /// Grows when answers are retired: what was asked before must not be kept after.
    epoch: AtomicU64,
    orders: mpsc::Sender<Order>,
    /// Bytes that may still be brought to those who write.
    room: Arc<Semaphore>,
}

/// Two generations: when the young one is full it becomes the old one, and the old one goes.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<VerdictKey, Brief>,
    /// Bytes of what was said in the young one.
    bytes: usize,
    old: HashMap<VerdictKey, Brief>,
}

impl Verdicts {
    pub(super) fn new(orders: mpsc::Sender<Order>) -> Self {
        let room = Arc::new(Semaphore::new(limits::VERDICT_BYTES_QUEUED));
        Self { shards: Default::default(), epoch: AtomicU64::new(0), orders, room }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Looks a verdict up in memory.
    pub(super) fn get(&self, key: &VerdictKey) -> Option<Brief> {
        let mut shard = self.shard(key);
        if let Some(found) = shard.young.get(key) {
            return Some(found.clone());
        }
        let found = shard.old.remove(key)?;
        shard.put(*key, found.clone());
        Some(found)
    }

    /// Keeps what was answered in an epoch.
    pub(super) async fn keep(&self, kept: Kept, epoch: u64) {
        if epoch != self.epoch() {
            return;
        }
        self.remember(&kept);
        if epoch != self.epoch() {
            // Retired in between, and perhaps after memory was emptied for that.
            self.shard(&kept.key).forget(&kept.key);
            return;
        }
        // What is larger than all may wait alone.
        let bytes = weight(&kept).min(limits::VERDICT_BYTES_QUEUED) as u32;
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(bytes).await else { return };
        // The engine has stopped when there is nobody to take it.
        let _ = self.orders.send(Order::Keep { kept: Box::new(kept), epoch, room }).await;
    }

    /// Has the answer to one question about an asset stand for another, too.
    pub(super) async fn extend(&self, asset: AssetId, point: Point, from: VerdictKey, to: VerdictKey) {
        // Without it in memory it was retired meanwhile, or never stood.
        let Some(brief) = self.get(&from) else { return };
        self.shard(&to).put(to, brief);
        let _ = self.orders.send(Order::Extend { asset, point, from, to }).await;
    }

    /// Lets nothing that was answered about assets stand any longer.
    pub(super) async fn retire(&self, assets: Vec<AssetId>) -> Result<(), StateError> {
        let (done, retired) = oneshot::channel();
        self.epoch.fetch_add(1, Ordering::SeqCst);
        if self.orders.send(Order::Retire(assets, done)).await.is_ok() {
            retired.await.unwrap_or(Ok(()))?;
        }
        // Memory does not know its assets; what of it is wanted is read again.
        self.forget();
        self.epoch.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Empties the memory: what it knows beyond what is written was answered by earlier chains, and would stand for
    /// answers that nobody can be shown once those are back.
    pub(super) fn forget(&self) {
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
    }

    /// Takes all the room there is for what waits to be written.
    #[cfg(test)]
    pub(super) async fn fill(&self) -> OwnedSemaphorePermit {
        let all = limits::VERDICT_BYTES_QUEUED as u32;
        Arc::clone(&self.room).acquire_many_owned(all).await.expect("nobody closes it")
    }

    /// Waits until everything that was kept can be read.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }

    /// Has the rows counted again.
    pub(super) async fn count(&self) {
        let _ = self.orders.send(Order::Count).await;
    }

    /// Reads what was written about assets that are about to be asked about. Returns about whom, when and by whom; what
    /// was answered is in memory then.
    pub(super) async fn read(&self, shared: &Shared, wanted: Vec<(AssetId, Wanted)>) -> Vec<Kept> {
        let mut all = Vec::new();
        for wanted in wanted.chunks(limits::VERDICTS_READ_TOGETHER) {
            let epoch = self.epoch();
            let found = shared.state.verdicts(wanted.to_vec()).await.unwrap_or_else(|error| {
                // Then they are asked about once more.
                tracing::warn!(error = %causes(&error), "kept verdicts could not be read");
                Vec::new()
            });
            if epoch == self.epoch() {
                found.iter().for_each(|kept| self.remember(kept));
            }
            let nothing = || Answered { verdict: Verdict::Pass, steps: Vec::new(), before: Vec::new() };
            all.extend(found.into_iter().map(|kept| Kept { answered: nothing(), ..kept }));
        }
        all
    }

    fn remember(&self, kept: &Kept) {
        if kept.standing != Standing::Firm {
            return;
        }
        let verdict = &kept.answered.verdict;
        let stops = matches!(verdict, Verdict::Drop(_) | Verdict::Hold(_));
        let by = kept.answered.steps.last().filter(|_| stops).map_or("", |step| &step.plugin);
        self.put(kept.key, verdict, by);
    }

    /// Puts a verdict into memory, and by whom it was where it stops the asset.
    pub(super) fn put(&self, key: VerdictKey, verdict: &Verdict, by: &str) {
        let brief = match verdict {
            Verdict::Pass => Brief::Pass,
            _ => Brief::Said(Arc::new((verdict.clone(), by.to_owned()))),
        };
        self.shard(&key).put(key, brief);
    }

    fn shard(&self, key: &VerdictKey) -> MutexGuard<'_, Shard> {
        self.shards[usize::from(key.0[0]) % SHARDS].lock()
    }
}

impl Shard {
    fn forget(&mut self, key: &VerdictKey) {
        self.old.remove(key);
        if let Some(brief) = self.young.remove(key) {
            self.bytes -= brief.bytes();
        }
    }

    fn put(&mut self, key: VerdictKey, brief: Brief) {
        let bytes = brief.bytes();
        let half = |all: usize| all / SHARDS / 2;
        if self.young.len() >= half(limits::VERDICTS_IN_MEMORY)
            || self.bytes + bytes > half(limits::VERDICT_BYTES_IN_MEMORY)
        {
            (self.old, self.bytes) = (std::mem::take(&mut self.young), 0);
        }
        self.bytes += bytes;
        if let Some(before) = self.young.insert(key, brief) {
            self.bytes -= before.bytes();
        }
    }
}

impl Brief {
    /// Returns how many bytes it takes beside what every entry does.
    fn bytes(&self) -> usize {
        match self {
            Self::Pass => 0,
            Self::Said(said) => bytes(&said.0) + said.1.len(),
        }
    }
}

/// Returns how many bytes the texts of a verdict take.
fn bytes(verdict: &Verdict) -> usize {
    let change = |(name, value): (&str, &Value)| limits::CHANGE_BYTES + name.len() + value.text().map_or(0, str::len);
    match verdict {
        Verdict::Pass => 0,
        Verdict::Drop(reason) | Verdict::Hold(reason) => reason.len(),
        Verdict::Edit(changes) => changes.iter().map(change).sum(),
    }
}

/// Returns how many bytes it takes to keep an answer until it is written.
fn weight(kept: &Kept) -> usize {
    let Answered { verdict, steps, before } = &kept.answered;
    let step = |step: &Step| {
        let failure = step.failure.as_ref().map_or(0, String::len);
        size_of::<Step>() + failure + bytes(&step.verdict)
    };
    let value = |value: &Value| size_of::<Value>() + value.text().map_or(0, str::len);
    size_of::<Kept>()
        + bytes(verdict)
        + steps.iter().map(step).sum::<usize>()
        + before.iter().flatten().map(value).sum::<usize>()
}

/// Writes verdicts down until the engine stops, and then what still waits.
pub(super) async fn run(shared: Arc<Shared>, token: CancellationToken, mut orders: mpsc::Receiver<Order>) {
    let mut writer = Writer { shared, rows: None, full: false, retired: 0 };
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = token.cancelled() => orders.close(),
            () = gather(&mut orders, &mut waiting) => {}
        }
        if token.is_cancelled() {
            // The queue is closed, so this ends.
            while orders.recv_many(&mut waiting, limits::VERDICTS_GATHERED).await > 0 {}
            return writer.carry_out(waiting).await;
        }
        if waiting.is_empty() {
            return;
        }
        writer.carry_out(std::mem::take(&mut waiting)).await;
    }
}

/// Takes what waits to be written, and what comes until there is a quiet moment, unless somebody waits for it.
///
/// # Cancel safety
/// What was taken is in `waiting`.
async fn gather(orders: &mut mpsc::Receiver<Order>, waiting: &mut Vec<Order>) {
    let most = limits::VERDICTS_GATHERED;
    orders.recv_many(waiting, most).await;
    let (mut seen, mut bytes, began) = (0, 0, Instant::now());
    while (1..most).contains(&waiting.len())
        && began.elapsed() < limits::VERDICTS_GATHERED_FOR
        && !waiting[seen..].iter().any(Order::is_waited_for)
    {
        bytes += waiting[seen..].iter().map(Order::bytes).sum::<usize>();
        if bytes >= limits::VERDICT_BYTES_GATHERED {
            return;
        }
        seen = waiting.len();
        match tokio::time::timeout(limits::VERDICTS_QUIET, orders.recv_many(waiting, most - seen)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

impl Order {
    const fn is_waited_for(&self) -> bool {
        matches!(self, Self::Retire(..) | Self::Flush(_))
    }

    fn bytes(&self) -> usize {
        if let Self::Keep { room, .. } = self { room.num_permits() } else { 0 }
    }
}

struct Writer {
    shared: Arc<Shared>,
    /// How many are written, once they were counted.
    rows: Option<Rows>,
    full: bool,
    /// What was asked in an epoch before this one, and comes now, was overtaken by a retirement while it waited; of whatever
    /// asset, since another call costs little.
    retired: u64,
}

/// A count of verdicts that are written: what took the place of an earlier one may be in it.
#[derive(Clone, Copy)]
struct Rows {
    most: u64,
    exact: bool,
}

impl Writer {
    async fn carry_out(&mut self, orders: Vec<Order>) {
        let mut kept: Vec<Kept> = Vec::new();
        let mut places: HashMap<VerdictKey, usize> = HashMap::new();
        // Others find room when all of it is written.
        let mut rooms = Vec::new();
        for order in orders {
            match order {
                Order::Keep { kept: one, epoch, room } => {
                    rooms.push(room);
                    if epoch >= self.retired {
                        places.insert(one.key, kept.len());
                        kept.push(*one);
                    }
                }
                Order::Extend { asset, point, from, to } => {
                    if let Some(place) = places.remove(&from) {
                        kept[place].key = to;
                        places.insert(to, place);
                    } else if let Err(error) = self.shared.state.extend_verdict(asset, point, from, to).await {
                        tracing::warn!(error = %causes(&error), "a verdict could not be kept");
                    }
                }
                Order::Retire(assets, done) => {
                    places.clear();
                    self.write(std::mem::take(&mut kept)).await;
                    self.retired = self.shared.verdicts.epoch();
                    let _ = done.send(self.shared.state.retire_verdicts(assets).await);
                }
                Order::Flush(done) => {
                    places.clear();
                    self.write(std::mem::take(&mut kept)).await;
                    let _ = done.send(());
                }
                Order::Count => self.rows = None,
            }
        }
        self.write(kept).await;
        drop(rooms);
    }

    async fn write(&mut self, mut kept: Vec<Kept>) {
        // Neighbours lie on one page.
        kept.sort_by_key(|kept| kept.asset);
        let mut kept = kept.into_iter();
        loop {
            let part: Vec<Kept> = kept.by_ref().take(limits::VERDICTS_PER_WRITE).collect();
            if part.is_empty() {
                return;
            }
            if let Err(error) = self.try_write(part).await {
                tracing::warn!(error = %causes(&error), "verdicts could not be kept");
            }
        }
    }

    async fn try_write(&mut self, kept: Vec<Kept>) -> Result<(), StateError> {
        let added = kept.len() as u64;
        let room = |rows: Rows| limits::VERDICT_ROWS.saturating_sub(rows.most);
        let rows = match self.rows {
            Some(rows) if rows.exact || room(rows) >= added => rows,
            _ => Rows { most: self.shared.state.count_verdicts().await?, exact: true },
        };
        let (new, left_out) = self.shared.state.keep_verdicts(kept, room(rows)).await?;
        self.rows = Some(Rows { most: rows.most + new, exact: rows.exact && room(rows) < added });
        if left_out > 0 && !self.full {
            self.full = true;
            tracing::warn!(
                rows = rows.most,
                "no more verdicts are kept; those of new assets are asked for again after a restart"
            );
            prune(&self.shared).await;
            self.rows = None;
        }
        Ok(())
    }
}

/// Forgets what chains answered that are gone.
pub(super) async fn prune(shared: &Shared) {
    let chains = shared.chains();
    let (mut after, mut gone) = (AssetId::from_bytes([0; 32]), 0);
    loop {
        match shared.state.prune_verdicts(chains, after, limits::VERDICTS_PRUNED_TOGETHER).await {
            Ok((end, rows)) => {
                gone += rows;
                match end {
                    Some(end) => after = end,
                    None => break,
                }
            }
            Err(error) => {
                tracing::warn!(error = %causes(&error), "verdicts of earlier plugins could not be forgotten");
                break;
            }
        }
    }
    tracing::debug!(gone, "forgot what earlier plugins answered");
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::asset::Changes;
    use crate::hook::Chain;

    fn kept(n: u64, verdict: Verdict, standing: Standing) -> Kept {
        let step =
            Step { plugin: "p".into(), verdict: verdict.clone(), failure: None, took: std::time::Duration::ZERO };
        Kept {
            asset: AssetId::from_bytes([0; 32]),
            point: Point::BeforePush,
            peer: None,
            key: VerdictKey(*blake3::hash(&n.to_le_bytes()).as_bytes()),
            chain: Chain::from_bytes([0; 32]),
            standing,
            at_ms: 0,
            answered: Answered { verdict, steps: vec![step], before: vec![vec![]] },
        }
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_used() {
        let (orders, _waiting) = mpsc::channel(1);
        let verdicts = Verdicts::new(orders);
        let often = kept(0, Verdict::Hold("wait".into()), Standing::Firm);
        verdicts.remember(&often);
        for n in 1..3 * limits::VERDICTS_IN_MEMORY as u64 {
            verdicts.remember(&kept(n, Verdict::Pass, Standing::Firm));
            if n % 100 == 0 {
                let Some(Brief::Said(said)) = verdicts.get(&often.key) else { panic!("it was used a moment ago") };
                assert_eq!((&said.0, said.1.as_str()), (&Verdict::Hold("wait".into()), "p"));
            }
        }
        let entries = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        };
        let count: usize = verdicts.shards.iter().map(entries).sum();
        assert!(count <= limits::VERDICTS_IN_MEMORY, "{count}");
        assert!(verdicts.get(&kept(1, Verdict::Pass, Standing::Firm).key).is_none());
    }

    /// An edit with as many tags as there may be, of the greatest length.
    fn large(n: u64) -> Kept {
        let tag = |tag: usize| format!("{tag:0width$}", width = limits::TAG_BYTES);
        let changes = (0..limits::plugin::CHANGES).fold(Changes::new(), |changes, n| changes.add_tag(&tag(n)));
        kept(n, Verdict::Edit(changes), Standing::Firm)
    }

    #[test]
    fn memory_is_bounded_by_bytes_too() {
        let (orders, _waiting) = mpsc::channel(1);
        let verdicts = Verdicts::new(orders);
        let Verdict::Edit(changes) = large(0).answered.verdict else { panic!("it is an edit") };
        let edit = Verdict::Edit(changes);
        let count = 2 * limits::VERDICT_BYTES_IN_MEMORY / bytes(&edit);
        for n in 0..count as u64 {
            let kept = kept(n, Verdict::Pass, Standing::Firm);
            verdicts.put(kept.key, &edit, "");
            // The same again takes no more.
            verdicts.put(kept.key, &edit, "");
            assert!(matches!(verdicts.get(&kept.key), Some(Brief::Said(said)) if said.0 == edit));
        }
        let held = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            assert_eq!(shard.young.values().map(Brief::bytes).sum::<usize>(), shard.bytes);
            shard.young.values().chain(shard.old.values()).map(Brief::bytes).sum::<usize>()
        };
        let held: usize = verdicts.shards.iter().map(held).sum();
        assert!((1..=limits::VERDICT_BYTES_IN_MEMORY).contains(&held), "{held}");
    }

    #[tokio::test]
    async fn what_waits_to_be_written_is_bounded_by_bytes_too() {
        let (orders, mut queue) = mpsc::channel(limits::VERDICTS_QUEUED);
        let verdicts = Verdicts::new(orders);
        let large = large(0);
        let fit = limits::VERDICT_BYTES_QUEUED / weight(&large);
        for _ in 0..fit {
            verdicts.keep(large.clone(), 0).await;
        }
        // So that what follows is pending for want of room alone, and not of its share of this turn.
        tokio::task::yield_now().await;
        let mut next = std::pin::pin!(verdicts.keep(large.clone(), 0));
        assert!(next.as_mut().now_or_never().is_none());
        // Those that write do not wait for more when they have much of it.
        let mut waiting = Vec::new();
        gather(&mut queue, &mut waiting).await;
        waiting.clear();
        next.await;
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn only_what_is_firm_is_used_again() {
        let (orders, _waiting) = mpsc::channel(1);
        let verdicts = Verdicts::new(orders);
        for (n, standing) in [(1, Standing::Failed), (2, Standing::Absent)] {
            let kept = kept(n, Verdict::Pass, standing);
            verdicts.remember(&kept);
            assert!(verdicts.get(&kept.key).is_none());
        }
    }
}
