//! Seeded networks of replicas, with loss, disconnects, crashes and restarts, in virtual time.
//!
//! A seed decides topology, work, latencies and faults, so a failing one can be run again: the failure prints the line.
//! The hosts around the replicas are models: a store, a memory and a policy, with the same rules as the engine's.
//! `crowd` is another world, of very many hosts and no faults.

#[allow(unreachable_pub, missing_docs, reason = "a bench compiles this file too")]
mod crowd;
mod host;
mod random;
mod world;

use crowd::Crowd;
use host::Fault;
use world::World;

/// How many seeds a test runs; `CAN_SYNC_SEEDS` asks for more.
fn seeds(default: u64) -> u64 {
    std::env::var("CAN_SYNC_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Runs one seed; returns what went wrong.
fn run(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let mut world = World::new(seed, fault);
    world.disturb();
    world.settle()?;
    world.check()?;
    world.check_restart()
}

#[test]
fn all_sets_become_equal_and_nothing_is_stored_unverified() {
    let first = std::env::var("CAN_SYNC_SEED").ok().and_then(|n| n.parse().ok());
    let range = first.map_or(0..seeds(1500), |seed| seed..seed + 1);
    for seed in range {
        if let Err(failure) = run(seed, None) {
            panic!("seed {seed}: {failure}\nagain: CAN_SYNC_SEED={seed} cargo test --lib sync::sim::all_sets");
        }
    }
}

#[test]
fn planted_faults_are_found() {
    for fault in Fault::ALL {
        let found = (0..1000).find(|seed| run(*seed, Some(fault)).is_err());
        let seed = found.unwrap_or_else(|| panic!("{fault:?} was not found within 1000 seeds"));
        println!("{fault:?}: found by seed {seed}: {}", run(seed, Some(fault)).unwrap_err());
    }
}

#[test]
fn a_library_of_many_hosts_becomes_equal_over_several_hops_with_few_links() {
    let mut crowd = Crowd::new(64, 100, 4);
    for host in 0..64 {
        crowd.ingest(host);
    }
    crowd.connect();
    let (links, met) = (crowd.links(), crowd.settle());
    println!("links {links}; equal after {} rounds, bytes {}, contents {}", met.rounds, met.bytes, met.contents);
    assert!(links.least >= 5 && links.most <= crate::limits::LINKS_WANTED_MOST as u64, "{links:?}");
    assert_eq!((crowd.assets().least, crowd.assets().most), (164, 164));
    // Every host has fetched every content once, wherever from.
    assert!(met.contents.most < 64 * 64 * 4096 / 2, "{met:?}");
    // One that passes on nothing of others makes something, and it reaches all.
    crowd.ingest(3);
    let live = crowd.settle();
    println!("one more: {} rounds, messages {}, bytes {}", live.rounds, live.messages, live.bytes);
    assert_eq!(crowd.assets().least, 165);
    assert!(live.rounds < 40 && live.bytes.most < 64 * 1024, "{live:?}");
}
