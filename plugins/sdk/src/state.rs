//! A small store of the plugin's own that outlives restarts. Grant: `state`.

use crate::Refusal;
#[cfg(target_arch = "wasm32")]
use crate::component::host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host;

/// Returns the value of a key.
///
/// # Errors
/// [`Refusal::NotGranted`] without the grant, [`Refusal::Unavailable`] when it cannot be read now.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Refusal> {
    host::get(key)
}

/// Sets the value of a key.
///
/// # Errors
/// [`Refusal::NotGranted`] without the grant, [`Refusal::Limit`] when the store would grow beyond its bound,
/// [`Refusal::Unavailable`] when it cannot be written now.
pub fn set(key: &str, value: &[u8]) -> Result<(), Refusal> {
    host::set(key, value)
}

/// Removes a key; one that is not there is no error.
///
/// # Errors
/// [`Refusal::NotGranted`] without the grant, [`Refusal::Unavailable`] when it cannot be written now.
pub fn delete(key: &str) -> Result<(), Refusal> {
    host::delete(key)
}

/// Returns the keys that begin with a text, sorted bytewise.
///
/// # Errors
/// [`Refusal::NotGranted`] without the grant, [`Refusal::Unavailable`] when it cannot be read now.
pub fn keys(prefix: &str) -> Result<Vec<String>, Refusal> {
    host::keys(prefix)
}
