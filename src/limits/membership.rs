//! Limits of members and of pairing, and of the brake on trashing.

use std::time::Duration;

// ── members ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Statements in the history of a library, about 250 bytes each; a library of a hundred devices takes a quarter. The
/// whole history fits one control frame. A further statement is refused, and the library has to be founded anew.
pub const STATEMENTS: usize = 1024;

/// Of [`STATEMENTS`], those that only removals and new secrets may take, so that a full history still locks out.
pub const STATEMENTS_RESERVED: usize = 128;

/// Statements kept whose forerunners have not come yet. Further ones are refused; they come again with the whole.
pub const STATEMENTS_WAITING: usize = 256;

/// Latest statements that a new one names as seen; a merge rarely leaves more than two. What is not named counts as not
/// seen by its signer.
pub const STATEMENT_FORERUNNERS: usize = 16;

/// Largest encoded statement in bytes: all fixed parts and [`STATEMENT_FORERUNNERS`] ids. A longer one is refused.
pub const STATEMENT_BYTES: usize = 768;

/// Secrets of a library that one host hands another at a time, and by which it meets members that were away; the latest
/// of them. Who has been away for more removals than that pairs again.
pub const SECRETS_HANDED: usize = 8;

/// Largest message that tells of members, in bytes: a whole history and [`SECRETS_HANDED`] secrets. A longer one ends
/// the connection.
pub const SUCCESSION_BYTES: usize = 1024 * 1024;

/// Words about the members that a peer may send at once; then one every [`SUCCESSION_EVERY`], since each may take as many
/// checks of signatures as there are [`STATEMENTS`]. Of those that come sooner the latest waits, which says all that the
/// others do.
pub const SUCCESSIONS_AT_ONCE: u32 = 16;

/// How often a peer is heard about the members.
pub const SUCCESSION_EVERY: Duration = Duration::from_secs(1);

/// Devices of which something is remembered: whoever knows the secret can make up as many ids as it likes. A further one
/// takes the place of one that nobody would miss, or is not remembered.
pub const DEVICES_KNOWN: usize = 10_000;

/// Of those, devices that wait to be accepted; more are on no person's screen. Of more, the one that was seen longest ago
/// is forgotten: one that is there comes again.
pub const DEVICES_WAITING: usize = 64;

// ── pairing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// How long a pairing code is good, in milliseconds. Then it is dead, and another must be made.
pub const PAIRING_WINDOW_MS: u64 = 5 * 60 * 1000;

/// Wrong tries that burn a pairing code: with 33 bits of code, three find it once in 2.8 thousand million.
pub const PAIRING_WRONG_TRIES: u32 = 3;

/// Strangers that are heard at one moment while a pairing code is open. Further ones are refused.
pub const PAIRINGS_AT_ONCE: usize = 4;

/// Exchanges that may be begun with one pairing code. Further ones are refused; whoever knows the meeting place can use
/// them up, and the code has to be made anew.
pub const PAIRING_EXCHANGES: u32 = 60;

/// Least time between two exchanges with one pairing code, in milliseconds. An earlier one is refused.
pub const PAIRING_PAUSE_MS: u64 = 1_000;

/// Time one exchange of pairing may take, from the connection on. Later it is closed.
pub const PAIRING_TIME: Duration = Duration::from_secs(10);

/// Largest message of pairing but for the last, in bytes. A longer one ends the connection.
pub const PAIRING_MESSAGE_BYTES: usize = 1024;

/// Largest last message of pairing in bytes: the secret and the whole history of the library. A longer one ends the
/// connection.
pub const WELCOME_BYTES: usize = 1024 * 1024;

/// Longest name of a library in bytes of UTF-8, in what pairing hands over. A longer one is refused.
pub const LIBRARY_NAME_BYTES: usize = 255;

/// Longest text that is read as a pairing code, in bytes: four words of eight letters, generously spaced.
pub const PAIRING_CODE_BYTES: usize = 128;

// ── brake on trashing ───────────────────────────────────────────────────────────────────────────────────────────────

/// Time in which assets that one author or peer trashes are counted together, in milliseconds.
pub const BRAKE_WINDOW_MS: u64 = 60 * 60 * 1000;

/// Assets that one author or peer may trash in that time, unless it is configured. With more it is stopped.
pub const BRAKE_ASSETS: usize = 100;

/// Part of the library that one author or peer may trash in that time, in thousandths, unless it is configured.
pub const BRAKE_PER_MILLE: u32 = 10;

/// Assets that may be trashed however small the library is: a hundredth of forty photos is none at all.
pub const BRAKE_LEAST: usize = 10;

/// Most assets that [`BRAKE_ASSETS`] may be configured to; so many are remembered for one author, 40 bytes each. A
/// higher number counts as this one.
pub const BRAKE_ASSETS_MOST: usize = 1000;

/// Authors, and peers, that are watched at a time. Of more, the one that has trashed nothing for longest is forgotten;
/// who is stopped is not.
pub const BRAKE_WATCHED: usize = 256;
