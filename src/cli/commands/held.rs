//! `can-sync held`: what plugins and people stopped, and what is to become of it.

use anyhow::Context as _;
use anyhow::bail;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::explain;
use crate::asset::AssetId;
use crate::cli::batch::each;
use crate::cli::client::HostApi;
use crate::cli::context::Context;
use crate::cli::format;
use crate::cli::printer::Align;
use crate::cli::printer::Unit;
use crate::limits;

/// Show what waits for a decision, and decide
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what is held, oldest first
    Ls {
        /// List what is kept back or declined instead
        #[arg(long)]
        declined: bool,
    },
    /// Show what stops one asset, and what every plugin said of it
    Show {
        /// Which asset: its whole hash
        hash: AssetId,
    },
    /// Let assets pass as they are now
    Release {
        /// Which assets: their whole hashes
        #[arg(required_unless_present = "braked", conflicts_with = "braked")]
        hashes: Vec<AssetId>,
        /// All that the brake on trashing holds; whoever it has stopped goes on
        #[arg(long)]
        braked: bool,
    },
    /// Refuse assets for good; only `replay` asks about them again
    Drop {
        /// Which assets: their whole hashes
        #[arg(required_unless_present = "braked", conflicts_with = "braked")]
        hashes: Vec<AssetId>,
        /// All that the brake on trashing holds: undo it, here and on every other host
        #[arg(long)]
        braked: bool,
    },
    /// Have plugins asked about assets again
    Replay {
        /// Which assets: their whole hashes
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        hashes: Vec<AssetId>,
        /// Everything that is held, and what was dropped because a plugin failed at it
        #[arg(long)]
        all: bool,
    },
}

/// One page of a list.
#[derive(Debug, Deserialize)]
struct Page {
    assets: Vec<Value>,
    next: Option<String>,
}

/// An asset that is stopped, for people.
#[derive(Debug, Deserialize)]
struct Stopped {
    hash: String,
    size: u64,
    point: String,
    reason: String,
    by: Option<String>,
    standing: String,
    at_ms: u64,
}

/// One line of what `POST /held/replay` answers.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum ReplayLine {
    Progress { done: u64, total: u64 },
    End { replayed: u64 },
}

const COLUMNS: [(&str, Align); 6] = [
    ("HASH", Align::Left),
    ("SIZE", Align::Right),
    ("SINCE", Align::Left),
    ("WHERE", Align::Left),
    ("BY", Align::Left),
    ("REASON", Align::Left),
];

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let api = context.host_api()?;
        match self.action {
            Action::Ls { declined } => list(context, &api, if declined { "/declined" } else { "/held" }).await,
            Action::Show { hash } => explain::show(context, &api, &hash).await,
            Action::Release { braked: true, .. } => all(context, &api, "/brake/release", "released", "released").await,
            Action::Drop { braked: true, .. } => all(context, &api, "/brake/drop", "dropped", "undone").await,
            Action::Release { hashes, .. } => some(context, &api, &hashes, "release", "released").await,
            Action::Drop { hashes, .. } => some(context, &api, &hashes, "drop", "dropped").await,
            Action::Replay { all: true, .. } => replay_all(context, &api).await,
            Action::Replay { hashes, .. } => some(context, &api, &hashes, "replay", "asked again").await,
        }
    }
}

async fn list(context: &Context, api: &HostApi, path: &str) -> anyhow::Result<()> {
    let printer = context.printer();
    let (mut cursor, mut count) = (None::<String>, 0);
    loop {
        let mut query = vec![("limit", limits::PAGE_ROWS.to_string())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Page = api.get_with(path, &query).await?;
        if printer.is_json() {
            let mut separator = if count == 0 { "{\"assets\":[" } else { "," };
            if page.assets.is_empty() && count == 0 {
                printer.bytes(separator.as_bytes())?;
            }
            for asset in &page.assets {
                printer.bytes(separator.as_bytes())?;
                printer.json_piece(asset)?;
                separator = ",";
            }
        } else {
            let stopped = page.assets.iter().map(Stopped::deserialize).collect::<Result<Vec<_>, _>>()?;
            let rows: Vec<_> = stopped.iter().map(row).collect();
            if count == 0 { printer.table(&COLUMNS, &rows)? } else { printer.rows(&COLUMNS, &rows)? }
        }
        count += page.assets.len();
        cursor = page.next.filter(|_| !page.assets.is_empty());
        if cursor.is_none() {
            break;
        }
    }
    if printer.is_json() {
        printer.bytes(b"]}\n")?;
    }
    Ok(printer.flush()?)
}

fn row(stopped: &Stopped) -> Vec<String> {
    let by = match (stopped.by.as_deref().unwrap_or("-"), stopped.standing.as_str()) {
        (by, "firm") => by.to_owned(),
        (by, standing) => format!("{by} ({standing})"),
    };
    vec![
        stopped.hash.clone(),
        format::bytes(stopped.size),
        format::time(stopped.at_ms),
        stopped.point.clone(),
        by,
        stopped.reason.clone(),
    ]
}

/// Has the host do something with some assets, one after the other.
async fn some(context: &Context, api: &HostApi, hashes: &[AssetId], what: &str, done: &str) -> anyhow::Result<()> {
    let printer = context.printer();
    each(printer, hashes, async |hash| {
        let answer = api.post(&format!("/held/{hash}/{what}")).await;
        let answer: Value = answer.with_context(|| format!("{hash} was not {done}"))?;
        Ok(if printer.is_json() { printer.json(&answer) } else { printer.line(&format!("{hash}  {done}")) }?)
    })
    .await
}

/// Has the host do something with all of some assets, and says with how many it did.
async fn all(context: &Context, api: &HostApi, path: &str, key: &str, done: &str) -> anyhow::Result<()> {
    let answer: Value = api.post(path).await?;
    let printer = context.printer();
    if printer.is_json() {
        return Ok(printer.json(&answer)?);
    }
    let count = answer.get(key).and_then(Value::as_u64).unwrap_or_default();
    Ok(printer.line(&format!("{} {done}", format::count(count, "asset")))?)
}

/// Has the host ask again about everything that is held, and shows how far it is.
async fn replay_all(context: &Context, api: &HostApi) -> anyhow::Result<()> {
    let printer = context.printer();
    let mut lines = api.post_for_lines("/held/replay", &json!({})).await?;
    let progress = printer.progress("replay", None, Unit::Assets);
    while let Some(value) = lines.next::<Value>().await? {
        let line = ReplayLine::deserialize(&value)?;
        if printer.is_json() {
            printer.json(&value)?;
        }
        match line {
            ReplayLine::Progress { done, total } => progress.set(done, total),
            ReplayLine::End { replayed } => {
                progress.end();
                if !printer.is_json() {
                    printer.line(&format!("{} asked about again", format::count(replayed, "asset")))?;
                }
                return Ok(());
            }
        }
    }
    bail!("the host stopped before it was done; start again when it runs, what was not asked about stays held")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_stopped_it_and_whether_that_was_a_failure() {
        let asset = json!({
            "hash": "ab", "size": 5, "point": "before-push", "reason": "private", "by": "keep-private",
            "standing": "failed", "at_ms": 1_700_000_000_000_u64, "way": "push",
        });
        let stopped = Stopped::deserialize(&asset).unwrap();
        let cells = ["ab", "5 B", "2023-11-14T22:13:20Z", "before-push", "keep-private (failed)", "private"];
        assert_eq!(row(&stopped), cells);
    }
}
