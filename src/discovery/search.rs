//! The search: all sources side by side, and one stream of what is new.
//!
//! ```text
//!  source ─┐ news                       finds
//!  source ─┼──────> gather (merges) ──────────> whoever dials
//!  source ─┘              ^ who is connected
//! ```
//! Each source is a task of its own. One that fails is run again after a pause; one that panics stays away; neither
//! stops the others, and its health says why.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::finds::Finds;
use super::finds::News;
use super::source::Condition;
use super::source::Find;
use super::source::Finder;
use super::source::Health;
use super::source::Source;
use super::source::Surroundings;
use crate::asset::HostId;
use crate::library::Ticket;
use crate::limits;
use crate::task::Backoff;
use crate::task::Group;
use crate::task::now_ms;

/// A source, or the name of one that the configuration has switched off.
pub enum Planned {
    /// It runs.
    On(Box<dyn Source>),
    /// It is only named in the health.
    Off(&'static str),
}

/// The sources that run, as seen from outside.
#[derive(Debug, Clone)]
pub struct Search {
    health: Arc<[(&'static str, watch::Receiver<Health>)]>,
}

impl Search {
    /// Starts the sources, in this order, and returns what they find. They run until the group ends.
    #[must_use]
    pub fn start(planned: Vec<Planned>, surroundings: Surroundings, group: &Group) -> (Self, mpsc::Receiver<Find>) {
        let own = surroundings.own.borrow().host;
        let (news, gathered) = mpsc::channel(limits::FINDS_QUEUED);
        let (finds, found) = mpsc::channel(limits::FINDS_QUEUED);
        let connected = surroundings.connected.clone();
        group.spawn_until_cancelled("gather", gather(own, gathered, connected, finds));
        let health = planned.into_iter().map(|planned| match planned {
            Planned::Off(name) => (name, watch::channel(Condition::Off.into()).1),
            Planned::On(source) => {
                let name = source.name();
                let (health, seen) = watch::channel(Condition::Starting.into());
                let finder = Finder::new(&*source, news.clone(), health.clone());
                group.spawn_until_cancelled(name, keep_running(source, surroundings.clone(), finder, health));
                (name, seen)
            }
        });
        (Self { health: health.collect() }, found)
    }

    /// Returns how each source is doing, by name, in the order in which they were started.
    #[must_use]
    pub fn health(&self) -> Vec<(&'static str, Health)> {
        self.health.iter().map(|(name, health)| (*name, health.borrow().clone())).collect()
    }
}

/// Runs a source, again and again when it fails.
async fn keep_running(
    source: Box<dyn Source>,
    surroundings: Surroundings,
    finder: Finder,
    health: watch::Sender<Health>,
) {
    let mut fall = Fall { health, stands: false };
    let mut backoff = Backoff::new(limits::SOURCE_PAUSE, limits::SOURCE_PAUSE_MOST);
    while let Err(error) = source.run(surroundings.clone(), &finder).await {
        finder.is(Condition::Degraded(error.to_string()));
        tokio::time::sleep(backoff.pause()).await;
    }
    fall.stands = true;
}

/// Says in the health of a source that it has panicked, when it is dropped on the way out of a panic.
struct Fall {
    health: watch::Sender<Health>,
    stands: bool,
}

impl Drop for Fall {
    fn drop(&mut self) {
        if !self.stands && std::thread::panicking() {
            let broken = "a fault of the program has ended it; start the host again, and report what the log says";
            self.health.send_replace(Condition::Failed(broken.to_owned()).into());
        }
    }
}

/// Merges what the sources say and hands on what is new.
async fn gather(
    own: HostId,
    mut news: mpsc::Receiver<News>,
    mut connected: watch::Receiver<Vec<Ticket>>,
    finds: mpsc::Sender<Find>,
) {
    let mut merging = Finds::new(own);
    let mut peers = hosts(&connected.borrow_and_update());
    let mut look = tokio::time::interval(limits::FINDS_LOOKED_AT_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => {
                for find in merging.again(&peers, now_ms()) {
                    if finds.send(find).await.is_err() {
                        return;
                    }
                }
            }
            word = news.recv() => {
                let Some(word) = word else { return };
                if let Some(find) = merging.take(word, now_ms())
                    && finds.send(find).await.is_err()
                {
                    return;
                }
            }
            changed = connected.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = hosts(&connected.borrow_and_update());
                peers.difference(&now).for_each(|lost| merging.lost(*lost));
                peers = now;
            }
        }
    }
}

fn hosts(tickets: &[Ticket]) -> BTreeSet<HostId> {
    tickets.iter().map(|ticket| ticket.host).collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;
    use crate::discovery::source::SourceError;

    const LONG: Duration = Duration::from_secs(30);

    fn ticket(host: u8) -> Ticket {
        let addresses = vec![SocketAddr::from(([192, 0, 2, host], 1))];
        Ticket { host: HostId::from_bytes([host; 32]), addresses, relay: None }
    }

    /// Says what it was told to, then does what it was made for.
    struct Scripted(&'static str, u8, fn(u32) -> Result<(), SourceError>, AtomicU32);

    fn scripted(name: &'static str, host: u8, then: fn(u32) -> Result<(), SourceError>) -> Planned {
        Planned::On(Box::new(Scripted(name, host, then, AtomicU32::new(0))))
    }

    #[async_trait]
    impl Source for Scripted {
        fn name(&self) -> &'static str {
            self.0
        }

        async fn run(&self, _: Surroundings, finder: &Finder) -> Result<(), SourceError> {
            let run = self.3.fetch_add(1, Ordering::Relaxed);
            finder.is(Condition::Ok);
            finder.found(ticket(self.1 + u8::try_from(run).unwrap()), now_ms(), None).await;
            self.2(run)
        }
    }

    struct Stage {
        search: Search,
        finds: mpsc::Receiver<Find>,
        group: Group,
        panics: Arc<Mutex<Vec<String>>>,
        connected: watch::Sender<Vec<Ticket>>,
        _own: watch::Sender<Ticket>,
    }

    fn stage(planned: Vec<Planned>, connected: Vec<Ticket>) -> Stage {
        let panics: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&panics);
        let on_panic = move |_: &str, task: &str, _: &str| told.lock().push(task.to_owned());
        let group = Group::new("test", Arc::new(on_panic));
        let (own_sender, own) = watch::channel(ticket(0));
        let (connected, seen) = watch::channel(connected);
        let (search, finds) = Search::start(planned, Surroundings { own, connected: seen }, &group);
        Stage { search, finds, group, panics, connected, _own: own_sender }
    }

    impl Stage {
        async fn found(&mut self) -> HostId {
            tokio::time::timeout(LONG, self.finds.recv()).await.unwrap().unwrap().ticket.host
        }

        fn condition(&self, of: &str) -> Condition {
            let health = self.search.health();
            health.into_iter().find(|(name, _)| *name == of).unwrap().1.condition
        }
    }

    #[tokio::test]
    async fn a_source_that_panics_or_fails_does_not_stop_the_others() {
        let mut stage = stage(
            vec![
                scripted("panics", 10, |_| panic!("on purpose")),
                scripted("fails once", 20, |run| match run {
                    0 => Err(SourceError::Unavailable { what: "cannot bind", source: "on purpose".into() }),
                    _ => Ok(()),
                }),
                scripted("well", 30, |_| Ok(())),
                Planned::Off("off"),
            ],
            Vec::new(),
        );
        let mut found = BTreeSet::new();
        while found.len() < 4 {
            found.insert(stage.found().await);
        }
        assert_eq!(found, [10, 20, 21, 30].map(|host| ticket(host).host).into());
        assert_eq!(*stage.panics.lock(), ["panics"]);
        let conditions: Vec<Condition> =
            stage.search.health().into_iter().map(|(_, health)| health.condition).collect();
        assert!(matches!(&conditions[0], Condition::Failed(why) if why.contains("fault")), "{conditions:?}");
        assert_eq!(conditions[1..], [Condition::Ok, Condition::Ok, Condition::Off]);
        stage.group.shut_down().await;
    }

    #[tokio::test]
    async fn the_health_of_a_source_that_fails_says_why() {
        let mut stage = stage(
            vec![scripted("fails", 20, |_| {
                Err(SourceError::Unavailable { what: "cannot bind", source: "no such device".into() })
            })],
            Vec::new(),
        );
        stage.found().await;
        stage.found().await;
        let reason = "cannot bind: no such device".to_owned();
        let asked = async {
            while stage.condition("fails") != Condition::Degraded(reason.clone()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, asked).await.unwrap();
        stage.group.shut_down().await;
    }

    /// Says the same over and over, and counts it.
    #[derive(Default)]
    struct Parrot(watch::Sender<u64>);

    #[async_trait]
    impl Source for Parrot {
        fn name(&self) -> &'static str {
            "parrot"
        }

        async fn run(&self, _: Surroundings, finder: &Finder) -> Result<(), SourceError> {
            loop {
                finder.found(ticket(1), now_ms(), None).await;
                self.0.send_modify(|said| *said += 1);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    #[tokio::test]
    async fn what_is_known_is_handed_on_again_when_the_connection_has_ended() {
        let parrot = Parrot::default();
        let mut said = parrot.0.subscribe();
        let mut stage = stage(vec![Planned::On(Box::new(parrot))], vec![ticket(1)]);
        assert_eq!(stage.found().await, ticket(1).host);
        said.wait_for(|said| *said >= 10).await.unwrap();
        assert!(stage.finds.try_recv().is_err(), "nothing new was said");
        stage.connected.send(Vec::new()).unwrap();
        assert_eq!(stage.found().await, ticket(1).host);
        stage.group.shut_down().await;
    }
}
