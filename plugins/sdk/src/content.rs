//! Reads the content of the asset that is being asked about. Grant: `content`.

use crate::Refusal;
#[cfg(target_arch = "wasm32")]
use crate::component::host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host;

/// Reads up to `length` bytes from `offset`; fewer where the content ends.
///
/// # Errors
/// [`Refusal::NotGranted`] without the grant, [`Refusal::Limit`] beyond what one call may read,
/// [`Refusal::Unavailable`] where there is no content, such as before a pull.
pub fn read(offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
    host::read(offset, length)
}
