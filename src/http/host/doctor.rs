//! `GET /doctor`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::Api;
use crate::http::Failure;
use crate::http::success;
use crate::node;
use crate::node::Severity;

/// What was found out about one thing, in JSON.
#[derive(Debug, Serialize)]
struct Finding {
    of: String,
    /// `ok`, `off`, `warning` or `error`.
    severity: &'static str,
    seen: String,
    advice: Option<String>,
}

pub(super) async fn doctor(State(api): State<Api>) -> Result<Response, Failure> {
    let findings = api.node.examine().await.map_err(|error| Failure::internal(&error))?;
    let findings: Vec<Finding> = findings.into_iter().map(Finding::from).collect();
    Ok(success(json!({ "findings": findings })))
}

impl From<node::Finding> for Finding {
    fn from(finding: node::Finding) -> Self {
        let severity = match finding.severity {
            Severity::Ok => "ok",
            Severity::Off => "off",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        Self { of: finding.of, severity, seen: finding.seen, advice: finding.advice }
    }
}
