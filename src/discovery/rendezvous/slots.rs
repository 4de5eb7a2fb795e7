//! Which slot is ours: a state machine over what was last seen at each of them.
//!
//! There is no compare-and-swap: of two writes the newer wins and the loser is not told, so a slot is only ours until
//! somebody else is seen there. That does no harm, since whoever a newcomer dials tells it the rest.

use crate::asset::HostId;
use crate::limits;

const SLOTS: usize = limits::RENDEZVOUS_SLOTS as usize;

/// What a look at a slot brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Not every relay answered, so nothing is known.
    Failed,
    /// Nothing is there.
    Nothing,
    /// A packet with this timestamp, in Unix microseconds, and the member that wrote its record; `None` when no member
    /// did.
    Packet(u64, Option<HostId>),
}

/// Where to write, and the timestamp above which it is seen, in Unix microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) slot: u8,
    pub(super) above_us: u64,
}

/// What a slot is worth to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    Unknown,
    Empty,
    Held(HostId),
    /// Junk, or a packet from the future: nothing older can be written over it.
    Spoiled,
}

/// The slots as one host sees them.
#[derive(Debug)]
pub(super) struct Slots {
    own: HostId,
    looks: [Look; SLOTS],
    /// The slot last written, until somebody else is seen there.
    kept: Option<usize>,
}

impl Slots {
    pub(super) const fn new(own: HostId) -> Self {
        Self { own, looks: [Look::Failed; SLOTS], kept: None }
    }

    /// Takes in what a look at every slot brought.
    pub(super) fn saw(&mut self, looks: &[Look; SLOTS], now_ms: u64) {
        self.looks = *looks;
        if let Some(kept) = self.kept
            && matches!(self.worth(kept, now_ms), Worth::Held(other) if other != self.own)
        {
            self.kept = None;
        }
    }

    /// Chooses where to write: the slot that is ours, else the first that is really empty, else the one that belongs to
    /// our id. `None` when all are spoiled.
    pub(super) fn choose(&mut self, now_ms: u64) -> Option<Choice> {
        let worths: Vec<Worth> = (0..SLOTS).map(|slot| self.worth(slot, now_ms)).collect();
        let kept = self.kept.filter(|slot| worths[*slot] != Worth::Spoiled);
        let ours = || worths.iter().position(|worth| *worth == Worth::Held(self.own));
        let empty = || worths.iter().position(|worth| *worth == Worth::Empty);
        let home = || (0..SLOTS).map(|step| (self.home() + step) % SLOTS).find(|slot| worths[*slot] != Worth::Spoiled);
        self.kept = kept.or_else(ours).or_else(empty).or_else(home);
        let slot = self.kept?;
        let above_us = match self.looks[slot] {
            Look::Packet(timestamp_us, _) => timestamp_us,
            Look::Failed | Look::Nothing => 0,
        };
        Some(Choice { slot: u8::try_from(slot).expect("below eight"), above_us })
    }

    /// Returns how many slots are given up.
    pub(super) fn spoiled(&self, now_ms: u64) -> usize {
        (0..SLOTS).filter(|slot| self.worth(*slot, now_ms) == Worth::Spoiled).count()
    }

    fn worth(&self, slot: usize, now_ms: u64) -> Worth {
        match self.looks[slot] {
            Look::Failed => Worth::Unknown,
            Look::Nothing => Worth::Empty,
            Look::Packet(timestamp_us, writer) => {
                let timestamp_ms = timestamp_us / 1000;
                if timestamp_ms.saturating_sub(now_ms) > limits::RENDEZVOUS_AHEAD_MS {
                    Worth::Spoiled
                } else if now_ms.saturating_sub(timestamp_ms) > limits::RENDEZVOUS_DEAD_MS {
                    Worth::Empty
                } else {
                    writer.map_or(Worth::Spoiled, Worth::Held)
                }
            }
        }
    }

    /// Returns the slot that belongs to our id.
    fn home(&self) -> usize {
        usize::from(blake3::hash(self.own.as_bytes()).as_bytes()[0]) % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn host(number: u8) -> HostId {
        HostId::from_bytes([number; 32])
    }

    fn held(by: u8) -> Look {
        Look::Packet(NOW * 1000, Some(host(by)))
    }

    fn slots(own: u8, looks: &[Look; SLOTS]) -> Slots {
        let mut slots = Slots::new(host(own));
        slots.saw(looks, NOW);
        slots
    }

    fn chosen(slots: &mut Slots) -> usize {
        usize::from(slots.choose(NOW).unwrap().slot)
    }

    #[test]
    fn the_first_slot_that_is_really_empty_is_taken_and_kept() {
        let mut looks = [held(9); SLOTS];
        looks[1] = Look::Failed;
        looks[2] = Look::Packet((NOW - limits::RENDEZVOUS_DEAD_MS - 1) * 1000, Some(host(8)));
        looks[5] = Look::Nothing;
        let mut slots = slots(1, &looks);
        assert_eq!(chosen(&mut slots), 2, "a dead record is no record");
        for look in [Look::Failed, Look::Nothing, held(1)] {
            let mut looks = [Look::Nothing; SLOTS];
            looks[2] = look;
            slots.saw(&looks, NOW);
            assert_eq!(chosen(&mut slots), 2, "{look:?}");
        }
        looks[2] = held(3);
        slots.saw(&looks, NOW);
        assert_eq!(chosen(&mut slots), 5, "somebody else wrote there");
    }

    #[test]
    fn a_host_that_starts_again_finds_the_slot_it_had() {
        let mut looks = [Look::Nothing; SLOTS];
        looks[6] = held(1);
        assert_eq!(chosen(&mut slots(1, &looks)), 6);
    }

    #[test]
    fn with_no_empty_slot_the_one_of_the_id_is_taken() {
        let homes: BTreeSet<usize> = (0..=255).map(|own| chosen(&mut slots(own, &[Look::Failed; SLOTS]))).collect();
        assert_eq!(homes.len(), SLOTS, "ids are spread over all of them");
        assert_eq!(chosen(&mut slots(1, &[held(9); SLOTS])), Slots::new(host(1)).home());
    }

    #[test]
    fn spoiled_slots_are_given_up_and_the_others_serve() {
        let home = Slots::new(host(1)).home();
        let future = (NOW + limits::RENDEZVOUS_AHEAD_MS + 1) * 1000;
        for spoiled in
            [Look::Packet(NOW * 1000, None), Look::Packet(future, Some(host(1))), Look::Packet(u64::MAX, None)]
        {
            let mut looks = [held(9); SLOTS];
            looks[home] = spoiled;
            let mut slots = slots(1, &looks);
            assert_eq!(slots.spoiled(NOW), 1);
            assert_eq!(chosen(&mut slots), (home + 1) % SLOTS, "{spoiled:?}");
            slots.saw(&[spoiled; SLOTS], NOW);
            assert_eq!(slots.choose(NOW), None);
            slots.saw(&[held(9); SLOTS], NOW);
            assert_eq!(chosen(&mut slots), home, "it serves again");
        }
        let old_junk = Look::Packet((NOW - limits::RENDEZVOUS_DEAD_MS - 1) * 1000, None);
        assert_eq!(chosen(&mut slots(1, &[old_junk; SLOTS])), 0);
    }

    #[test]
    fn a_write_is_newer_than_what_it_replaces() {
        let mut looks = [Look::Nothing; SLOTS];
        looks[3] = Look::Packet(NOW * 1000 + 7, Some(host(1)));
        let choice = slots(1, &looks).choose(NOW).unwrap();
        assert_eq!(choice, Choice { slot: 3, above_us: NOW * 1000 + 7 });
    }

    /// Numbers that are the same for the same seed.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let hash = blake3::hash(&self.0.to_le_bytes());
            usize::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]])) % n
        }
    }

    /// A record of the simulation.
    #[derive(Clone)]
    struct Left {
        timestamp_us: u64,
        writer: usize,
        members: Vec<usize>,
    }

    /// Hosts that start together, know nobody, and dial whom they find. A tenth of all looks fails, and as many writes
    /// are lost.
    struct World {
        random: Random,
        relay: BTreeMap<usize, Left>,
        hosts: Vec<Slots>,
        connected: Vec<BTreeSet<usize>>,
    }

    /// Members that fit a record when each has a relay and two addresses.
    const LISTED: usize = 8;

    impl World {
        fn new(hosts: usize, seed: u64) -> Self {
            let id = |number: usize| HostId::from_bytes(blake3::hash(&[u8::try_from(number).unwrap()]).into());
            Self {
                random: Random(seed),
                relay: BTreeMap::new(),
                hosts: (0..hosts).map(|number| Slots::new(id(number))).collect(),
                connected: vec![BTreeSet::new(); hosts],
            }
        }

        /// Lets every host write, in an order that differs from minute to minute. Who knows nobody looks before that;
        /// the others look every fifth minute.
        fn minute(&mut self, minute: u64) {
            let now_ms = NOW + minute * 60_000;
            let mut order: Vec<usize> = (0..self.hosts.len()).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, self.random.below(at + 1));
            }
            for host in order {
                if self.connected[host].is_empty() || (minute + host as u64).is_multiple_of(5) {
                    self.look(host, now_ms);
                }
                self.write(host, now_ms);
            }
        }

        fn look(&mut self, host: usize, now_ms: u64) {
            let mut looks = [Look::Nothing; SLOTS];
            for (slot, look) in looks.iter_mut().enumerate() {
                if self.random.below(10) == 0 {
                    *look = Look::Failed;
                } else if let Some(left) = self.relay.get(&slot).cloned() {
                    *look = Look::Packet(left.timestamp_us, Some(self.hosts[left.writer].own));
                    for found in left.members.iter().copied().chain([left.writer]).filter(|found| *found != host) {
                        self.connected[host].insert(found);
                        self.connected[found].insert(host);
                    }
                }
            }
            self.hosts[host].saw(&looks, now_ms);
        }

        fn write(&mut self, host: usize, now_ms: u64) {
            let choice = self.hosts[host].choose(now_ms).unwrap();
            let timestamp_us = (now_ms * 1000 + self.random.below(1000) as u64).max(choice.above_us + 1);
            let mut others: Vec<usize> = self.connected[host].iter().copied().collect();
            let mut members = Vec::new();
            while !others.is_empty() && members.len() < LISTED {
                members.push(others.swap_remove(self.random.below(others.len())));
            }
            let lost = self.random.below(10) == 0;
            let newer = self.relay.get(&usize::from(choice.slot)).is_some_and(|left| left.timestamp_us >= timestamp_us);
            if !lost && !newer {
                self.relay.insert(usize::from(choice.slot), Left { timestamp_us, writer: host, members });
            }
        }

        fn all_have_met(&self) -> bool {
            self.connected.iter().all(|connected| connected.len() == self.hosts.len() - 1)
        }

        /// Returns after how many minutes everybody has met everybody.
        fn minutes_until_all_have_met(&mut self) -> u64 {
            let met = (0..1000).find(|minute| {
                self.minute(*minute);
                self.all_have_met()
            });
            met.expect("they never meet") + 1
        }
    }

    #[test]
    fn everybody_finds_everybody_although_writes_are_lost_and_overwritten() {
        for (hosts, bound) in [(1, 1), (2, 6), (8, 12), (9, 12), (40, 34)] {
            let slowest = (0..200).map(|seed| World::new(hosts, seed).minutes_until_all_have_met()).max().unwrap();
            assert!(slowest <= bound, "{hosts} hosts: {slowest} minutes");
        }
    }

    #[test]
    fn up_to_eight_hosts_come_to_rest_in_slots_of_their_own() {
        for hosts in [1, 2, 8] {
            for seed in 0..50 {
                let mut world = World::new(hosts, seed);
                let rest = (0..200).find(|minute| {
                    world.minute(*minute);
                    let writers: BTreeSet<usize> = world.relay.values().map(|left| left.writer).collect();
                    let kept: BTreeSet<usize> = world.hosts.iter().filter_map(|slots| slots.kept).collect();
                    writers.len() == hosts && kept.len() == hosts
                });
                let rest = rest.expect("they never come to rest");
                let kept: Vec<Option<usize>> = world.hosts.iter().map(|slots| slots.kept).collect();
                for minute in rest + 1..rest + 60 {
                    world.minute(minute);
                }
                let later: Vec<Option<usize>> = world.hosts.iter().map(|slots| slots.kept).collect();
                assert_eq!(later, kept, "{hosts} hosts, seed {seed}");
            }
        }
    }
}
