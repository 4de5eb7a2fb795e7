//! What a plugin has used of what it may.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a plugin has used at most, each as its [limit](super::Limits) counts it. What it may use of the stack, of core
/// instances and in one answer is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Time in which an instance was made and configured.
    pub start: Duration,
    /// Bytes of memory of one instance.
    pub memory_bytes: usize,
    /// Elements of its tables.
    pub table_elements: usize,
    /// Bytes of content that one call has read.
    pub content_bytes: u64,
    /// Bytes of its state, now.
    pub state_bytes: usize,
    /// Lines it has logged in a second.
    pub log_lines_per_sec: u32,
    /// Size of its file in bytes.
    pub component_bytes: u64,
}

/// The most that instances of a plugin have used.
#[derive(Debug, Default)]
pub(super) struct Peaks {
    start_us: AtomicU64,
    memory_bytes: AtomicUsize,
    table_elements: AtomicUsize,
    content_bytes: AtomicU64,
}

impl Peaks {
    pub(super) fn started(&self, took: Duration) {
        self.start_us.fetch_max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn memory(&self, bytes: usize) {
        self.memory_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(super) fn table(&self, elements: usize) {
        self.table_elements.fetch_max(elements, Ordering::Relaxed);
    }

    pub(super) fn content(&self, bytes: u64) {
        self.content_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Returns what is counted here.
    pub(super) fn used(&self) -> Used {
        Used {
            start: Duration::from_micros(self.start_us.load(Ordering::Relaxed)),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
            table_elements: self.table_elements.load(Ordering::Relaxed),
            content_bytes: self.content_bytes.load(Ordering::Relaxed),
            ..Used::default()
        }
    }
}
