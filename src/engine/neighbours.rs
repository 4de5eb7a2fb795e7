//! Gossip, as it uses the connections: who can be spoken to, what they say, and what is to be said.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::sync::watch;

use super::hub::Told;
use super::peers::PeerOrder;
use super::shared::Engine;
use super::shared::Shared;
use crate::asset::HostId;
use crate::discovery::Announcement;
use crate::discovery::Connections;
use crate::discovery::Neighbour;
use crate::discovery::Neighbours;
use crate::hook::Point;
use crate::library::Filter;
use crate::library::Role;
use crate::limits;
use crate::net::Gossip;
use crate::net::Word;
use crate::sync::Input;

/// The engine's end of what gossip hears.
pub(super) struct Hearing {
    /// Connected members that speak gossip.
    pub(super) linked: watch::Sender<BTreeMap<HostId, Neighbour>>,
    /// Who listens to what they say; there is one at most.
    listener: Mutex<Option<mpsc::Sender<(HostId, Gossip)>>>,
}

impl Hearing {
    pub(super) fn new() -> Self {
        Self { linked: watch::Sender::default(), listener: Mutex::default() }
    }

    /// Hands on what a member says; it is lost when nobody listens, or too much waits.
    pub(super) fn hear(&self, peer: HostId, what: Gossip) {
        if let Some(listener) = &*self.listener.lock() {
            let _ = listener.try_send((peer, what));
        }
    }
}

impl Engine {
    /// Hands out what gossip has to do with the connections. Whoever got it last hears what members say, so gossip can
    /// begin anew with other keys.
    #[must_use]
    pub fn gossip(&self) -> Connections {
        let (listener, heard) = mpsc::channel(limits::GOSSIP_QUEUED);
        *self.shared.gossip.listener.lock() = Some(listener);
        let linked = self.shared.gossip.linked.subscribe();
        Connections { linked, heard, neighbours: Arc::<Shared>::clone(&self.shared) }
    }
}

impl Shared {
    /// Tells whether this host takes in and passes on every asset: nobody is asked about any.
    pub(super) fn keeps_all(&self) -> bool {
        let points = [Point::BeforePush, Point::BeforePull, Point::AfterReceive];
        let asks = points.into_iter().any(|point| self.hooks.chain(point, &self.library.name).is_some());
        self.exchange && self.role == Role::Mirror && matches!(self.library.filter, Filter::Everything) && !asks
    }
}

#[async_trait]
impl Neighbours for Shared {
    fn say(&self, to: HostId, what: Gossip) {
        let Some(words) = self.connected.get(&to).map(|connected| connected.words.clone()) else { return };
        // What is said about sets goes before: its queue is never filled by this.
        if words.capacity() > limits::MESSAGES_QUEUED / 2 {
            let _ = words.try_send(Word::Gossip(what));
        }
    }

    fn set(&self) -> [u8; 16] {
        self.replica().summary().fingerprint
    }

    fn keeps_everything(&self) -> bool {
        self.keeps_all()
    }

    async fn announced(&self, announcement: &Announcement) {
        let Announcement { ticket, keeps_everything, .. } = announcement;
        // The engine has stopped when there is nobody to take it.
        let _ = self.peers.send(PeerOrder::Announced(ticket.clone(), *keeps_everything)).await;
    }

    async fn compare(&self) {
        self.tell(Told::from(Input::Poll)).await;
    }
}
