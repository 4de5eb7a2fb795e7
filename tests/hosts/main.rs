//! The whole program: real processes on loopback, started as a user starts them, and what bad days do to them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::match_wild_err_arm,
    missing_docs,
    reason = "test helpers are no library"
)]

mod crash;
mod disk_full;
mod flush;
mod host;
mod mirror;
mod refusals;
mod service;
