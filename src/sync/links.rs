//! Which members of a library are linked to each other.
//!
//! Up to [`FULL_MESH_HOSTS`](limits::FULL_MESH_HOSTS) everybody is linked to everybody. Above that the links follow from
//! the ids: every host stands in a few rings, each in an order of its own, and is linked to its two neighbours in each;
//! so the library hangs together with few links and few hops. Hosts that keep and pass on everything stand in rings of
//! their own besides, and whoever is none of them is linked to the two between which it falls: what a plugin keeps back
//! somewhere in the middle still reaches everybody.
//!
//! A link is asked for by both ends or by neither, as long as both know the same members, and a member that comes or
//! goes changes the links of its neighbours only. Where they know different members, a link too many stands for a while;
//! nothing breaks.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::asset::HostId;
use crate::limits;

/// What the order of a ring is derived under.
const RING_CONTEXT: &str = "can-sync v1 link ring";

/// The links that the members of a library have among each other.
#[derive(Debug, Clone, Default)]
pub struct Web {
    keepers: BTreeSet<HostId>,
    links: BTreeMap<HostId, BTreeSet<HostId>>,
}

/// A link of this host that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// To whom.
    pub host: HostId,
    /// Whether a person named it; then it stays.
    pub named: bool,
    /// Whether it has only just begun: the other side has not heard yet of those that it would rather be linked to.
    pub young: bool,
}

/// What a host should do about its links.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// Whom to dial.
    pub dial: Vec<HostId>,
    /// Whom to let go.
    pub let_go: Vec<HostId>,
}

impl Web {
    /// Spins the web of these members; each says whether it keeps and passes on everything.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = (HostId, bool)>) -> Self {
        let members: BTreeMap<HostId, bool> = members.into_iter().collect();
        let hosts: Vec<HostId> = members.keys().copied().collect();
        let keepers: BTreeSet<HostId> = members.iter().filter(|(_, keeps)| **keeps).map(|(host, _)| *host).collect();
        let mut web = Self { keepers, links: hosts.iter().map(|host| (*host, BTreeSet::new())).collect() };
        if hosts.len() <= limits::FULL_MESH_HOSTS {
            for (n, host) in hosts.iter().enumerate() {
                hosts[n + 1..].iter().for_each(|other| web.link(*host, *other));
            }
            return web;
        }
        for ring in 0..limits::LINK_RINGS {
            web.close_ring(&ordered(&hosts, b'a', ring));
        }
        let keepers: Vec<HostId> = web.keepers.iter().copied().collect();
        for ring in 0..limits::KEEPER_RINGS {
            web.close_ring(&ordered(&keepers, b'k', ring));
        }
        web.serve(&ordered(&hosts, b'k', 0));
        web
    }

    /// Tells whether a host is among those that keep everything.
    #[must_use]
    pub fn keeps(&self, host: &HostId) -> bool {
        self.keepers.contains(host)
    }

    /// Returns whom a host should be linked to.
    #[must_use]
    pub fn links_of(&self, host: &HostId) -> BTreeSet<HostId> {
        self.links.get(host).cloned().unwrap_or_default()
    }

    /// Chooses what a host does about its links: it dials whom it should be linked to, and lets go of links that nothing
    /// asks for when it has too many.
    #[must_use]
    pub fn choose(&self, own: HostId, standing: &[Standing]) -> Choice {
        let wanted = self.links_of(&own);
        let linked: BTreeSet<HostId> = standing.iter().map(|link| link.host).collect();
        let dial = wanted.difference(&linked).copied().collect();
        let mut spare: Vec<&Standing> =
            standing.iter().filter(|link| !link.named && !wanted.contains(&link.host)).collect();
        // Both ends put the same link first.
        spare.sort_by_cached_key(|link| (link.young, pair(own, link.host)));
        let mut keepers = linked.intersection(&self.keepers).count();
        let mut links = standing.len();
        let mut let_go = Vec::new();
        for link in spare {
            let bound = if link.young { limits::LINKS_MOST } else { limits::FULL_MESH_HOSTS };
            let keeps = self.keepers.contains(&link.host);
            if links <= bound || (keeps && keepers <= limits::KEEPER_LINKS) {
                continue;
            }
            keepers -= usize::from(keeps);
            links -= 1;
            let_go.push(link.host);
        }
        Choice { dial, let_go }
    }

    fn link(&mut self, a: HostId, b: HostId) {
        if a != b {
            self.links.entry(a).or_default().insert(b);
            self.links.entry(b).or_default().insert(a);
        }
    }

    fn close_ring(&mut self, ring: &[HostId]) {
        for (n, host) in ring.iter().enumerate() {
            self.link(*host, ring[(n + 1) % ring.len()]);
        }
    }

    /// Links those that do not keep everything to the two between which they fall and that do, as many as these serve.
    fn serve(&mut self, ring: &[HostId]) {
        for forward in [true, false] {
            let turned: Vec<HostId> = if forward { ring.to_vec() } else { ring.iter().rev().copied().collect() };
            let Some(first) = turned.iter().position(|host| self.keepers.contains(host)) else { return };
            let (mut keeper, mut served) = (turned[first], 0);
            for host in turned.iter().cycle().skip(first).take(turned.len()) {
                if self.keepers.contains(host) {
                    (keeper, served) = (*host, 0);
                } else if served < limits::SERVED_PER_SIDE {
                    served += 1;
                    self.link(keeper, *host);
                }
            }
        }
    }
}

/// Puts hosts into the order of a ring.
fn ordered(hosts: &[HostId], kind: u8, ring: u8) -> Vec<HostId> {
    let mut ordered = hosts.to_vec();
    ordered.sort_by_cached_key(|host| {
        let mut hasher = blake3::Hasher::new_derive_key(RING_CONTEXT);
        hasher.update(&[kind, ring]).update(host.as_bytes());
        *hasher.finalize().as_bytes()
    });
    ordered
}

/// Puts links into an order that is the same from both ends.
fn pair(a: HostId, b: HostId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(RING_CONTEXT);
    hasher.update(b"pair").update(a.min(b).as_bytes()).update(a.max(b).as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(number: usize) -> HostId {
        HostId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    /// Members of which each that `keeps` says so of keeps everything.
    fn web(count: usize, keeps: impl Fn(usize) -> bool) -> Web {
        Web::new((0..count).map(|n| (host(n), keeps(n))))
    }

    fn degree(web: &Web) -> Vec<usize> {
        let mut degrees: Vec<usize> = web.links.values().map(BTreeSet::len).collect();
        degrees.sort_unstable();
        degrees
    }

    /// How many hops the farthest of those that `through` lets pass is away from the first of them; `None` when one
    /// cannot be reached.
    fn hops(web: &Web, through: &BTreeSet<HostId>) -> Option<usize> {
        let first = *through.first()?;
        let (mut reached, mut edge, mut hops) = (BTreeSet::from([first]), vec![first], 0);
        loop {
            let next: BTreeSet<HostId> = edge.iter().flat_map(|host| web.links_of(host)).collect();
            edge = next.into_iter().filter(|host| through.contains(host) && reached.insert(*host)).collect();
            if edge.is_empty() {
                return (reached.len() == through.len()).then_some(hops);
            }
            hops += 1;
        }
    }

    fn all(web: &Web) -> BTreeSet<HostId> {
        web.links.keys().copied().collect()
    }

    fn links(hosts: &[HostId]) -> Vec<Standing> {
        hosts.iter().map(|host| Standing { host: *host, named: false, young: false }).collect()
    }

    #[test]
    fn links_by_the_number_of_hosts() {
        // Hosts, one of how many keeps everything; the fewest and the most links of a host, and the hops.
        for (count, keeps, least, most, far) in [
            (1, 1, 0, 0, 0),
            (2, 1, 1, 1, 1),
            (16, 1, 15, 15, 1),
            (16, 5, 15, 15, 1),
            (17, 1, 6, 10, 2),
            (100, 1, 7, 10, 3),
            (1000, 1, 8, 10, 4),
            (1000, 4, 6, 30, 4),
            (1000, 500, 5, 30, 6),
            (1000, usize::MAX, 5, 6, 6),
        ] {
            let web = web(count, |n| keeps != usize::MAX && n % keeps == 0);
            let (degree, hops) = (degree(&web), hops(&web, &all(&web)));
            let shown = format!("{count} hosts, one of {keeps}: {} to {}, {hops:?}", degree[0], degree[count - 1]);
            println!("{shown}");
            assert!(degree[0] >= least && degree[count - 1] <= most && hops.unwrap() <= far, "{shown}");
        }
    }

    /// The links are part of the protocol: where the hosts of two versions come to others, links come and go in vain.
    #[test]
    fn the_rule_is_frozen() {
        let mut hasher = blake3::Hasher::new();
        for (host, links) in &web(40, |n| n % 3 != 0).links {
            hasher.update(host.as_bytes());
            links.iter().for_each(|link| {
                hasher.update(link.as_bytes());
            });
        }
        assert_eq!(&hasher.finalize().to_hex()[..32], "a3a4ca05e67a71231974a6b72837a139");
    }

    #[test]
    fn whoever_keeps_everything_hangs_together_without_the_others_and_serves_them() {
        let web = web(1000, |n| n % 3 == 0);
        assert!(hops(&web, &web.keepers).unwrap() <= 8);
        for (host, links) in &web.links {
            assert!(links.intersection(&web.keepers).count() >= limits::KEEPER_LINKS, "{host:?}");
        }
    }

    #[test]
    fn a_host_that_comes_changes_the_links_of_its_neighbours_only() {
        let (before, after) = (web(200, |_| true), web(201, |_| true));
        let changed = before.links.iter().filter(|(host, links)| after.links_of(host) != **links).count();
        assert!(changed <= limits::LINKS_WANTED_MOST, "{changed}");
    }

    #[test]
    fn named_and_young_links_stay_and_others_go_when_there_are_too_many() {
        let web = web(100, |_| true);
        let own = host(0);
        let wanted: Vec<HostId> = web.links_of(&own).into_iter().collect();
        let others: Vec<HostId> = (1..100).map(host).filter(|other| !wanted.contains(other)).collect();
        let mut standing = links(&wanted);
        standing.extend(links(&others[..limits::FULL_MESH_HOSTS - wanted.len()]));
        assert_eq!(web.choose(own, &standing), Choice::default(), "as many as in a full mesh are left alone");
        standing.extend(links(&others[limits::FULL_MESH_HOSTS - wanted.len()..][..5]));
        let choice = web.choose(own, &standing);
        assert_eq!((choice.dial.len(), choice.let_go.len()), (0, 5));
        assert!(choice.let_go.iter().all(|host| others.contains(host)));
        for link in &mut standing {
            link.named = true;
        }
        assert_eq!(web.choose(own, &standing), Choice::default());
        for link in &mut standing {
            (link.named, link.young) = (false, true);
        }
        assert_eq!(web.choose(own, &standing), Choice::default());
        let all: Vec<Standing> =
            links(&others).into_iter().map(|link| Standing { young: true, ..link }).chain(links(&wanted)).collect();
        assert_eq!(web.choose(own, &all).let_go.len(), all.len() - limits::LINKS_MOST);
    }

    #[test]
    fn the_last_links_to_those_who_keep_everything_stay() {
        let web = web(100, |n| n < 30);
        let own = host(99);
        let wanted = web.links_of(&own);
        let spare: Vec<HostId> = (0..99).map(host).filter(|host| !wanted.contains(host)).collect();
        let (keepers, others): (Vec<_>, Vec<_>) = spare.into_iter().partition(|host| web.keepers.contains(host));
        let standing = [links(&keepers[..2]), links(&others[..20])].concat();
        let choice = web.choose(own, &standing);
        assert_eq!(choice.let_go.len(), 22 - limits::FULL_MESH_HOSTS);
        assert!(choice.let_go.iter().all(|host| others.contains(host)), "{choice:?}");
    }

    proptest! {
        #[test]
        fn links_are_mutual_bounded_and_in_one_piece(count in 1_usize..120, keeps in 1_usize..40, salt in 0_usize..1000) {
            let members: Vec<(HostId, bool)> = (0..count).map(|n| (host(n + salt), (n + salt) % keeps == 0)).collect();
            let web = Web::new(members.clone());
            for (host, links) in &web.links {
                prop_assert!(!links.contains(host));
                prop_assert!(links.len() <= limits::LINKS_WANTED_MOST);
                for other in links {
                    prop_assert!(web.links_of(other).contains(host));
                }
            }
            prop_assert!(hops(&web, &all(&web)).is_some());
            // The order in which members became known is of no account.
            let turned = Web::new(members.into_iter().rev());
            prop_assert_eq!(&web.links, &turned.links);
        }

        #[test]
        fn what_was_chosen_is_not_chosen_again(count in 1_usize..80, linked in proptest::collection::vec(0_usize..80, 0..80)) {
            let web = web(count, |n| n % 2 == 0);
            let own = host(0);
            let linked: BTreeSet<HostId> = linked.into_iter().map(host).filter(|host| *host != own).collect();
            let linked: Vec<HostId> = linked.into_iter().collect();
            let choice = web.choose(own, &links(&linked));
            let mut after: BTreeSet<HostId> = linked.into_iter().filter(|host| !choice.let_go.contains(host)).collect();
            after.extend(choice.dial);
            let after: Vec<HostId> = after.into_iter().collect();
            let again = web.choose(own, &links(&after));
            prop_assert!(again.dial.is_empty());
            let last: Vec<HostId> = after.into_iter().filter(|host| !again.let_go.contains(host)).collect();
            prop_assert_eq!(web.choose(own, &links(&last)), Choice::default());
        }
    }
}
