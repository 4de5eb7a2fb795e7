//! The asset id: 32 bytes, 64 lower-case hex characters in text.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use data_encoding::HEXLOWER_PERMISSIVE;

/// SHA-256 over the 13 digits of the timestamp followed by the content (`hash` on the HTTP API).
///
/// The rule that makes one from content lives in [`Verifier`](super::Verifier) and nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId([u8; 32]);

/// A text that is no asset id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an asset id is 64 hex characters")]
pub struct ParseAssetIdError;

impl AssetId {
    /// Takes the 32 bytes of an id as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first ten hex characters, for logs and narrow columns.
    #[must_use]
    pub fn fmt_short(&self) -> String {
        HEXLOWER.encode(&self.0[..5])
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_write(&self.0, f)
    }
}

impl fmt::Debug for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssetId({})", self.fmt_short())
    }
}

impl FromStr for AssetId {
    type Err = ParseAssetIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| ParseAssetIdError)?;
        Ok(Self(bytes.try_into().map_err(|_| ParseAssetIdError)?))
    }
}

impl TryFrom<&[u8]> for AssetId {
    type Error = ParseAssetIdError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(bytes.try_into().map_err(|_| ParseAssetIdError)?))
    }
}
