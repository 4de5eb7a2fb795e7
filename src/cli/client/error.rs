//! What can go wrong on the way to a host.

use std::path::PathBuf;

use reqwest::StatusCode;

use crate::limits;

/// A request that did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::cli) enum ClientError {
    /// Nobody listens there.
    #[error("no host answers at {base}; {start}")]
    NotRunning {
        /// Where.
        base: String,
        /// What to do.
        start: &'static str,
        /// Why.
        source: reqwest::Error,
    },
    /// No answer in time.
    #[error("{base} did not answer in time; `can-sync status` tells how the host is")]
    Late {
        /// Where.
        base: String,
    },
    /// The connection broke.
    #[error("the connection to {base} broke; the host may have been stopped")]
    Broken {
        /// Where.
        base: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The host said no.
    #[error("{base} answers {status}{}", told(.text))]
    Refused {
        /// Where.
        base: String,
        /// With which status.
        status: StatusCode,
        /// With which text; may be empty.
        text: String,
    },
    /// The token is of another host.
    #[error("the host at {base} does not accept this token; `data_dir` must be the one of that host")]
    TokenRefused {
        /// Where.
        base: String,
    },
    /// There is no token.
    #[error(
        "{}: {path}",
        if source.kind() == std::io::ErrorKind::NotFound {
            "no host has been started with this `data_dir` yet (`can-sync run`), so there is no token"
        } else {
            "the token that a host keeps in its `data_dir` cannot be read"
        },
        path = path.display()
    )]
    Token {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of the token holds none.
    #[error("{path} holds no token; remove it, and the host makes a new one when it starts again", path = path.display())]
    DamagedToken {
        /// Which file.
        path: PathBuf,
    },
    /// The answer is none that this program knows.
    #[error("{base} answers something else than expected; is it a can-sync host of this version?")]
    Odd {
        /// Where.
        base: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The answer is larger than any that is known.
    #[error("the answer of {base} has more than {limit} bytes", limit = limits::CLIENT_ANSWER_BYTES)]
    TooLarge {
        /// Where.
        base: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot set up HTTP")]
    SetUp(#[source] reqwest::Error),
}

impl ClientError {
    /// Sorts an error of the HTTP client.
    pub(super) fn of(error: reqwest::Error, base: &str, start: &'static str) -> Self {
        // The base is in the text already, the whole URL need not be.
        let (source, base) = (error.without_url(), base.to_owned());
        if source.is_connect() {
            Self::NotRunning { base, start, source }
        } else if source.is_timeout() {
            Self::Late { base }
        } else {
            Self::Broken { base, source }
        }
    }
}

fn told(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// Tells whether an error is that the host cannot be reached at all.
pub(in crate::cli) fn is_away(error: &anyhow::Error) -> bool {
    let away = |cause: &ClientError| matches!(cause, ClientError::NotRunning { .. } | ClientError::Broken { .. });
    error.chain().any(|cause| cause.downcast_ref().is_some_and(away))
}
