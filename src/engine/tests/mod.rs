//! Engines over loopback, in one process, with stores in memory.

mod clock;
mod dialling;
mod explained;
mod gossip;
mod host;
mod liar;
mod listener;
mod member;
mod members;
mod mirror;
mod plugins;
mod purge;
mod relay;
mod released;
mod roles;
mod sender;
