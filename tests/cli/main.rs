//! Transcripts of the program against a small host: what goes over the wire, and what people and programs read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends with a panic")]

mod host;
mod local;
mod remote;
