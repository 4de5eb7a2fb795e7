//! The devices this host knows, at hand for whoever decides about them; every change is written down first.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::sync::watch;

use crate::asset::HostId;
use crate::limits::membership::DEVICES_KNOWN;
use crate::limits::membership::DEVICES_WAITING;
use crate::state::Peer;
use crate::state::PeerSettings;
use crate::state::State;
use crate::state::StateError;
use crate::task::now_ms;
use crate::telemetry::Sparing;

pub(super) struct Registry {
    state: State,
    devices: RwLock<BTreeMap<HostId, Peer>>,
    /// One change at a time, so that what is written last is what stands here.
    changing: Mutex<()>,
    changes: watch::Sender<()>,
    /// Devices for which there was no room.
    not_remembered: Sparing,
}

impl Registry {
    pub(super) async fn load(state: State) -> Result<Self, StateError> {
        let devices = state.peers().await?.into_iter().map(|peer| (peer.id, peer)).collect();
        let (changing, changes, not_remembered) = (Mutex::new(()), watch::Sender::default(), Sparing::default());
        Ok(Self { state, devices: RwLock::new(devices), changing, changes, not_remembered })
    }

    pub(super) fn all(&self) -> Vec<Peer> {
        self.devices.read().values().cloned().collect()
    }

    pub(super) fn get(&self, id: HostId) -> Option<Peer> {
        self.devices.read().get(&id).cloned()
    }

    /// Returns what a device is called; nothing when it was never heard of.
    pub(super) fn name(&self, id: HostId) -> String {
        let devices = self.devices.read();
        devices.get(&id).map_or_else(String::new, |peer| peer.shown_name().to_owned())
    }

    pub(super) fn settings(&self, id: HostId) -> PeerSettings {
        let devices = self.devices.read();
        devices.get(&id).map(|peer| peer.settings.clone()).unwrap_or_default()
    }

    /// Tells whether people have a device left alone now.
    pub(super) fn is_paused(&self, id: HostId) -> bool {
        let devices = self.devices.read();
        devices.get(&id).is_some_and(|peer| peer.settings.is_paused(now_ms()))
    }

    /// Follows that something has changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Changes what is known of a device. One that is new may have another one forgotten that is `worth` less, as
    /// [`room_for`] says; tells whether it is remembered.
    pub(super) async fn change(
        &self,
        id: HostId,
        worth: impl Fn(&Peer) -> Worth,
        change: impl FnOnce(&mut Peer),
    ) -> Result<bool, StateError> {
        let _changing = self.changing.lock().await;
        let before = self.get(id);
        let mut peer = before.clone().unwrap_or_else(|| Peer::unknown(id, now_ms()));
        change(&mut peer);
        if before.as_ref() == Some(&peer) {
            return Ok(true);
        }
        if before.is_none() {
            let room = {
                let devices = self.devices.read();
                room_for(&peer, &devices, worth, DEVICES_KNOWN)
            };
            match room {
                Room::Free => {}
                Room::Of(other) => {
                    self.state.forget_peer(other).await?;
                    self.devices.write().remove(&other);
                }
                Room::None => {
                    if let Some(times) = self.not_remembered.count(Instant::now()) {
                        tracing::warn!(peer = %id.fmt_short(), times, "too many devices are known; this one is not remembered");
                    }
                    return Ok(false);
                }
            }
        }
        self.state.keep_peer(peer.clone()).await?;
        self.devices.write().insert(id, peer);
        self.changes.send_replace(());
        Ok(true)
    }
}

/// What it is worth to remember a device, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// It waits to be accepted: whoever knows the secret can make up as many as it likes.
    Waiting,
    /// It was a member, and nobody has set anything for it.
    Seen,
    /// A person would miss it.
    Kept,
}

/// Where a new device is remembered.
#[derive(Debug, PartialEq, Eq)]
enum Room {
    Free,
    /// In place of another one.
    Of(HostId),
    None,
}

/// Finds room for a new device, of which at most `most` are remembered, and [`DEVICES_WAITING`] that wait: the one that
/// is worth least makes it, and of several the one that was seen longest ago.
fn room_for(peer: &Peer, devices: &BTreeMap<HostId, Peer>, worth: impl Fn(&Peer) -> Worth, most: usize) -> Room {
    let ranked = || devices.values().map(|other| (worth(other), other.last_seen_ms, other.id));
    let waiting = || ranked().filter(|(worth, ..)| *worth == Worth::Waiting);
    if worth(peer) == Worth::Waiting && waiting().count() >= DEVICES_WAITING {
        return waiting().min().map_or(Room::None, |(.., id)| Room::Of(id));
    }
    if devices.len() < most {
        return Room::Free;
    }
    let least = ranked().min().filter(|(worth, ..)| *worth < Worth::Kept);
    least.map_or(Room::None, |(.., id)| Room::Of(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> HostId {
        HostId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn seen(number: usize, last_seen_ms: u64) -> Peer {
        Peer { last_seen_ms, ..Peer::unknown(id(number), 1) }
    }

    fn devices(count: usize) -> BTreeMap<HostId, Peer> {
        // The lower the number, the longer ago it was seen.
        (0..count).map(|number| (id(number), seen(number, number as u64))).collect()
    }

    #[test]
    fn what_nobody_would_miss_makes_room_and_those_that_wait_do_first() {
        let most = 100;
        let (known, new) = (devices(most), seen(most, 5000));
        assert_eq!(room_for(&new, &devices(most - 1), |_| Worth::Seen, most), Room::Free);
        assert_eq!(room_for(&new, &known, |_| Worth::Seen, most), Room::Of(id(0)));
        let worth = |peer: &Peer| if peer.id == id(0) { Worth::Kept } else { Worth::Seen };
        assert_eq!(room_for(&new, &known, worth, most), Room::Of(id(1)));
        let worth = |peer: &Peer| if peer.id == id(70) { Worth::Waiting } else { Worth::Seen };
        assert_eq!(room_for(&new, &known, worth, most), Room::Of(id(70)));
        assert_eq!(room_for(&new, &known, |_| Worth::Kept, most), Room::None);
    }

    #[test]
    fn those_that_wait_push_out_no_others() {
        let (known, new) = (devices(2 * DEVICES_WAITING), seen(usize::MAX, 5000));
        let waits = |peer: &Peer| peer.last_seen_ms >= DEVICES_WAITING as u64;
        let worth = |peer: &Peer| if waits(peer) { Worth::Waiting } else { Worth::Seen };
        assert_eq!(room_for(&new, &known, worth, 4 * DEVICES_WAITING), Room::Of(id(DEVICES_WAITING)));
        assert_eq!(room_for(&new, &devices(2 * DEVICES_WAITING - 1), worth, 4 * DEVICES_WAITING), Room::Free);
    }

    #[tokio::test]
    async fn who_was_forgotten_stays_forgotten_and_who_finds_no_room_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(&dir.path().join("state.db"), "mirror").unwrap();
        let all = (0..DEVICES_KNOWN).map(|number| state.keep_peer(seen(number, number as u64)));
        futures_util::future::try_join_all(all).await.unwrap();
        let registry = Registry::load(state.clone()).await.unwrap();
        let new = id(DEVICES_KNOWN);
        assert!(!registry.change(new, |_| Worth::Kept, |peer| peer.settings.most_sent = Some(1)).await.unwrap());
        assert_eq!((registry.get(new), registry.settings(new).most_sent), (None, None));
        assert!(registry.change(new, |_| Worth::Seen, |peer| peer.settings.most_sent = Some(1)).await.unwrap());
        let registry = Registry::load(state).await.unwrap();
        assert_eq!((registry.get(id(0)), registry.settings(new).most_sent), (None, Some(1)));
        assert_eq!(registry.all().len(), DEVICES_KNOWN);
    }
}
