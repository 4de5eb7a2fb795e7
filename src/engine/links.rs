//! Which members are known, and to whom of them this host should be linked; the rule itself is [`Web`].
//!
//! A member is known once it has proved itself on a connection, or has announced itself in gossip, which only members
//! can. Whoever was merely found counts for nothing here.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::asset::HostId;
use crate::library::Ticket;
use crate::limits;
use crate::sync::Choice;
use crate::sync::Standing;
use crate::sync::Web;

/// Time for which a member is counted that was not heard of since.
const LIFE: Duration = Duration::from_millis(limits::GOSSIP_LIFE_MS);

/// The members that are known.
#[derive(Debug)]
pub(super) struct Links {
    own: HostId,
    known: BTreeMap<HostId, Member>,
    /// Hosts that are not dialled, since they have enough links, and until when.
    left_alone: BTreeMap<HostId, Instant>,
    web: Web,
    /// Of whom the web was spun, when it was not of those that are known now.
    outdated: bool,
}

#[derive(Debug)]
struct Member {
    ticket: Ticket,
    keeps_everything: bool,
    heard: Instant,
}

impl Links {
    pub(super) fn new(own: HostId) -> Self {
        let (known, left_alone) = (BTreeMap::new(), BTreeMap::new());
        Self { own, known, left_alone, web: Web::default(), outdated: true }
    }

    /// A member was heard: it is there, and says this of itself.
    pub(super) fn heard(&mut self, ticket: Ticket, keeps_everything: Option<bool>, now: Instant) {
        let host = ticket.host;
        let before = self.known.get(&host).map(|member| member.keeps_everything);
        if before.is_none() && self.known.len() >= limits::MEMBERS_KNOWN {
            return;
        }
        let keeps_everything = keeps_everything.or(before).unwrap_or(false);
        self.outdated |= before != Some(keeps_everything);
        self.known.insert(host, Member { ticket, keeps_everything, heard: now });
    }

    /// A host has let go of the link to this one, since it has enough others.
    pub(super) fn leave_alone(&mut self, host: HostId, now: Instant) {
        self.left_alone.insert(host, now + limits::LET_GO_PAUSE);
    }

    /// Forgets members that are none any more, or are left alone by a person.
    pub(super) fn keep_only(&mut self, is_member: impl Fn(HostId) -> bool) {
        let before = self.known.len();
        self.known.retain(|host, _| is_member(*host));
        self.outdated |= self.known.len() != before;
    }

    /// Forgets members that were not heard of for long and are not connected.
    pub(super) fn forget(&mut self, is_linked: impl Fn(&HostId) -> bool, now: Instant) {
        let before = self.known.len();
        self.known.retain(|host, member| is_linked(host) || now < member.heard + LIFE);
        self.outdated |= self.known.len() != before;
        self.left_alone.retain(|_, until| now < *until);
    }

    /// Returns how many members are known and not connected.
    pub(super) fn absent(&self, is_linked: impl Fn(&HostId) -> bool) -> usize {
        self.known.keys().filter(|host| !is_linked(host)).count()
    }

    pub(super) fn ticket(&self, host: &HostId) -> Option<&Ticket> {
        self.known.get(host).map(|member| &member.ticket)
    }

    /// Tells whether this host should be linked to another; `None` when that one is not known as a member.
    pub(super) fn wants(&mut self, host: &HostId, own_keeps: bool) -> Option<bool> {
        if self.left_alone.contains_key(host) {
            return Some(false);
        }
        let own = self.own;
        self.known.contains_key(host).then(|| self.web(own_keeps).links_of(&own).contains(host))
    }

    /// Chooses what to do about the links that stand.
    pub(super) fn choose(&mut self, own_keeps: bool, standing: &[Standing]) -> Choice {
        let own = self.own;
        let mut choice = self.web(own_keeps).choose(own, standing);
        choice.dial.retain(|host| !self.left_alone.contains_key(host));
        choice
    }

    fn web(&mut self, own_keeps: bool) -> &Web {
        if self.outdated || self.web.keeps(&self.own) != own_keeps {
            let known = self.known.iter().map(|(host, member)| (*host, member.keeps_everything));
            self.web = Web::new(known.chain([(self.own, own_keeps)]));
            self.outdated = false;
        }
        &self.web
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(host: u8) -> Ticket {
        Ticket { host: HostId::from_bytes([host; 32]), addresses: Vec::new(), relay: None }
    }

    fn links(count: u8, now: Instant) -> Links {
        let mut links = Links::new(ticket(0).host);
        (1..count).for_each(|host| links.heard(ticket(host), Some(true), now));
        links
    }

    #[test]
    fn a_small_library_is_a_full_mesh_and_a_larger_one_is_not() {
        let now = Instant::now();
        let wanted = |count: u8| {
            let mut links = links(count, now);
            (1..count).filter(|host| links.wants(&ticket(*host).host, true) == Some(true)).count()
        };
        assert_eq!((wanted(2), wanted(16)), (1, 15));
        assert!((4..=10).contains(&wanted(40)), "{}", wanted(40));
        assert_eq!(links(16, now).wants(&ticket(99).host, true), None);
    }

    #[test]
    fn a_host_that_has_enough_links_is_left_alone_for_a_while() {
        let now = Instant::now();
        let mut links = links(3, now);
        let one = ticket(1).host;
        links.leave_alone(one, now);
        assert_eq!(links.wants(&one, true), Some(false));
        assert_eq!(links.choose(true, &[]).dial, [ticket(2).host]);
        links.forget(|_| true, now + limits::LET_GO_PAUSE);
        assert_eq!(links.wants(&one, true), Some(true));
        assert_eq!(links.choose(true, &[]).dial.len(), 2);
    }

    #[test]
    fn who_was_not_heard_of_for_long_counts_no_longer_unless_connected() {
        let now = Instant::now();
        let mut links = links(20, now);
        let later = now + LIFE;
        links.heard(ticket(5), None, later);
        let one = ticket(1).host;
        assert_eq!(links.absent(|host| *host == one), 18);
        links.forget(|host| *host == one, later);
        assert_eq!(links.absent(|host| *host == one), 1);
        assert!(links.ticket(&ticket(5).host).is_some() && links.ticket(&ticket(6).host).is_none());
    }
}
