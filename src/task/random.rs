//! Randomness of the system.

/// Draws random bytes of the system, for keys, codes and nonces.
///
/// # Panics
/// When the system has none to give. The host's own key was made of them, so that does not happen later.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut random = [0; N];
    getrandom::fill(&mut random).expect("the system gave random bytes for the host's key");
    random
}
