//! An answer whose body is read piece by piece.

use bytes::Bytes;
use reqwest::Response;
use tokio::time::timeout;

use super::ClientError;
use crate::limits;

/// An answer, with its body unread. No piece of it is waited for without end.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    response: Response,
    base: String,
    start: &'static str,
}

impl Answer {
    pub(super) const fn new(response: Response, base: String, start: &'static str) -> Self {
        Self { response, base, start }
    }

    /// Returns who answers.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Reads on; `None` at the end.
    pub(in crate::cli) async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        match timeout(limits::CLIENT_SILENCE, self.response.chunk()).await {
            Ok(piece) => piece.map_err(|error| ClientError::of(error, &self.base, self.start)),
            Err(_) => Err(ClientError::Late { base: self.base.clone() }),
        }
    }
}
