//! A model of one host: what survives a crash, and the rules by which it decides.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::Document;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::asset::Verifier;
use crate::asset::names;
use crate::sync::Answer;
use crate::sync::Decision;
use crate::sync::Fetched;
use crate::sync::Input;
use crate::sync::Item;
use crate::sync::Offer;
use crate::sync::Replica;
use crate::sync::exception;
use crate::sync::receive;

/// A mistake planted into a host, to see that the simulator finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    SkipVerification,
    DropWant,
    WrongStampOrder,
    LoseOffset,
    EchoAfterRestart,
    WantOvertaken,
    TakeHeld,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::SkipVerification,
        Self::DropWant,
        Self::WrongStampOrder,
        Self::LoseOffset,
        Self::EchoAfterRestart,
        Self::WantOvertaken,
        Self::TakeHeld,
    ];
}

/// What a host's plugins would say. The asset decides, so that every host that asks gets the same answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Policy {
    /// Assets whose id begins with a byte below this are not passed on.
    pub(super) drop_push_below: u8,
    /// Assets whose id begins with a byte from this on are held before they are fetched.
    pub(super) hold_pull_from: Option<u8>,
    /// Whether what arrives gets a local tag.
    pub(super) tags_received: bool,
    /// Whether the path of what is made here is withheld.
    pub(super) withholds_path: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) key: AssetKey,
    pub(super) content: Vec<u8>,
    pub(super) document: LocalDocument,
    pub(super) made_here: bool,
}

/// One host. `replica`, `inbox` and `up` do not survive a crash, all else does.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) id: HostId,
    /// How far its clock is ahead of the world's, in milliseconds.
    pub(super) skew_ms: u64,
    pub(super) policy: Policy,
    pub(super) fault: Option<Fault>,
    pub(super) store: BTreeMap<AssetId, Stored>,
    pub(super) known: BTreeMap<(HostId, AssetId), (AssetKey, Document)>,
    /// Assets it was willing to take at some time, by its plugins of then.
    pub(super) willing: BTreeSet<AssetId>,
    /// Assets it has ever passed on.
    pub(super) shown: BTreeSet<AssetId>,
    pub(super) spool: BTreeMap<AssetId, Vec<u8>>,
    /// Assets of which only the rest was asked for last.
    pub(super) resumed: BTreeSet<AssetId>,
    /// Bytes of content that came for an asset since its spool was last empty by right.
    pub(super) received: BTreeMap<AssetId, u64>,
    pub(super) replica: Replica,
    /// What happened and is handled together with what comes next.
    pub(super) inbox: Vec<Input>,
    pub(super) up: bool,
    /// Counts the starts; what was under way before the present one is lost.
    pub(super) life: u32,
}

impl Host {
    pub(super) fn new(id: HostId, skew_ms: u64, policy: Policy, fault: Option<Fault>) -> Self {
        let replica = Replica::new(Vec::new(), world_poll_ms());
        let (store, known, spool) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (resumed, received) = (BTreeSet::new(), BTreeMap::new());
        let (willing, shown, inbox) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        Self {
            id,
            skew_ms,
            policy,
            fault,
            store,
            known,
            willing,
            shown,
            spool,
            resumed,
            received,
            replica,
            inbox,
            up: false,
            life: 0,
        }
    }

    /// Starts with what survived.
    pub(super) fn start(&mut self) {
        let items = self.store.values().filter_map(|stored| {
            let passed = self.passed(&stored.key.id)?;
            Some(Item::new(stored.key.timestamp, stored.key.id, &passed.digest()))
        });
        self.replica = Replica::new(items.collect(), world_poll_ms());
        self.replica.drops_wants = self.fault == Some(Fault::DropWant);
        self.replica.wants_overtaken = self.fault == Some(Fault::WantOvertaken);
        self.inbox.clear();
        self.up = true;
        self.life += 1;
    }

    /// Returns the document that is passed on.
    pub(super) fn passed(&self, id: &AssetId) -> Option<&Document> {
        let stored = self.store.get(id)?;
        (id.as_bytes()[0] >= self.policy.drop_push_below).then(|| stored.document.shared())
    }

    pub(super) fn exception(&self, peer: HostId, id: &AssetId) -> Option<crate::asset::Digest> {
        exception(self.passed(id), self.known.get(&(peer, *id)).map(|(_, document)| document))
    }

    /// Takes in an asset that is made here.
    pub(super) fn ingest(&mut self, key: AssetKey, content: Vec<u8>, seen: &Changes) {
        let mut document = LocalDocument::default();
        document.see(seen);
        self.store.insert(key.id, Stored { key, content, document, made_here: true });
        self.withhold(&key.id);
    }

    pub(super) fn change(&mut self, id: &AssetId, changes: &Changes, now_ms: u64) {
        if let Some(stored) = self.store.get_mut(id) {
            stored.document.change(changes, now_ms + self.skew_ms, self.id);
        }
        self.withhold(id);
    }

    fn withhold(&mut self, id: &AssetId) {
        if let (true, Some(stored)) = (self.policy.withholds_path, self.store.get_mut(id)) {
            let (host, made_here) = (self.id, stored.made_here);
            let ours = |_: &str, field: &crate::asset::Field| {
                field.stamp.host() == host || (field.stamp.is_zero() && made_here)
            };
            stored.document.withhold(&Changes::new().clear(names::PATH), ours);
        }
    }

    /// Decides about an offer, as the engine does.
    pub(super) fn decide(&mut self, offer: &Offer, now_ms: u64) -> Decision {
        if self.store.contains_key(&offer.key.id) {
            self.merge(&offer.key.id, &offer.document, now_ms);
            return Decision::Answer(Answer::Stored);
        }
        if self.holds(&offer.key.id) {
            return match self.fault {
                Some(Fault::TakeHeld) => Decision::Want,
                _ => Decision::Answer(Answer::Held("by policy".to_owned())),
            };
        }
        self.willing.insert(offer.key.id);
        Decision::Want
    }

    /// Tells whether an asset is held before it is fetched, by the plugins of now.
    pub(super) fn holds(&self, id: &AssetId) -> bool {
        self.policy.hold_pull_from.is_some_and(|from| id.as_bytes()[0] >= from)
    }

    /// Takes what peers are known to have of what is here, as far as its time has come; returns what that has changed.
    pub(super) fn take_early(&mut self, now_ms: u64) -> Vec<AssetId> {
        let here = self.known.iter().filter(|((_, id), _)| self.store.contains_key(id));
        let here: Vec<(AssetId, Document)> = here.map(|((_, id), (_, known))| (*id, known.clone())).collect();
        let mut changed = Vec::new();
        for (id, known) in here {
            let before = self.store[&id].document.shared().clone();
            self.merge(&id, &known, now_ms);
            if *self.store[&id].document.shared() != before {
                changed.push(id);
            }
        }
        changed
    }

    /// Tells whether a peer is known to have something of what is here that is not taken yet.
    pub(super) fn waits(&self) -> bool {
        self.known.iter().any(|((_, id), (_, known))| {
            self.store.get(id).is_some_and(|stored| !stored.document.shared().includes(known))
        })
    }

    /// Returns what a peer is known to have and is wanted here now, as the engine finds it when plugins have changed.
    pub(super) fn decide_again(&mut self, peer: HostId, now_ms: u64) -> Vec<Offer> {
        let known = self.known.iter().filter(|((of, id), _)| *of == peer && !self.store.contains_key(id));
        let known: Vec<Offer> = known.map(|(_, (key, document))| Offer::new(*key, document.clone())).collect();
        known.into_iter().filter(|offer| self.decide(offer, now_ms) == Decision::Want).collect()
    }

    fn merge(&mut self, id: &AssetId, offered: &Document, now_ms: u64) {
        let received = receive(offered, now_ms + self.skew_ms).document;
        let Some(stored) = self.store.get_mut(id) else { return };
        if self.fault == Some(Fault::WrongStampOrder) {
            let mut shared = stored.document.shared().clone();
            for (name, field) in received.iter() {
                if shared.get(name).is_none_or(|own| own.stamp > field.stamp) {
                    shared.insert(name, field.clone());
                }
            }
            stored.document = LocalDocument::from_parts(shared, []);
        } else {
            stored.document.merge(&received);
        }
    }

    /// Takes in a piece of content; returns how the fetch has ended, when it has.
    pub(super) fn piece(&mut self, key: &AssetKey, piece: &[u8]) -> Option<Fetched> {
        *self.received.entry(key.id).or_default() += piece.len() as u64;
        let spool = self.spool.entry(key.id).or_default();
        spool.extend_from_slice(piece);
        if spool.len() < stand_in(key.size) {
            return None;
        }
        let mut verifier = Verifier::new(key.timestamp);
        verifier.update(spool);
        let right = verifier.finish(&key.id).is_ok() || self.fault == Some(Fault::SkipVerification);
        if right {
            return Some(Fetched::Whole);
        }
        self.spool.remove(&key.id);
        self.received.remove(&key.id);
        Some(if self.resumed.contains(&key.id) { Fetched::Mixed } else { Fetched::Wrong })
    }

    /// From where the content of an asset is wanted.
    pub(super) fn offset(&mut self, id: &AssetId) -> usize {
        if self.fault == Some(Fault::LoseOffset) {
            self.spool.remove(id);
        }
        let offset = self.spool.get(id).map_or(0, Vec::len);
        if offset > 0 {
            self.resumed.insert(*id);
        } else {
            self.resumed.remove(id);
        }
        offset
    }

    /// Stores what was fetched, with all versions offered.
    pub(super) fn keep(&mut self, key: AssetKey, offers: &[(HostId, Offer)], now_ms: u64) -> Answer {
        if let Some(content) = self.spool.remove(&key.id) {
            let document = LocalDocument::default();
            self.store.insert(key.id, Stored { key, content, document, made_here: false });
        }
        for (_, offer) in offers {
            self.merge(&key.id, &offer.document, now_ms);
        }
        if let (true, Some(stored)) = (self.policy.tags_received, self.store.get_mut(&key.id)) {
            stored.document.lay(&Changes::new().add_tag("received"));
        }
        Answer::Stored
    }
}

/// Bytes that stand for a content of so many: what it counts for is what the plan looks at.
pub(super) fn stand_in(size: u64) -> usize {
    usize::try_from(size).map_or(20_000, |size| size.min(20_000))
}

/// Poll interval of every simulated host, in milliseconds.
pub(super) const fn world_poll_ms() -> u64 {
    30_000
}
