//! Tasks: groups with a name and a cancellation token, locks for things of which there are many, the wall clock,
//! randomness, pauses that grow, and patience that ends.
//!
//! The only place that spawns. A panic in a task is caught and announced; it never goes unnoticed, and never takes
//! another task with it.

mod backoff;
mod clock;
mod group;
mod locks;
mod patience;
mod random;

pub use backoff::{Backoff, jittered};
pub use clock::now_ms;
pub use group::{Group, OnPanic};
pub use locks::Locks;
pub use patience::Patience;
pub use random::random;
