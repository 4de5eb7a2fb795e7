//! Seeded networks of replicas, with loss, disconnects, crashes and restarts, in virtual time.
//!
//! A seed decides topology, work, latencies and faults, so a failing one can be run again: the failure prints the line.
//! The hosts around the replicas are models: a store, a memory and a policy, with the same rules as the engine's.

mod host;
mod random;
mod world;

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
