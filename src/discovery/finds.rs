//! What the sources say, merged per host: who has said what, and whether any of it is new.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::source::Find;
use crate::asset::HostId;
use crate::library::Ticket;
use crate::limits;

/// A word of a source.
#[derive(Debug)]
pub(super) enum News {
    /// A host may be there, and until when that counts.
    Found {
        /// What was found.
        find: Find,
        /// In Unix milliseconds; `None` until the source says otherwise.
        until_ms: Option<u64>,
    },
    /// A host is no longer there.
    Gone {
        /// Which host.
        host: HostId,
        /// By the word of which source.
        source: &'static str,
    },
}

/// What is known of where hosts are.
#[derive(Debug)]
pub(super) struct Finds {
    own: HostId,
    /// What each source last said of each host.
    said: BTreeMap<&'static str, BTreeMap<HostId, Said>>,
    /// What was handed on of a host.
    told: BTreeMap<HostId, Places>,
}

#[derive(Debug)]
struct Said {
    ticket: Ticket,
    at_ms: u64,
    until_ms: Option<u64>,
    sure: bool,
}

/// Where a host was said to be since it was last connected.
#[derive(Debug, Default)]
struct Places {
    addresses: BTreeSet<SocketAddr>,
    relay: Option<String>,
    /// When that was handed on.
    told_ms: u64,
}

impl Finds {
    pub(super) const fn new(own: HostId) -> Self {
        Self { own, said: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// Takes in a word of a source. Returns what to hand on: all that is known of the host, when some of it is new.
    pub(super) fn take(&mut self, news: News, now_ms: u64) -> Option<Find> {
        self.forget_expired(now_ms);
        match news {
            News::Gone { host, source } => {
                if let Some(hosts) = self.said.get_mut(source) {
                    hosts.remove(&host);
                }
                self.forget_unsaid();
                None
            }
            News::Found { find, until_ms } => self.found(find, until_ms, now_ms),
        }
    }

    /// Lets the next word about a host count as new: the connection to it has ended.
    pub(super) fn lost(&mut self, host: HostId) {
        self.told.remove(&host);
    }

    fn found(&mut self, find: Find, until_ms: Option<u64>, now_ms: u64) -> Option<Find> {
        let Find { ticket, source, at_ms, sure } = find;
        // By a clock that is ahead a host would go on being nowhere else.
        let at_ms = at_ms.min(now_ms);
        let host = ticket.host;
        if host == self.own || until_ms.is_some_and(|until_ms| until_ms < now_ms) {
            return None;
        }
        let hosts = self.said.entry(source).or_default();
        // What was said while this host's own clock was ahead does not count against what is said now.
        if hosts.get(&host).is_some_and(|said| said.at_ms.min(now_ms) > at_ms) {
            return None;
        }
        hosts.insert(host, Said { ticket, at_ms, until_ms, sure });
        if hosts.len() > limits::FINDS_PER_SOURCE {
            let oldest = hosts.iter().min_by_key(|(_, said)| said.at_ms).map(|(host, _)| *host);
            oldest.and_then(|oldest| hosts.remove(&oldest));
            self.forget_unsaid();
        }
        let ticket = self.merged(host)?.ticket;
        self.is_new(&ticket, now_ms).then_some(Find { ticket, source, at_ms, sure })
    }

    /// Returns what is still said of hosts that are not connected and were handed on long ago: whoever was given up
    /// since may be there now.
    pub(super) fn again(&mut self, connected: &BTreeSet<HostId>, now_ms: u64) -> Vec<Find> {
        self.forget_expired(now_ms);
        // By a clock that has gone back it was told in a time to come.
        let due =
            |told: &Places| told.told_ms > now_ms || now_ms.saturating_sub(told.told_ms) >= limits::FINDS_AGAIN_MS;
        let due = self.told.iter_mut().filter(|(host, told)| due(told) && !connected.contains(host));
        let due: Vec<HostId> = due
            .map(|(host, told)| {
                told.told_ms = now_ms;
                *host
            })
            .collect();
        due.into_iter().filter_map(|host| self.merged(host)).collect()
    }

    /// Merges what is said of a host; what was said last counts for more.
    fn merged(&self, host: HostId) -> Option<Find> {
        let said = self.said.iter().filter_map(|(source, hosts)| Some((*source, hosts.get(&host)?)));
        let mut said: Vec<(&'static str, &Said)> = said.collect();
        said.sort_by_key(|(_, said)| Reverse(said.at_ms));
        let (source, latest) = *said.first()?;
        let sure = said.iter().any(|(_, said)| said.sure);
        let ticket = merged(said.iter().map(|(_, said)| &said.ticket))?;
        Some(Find { ticket, source, at_ms: latest.at_ms, sure })
    }

    /// Tells whether a ticket says more than was handed on of its host, and remembers that it is now.
    fn is_new(&mut self, ticket: &Ticket, now_ms: u64) -> bool {
        let first = !self.told.contains_key(&ticket.host);
        let told = self.told.entry(ticket.host).or_default();
        let elsewhere = ticket.addresses.iter().any(|address| !told.addresses.contains(address));
        let relayed = ticket.relay.is_some() && ticket.relay != told.relay;
        if told.addresses.len() > 2 * limits::TICKET_ADDRESSES {
            told.addresses.clear();
        }
        told.addresses.extend(&ticket.addresses);
        if relayed {
            told.relay.clone_from(&ticket.relay);
        }
        let is_new = first || elsewhere || relayed;
        if is_new {
            told.told_ms = now_ms;
        }
        is_new
    }

    fn forget_expired(&mut self, now_ms: u64) {
        let mut expired = false;
        for hosts in self.said.values_mut() {
            let before = hosts.len();
            hosts.retain(|_, said| said.until_ms.is_none_or(|until_ms| until_ms >= now_ms));
            expired |= hosts.len() < before;
        }
        if expired {
            self.forget_unsaid();
        }
    }

    /// Forgets what was handed on of hosts of which nothing is said any more.
    fn forget_unsaid(&mut self) {
        let Self { said, told, .. } = self;
        told.retain(|host, _| said.values().any(|hosts| hosts.contains_key(host)));
    }
}

/// Merges tickets of one host; what is named first counts for more. `None` when there are none.
pub(super) fn merged<'a>(tickets: impl IntoIterator<Item = &'a Ticket>) -> Option<Ticket> {
    let mut tickets = tickets.into_iter();
    let mut merged = tickets.next()?.clone();
    for ticket in tickets {
        for address in &ticket.addresses {
            if merged.addresses.len() < limits::TICKET_ADDRESSES && !merged.addresses.contains(address) {
                merged.addresses.push(*address);
            }
        }
        merged.relay = merged.relay.or_else(|| ticket.relay.clone());
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn host(number: u64) -> HostId {
        HostId::from_bytes(blake3::hash(&number.to_le_bytes()).into())
    }

    fn ticket(number: u64, ports: &[u16]) -> Ticket {
        let addresses = ports.iter().map(|port| SocketAddr::from(([192, 0, 2, 1], *port))).collect();
        Ticket { host: host(number), addresses, relay: None }
    }

    fn found(source: &'static str, ticket: Ticket, at_ms: u64) -> News {
        News::Found { find: Find { ticket, source, at_ms, sure: false }, until_ms: Some(at_ms + 1000) }
    }

    #[test]
    fn only_what_is_new_is_handed_on() {
        let mut finds = Finds::new(host(0));
        assert_eq!(finds.take(found("a", ticket(0, &[1]), NOW), NOW), None, "its own id");
        let first = finds.take(found("a", ticket(1, &[1]), NOW), NOW).unwrap();
        assert_eq!((first.ticket, first.source, first.at_ms), (ticket(1, &[1]), "a", NOW));
        assert_eq!(finds.take(found("a", ticket(1, &[1]), NOW + 1), NOW + 1), None);
        assert_eq!(finds.take(found("b", ticket(1, &[1]), NOW + 1), NOW + 1), None, "another says the same");
        let more = finds.take(found("b", ticket(1, &[2, 1]), NOW + 2), NOW + 2).unwrap();
        assert_eq!(more.ticket, ticket(1, &[2, 1]), "the newest word comes first");
        assert_eq!(finds.take(found("b", ticket(1, &[3]), NOW + 1), NOW + 2), None, "an older word");
    }

    #[test]
    fn words_that_alternate_are_handed_on_once() {
        let mut finds = Finds::new(host(0));
        let handed = (0..20).filter(|turn| {
            let ports: &[u16] = if turn % 2 == 0 { &[1, 2] } else { &[2, 3] };
            finds.take(found("a", ticket(1, ports), NOW + turn), NOW + turn).is_some()
        });
        assert_eq!(handed.count(), 2);
    }

    #[test]
    fn a_word_from_the_future_does_not_stand_against_a_later_one() {
        let mut finds = Finds::new(host(0));
        finds.take(found("a", ticket(1, &[1]), NOW + 500), NOW).unwrap();
        assert!(finds.take(found("a", ticket(1, &[2]), NOW + 1), NOW + 1).is_some());
    }

    #[test]
    fn what_was_said_by_a_clock_that_has_gone_back_since_does_not_stand_against_a_later_word() {
        let mut finds = Finds::new(host(0));
        let say = |ports: &[u16], at_ms| {
            let find = Find { ticket: ticket(1, ports), source: "local network", at_ms, sure: false };
            News::Found { find, until_ms: None }
        };
        let hour = 60 * 60 * 1000;
        finds.take(say(&[1], NOW + hour), NOW + hour).unwrap();
        let again = finds.again(&BTreeSet::new(), NOW);
        assert_eq!(again.iter().map(|find| find.ticket.host).collect::<Vec<_>>(), [host(1)]);
        assert_eq!(finds.again(&BTreeSet::new(), NOW), [], "told by the clock of now");
        let moved = finds.take(say(&[2], NOW + 1), NOW + 1).unwrap();
        assert_eq!(moved.ticket.addresses[0].port(), 2);
    }

    #[test]
    fn the_newest_word_of_a_source_replaces_its_older_one() {
        let mut finds = Finds::new(host(0));
        finds.take(found("a", ticket(1, &[1]), NOW), NOW).unwrap();
        finds.take(found("b", ticket(1, &[2]), NOW + 1), NOW + 1).unwrap();
        let relayed = Ticket { relay: Some("https://relay.example.org./".to_owned()), ..ticket(1, &[3]) };
        let merged = finds.take(found("a", relayed.clone(), NOW + 2), NOW + 2).unwrap().ticket;
        assert_eq!(merged, Ticket { addresses: ticket(1, &[3, 2]).addresses, ..relayed });
    }

    #[test]
    fn what_has_expired_or_is_gone_or_was_lost_counts_as_new_again() {
        let mut finds = Finds::new(host(0));
        let word = |at_ms| found("a", ticket(1, &[1]), at_ms);
        assert_eq!(finds.take(word(NOW - 1001), NOW), None, "expired when it came");
        assert!(finds.take(word(NOW), NOW).is_some());
        assert!(finds.take(word(NOW + 1001), NOW + 1001).is_some(), "the first had expired");
        assert_eq!(finds.take(word(NOW + 1002), NOW + 1002), None);
        finds.take(News::Gone { host: host(1), source: "a" }, NOW + 1002);
        assert!(finds.take(word(NOW + 1003), NOW + 1003).is_some());
        finds.lost(host(1));
        assert!(finds.take(word(NOW + 1004), NOW + 1004).is_some());
    }

    #[test]
    fn what_has_expired_is_not_handed_on_with_the_rest() {
        let mut finds = Finds::new(host(0));
        finds.take(found("a", ticket(1, &[1]), NOW), NOW).unwrap();
        let later = NOW + 1001;
        assert_eq!(finds.take(found("b", ticket(1, &[2]), later), later).unwrap().ticket, ticket(1, &[2]));
    }

    #[test]
    fn what_is_still_said_of_a_host_is_handed_on_again_after_a_while() {
        let mut finds = Finds::new(host(0));
        let say = |source, number, sure| {
            let find = Find { ticket: ticket(number, &[1]), source, at_ms: NOW, sure };
            News::Found { find, until_ms: None }
        };
        finds.take(say("known", 1, true), NOW).unwrap();
        finds.take(say("a", 1, false), NOW);
        finds.take(say("a", 2, false), NOW).unwrap();
        finds.take(found("a", ticket(3, &[1]), NOW), NOW).unwrap();
        let (none, connected) = (BTreeSet::new(), BTreeSet::from([host(2)]));
        let later = NOW + limits::FINDS_AGAIN_MS;
        assert_eq!(finds.again(&none, later - 1), []);
        let again = finds.again(&connected, later);
        assert_eq!(again.iter().map(|find| (find.ticket.host, find.sure)).collect::<Vec<_>>(), [(host(1), true)]);
        assert_eq!(finds.again(&none, later + 1).len(), 1, "the one that was connected");
    }

    #[test]
    fn a_source_that_is_flooded_pushes_out_nothing_of_another() {
        let mut finds = Finds::new(host(0));
        let find = Find { ticket: ticket(1, &[1]), source: "known", at_ms: 0, sure: true };
        let known = News::Found { find, until_ms: None };
        finds.take(known, NOW).unwrap();
        let flooded = |number, ports: &[u16]| {
            let find = Find { ticket: ticket(number, ports), source: "flooded", at_ms: NOW + number, sure: false };
            News::Found { find, until_ms: None }
        };
        for number in 2..2 * limits::FINDS_PER_SOURCE as u64 {
            finds.take(flooded(number, &[1]), NOW + number).unwrap();
        }
        assert_eq!(finds.said["flooded"].len(), limits::FINDS_PER_SOURCE);
        assert_eq!(finds.told.len(), limits::FINDS_PER_SOURCE + 1);
        assert_eq!(finds.take(found("other", ticket(1, &[2]), NOW), NOW).unwrap().ticket, ticket(1, &[2, 1]));
    }

    #[test]
    fn a_merged_ticket_is_bounded() {
        let mut finds = Finds::new(host(0));
        let ports = |from| (from..from + 30).collect::<Vec<u16>>();
        finds.take(found("a", ticket(1, &ports(1)), NOW), NOW);
        let merged = finds.take(found("b", ticket(1, &ports(100)), NOW + 1), NOW + 1).unwrap().ticket;
        assert_eq!(merged.addresses.len(), limits::TICKET_ADDRESSES);
        assert_eq!(merged.addresses[..30], ticket(1, &ports(100)).addresses);
    }
}
