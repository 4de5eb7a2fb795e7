//! Whom to dial and whom to let go, as far as no person has said it: a bounded number of links to the members.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::super::dial::Why;
use super::super::dial::Wish;
use super::Peers;
use crate::asset::HostId;
use crate::library::Ticket;
use crate::limits;
use crate::sync::Choice;
use crate::sync::Standing;

impl Peers {
    /// Takes in where a host may be, and has it dialled unless others do as well.
    pub(super) fn wish(&mut self, wish: Wish) {
        let host = wish.ticket.host;
        if wish.why == Why::Named {
            self.named.insert(host);
        } else if !self.named.contains(&host) && !self.standing.contains_key(&host) && !self.is_wanted(&host) {
            if self.spare.len() < limits::HOSTS_DIALLED || self.spare.contains_key(&host) {
                self.spare.insert(host, wish);
            }
            return;
        }
        self.dial(wish);
    }

    /// Tells whether a host is to be dialled that nobody has named: a member that this host should be linked to, or one
    /// that may be a member, as long as there are fewer links than in a full mesh.
    fn is_wanted(&mut self, host: &HostId) -> bool {
        if !self.is_welcome(*host) {
            return false;
        }
        let few = self.standing.len() < limits::FULL_MESH_HOSTS;
        self.links.wants(host, self.shared.keeps_all()).unwrap_or(few)
    }

    fn is_welcome(&self, host: HostId) -> bool {
        self.shared.is_welcome(host)
    }

    /// Takes in that a member is there.
    pub(super) fn announced(&mut self, ticket: Ticket, keeps_everything: bool) {
        let host = ticket.host;
        if host == self.shared.host || !self.is_welcome(host) {
            return;
        }
        self.links.heard(ticket, Some(keeps_everything), Instant::now());
        if let Some(mut connected) = self.shared.connected.get_mut(&host) {
            connected.keeps_everything = Some(keeps_everything);
        }
        self.count_absent();
    }

    pub(super) fn count_absent(&self) {
        let absent = self.links.absent(|host| self.standing.contains_key(host));
        self.shared.absent.store(absent, Ordering::Relaxed);
    }

    /// Dials members to which a link is missing, and lets go of links that are too many.
    pub(super) async fn look_at_links(&mut self) {
        let shared = Arc::clone(&self.shared);
        // A task that has ended dials nobody any more.
        self.dialled.retain(|_, task| !task.wishes.is_closed());
        self.links.keep_only(|host| shared.is_welcome(host));
        self.links.forget(|host| self.standing.contains_key(host), Instant::now());
        self.count_absent();
        let keeps = self.shared.keeps_all();
        let standing = self.standing.iter().map(|(host, standing)| Standing {
            host: *host,
            named: self.named.contains(host),
            young: standing.since.elapsed() < limits::LINK_GRACE,
        });
        let standing: Vec<Standing> = standing.collect();
        let Choice { dial, let_go } = self.links.choose(keeps, &standing);
        for host in dial {
            let ticket = self.links.ticket(&host).filter(|_| !self.dialled.contains_key(&host)).cloned();
            if let Some(ticket) = ticket {
                self.dial(Wish { ticket, why: Why::Known });
            }
        }
        for host in let_go {
            self.release(host).await;
        }
        if self.standing.len() < limits::FULL_MESH_HOSTS {
            std::mem::take(&mut self.spare).into_values().for_each(|wish| self.wish(wish));
        } else {
            self.stop_dialling();
        }
    }

    /// Lets go of a link that is one too many; the other side is told, and leaves it at that.
    async fn release(&mut self, peer: HostId) {
        let Some((number, line)) = self.standing.get(&peer).map(|standing| (standing.number, standing.line.clone()))
        else {
            return;
        };
        self.dialled.remove(&peer);
        line.let_go();
        self.ended(peer, number, "this host has enough links to other members").await;
    }

    /// Ends the tries to reach hosts that are not connected and that others stand for.
    fn stop_dialling(&mut self) {
        let tried: Vec<HostId> = self.dialled.keys().copied().collect();
        for host in tried {
            if !self.named.contains(&host) && !self.standing.contains_key(&host) && !self.is_wanted(&host) {
                self.dialled.remove(&host);
            }
        }
    }
}
