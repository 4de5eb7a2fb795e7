//! Tells the time. Grant: `clock`.

use crate::Refusal;
#[cfg(target_arch = "wasm32")]
use crate::component::host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host;

/// Returns the Unix time in milliseconds.
///
/// # Errors
/// [`Refusal::NotGranted`] without the grant.
pub fn now() -> Result<u64, Refusal> {
    host::now()
}
