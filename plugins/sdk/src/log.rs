//! Writes to the plugin's log. Always granted, limited in lines per second.

#[cfg(target_arch = "wasm32")]
use crate::component::host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For who looks for a fault.
    Debug,
    /// For who wants to know what happens.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something does not work.
    Error,
}

/// Writes one line.
pub fn write(level: Level, message: &str) {
    host::log(level, message);
}

/// Writes one line for every step.
pub fn trace(message: &str) {
    write(Level::Trace, message);
}

/// Writes one line for who looks for a fault.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Writes one line for who wants to know what happens.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes one line about something that is not as it should be.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes one line about something that does not work.
pub fn error(message: &str) {
    write(Level::Error, message);
}
