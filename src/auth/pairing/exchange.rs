//! The four messages of pairing, each made from the one before.
//!
//! Both sides run SPAKE2 over the secret words, with both ids, the parts they have and the TLS session as identities.
//! From the key that comes out, salted with a transcript of all that was said, follow four keys: each side's tag and
//! each side's seal. A tag is BLAKE3, keyed, over the transcript and the sealed text it comes with; the inviter's also
//! covers the joiner's. So both sides know that the other had the words, the same session and the same texts.

use std::convert::Infallible;
use std::fmt;

use spake2::Ed25519Group;
use spake2::Identity;
use spake2::Password;
use spake2::Spake2;
use spake2::rand_core::TryCryptoRng;
use spake2::rand_core::TryRng;
use zeroize::Zeroize;
use zeroize::Zeroizing;

use super::super::one_time;
use super::Handover;
use super::PairingCode;
use super::PairingFailure;
use super::handover;
use crate::asset::HostId;
use crate::limits;
use crate::limits::membership::WELCOME_BYTES;

/// Bytes of a message of SPAKE2: which side, and a point.
pub const PAKE_BYTES: usize = 33;

/// What both ends of a connection know of it, as TLS has proved it.
#[derive(Clone, Copy)]
pub struct Binding {
    /// Id of the side that showed the code, and was dialled.
    pub inviter: HostId,
    /// Id of the side that dialled.
    pub joiner: HostId,
    /// Keying material exported from the TLS session: the same on both ends, another for every connection.
    pub exporter: [u8; 32],
}

/// The joiner begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// First message of SPAKE2; exactly [`PAKE_BYTES`].
    pub pake: [u8; PAKE_BYTES],
}

/// The inviter answers. Nothing in it tells of the code, the library or the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Second message of SPAKE2; exactly [`PAKE_BYTES`].
    pub pake: [u8; PAKE_BYTES],
}

/// The joiner proves that it knows the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// Exactly 32 bytes.
    pub tag: [u8; 32],
    /// The joiner's name; at most [`limits::DEVICE_NAME_BYTES`] and 16.
    pub sealed: Vec<u8>,
}

/// The inviter proves that it knows them too, and hands the library over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Exactly 32 bytes.
    pub tag: [u8; 32],
    /// The [`Handover`]; at most [`WELCOME_BYTES`] with the tag.
    pub sealed: Vec<u8>,
}

/// The inviter while it waits for the joiner to confirm.
#[derive(Debug)]
pub struct Inviter {
    agreed: Agreed,
    joiner: HostId,
}

/// The inviter once the joiner has confirmed.
#[derive(Debug)]
pub struct Confirmed {
    agreed: Agreed,
    joiner: HostId,
    device: String,
    confirmation: [u8; 32],
}

/// The joiner while it waits for the answer.
#[derive(Debug)]
pub struct Joiner {
    pake: Spake2<Ed25519Group>,
    binding: Binding,
    device: String,
    hello: Hello,
}

/// The joiner while it waits for the library.
#[derive(Debug)]
pub struct Confirming {
    agreed: Agreed,
    confirmation: [u8; 32],
}

impl Inviter {
    /// Answers a joiner. The 32 random bytes are for this exchange only.
    ///
    /// # Errors
    /// [`PairingFailure`] when the message is none of SPAKE2.
    pub fn answer(
        code: &PairingCode,
        binding: &Binding,
        random: [u8; 32],
        hello: &Hello,
    ) -> Result<(Self, Answer), PairingFailure> {
        let (pake, message) = start(Side::Inviter, code, binding, random);
        let answer = Answer { pake: message };
        let agreed = Agreed::new(pake, &hello.pake, binding, hello, &answer)?;
        Ok((Self { agreed, joiner: binding.joiner }, answer))
    }

    /// Checks what the joiner confirms. Call it within [`Window::decide`](super::Window::decide), which counts.
    ///
    /// # Errors
    /// [`PairingFailure::WrongCode`] when it does not know the words, or is on another connection.
    pub fn check(self, confirm: &Confirm) -> Result<Confirmed, PairingFailure> {
        let confirmation = self.agreed.tag(Side::Joiner, &confirm.sealed, &[]);
        if confirmation != confirm.tag {
            return Err(PairingFailure::WrongCode);
        }
        let device = self.agreed.open(Side::Joiner, &confirm.sealed)?;
        let device = handover::name(&device, limits::DEVICE_NAME_BYTES)?.to_owned();
        Ok(Confirmed { confirmation: confirmation.into(), agreed: self.agreed, joiner: self.joiner, device })
    }
}

impl Confirmed {
    /// Returns the id of the device that joins; to be accepted before the history is handed over.
    #[must_use]
    pub const fn joiner(&self) -> HostId {
        self.joiner
    }

    /// Returns what the device that joins is called.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Hands the library over.
    ///
    /// # Errors
    /// [`PairingFailure`] when a name cannot be shown, or there is too much.
    pub fn welcome(self, handover: &Handover) -> Result<Welcome, PairingFailure> {
        let mut sealed = handover.encode()?;
        self.agreed.seal(Side::Inviter, &mut sealed);
        let sealed = std::mem::take(&mut *sealed);
        Ok(Welcome { tag: self.agreed.tag(Side::Inviter, &sealed, &self.confirmation).into(), sealed })
    }
}

impl Joiner {
    /// Begins to join. The 32 random bytes are for this exchange only.
    ///
    /// # Errors
    /// [`PairingFailure::Malformed`] when this device's name is none that others can show.
    pub fn new(
        code: &PairingCode,
        binding: Binding,
        device: &str,
        random: [u8; 32],
    ) -> Result<(Self, Hello), PairingFailure> {
        let device = handover::name(device.as_bytes(), limits::DEVICE_NAME_BYTES)?.to_owned();
        let (pake, message) = start(Side::Joiner, code, &binding, random);
        let hello = Hello { pake: message };
        Ok((Self { pake, binding, device, hello: hello.clone() }, hello))
    }

    /// Confirms that this device knows the words. Whoever made up the answer can test one guess with that, no more.
    ///
    /// # Errors
    /// [`PairingFailure`] when the message is none of SPAKE2.
    pub fn confirm(self, answer: &Answer) -> Result<(Confirming, Confirm), PairingFailure> {
        let agreed = Agreed::new(self.pake, &answer.pake, &self.binding, &self.hello, answer)?;
        let mut sealed = self.device.into_bytes();
        agreed.seal(Side::Joiner, &mut sealed);
        let tag: [u8; 32] = agreed.tag(Side::Joiner, &sealed, &[]).into();
        Ok((Confirming { agreed, confirmation: tag }, Confirm { tag, sealed }))
    }
}

impl Confirming {
    /// Takes the library over.
    ///
    /// # Errors
    /// [`PairingFailure::WrongCode`] when the inviter does not know the words after all.
    pub fn finish(self, welcome: &Welcome) -> Result<Handover, PairingFailure> {
        if welcome.sealed.len() > WELCOME_BYTES {
            return Err(PairingFailure::Malformed("welcome"));
        }
        if self.agreed.tag(Side::Inviter, &welcome.sealed, &self.confirmation) != welcome.tag {
            return Err(PairingFailure::WrongCode);
        }
        Handover::decode(&self.agreed.open(Side::Inviter, &welcome.sealed)?)
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("inviter", &self.inviter).field("joiner", &self.joiner).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Inviter,
    Joiner,
}

/// The key that both sides have agreed on, if both had the same words.
struct Agreed {
    key: Zeroizing<Vec<u8>>,
    transcript: [u8; 32],
}

impl Agreed {
    fn new(
        pake: Spake2<Ed25519Group>,
        message: &[u8; PAKE_BYTES],
        binding: &Binding,
        hello: &Hello,
        answer: &Answer,
    ) -> Result<Self, PairingFailure> {
        let key = pake.finish(message).map_err(|_| PairingFailure::Malformed("key exchange"))?;
        let mut transcript = blake3::Hasher::new();
        transcript.update(b"can-sync v1 pairing");
        transcript.update(&binding.exporter);
        transcript.update(binding.inviter.as_bytes());
        transcript.update(binding.joiner.as_bytes());
        transcript.update(&hello.pake);
        transcript.update(&answer.pake);
        Ok(Self { key: Zeroizing::new(key), transcript: transcript.finalize().into() })
    }

    /// Makes the tag of a side for the sealed text it sends and, for the inviter, for what the joiner confirmed.
    /// Comparing it takes the same time wherever it differs.
    fn tag(&self, side: Side, sealed: &[u8], confirmed: &[u8]) -> blake3::Hash {
        let label: &[u8] = match side {
            Side::Inviter => b"can-sync v1 pairing inviter tag",
            Side::Joiner => b"can-sync v1 pairing joiner tag",
        };
        let key = one_time::derive(&self.key, &self.transcript, &[label]);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&self.transcript);
        hasher.update(blake3::hash(sealed).as_bytes());
        hasher.update(confirmed);
        let tag = hasher.finalize();
        hasher.zeroize();
        tag
    }

    fn seal(&self, side: Side, text: &mut Vec<u8>) {
        self.seal_key(side).seal(text);
    }

    fn open(&self, side: Side, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, PairingFailure> {
        self.seal_key(side).open(sealed).ok_or(PairingFailure::WrongCode)
    }

    /// Each side seals one text in an exchange.
    fn seal_key(&self, side: Side) -> one_time::Key {
        let label: &[u8] = match side {
            Side::Inviter => b"can-sync v1 pairing inviter seal",
            Side::Joiner => b"can-sync v1 pairing joiner seal",
        };
        one_time::Key::derive(&self.key, &self.transcript, &[label])
    }
}

impl fmt::Debug for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Agreed(…)")
    }
}

fn start(
    side: Side,
    code: &PairingCode,
    binding: &Binding,
    random: [u8; 32],
) -> (Spake2<Ed25519Group>, [u8; PAKE_BYTES]) {
    let password = Password::new(code.password().as_slice());
    let identity = |part: &[u8], host: HostId| Identity::new(&[part, host.as_bytes(), &binding.exporter].concat());
    let inviter = identity(b"can-sync v1 pairing inviter", binding.inviter);
    let joiner = identity(b"can-sync v1 pairing joiner", binding.joiner);
    let random = Drawn::new(random);
    let (pake, message) = match side {
        Side::Inviter => Spake2::start_a_with_rng(&password, &inviter, &joiner, random),
        Side::Joiner => Spake2::start_b_with_rng(&password, &inviter, &joiner, random),
    };
    (pake, message.try_into().expect("a side and a point"))
}

/// Randomness drawn from 32 random bytes, in the form in which SPAKE2 takes it.
struct Drawn(blake3::OutputReader);

impl Drawn {
    fn new(random: [u8; 32]) -> Self {
        let random = Zeroizing::new(random);
        let mut hasher = blake3::Hasher::new_derive_key("can-sync v1 pairing randomness");
        hasher.update(random.as_slice());
        let drawn = Self(hasher.finalize_xof());
        hasher.zeroize();
        drawn
    }
}

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}

impl Drop for Drawn {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests;
