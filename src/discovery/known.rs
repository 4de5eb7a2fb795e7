//! Hosts that are known before anything is searched: by the configuration, or from when they were last connected.

use async_trait::async_trait;

use super::source::Condition;
use super::source::Finder;
use super::source::Source;
use super::source::SourceError;
use super::source::Surroundings;
use crate::library::Ticket;
use crate::limits;
use crate::task::now_ms;

/// A list of hosts and where they are. Put before the other sources, it is dialled first, so that hosts meet again with
/// every service for discovery down.
#[derive(Debug)]
pub struct Known {
    name: &'static str,
    hosts: Vec<(Ticket, Option<u64>)>,
}

impl Known {
    /// Names what the configuration lists.
    #[must_use]
    pub fn configured(peers: Vec<Ticket>) -> Self {
        Self { name: "static peers", hosts: peers.into_iter().map(|ticket| (ticket, None)).collect() }
    }

    /// Names where members were when they were last connected, and when that was, in Unix milliseconds. Those of the
    /// latest time are named first, and no more than are [dialled](limits::HOSTS_DIALLED).
    #[must_use]
    pub fn remembered(mut peers: Vec<(Ticket, u64)>) -> Self {
        peers.sort_by_key(|(_, at_ms)| std::cmp::Reverse(*at_ms));
        peers.truncate(limits::HOSTS_DIALLED);
        Self {
            name: "known addresses",
            hosts: peers.into_iter().map(|(ticket, at_ms)| (ticket, Some(at_ms))).collect(),
        }
    }
}

#[async_trait]
impl Source for Known {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_sure(&self) -> bool {
        true
    }

    async fn run(&self, _: Surroundings, finder: &Finder) -> Result<(), SourceError> {
        finder.is(Condition::Ok);
        for (ticket, at_ms) in &self.hosts {
            finder.found(ticket.clone(), at_ms.unwrap_or_else(now_ms), None).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;
    use crate::asset::HostId;
    use crate::discovery::Planned;
    use crate::discovery::Search;
    use crate::task::Group;

    #[tokio::test]
    async fn known_hosts_are_named_at_the_start_the_latest_first() {
        let ticket = |host| Ticket { host: HostId::from_bytes([host; 32]), addresses: Vec::new(), relay: None };
        let group = Group::new("test", Arc::new(|_, _, message| panic!("{message}")));
        let (_own, own) = watch::channel(ticket(0));
        let (_connected, connected) = watch::channel(Vec::new());
        let remembered = Known::remembered(vec![(ticket(1), 5), (ticket(2), 7)]);
        let planned = vec![Planned::On(Box::new(remembered))];
        let (search, mut finds) = Search::start(planned, Surroundings { own, connected }, &group);
        for expected in [(ticket(2), 7), (ticket(1), 5)] {
            let find = tokio::time::timeout(Duration::from_secs(30), finds.recv()).await.unwrap().unwrap();
            assert_eq!((find.ticket, find.at_ms, find.sure), (expected.0, expected.1, true));
        }
        assert_eq!(search.health(), [("known addresses", Condition::Ok.into())]);
        group.shut_down().await;
    }
}
