//! Limits of plugins: what one has when its settings say nothing else, and what none goes beyond.

use std::time::Duration;

/// Time for one call of a plugin, calls of the host included, turns that others have meanwhile not.
pub const CALL: Duration = Duration::from_millis(100);

/// Time for making and configuring an instance.
pub const START: Duration = Duration::from_secs(2);

/// Bytes of memory of one instance of a plugin; an interpreter takes 10 to 40 MiB, compiled code less than one.
pub const MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// Elements of all tables of one instance; a component of Python or JavaScript has up to 40,000.
pub const TABLE_ELEMENTS: usize = 65_536;

/// Core instances, and tables and memories, of one instance; a component of Python has about a hundred.
pub const INSTANCES: usize = 512;

/// Bytes of the stack of one call: what wasmtime gives by default.
pub const STACK_BYTES: usize = 512 * 1024;

/// Bytes of stack that stay for the host below a call of a plugin.
pub const HOST_STACK_BYTES: usize = 1024 * 1024;

/// Bytes that one answer of a plugin, or one of its calls to the host, may carry.
pub const ANSWER_BYTES: usize = 1024 * 1024;

/// Bytes of content that a plugin may read in one call.
pub const CONTENT_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes of keys and values that a plugin may keep, with [`STATE_ENTRY_BYTES`] for each pair. What does not fit is refused
/// to it. Removals that are not written down yet have the same bound.
pub const STATE_BYTES: usize = 1024 * 1024;

/// Bytes that a key and its value count beside their own: about what they take more in memory.
pub const STATE_ENTRY_BYTES: usize = 64;

/// Lines a plugin may log in a second. More are counted and left out.
pub const LOG_LINES_PER_SEC: u32 = 20;

/// Size of a plugin's file in bytes; a component of Python has 18 MiB. A larger one is not loaded.
pub const COMPONENT_BYTES: u64 = 32 * 1024 * 1024;

/// Calls after which an instance of a plugin is made anew, so that what it leaks goes.
pub const CALLS_PER_INSTANCE: u32 = 10_000;

/// Calls of one plugin that run at a time, for each processor. Most end before the first tick, so that this many run only
/// while some read content; with less room, calls that could run would wait for those.
pub const CALLS_PER_PROCESSOR: usize = 4;

/// How many times as long a call may last as all that run at a time would take one after the other. The turns that others
/// have meanwhile do not count as its time; a call that got none of its own for so long ends all the same.
pub const CALL_SLACK: u32 = 2;

/// How often plugins are interrupted, so that others get their turn and deadlines are seen.
pub const TICK: Duration = Duration::from_millis(10);

/// Ticks without a call after which the clock of plugins rests.
pub const IDLE_TICKS: u32 = 100;

/// Changes in one answer of a plugin: every tag that an asset may have is replaced, and its six texts. An answer with more
/// is a failure.
pub const CHANGES: usize = 2 * super::TAG_FIELDS + 6;

/// Bytes of a reason that a plugin gives, and of what is told about how it failed; the rest is cut off.
pub const REASON_BYTES: usize = 1024;

/// Bytes of what a plugin says about itself in one text; the rest is cut off.
pub const DESCRIPTION_BYTES: usize = 256;

/// Bytes of one line of a plugin's log; the rest is cut off.
pub const LOG_LINE_BYTES: usize = 2048;

/// Bytes that a plugin prints at once through WASI. It is told to go on in further pieces.
pub const PRINT_BYTES: usize = 8 * 1024;

/// Bytes of content, or of random numbers, that a plugin gets in one piece.
pub const READ_BYTES: usize = 256 * 1024;

/// Foreseeable random numbers of a plugin, in bytes; then they begin anew.
pub const RANDOM_BYTES: usize = 64 * 1024;

/// Things of the host that an instance may hold through WASI at a time. More is refused to it.
pub const RESOURCES: usize = 1000;

/// Longest key in the state of a plugin, in bytes.
pub const STATE_KEY_BYTES: usize = 256;

/// Longest name of a plugin, in bytes; it stands in paths. A file with a longer one is not loaded.
pub const NAME_BYTES: usize = 64;

/// Largest sidecar of a plugin, in bytes. With a larger one the plugin is not loaded.
pub const SIDECAR_BYTES: u64 = 256 * 1024;

/// How often the folder of plugins is looked at.
pub const LOOK: Duration = Duration::from_secs(1);

/// Looks in a row in which a file is missing before it counts as taken away.
pub const LOOKS_GONE: u32 = 2;

/// Latest assets that a new plugin is tried on before it is used.
pub const SAMPLES: usize = 20;

/// Time for trying a new plugin on them. What it was asked until then counts; others wait to be loaded, and people for what
/// they wish, as long as it lasts.
pub const TRIAL: Duration = Duration::from_secs(5);

/// Failures within [`FAILURES_WITHIN`] after which a plugin is left alone.
pub const FAILURES: usize = 3;

/// Time in which failures of a plugin are counted together.
pub const FAILURES_WITHIN: Duration = Duration::from_secs(60);

/// How long a plugin is left alone the first time; doubles with each trial that fails.
pub const PAUSE: Duration = Duration::from_secs(5);

/// How long a plugin is left alone at most.
pub const PAUSE_MOST: Duration = Duration::from_secs(300);

/// Bytes of assets that a plugin is tried on from a file. The rest is not read.
pub const SAMPLES_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of compiled code that are read and hashed at a time; enough for every processor to have its part.
pub const HASHED_TOGETHER: usize = 4 * 1024 * 1024;
