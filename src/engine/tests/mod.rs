//! Engines over loopback, in one process, with stores in memory.

mod host;
mod liar;
mod mirror;
