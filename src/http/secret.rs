//! Secrets that a request must show: the token of the host API, the key of the sync API.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header;

/// A secret to compare with; only its hash is kept, and comparing takes the same time whatever is shown.
#[derive(Clone)]
pub struct Secret(blake3::Hash);

impl Secret {
    /// Takes the secret that requests must show.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(blake3::hash(secret.as_bytes()))
    }

    /// Tells whether this is the secret. Comparing two [`blake3::Hash`] is constant in time.
    #[must_use]
    pub fn is(&self, shown: &[u8]) -> bool {
        self.0 == blake3::hash(shown)
    }

    /// Tells whether a request shows the secret as `Authorization: Bearer …`.
    #[must_use]
    pub fn is_borne(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
        let (scheme, token) = shown.split_at(shown.len().min("Bearer ".len()));
        scheme.eq_ignore_ascii_case(b"Bearer ") && self.is(token.trim_ascii())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_is_accepted_and_it_is_never_printed() {
        let secret = Secret::new("open sesame");
        assert!(secret.is(b"open sesame"));
        for (value, right) in [
            ("Bearer open sesame", true),
            ("bearer open sesame", true),
            ("Bearer open sesam", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic open sesame", false),
            ("open sesame", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(secret.is_borne(&headers), right, "{value}");
        }
        assert!(!secret.is_borne(&HeaderMap::new()));
        assert!(!format!("{secret:?}").contains("sesame"));
    }
}
