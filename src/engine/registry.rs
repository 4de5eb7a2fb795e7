//! The devices this host knows, at hand for whoever decides about them; every change is written down first.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::RwLock;

use tokio::sync::Mutex;
use tokio::sync::watch;

use crate::asset::HostId;
use crate::limits::membership::DEVICES_KNOWN;
use crate::state::Peer;
use crate::state::PeerSettings;
use crate::state::State;
use crate::state::StateError;
use crate::task::now_ms;

pub(super) struct Registry {
    state: State,
    devices: RwLock<BTreeMap<HostId, Peer>>,
    /// One change at a time, so that what is written last is what stands here.
    changing: Mutex<()>,
    changes: watch::Sender<()>,
}

impl Registry {
    pub(super) async fn load(state: State) -> Result<Self, StateError> {
        let devices = state.peers().await?.into_iter().map(|peer| (peer.id, peer)).collect();
        Ok(Self { state, devices: RwLock::new(devices), changing: Mutex::new(()), changes: watch::Sender::default() })
    }

    pub(super) fn all(&self) -> Vec<Peer> {
        self.devices.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn get(&self, id: HostId) -> Option<Peer> {
        self.devices.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Returns what a device is called; nothing when it was never heard of.
    pub(super) fn name(&self, id: HostId) -> String {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        devices.get(&id).map_or_else(String::new, |peer| peer.shown_name().to_owned())
    }

    pub(super) fn settings(&self, id: HostId) -> PeerSettings {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        devices.get(&id).map(|peer| peer.settings.clone()).unwrap_or_default()
    }

    /// Tells whether people have a device left alone now.
    pub(super) fn is_paused(&self, id: HostId) -> bool {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        devices.get(&id).is_some_and(|peer| peer.settings.is_paused(now_ms()))
    }

    /// Follows that something has changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Changes what is known of a device, which may be new; beyond [`DEVICES_KNOWN`] nothing is kept of a new one.
    pub(super) async fn change(&self, id: HostId, change: impl FnOnce(&mut Peer)) -> Result<Peer, StateError> {
        let _changing = self.changing.lock().await;
        let before = self.get(id);
        let mut peer = before.clone().unwrap_or_else(|| Peer::unknown(id, now_ms()));
        change(&mut peer);
        let full = || self.devices.read().unwrap_or_else(PoisonError::into_inner).len() >= DEVICES_KNOWN;
        if before.is_none() && full() {
            tracing::warn!(peer = %id.fmt_short(), "too many devices are known; this one is not remembered");
            return Ok(peer);
        }
        if before.as_ref() != Some(&peer) {
            self.state.keep_peer(peer.clone()).await?;
            self.devices.write().unwrap_or_else(PoisonError::into_inner).insert(id, peer.clone());
            self.changes.send_replace(());
        }
        Ok(peer)
    }
}
