//! `can-sync events`: follows what happens on the running host.

use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::format;

/// Follow what happens on the running host, until Ctrl-C
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

/// One line of `GET /events`, as far as people are shown it.
#[derive(Debug, Deserialize)]
struct Line {
    kind: String,
    at_ms: u64,
    hash: Option<String>,
    peer: Option<String>,
    task: Option<String>,
    in_sync: Option<bool>,
    count: Option<u64>,
    reason: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let (api, printer) = (context.host_api()?, context.printer());
        let mut lines = api.get_for_lines("/events").await?;
        while let Some(value) = lines.next::<Value>().await? {
            let line = Line::deserialize(&value)?;
            match line.kind.as_str() {
                "quiet" => {}
                _ if printer.is_json() => printer.json(&value)?,
                _ => printer.line(&line.told())?,
            }
        }
        bail!("the host has stopped")
    }
}

impl Line {
    fn told(self) -> String {
        let Self { kind, at_ms, hash, peer, task, in_sync, count, reason } = self;
        let what = match (kind.as_str(), in_sync) {
            ("in_sync", Some(false)) => "not in sync any more".to_owned(),
            _ => kind.replace('_', " "),
        };
        let peer = peer.map(|peer| if hash.is_some() { format!("from {peer}") } else { peer });
        let parts = [hash, peer, task, count.map(|count| count.to_string())];
        let parts = parts.into_iter().flatten().collect::<Vec<_>>().join("  ");
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{}  {what}  {parts}{reason}", format::time(at_ms))
    }
}
