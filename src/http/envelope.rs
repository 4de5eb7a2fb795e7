//! The envelope around every JSON answer, and the errors that go into it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

use crate::telemetry::causes;

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Envelope<'a, T> {
    Success { data: T },
    Error { error: &'a str },
}

/// Answers 200 with data in the envelope.
pub fn success<T: Serialize>(data: T) -> Response {
    Json(Envelope::Success { data }).into_response()
}

/// A request that was not carried out: the status, and a text for people that names thing, cause and next step.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    text: String,
}

impl Failure {
    /// The request itself is wrong (400).
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    /// A key or token is missing or wrong (401).
    pub fn unauthorized(text: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, text: text.into() }
    }

    /// The request may not be made from there (403).
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, text: text.into() }
    }

    /// There is no such thing (404).
    pub fn not_found(text: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, text: text.into() }
    }

    /// It does not fit how things are (409).
    pub fn conflict(text: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, text: text.into() }
    }

    /// The path is there, the method is not (405).
    #[must_use]
    pub fn method() -> Self {
        Self { status: StatusCode::METHOD_NOT_ALLOWED, text: "this path does not take that method".to_owned() }
    }

    /// The bytes asked for are not there (416).
    pub(super) fn range(text: String) -> Self {
        Self { status: StatusCode::RANGE_NOT_SATISFIABLE, text }
    }

    /// Something failed on this side (500). The text carries the error with its causes, and the log has it too.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let text = causes(error);
        tracing::error!(error = %text, "request failed");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, text }
    }

    /// Too much of something is going on (500).
    pub fn busy(text: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, text: text.into() }
    }

    /// Adds the next step to the text.
    #[must_use]
    pub(super) fn with_hint(mut self, hint: &str) -> Self {
        self.text = format!("{} ({hint})", self.text);
        self
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(Envelope::Error::<()> { error: &self.text })).into_response()
    }
}
