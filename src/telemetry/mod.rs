//! Logging: what the host says about its work, on stderr.
//!
//! Set up once, by the command line. Messages are constant and lower-case, data is in fields; this module knows none of
//! them, and reads no variable by itself.

mod logging;

pub use logging::{LoggingError, Options, set_up};
