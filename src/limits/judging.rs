//! What bounds the asking of plugins, and what is kept of their answers.

/// Verdicts in memory; a pass takes about 60 bytes. Of more, those not used for longest are read from the state again.
pub const VERDICTS_IN_MEMORY: usize = 65_536;

/// Verdicts that wait to be written down. A full queue makes those who ask wait.
pub const VERDICTS_QUEUED: usize = 4096;

/// Verdicts written down in one go; more would let other writes wait.
pub const VERDICTS_PER_WRITE: usize = 256;

/// Verdicts that are remembered, about 200 bytes each. When there are so many, those of chains that are gone make room;
/// without that, a further one is asked for again after a restart.
pub const VERDICT_ROWS: u64 = 8_000_000;

/// Verdicts looked at in one go for those of chains that are gone.
pub const VERDICTS_PRUNED_TOGETHER: usize = 5_000;

/// Assets judged again before new changes get their turn.
pub const REVIEW_ROWS: usize = 128;

/// Wishes to judge assets again that wait for the feed. A full queue makes those who have them wait.
pub const FEED_ORDERS_QUEUED: usize = 64;

/// Held assets that are replayed together.
pub const REPLAYED_TOGETHER: usize = 500;
