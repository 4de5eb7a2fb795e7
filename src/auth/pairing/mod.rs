//! Pairing: a new device joins a library with four spoken words.
//!
//! It finds nobody, dials nobody and keeps nothing. Called by `net` (which carries the messages), `discovery` (which
//! meets at the [`MeetingPlace`]) and `node` (which opens a [`Window`] and signs the new device in).
//!
//! ```text
//! inviter                                                   joiner
//! Window::open(code)                                        code typed
//!   meets at the first word  <---------- dials ----------   meets at the first word
//! Window::begin, Inviter::answer  <----- Hello ----------   Joiner::new
//!                                 ------ Answer -------->   Joiner::confirm
//! Window::decide(Inviter::check)  <----- Confirm --------
//!   now the joiner has proved the code; the code is used
//! Confirmed::welcome              ------ Welcome ------->   Confirming::finish
//! ```
//!
//! The first word only names the meeting place: it, and all that is derived from it, counts as public. The other three
//! words, 33 bits, go into SPAKE2 and nowhere else; whoever does not know them has one guess for each exchange, and
//! learns of the library not even its name. The joiner confirms first: an exchange that ends before has told a stranger
//! nothing, and is no try. What is agreed is bound to both ids, who has which part, and this one TLS session, so nothing
//! can be carried on to another. The devices' names travel sealed and confirmed; both sides show the other's.
//!
//! Whatever fails, a peer is told the same ([`Refused`]); the cause is for one's own log.

mod code;
mod exchange;
mod failure;
mod handover;
mod window;

pub use code::{CODE_RANDOM_BYTES, CodeError, MeetingPlace, PairingCode};
pub use exchange::{Answer, Binding, Confirm, Confirmed, Confirming, Hello, Inviter, Joiner, PAKE_BYTES, Welcome};
pub use failure::{PairingFailure, Refused};
pub use handover::Handover;
pub use window::Window;
