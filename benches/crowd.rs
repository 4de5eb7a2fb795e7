//! A library of 1,000 hosts: links per host, rounds and bytes until all are equal, and until one more asset is everywhere.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench prints what it measures")]

use can_sync::asset;
use can_sync::sync;

#[allow(clippy::pedantic, unreachable_pub, reason = "it is the simulator's, and linted there")]
#[path = "../src/sync/sim/crowd.rs"]
mod crowd;

use std::time::Instant;

use crowd::Crowd;

const ASSETS: u64 = 300;

fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    let began = Instant::now();
    let mut crowd = Crowd::new(count, ASSETS, 4);
    (0..count).step_by(10).for_each(|host| crowd.ingest(host));
    crowd.connect();
    println!(
        "{count} hosts with {ASSETS} assets, one in four passes on nothing of others; least / median / most per host"
    );
    println!("links {}", crowd.links());
    let met = crowd.settle();
    println!(
        "{} new assets: all equal after {} rounds, {} messages, {} bytes in messages, {} of contents ({:?})",
        count.div_ceil(10),
        met.rounds,
        met.messages,
        met.bytes,
        met.contents,
        began.elapsed()
    );
    let began = Instant::now();
    crowd.ingest(0);
    let live = crowd.settle();
    println!(
        "one more: everywhere after {} rounds, {} messages, {} bytes in messages, {} of contents ({:?})",
        live.rounds,
        live.messages,
        live.bytes,
        live.contents,
        began.elapsed()
    );
    println!("assets {}", crowd.assets());
}
