//! Limits of commands that speak to a running host.

use std::time::Duration;

/// Time the command line waits for a connection to a host. Later it gives up and names the address.
pub const CLIENT_CONNECT: Duration = Duration::from_secs(5);

/// Time the command line waits for the next bytes of an answer, and for a body that it sends to go on.
pub const CLIENT_SILENCE: Duration = Duration::from_mins(2);

/// Largest JSON answer the command line reads, in bytes: a page of [`PAGE_BYTES`](super::PAGE_BYTES) fits. A larger one is an error.
pub const CLIENT_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Assets the command line asks for in one page.
pub const CLIENT_PAGE_ROWS: usize = 100;

/// Longest line of a stream of JSON lines the command line reads, in bytes. A longer one is an error.
pub const CLIENT_LINE_BYTES: usize = 64 * 1024;

/// Longest file with the token of the host API, in bytes; the token has 64 and a line end. The rest is not read.
pub const TOKEN_BYTES: u64 = 128;
