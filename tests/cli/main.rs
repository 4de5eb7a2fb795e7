//! Transcripts of the program against a small host: what goes over the wire, and what people and programs read.

mod host;
mod local;
mod remote;
