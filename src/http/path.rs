//! What the path of a request names.

use axum::extract::FromRequestParts;
use axum::extract::Path;
use axum::http::request::Parts;

use super::Failure;
use crate::asset::AssetId;

/// The asset that a path names.
pub(super) struct AssetPath(pub(super) AssetId);

/// The device or the plugin that a path names.
pub(super) struct NamePath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for AssetPath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let NamePath(hash) = NamePath::from_request_parts(parts, state).await?;
        hash.parse().map(Self).map_err(|error| Failure::bad_request(format!("{error}, not {:?}", shortened(&hash))))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|rejection| Failure::bad_request(rejection.body_text()))?;
        Ok(Self(name))
    }
}

/// Returns the beginning of what somebody sent, to be shown in an error.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
