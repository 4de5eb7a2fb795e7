//! What bounds the asking of plugins, and what is kept of their answers.

use std::time::Duration;

/// Verdicts in memory; a pass takes about 60 bytes. Of more, those not used for longest are read from the state again.
pub const VERDICTS_IN_MEMORY: usize = 65_536;

/// Bytes of those verdicts, beside what each of them takes; the same happens with more. Only a plugin whose edits have
/// hundreds of tags gets here before the number above does.
pub const VERDICT_BYTES_IN_MEMORY: usize = 64 * 1024 * 1024;

/// Bytes that one change of an edit takes in memory beside its texts.
pub const CHANGE_BYTES: usize = 96;

/// Verdicts that wait to be written down. A full queue makes those who ask wait.
pub const VERDICTS_QUEUED: usize = 4096;

/// Bytes of verdicts that wait to be written down, in the queue and gathered. Those who bring more wait.
pub const VERDICT_BYTES_QUEUED: usize = 64 * 1024 * 1024;

/// Assets whose kept verdicts are read together. More would, of plugins with large edits, be too much at once.
pub const VERDICTS_READ_TOGETHER: usize = 64;

/// Verdicts written down in one go: among assets that come at random, the more there are, the fewer pages are written
/// twice. Many more would let other writes wait.
pub const VERDICTS_PER_WRITE: usize = 2048;

/// Verdicts that are gathered, about 500 bytes each, while more of them come; then they are written down. What asks
/// hundreds of times a second has better to do meanwhile.
pub const VERDICTS_GATHERED: usize = 32_768;

/// Bytes of verdicts that are gathered, so that others find room in the queue while those are written.
pub const VERDICT_BYTES_GATHERED: usize = VERDICT_BYTES_QUEUED / 2;

/// How long no verdict must have come before those that were gathered are written down.
pub const VERDICTS_QUIET: Duration = Duration::from_millis(200);

/// How long verdicts are gathered at most.
pub const VERDICTS_GATHERED_FOR: Duration = Duration::from_secs(10);

/// Verdicts that are remembered, about 200 bytes each. When there are so many, those of chains that are gone make room;
/// without that, a further one is asked for again after a restart.
pub const VERDICT_ROWS: u64 = 8_000_000;

/// Verdicts looked at in one go for those of chains that are gone.
pub const VERDICTS_PRUNED_TOGETHER: usize = 5_000;

/// Assets judged again before new changes get their turn, and new changes judged before others hear of it. Their documents
/// are in memory meanwhile.
pub const REVIEW_ROWS: usize = 128;

/// How long assets are judged before others hear of it: with plugins that take their time, a page of them takes a minute.
pub const JUDGED_FOR: Duration = Duration::from_secs(1);

/// Wishes to judge assets again that wait for the feed. A full queue makes those who have them wait.
pub const FEED_ORDERS_QUEUED: usize = 64;

/// Held assets that are replayed together, and told of: with three plugins that take all of their 100 ms, a stretch is half
/// a minute, well within [`CLIENT_SILENCE`](super::CLIENT_SILENCE).
pub const REPLAYED_TOGETHER: usize = 100;
