//! Follows the store and judges every change; and judges the store again when plugins change.
//!
//! One task judges all that is stored, so that what it tells the hub about an asset is in order: what people wish first,
//! then new changes, then, in small portions, what is to be judged again.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;

use super::apply;
use super::hub::Told;
use super::push;
use super::push::Deciders;
use super::push::How;
use super::review::Portion;
use super::review::Review;
use super::review::Scope;
use super::shared::NOBODY;
use super::shared::Shared;
use super::shared::StartError;
use super::verdicts;
use crate::asset::AssetId;
use crate::hook::Chain;
use crate::hook::Occasion;
use crate::hook::Point;
use crate::limits;
use crate::state::Position;
use crate::state::State;
use crate::store::Arrival;
use crate::store::Store;
use crate::store::WriteError;
use crate::sync::Input;
use crate::sync::Item;
use crate::task::Backoff;
use crate::task::Group;
use crate::telemetry::causes;

/// The decider of a store of which one part was judged by some and another part by others.
const MIXED: &str = "mixed";

/// Assets that a person wants to be judged again, now.
pub(super) struct Order {
    pub(super) assets: Vec<AssetId>,
    /// Whether answers and decisions of before count for nothing.
    pub(super) fresh: bool,
    /// Told when the hub has heard of it.
    pub(super) done: oneshot::Sender<()>,
}

/// Builds the items of what is passed on, and tells how far the store was judged, and by whom.
///
/// What came after the last judgement is left out, and judged by the feed before it is shared. Without plugins there is
/// nothing to wait for. What earlier plugins passed on was shared with others already, so it stays until it is judged
/// again; where there never was anybody to share it with, it is judged first as well.
pub(super) async fn items(
    store: &dyn Store,
    state: &State,
    decider: &str,
    receiver: &str,
) -> Result<(Vec<Item>, Position), StartError> {
    let silent = decider == NOBODY;
    let nothing = Position { arrival: 0, decider: decider.to_owned(), receiver: receiver.to_owned() };
    let mut position = state.position().await?.unwrap_or(nothing);
    if position.arrival > store.latest().borrow().0 {
        // The store is another than the one that was judged: it was put back from a copy, or made from its files.
        position.arrival = 0;
    }
    if position.decider != decider && state.peers().await?.is_empty() {
        position.arrival = 0;
    }
    let kept_back: HashSet<AssetId> = state.kept_back().await?.into_iter().collect();
    let (mut items, mut seen) = (Vec::new(), Arrival(0));
    loop {
        let page = store.inventory(seen, limits::INVENTORY_ROWS).await?;
        for row in &page {
            let settled = row.arrival.0 <= position.arrival || silent;
            if settled && row.presence.is_here() && !kept_back.contains(&row.key.id) {
                items.push(Item::new(row.key.timestamp, row.key.id, &row.document));
            }
        }
        seen = page.last().map_or(seen, |row| row.arrival);
        if page.len() < limits::INVENTORY_ROWS {
            break;
        }
    }
    if silent {
        position.arrival = seen.0;
    }
    Ok((items, position))
}

/// Follows the store until it is cancelled.
pub(super) async fn run(shared: Arc<Shared>, group: Group, orders: mpsc::Receiver<Order>, position: Position) {
    let latest = shared.store.latest();
    let start = *latest.borrow();
    let mut feed = Feed {
        position: Arrival(position.arrival),
        decider: position.decider.clone(),
        receiver: position.receiver.clone(),
        saved: position,
        saved_at: Instant::now(),
        start,
        latest,
        orders,
        generation: None,
        chains: [None; 3],
        review: None,
        absent: VecDeque::new(),
        group,
        shared,
    };
    feed.follow().await;
    feed.save().await;
}

/// The feed could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    #[error(transparent)]
    Read(#[from] crate::store::ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    State(#[from] crate::state::StateError),
}

struct Feed {
    shared: Arc<Shared>,
    group: Group,
    /// Everything up to there was judged.
    position: Arrival,
    /// Who decides before a push, and, but for what the review has before it, has decided about all of it.
    decider: String,
    /// The same after a receive.
    receiver: String,
    saved: Position,
    saved_at: Instant,
    /// What arrived up to there was in the store when the engine started.
    start: Arrival,
    latest: watch::Receiver<Arrival>,
    orders: mpsc::Receiver<Order>,
    /// The generation of plugins that is known.
    generation: Option<u64>,
    /// Who was asked at each point then.
    chains: [Option<Chain>; 3],
    /// What another chain has judged, and this one has not yet.
    review: Option<Review>,
    /// What could not be asked about, and may be asked about now.
    absent: VecDeque<Review>,
}

impl Feed {
    async fn follow(&mut self) {
        let token = self.group.token().clone();
        let mut save = tokio::time::interval(limits::POSITION_SAVED_EVERY);
        let mut backoff = Backoff::new(limits::FEED_PAUSE, limits::FEED_PAUSE_MOST);
        while !token.is_cancelled() {
            if self.saved_at.elapsed() >= limits::POSITION_SAVED_EVERY {
                self.save().await;
            }
            // Marked as seen before reading, so that nothing is missed in between.
            self.latest.mark_unchanged();
            match self.step().await {
                Ok(busy) => {
                    backoff.reset();
                    if busy {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %causes(&error), "the store cannot be followed");
                    tokio::select! {
                        () = token.cancelled() => return,
                        () = tokio::time::sleep(backoff.pause()) => continue,
                    }
                }
            }
            let (hooks, generation) = (Arc::clone(&self.shared.hooks), self.generation.unwrap_or_default());
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                changed = self.latest.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                Some(order) = self.orders.recv() => {
                    if let Err(error) = self.carry_out(order).await {
                        tracing::warn!(error = %causes(&error), "assets could not be judged again");
                    }
                }
                () = hooks.changed(generation) => {}
                _ = save.tick() => {}
            }
        }
    }

    /// Does what is most urgent; tells whether there may be more to do.
    async fn step(&mut self) -> Result<bool, FeedError> {
        // Also where nothing else succeeds: whoever waits for it hears that it failed.
        if let Ok(order) = self.orders.try_recv() {
            self.carry_out(order).await?;
            return Ok(true);
        }
        self.look_at_plugins().await?;
        let more = self.judge_page().await?;
        // Others have judged a part of it.
        if more || self.decider == MIXED {
            return Ok(true);
        }
        if let Some(mut review) = self.review.take() {
            let going_on = self.go_on_with(&mut review).await;
            let ended = matches!(going_on, Ok(false));
            self.shared.show_review((!ended).then(|| review.progress()));
            if ended {
                let shared = Arc::clone(&self.shared);
                self.save().await;
                self.group.spawn_until_cancelled("prune", async move {
                    verdicts::prune(&shared).await;
                    shared.verdicts.count().await;
                });
            } else {
                self.review = Some(review);
            }
            return going_on.map(|_| true);
        }
        if let Some(mut absent) = self.absent.pop_front() {
            let going_on = self.go_on_with(&mut absent).await;
            if !matches!(going_on, Ok(false)) {
                self.absent.push_front(absent);
            }
            return going_on.map(|_| true);
        }
        Ok(false)
    }

    /// Starts what a change of plugins makes necessary.
    async fn look_at_plugins(&mut self) -> Result<(), FeedError> {
        let generation = self.shared.hooks.generation();
        let decider = self.shared.decider(Point::BeforePush);
        let receiver = self.shared.decider(Point::AfterReceive);
        if (&decider, &receiver) != (&self.decider, &self.receiver) {
            self.review_all(decider, receiver).await?;
        }
        if self.generation.replace(generation) != Some(generation) {
            let chains = self.shared.chains();
            if std::mem::replace(&mut self.chains, chains) != chains {
                self.shared.verdicts.forget();
            }
            // What was answered for somebody a moment ago is among what is asked again.
            self.shared.verdicts.flush().await;
            self.absent = VecDeque::from([Review::absent()]);
            for peer in self.shared.connected.iter().map(|entry| *entry.key()).collect::<Vec<_>>() {
                let shared = Arc::clone(&self.shared);
                self.group.spawn_until_cancelled("review", async move { apply::decide_again(&shared, peer).await });
            }
        }
        Ok(())
    }

    /// Begins to judge the store again, from its beginning.
    async fn review_all(&mut self, decider: String, receiver: String) -> Result<(), FeedError> {
        let before = self.review.as_ref().map_or(Scope::default(), |review| review.scope);
        let scope = Scope {
            // What nobody has judged yet is judged by those of today without that.
            pushes: self.position > Arrival::default() && (before.pushes || decider != self.decider),
            receives: receiver != NOBODY && (before.receives || receiver != self.receiver),
        };
        let review = if !scope.pushes && !scope.receives {
            None
        } else if decider == NOBODY && !scope.receives {
            // Everything passes, and was passed on but for these.
            Some(Review::listed(scope, self.shared.state.kept_back().await?))
        } else {
            let health = self.shared.store.health().await?;
            Some(Review::store(scope, self.position, health.assets + health.missing))
        };
        tracing::info!(pushes = scope.pushes, receives = scope.receives, "plugins have changed; judging assets again");
        // From whom assets came is known from what was asked about them.
        self.shared.verdicts.flush().await;
        (self.decider, self.receiver, self.review) = (decider, receiver, review);
        self.shared.show_review(self.review.as_ref().map(Review::progress));
        // A host that stops in the middle must not take it for done.
        self.save().await;
        Ok(())
    }

    /// Judges the next portion of a review; tells whether there may be more.
    async fn go_on_with(&mut self, review: &mut Review) -> Result<bool, FeedError> {
        let Portion { records, ends } = review.portion(&self.shared).await?;
        let how = How { scope: review.scope, fresh: false, again: true, occasion: Occasion::CatchUp };
        let go_on = || !self.latest.has_changed().unwrap_or(true) && self.may_go_on();
        let mut deciders = Deciders::new(&self.decider, &self.receiver);
        let (judged, inputs) = push::judge_all(&self.shared, &records, &mut deciders, |_| how, go_on).await?;
        self.heard_of(deciders.others);
        self.tell(inputs).await;
        let whole = judged == records.len();
        review.advance(&records[..judged], whole.then_some(ends));
        Ok(!review.has_ended())
    }

    /// Judges the next changes; tells whether there may be more.
    async fn judge_page(&mut self) -> Result<bool, FeedError> {
        if self.decider == NOBODY && self.shared.library.filter.takes_everything() {
            return self.pass_page().await;
        }
        let latest = *self.latest.borrow();
        let records = self.shared.store.arrivals(self.position, limits::REVIEW_ROWS).await?;
        let full = records.len() == limits::REVIEW_ROWS;
        let Some(last) = self.end_of_page(latest, full, records.last().map(|record| record.arrival)) else {
            return Ok(false);
        };
        let start = self.start;
        let how = move |record: &crate::store::Record| How {
            scope: Scope { pushes: true, receives: false },
            fresh: false,
            again: false,
            occasion: if record.arrival > start { Occasion::Live } else { Occasion::CatchUp },
        };
        let mut rest = &records[..];
        loop {
            let began = Instant::now();
            let go_on = || self.may_go_on() && began.elapsed() < limits::JUDGED_FOR;
            let mut deciders = Deciders::new(&self.decider, &self.receiver);
            let (judged, inputs) = push::judge_all(&self.shared, rest, &mut deciders, how, go_on).await?;
            self.heard_of(deciders.others);
            let (done, left) = rest.split_at(judged);
            rest = left;
            let end = done.last().filter(|_| !rest.is_empty()).map_or(last, |record| record.arrival);
            self.shared.tell(Told::Judged(end, inputs)).await;
            self.position = end;
            if rest.is_empty() {
                return Ok(full);
            }
            if !self.may_go_on() || self.decider == MIXED {
                return Ok(true);
            }
        }
    }

    /// Tells whether nobody has something better to be done: a person, or the end of the host.
    fn may_go_on(&self) -> bool {
        !self.group.token().is_cancelled() && self.orders.is_empty()
    }

    /// Passes on the next changes where nobody is asked: without reading a document, but for what a person has decided
    /// about or a peer has in another version.
    async fn pass_page(&mut self) -> Result<bool, FeedError> {
        let latest = *self.latest.borrow();
        let rows = self.shared.store.inventory(self.position, limits::PAGE_ROWS).await?;
        // One of these may have come after a plugin was loaded, and was not looked at for it.
        if self.shared.decider(Point::BeforePush) != NOBODY {
            return Ok(true);
        }
        let full = rows.len() == limits::PAGE_ROWS;
        let Some(last) = self.end_of_page(latest, full, rows.last().map(|row| row.arrival)) else { return Ok(false) };
        let ids: Vec<AssetId> = rows.iter().map(|row| row.key.id).collect();
        let decided = self.shared.state.decisions(ids.clone()).await?;
        let known = self.shared.state.known_of_assets(ids).await?;
        let special: HashSet<AssetId> = decided.into_keys().map(|(id, _)| id).chain(known.into_keys()).collect();
        let records = self.shared.store.records(&special.iter().copied().collect::<Vec<_>>()).await?;
        let scope = Scope { pushes: true, receives: false };
        let how = How { scope, fresh: false, again: false, occasion: Occasion::Live };
        let mut deciders = Deciders::new(&self.decider, &self.receiver);
        let (_, mut inputs) = push::judge_all(&self.shared, &records, &mut deciders, |_| how, || true).await?;
        self.heard_of(deciders.others);
        inputs.extend(rows.iter().filter(|row| !special.contains(&row.key.id)).map(|row| {
            let version = row.presence.is_here().then_some(row.document);
            Input::Passes { key: row.key, version, exceptions: Vec::new() }
        }));
        self.shared.tell(Told::Judged(last, inputs)).await;
        self.position = last;
        Ok(full)
    }

    /// Returns up to which arrival a page goes that was read after `latest` was looked at; `None` when there is nothing
    /// new. The last of a page that is not full may have been purged, and somebody waits for it to be judged.
    fn end_of_page(&self, latest: Arrival, full: bool, last: Option<Arrival>) -> Option<Arrival> {
        let last = last.unwrap_or(self.position);
        let end = if full { last } else { last.max(latest) };
        (end > self.position).then_some(end)
    }

    /// Has a part of the store judged again of which others have judged some than those it knows.
    fn heard_of(&mut self, others: Scope) {
        if others.pushes {
            MIXED.clone_into(&mut self.decider);
        }
        if others.receives {
            MIXED.clone_into(&mut self.receiver);
        }
    }

    async fn carry_out(&mut self, order: Order) -> Result<(), FeedError> {
        // What a person decides counts for those who are asked today.
        self.look_at_plugins().await?;
        let Order { assets, fresh, done } = order;
        let receiver = self.receiver != NOBODY;
        let scope = Scope { pushes: true, receives: fresh && receiver };
        let how = How { scope, fresh, again: true, occasion: Occasion::CatchUp };
        for ids in assets.chunks(limits::REVIEW_ROWS) {
            let records = self.shared.store.records(ids).await?;
            let mut deciders = Deciders::new(&self.decider, &self.receiver);
            let go_on = || !self.group.token().is_cancelled();
            let (judged, mut inputs) = push::judge_all(&self.shared, &records, &mut deciders, |_| how, go_on).await?;
            self.heard_of(deciders.others);
            if judged < records.len() {
                // What was decided stands, and is judged at the next start.
                self.tell(inputs).await;
                return Ok(());
            }
            let here: HashSet<AssetId> = records.iter().map(|record| record.key.id).collect();
            let gone = ids.iter().filter(|id| !here.contains(id)).copied().collect();
            inputs.extend(push::withdraw(&self.shared, gone).await?);
            self.tell(inputs).await;
        }
        // Whoever asked may have gone.
        let _ = done.send(());
        Ok(())
    }

    async fn tell(&self, inputs: Vec<Input>) {
        let inputs = inputs.into_iter().map(|input| (Arrival::default(), input)).collect();
        self.shared.tell(Told::Inputs(inputs)).await;
    }

    async fn save(&mut self) {
        let scope = self.review.as_ref().map_or(Scope::default(), |review| review.scope);
        let judged_by = |mixed, by: &str| if mixed { MIXED.to_owned() } else { by.to_owned() };
        let position = Position {
            arrival: self.position.0,
            decider: judged_by(scope.pushes, &self.decider),
            receiver: judged_by(scope.receives, &self.receiver),
        };
        self.saved_at = Instant::now();
        if self.saved == position {
            return;
        }
        // A position that is too low costs a second judgement, nothing else.
        match self.shared.state.set_position(position.clone()).await {
            Ok(()) => self.saved = position,
            Err(error) => tracing::warn!(error = %causes(&error), "the position in the store could not be saved"),
        }
    }
}
