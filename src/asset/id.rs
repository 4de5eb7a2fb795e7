//! The asset id: 32 bytes, 64 lower-case hex characters in text.

use super::bytes32::hex32;

/// SHA-256 over the 13 digits of the timestamp followed by the content (`hash` on the HTTP API).
///
/// The rule that makes one from content lives in [`Verifier`](super::Verifier) and nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId([u8; 32]);

hex32!(AssetId, ParseAssetIdError);

/// A text that is no asset id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an asset id is 64 hex characters")]
pub struct ParseAssetIdError;

impl TryFrom<&[u8]> for AssetId {
    type Error = ParseAssetIdError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(bytes.try_into().map_err(|_| ParseAssetIdError)?))
    }
}
