//! The whole program: real processes on loopback, started as a user starts them, and what bad days do to them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::match_wild_err_arm,
    missing_docs,
    reason = "test helpers are no library"
)]

use can_sync::task;

mod clock;
mod commands;
mod crash;
mod disk_full;
#[allow(dead_code, reason = "the tests of the library use the rest of it")]
#[path = "../../src/plugin/tests/fixtures.rs"]
mod fixtures;
mod flush;
mod host;
#[allow(dead_code, unreachable_pub, reason = "it is the library's, whose tests use the rest of it")]
#[path = "../../src/discovery/loopback_relay.rs"]
mod loopback_relay;
mod many;
mod members;
mod mirror;
mod network;
mod plugins;
mod refusals;
mod service;
