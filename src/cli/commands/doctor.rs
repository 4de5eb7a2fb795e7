//! `can-sync doctor`: what is wrong, and what to do about it.

use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use crate::cli::client::HostApi;
use crate::cli::context::Context;
use crate::cli::printer::Printer;
use crate::node::DataFolder;

/// Look at the configuration, the running host, its network and every device, and say what to do
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

/// What was found out about one thing.
#[derive(Debug, Deserialize, Serialize)]
struct Finding {
    of: String,
    /// `ok`, `off`, `warning` or `error`.
    severity: String,
    seen: String,
    advice: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Findings {
    findings: Vec<Finding>,
}

/// Something does not work.
#[derive(Debug, thiserror::Error)]
#[error("see above what does not work: {}", .0.join(", "))]
struct Failed(Vec<String>);

impl Finding {
    fn new(of: &str, severity: &str, seen: &str, advice: Option<&str>) -> Self {
        let (of, severity, seen) = (of.to_owned(), severity.to_owned(), seen.to_owned());
        Self { of, severity, seen, advice: advice.map(str::to_owned) }
    }
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        // What is wrong with the configuration is told as an error, with its place.
        let resolved = context.resolve(None)?;
        resolved.settings.secret(DataFolder::has_members(&resolved.settings.data_dir))?;
        resolved.settings.can_service()?;
        let mut findings = vec![Finding::new("configuration", "ok", "it is right", None)];
        findings.extend(resolved.notes.iter().map(|note| Finding::new("configuration", "warning", note, None)));
        match host(context).await {
            Ok(found) => {
                findings.push(Finding::new("host", "ok", "it runs and answers", None));
                findings.extend(found);
            }
            Err(error) => {
                findings.push(Finding::new("host", "error", &format!("{error:#}"), Some("start it: `can-sync run`")));
            }
        }
        let printer = context.printer();
        if printer.is_json() {
            printer.json(&json!({ "findings": findings }))?;
        } else {
            show(printer, &findings)?;
        }
        printer.flush()?;
        let failed: Vec<String> =
            findings.into_iter().filter(|finding| finding.severity == "error").map(|finding| finding.of).collect();
        if failed.is_empty() { Ok(()) } else { Err(Failed(failed).into()) }
    }
}

async fn host(context: &Context) -> anyhow::Result<Vec<Finding>> {
    let api: HostApi = context.host_api()?;
    Ok(api.get::<Findings>("/doctor").await?.findings)
}

fn show(printer: &Printer, findings: &[Finding]) -> anyhow::Result<()> {
    let width = findings.iter().map(|finding| finding.of.chars().count()).max().unwrap_or_default().min(40);
    for Finding { of, severity, seen, advice } in findings {
        let mark = match severity.as_str() {
            "ok" => "ok",
            "off" => "-",
            "warning" => "!",
            _ => "FAIL",
        };
        printer.line(&format!("{mark:<4}  {of:<width$}  {seen}"))?;
        if let Some(advice) = advice {
            printer.line(&format!("{:<4}  {:<width$}  -> {advice}", "", ""))?;
        }
    }
    Ok(())
}
