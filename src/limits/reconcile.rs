//! What bounds a run of reconciliation.

/// Part of a reconcile message that ranges may fill, in bytes; the rest of the frame is for its envelope.
pub const RECONCILE_BYTES: usize = 900 * 1024;

/// Messages that a run may take besides twice the binary logarithm of the set, and further ones for each message that is
/// at least half full. A longer run ends the connection: an honest one needs about the logarithm to base 16.
pub const RECONCILE_ROUNDS: u32 = 8;

/// Bytes that the side which is asked may tell in a run, for each item of its set, besides two full messages. A run that
/// calls for more ends the connection: an honest one is told each item once, in about 50.
pub const RECONCILE_BYTES_PER_ITEM: usize = 256;

/// Versions that one run may bring to be wanted, but for those in its last message: 8 MiB of hashes. Further ones are
/// found by the next run.
pub const RECONCILE_WANTED: usize = 256 * 1024;

/// First pause between two reconciliations that left the sets different, in milliseconds; it doubles up to the poll
/// interval. It is the least one between any two, also of the side that is asked.
pub const RECONCILE_PAUSE_MS: u64 = 250;

/// Pause of the side that is asked, for each message of the run before, in milliseconds: each may have it go through the
/// whole set.
pub const RECONCILE_ROUND_PAUSE_MS: u64 = 50;
