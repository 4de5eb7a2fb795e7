//! Tests of the whole room, with plugins written as text.

mod answers;
mod drop_in;
mod fixtures;
mod host;
mod hostile;
mod limits;
mod wasi;
