//! Finding 10 differences between two sets of 1,000,000: round trips, bytes and time until the difference is known.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench prints what it measures")]

use std::collections::VecDeque;
use std::time::Instant;

use can_sync::asset::AssetId;
use can_sync::asset::Digest;
use can_sync::asset::HostId;
use can_sync::asset::Timestamp;
use can_sync::sync::Input;
use can_sync::sync::Item;
use can_sync::sync::Message;
use can_sync::sync::Output;
use can_sync::sync::Replica;

const ASSETS: u64 = 1_000_000;
const DIFFERENT: u64 = 5;
const RUNS: usize = 5;

fn item(n: u64, version: u8) -> Item {
    let id = AssetId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes());
    let timestamp = Timestamp::new(1_700_000_000_000 + n).expect("13 digits");
    Item::new(timestamp, id, &Digest::from_bytes([version; 32]))
}

/// Items of one side: `DIFFERENT` of them, spread over the set, in a version of its own.
fn items(version: u8, shift: u64) -> Vec<Item> {
    let step = ASSETS / DIFFERENT;
    (0..ASSETS).map(|n| item(n, if n % step == shift { version } else { 0 })).collect()
}

/// Bytes of set data in a message; the rest of a frame is a few bytes.
fn bytes(message: &Message) -> usize {
    match message {
        Message::Summary { .. } => 32,
        Message::Reconcile { ranges, .. } | Message::ReconcileReply { ranges, .. } => ranges.len() + 8,
        Message::Request { hashes, .. } => 32 * hashes.len() + 8,
        _ => 0,
    }
}

fn main() {
    let (a, b) = (HostId::from_bytes([1; 32]), HostId::from_bytes([2; 32]));
    let (of_a, of_b) = (items(1, 7), items(2, 100_007));
    let mut times = Vec::new();
    let (mut round_trips, mut sent) = (0, 0);
    for _ in 0..RUNS {
        let mut replicas = [Replica::new(of_a.clone(), 30_000), Replica::new(of_b.clone(), 30_000)];
        let began = Instant::now();
        (round_trips, sent) = (0, 0);
        replicas[0].handle(0, [Input::Connected { peer: b, dialled: true, passes: true, exceptions: Vec::new() }]);
        replicas[1].handle(0, [Input::Connected { peer: a, dialled: false, passes: true, exceptions: Vec::new() }]);
        let mut waiting: VecDeque<(usize, Message)> = VecDeque::new();
        let mut loads = 0;
        // The difference is known when both sides ask for the documents of what only they have.
        while loads < 2 {
            for (side, replica) in replicas.iter_mut().enumerate() {
                while let Some(output) = replica.next_output() {
                    match output {
                        Output::Send { message, .. } => {
                            sent += bytes(&message);
                            round_trips +=
                                usize::from(matches!(message, Message::Reconcile { .. } | Message::Request { .. }));
                            waiting.push_back((1 - side, message));
                        }
                        Output::Load { assets, .. } => {
                            assert_eq!(assets.len() as u64, 2 * DIFFERENT);
                            loads += 1;
                        }
                        _ => {}
                    }
                }
            }
            if let Some((to, message)) = waiting.pop_front() {
                let peer = if to == 0 { b } else { a };
                replicas[to].handle(0, [Input::Received { peer, message }]);
            }
        }
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "{ASSETS} assets on both sides, {} differences: {round_trips} round trips, {sent} bytes, median {:?} of {RUNS} runs",
        2 * DIFFERENT,
        times[RUNS / 2]
    );
}
