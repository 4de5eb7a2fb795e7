//! Why pairing comes to nothing: to oneself in words, to the other side always the same.

/// Why pairing came to nothing; for the own log, and for the person at this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingFailure {
    /// The other side does not know the code, or somebody is in between.
    #[error("the other device has another pairing code; compare the words, or make new ones with `can-sync pair`")]
    WrongCode,
    /// A message that no device sends.
    #[error("the other device sent what is no pairing message ({0}); update both to the same version")]
    Malformed(&'static str),
    /// There is more to hand over than fits a message.
    #[error("the library's history is too large to be handed over; make a new library with `can-sync init`")]
    TooLarge,
    /// The code is older than it may be.
    #[error("the pairing code is too old; make a new one with `can-sync pair`")]
    Expired,
    /// The code has done its work.
    #[error("the pairing code was used; make a new one with `can-sync pair`")]
    Used,
    /// The code has done its work, and it came to nothing on the other side.
    #[error(
        "the other device did not keep the library, see what it says; then make new words with `can-sync pair`, and pair it \
         again"
    )]
    NotKept,
    /// Wrong tries used the code up.
    #[error("the pairing code is burnt, somebody tried wrong words; make a new one with `can-sync pair`")]
    Burnt,
    /// Exchanges that came to nothing used the code up.
    #[error("the pairing code is worn out, too many exchanges were begun; make a new one with `can-sync pair`")]
    WornOut,
    /// The last exchange is too short ago.
    #[error("a pairing came too soon after the one before; try again in a moment")]
    TooSoon,
}

/// What the other side is told, whatever the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other device refused; compare the words, or make new ones there with `can-sync pair`")]
pub struct Refused;

impl From<PairingFailure> for Refused {
    fn from(_: PairingFailure) -> Self {
        Self
    }
}
