//! Secrets and membership: from a phrase to a key, from a key to the proof that a connection belongs to a member.
//!
//! Pure: random bytes come in as arguments, and whoever stretches a phrase does so on a blocking thread. Nothing here
//! knows a file, a socket or a peer's address; what a library is called comes in as text.
//!
//! Called by `net` (the proof), `discovery` (slots and envelopes), `node` (the secret's life) and `config` (the phrase).

mod envelope;
mod keys;
mod phrase;
mod proof;
mod secret;

pub use envelope::{ENVELOPE_NONCE_BYTES, ENVELOPE_OVERHEAD_BYTES, OpenEnvelopeError};
pub use keys::{EnvelopeKey, Keys, ProofKey, RendezvousKey, TopicKey};
pub use phrase::{ENTROPY_BYTES, Phrase, PhraseError, WeakPhrase};
pub use proof::{Proof, Role};
pub use secret::{LibrarySecret, PhraseCheck};
