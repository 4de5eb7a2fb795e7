//! Secrets and membership: from a phrase to a key, from a key to the proof that a connection belongs to a member, and
//! from signed statements to who is a member at all.
//!
//! Pure: random bytes come in as arguments, and whoever stretches a phrase does so on a blocking thread. Nothing here
//! knows a file, a socket or a peer's address; what a library is called comes in as text.
//!
//! Called by `net` (the proof, pairing), `discovery` (slots, envelopes and announcements), `node` (the secret's life), `state` (the
//! statements) and `config` (the phrase).

mod envelope;
mod host_key;
mod keys;
pub mod members;
mod one_time;
pub mod pairing;
mod phrase;
mod proof;
mod secret;

pub use envelope::{ENVELOPE_NONCE_BYTES, ENVELOPE_OVERHEAD_BYTES, OpenEnvelopeError};
pub use host_key::{HostKey, Purpose};
pub use keys::{EnvelopeKey, Keys, ProofKey, RendezvousKey, TopicKey};
pub use phrase::{ENTROPY_BYTES, Phrase, PhraseError, WeakPhrase};
pub use proof::{Proof, Role};
pub use secret::{LibrarySecret, PhraseCheck};
