//! How connections to peers end: by themselves, for a newer one, or because a peer is unwelcome from now on.

use std::time::Instant;

use super::super::greet;
use super::super::hub::Told;
use super::super::shared::NO_MEMBER;
use super::super::shared::WAITS;
use super::Peers;
use super::displaced::Displaced;
use super::displaced::STRANGE;
use crate::asset::HostId;
use crate::auth::members::Standing;
use crate::event::Event;
use crate::limits;
use crate::task::now_ms;
use crate::telemetry::causes;

impl Peers {
    pub(super) async fn ended(&mut self, peer: HostId, number: u64, why: &str) {
        let Some(standing) = self.standing.get(&peer).filter(|standing| standing.number == number) else { return };
        if standing.line.was_let_go() && !self.named.contains(&peer) {
            self.links.leave_alone(peer, tokio::time::Instant::now());
            self.dialled.remove(&peer);
        }
        let said = standing.line.closed_there().map(|said| greet::shown_up_to(&said, limits::REASON_BYTES));
        self.end(peer, said.as_deref().unwrap_or(why)).await;
    }

    /// Ends the connection of a peer, if one stands.
    pub(super) async fn end(&mut self, peer: HostId, why: &str) {
        if let Some(number) = self.let_go(peer, why) {
            self.note_end(peer, number, why).await;
        }
    }

    /// Tells that the connection of a peer has ended, and remembers it.
    async fn note_end(&self, peer: HostId, number: u64, why: &str) {
        self.shared.tell(Told::Disconnected(peer, number)).await;
        let at_ms = now_ms();
        let noted = self.shared.remember(peer, |known| {
            known.ended = Some((why.to_owned(), at_ms));
            known.last_seen_ms = at_ms;
        });
        if let Err(error) = noted.await {
            tracing::warn!(error = %causes(&error), "a peer could not be remembered");
        }
        tracing::info!(peer = %peer.fmt_short(), why, "disconnected");
        self.shared.announce(Event::PeerDisconnected { peer, reason: why.to_owned() });
    }

    /// Lets go who is no member any more, and has all others told.
    pub(super) async fn members_changed(&mut self) {
        self.cut_off_the_unwelcome();
        let peers: Vec<HostId> = self.standing.keys().copied().collect();
        let mut gone = Vec::new();
        for peer in peers {
            let why = match self.shared.members.standing(peer) {
                Standing::Member { .. } => {
                    // A peer that is about to be told will be told what is known then.
                    let _ = self.standing[&peer].telling.try_send(());
                    continue;
                }
                Standing::Pending => WAITS,
                Standing::Removed => NO_MEMBER,
            };
            gone.extend(self.let_go(peer, why).map(|number| (peer, number, why)));
        }
        // Writing down takes as long as the disk does; by then nothing goes to any of them.
        for (peer, number, why) in gone {
            self.note_end(peer, number, why).await;
        }
    }

    /// Returns how often connections of a peer have pushed each other out, now that there is a newer one.
    pub(super) fn displaced_by(&self, peer: HostId, dialled: bool) -> Displaced {
        let Some(before) = self.shared.connected.get(&peer) else { return Displaced::default() };
        // One that has ended by itself was pushed out by nobody, and two that crossed were made by one machine each.
        if before.line.has_ended() || before.dialled != dialled {
            return before.displaced;
        }
        let displaced = before.displaced.again(Instant::now());
        if displaced.becomes_strange() {
            tracing::warn!(peer = %peer.fmt_short(), "{}", STRANGE);
        }
        displaced
    }

    /// Ends the connections on which contents go to whom nothing may go any more, in the middle if need be.
    pub(super) fn cut_off_the_unwelcome(&self) {
        self.shared.served.retain(|peer, line| !self.shared.turns_away(*peer, line));
    }

    /// Ends what belongs to the standing connection of a peer, and takes it out of the table, if there is one; returns
    /// which it was.
    pub(super) fn let_go(&mut self, peer: HostId, why: &str) -> Option<u64> {
        let number = self.cut(peer, why)?;
        self.shared.connected.remove_if(&peer, |_, connected| connected.number == number);
        self.shared.connections.send_replace(());
        self.shared.gossip.linked.send_if_modified(|linked| linked.remove(&peer).is_some());
        self.show_members();
        Some(number)
    }

    /// Ends what belongs to the standing connection of a peer, if there is one. It stays in the table until another takes
    /// its place, or is [let go](Self::let_go): a peer that seems away for a moment would be dialled.
    pub(super) fn cut(&mut self, peer: HostId, why: &str) -> Option<u64> {
        let standing = self.standing.remove(&peer)?;
        standing.ends.cancel();
        standing.line.close(why);
        Some(standing.number)
    }

    /// Shows where the connected peers are, to whoever tells others of them.
    pub(super) fn show_members(&self) {
        self.count_absent();
        self.shared.reachable.send_replace(self.standing.values().map(|standing| standing.ticket.clone()).collect());
    }
}
