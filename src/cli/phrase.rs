//! A new secret for people.

use anyhow::anyhow;
use zeroize::Zeroizing;

use crate::auth::ENTROPY_BYTES;
use crate::auth::Phrase;

/// Makes a phrase of twelve words.
pub(super) fn new_phrase() -> anyhow::Result<Phrase> {
    let mut random = Zeroizing::new([0; ENTROPY_BYTES]);
    getrandom::fill(random.as_mut_slice())
        .map_err(|error| anyhow!("the system has no random bytes for a secret: {error}"))?;
    Ok(Phrase::generate(*random))
}
