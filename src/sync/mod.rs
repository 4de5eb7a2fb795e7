//! Replication, as a function: inputs in, outputs out.

mod set;

pub use set::{Item, ItemHash, ItemSet, Summary};
