//! One suite of tests for every store.
//!
//! Each case gets a fresh store from the backend's own test and knows nothing but the trait, so that a store reached
//! over HTTP is held to the same contract as one in memory. The suite damages nothing by itself: a backend that can
//! damage a content offers a hand for it, else the cases about damage are left out.

mod changes;
mod contents;
mod fixture;
mod listing;
mod samples;
mod suite;

pub use fixture::Fixture;
pub use suite::run;
