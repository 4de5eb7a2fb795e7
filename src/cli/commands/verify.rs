//! `can-sync verify`: has the running host hash contents again.
//!
//! `POST /verify` of the host API takes `{"all": true}` or `{"hashes": ["…", …]}` and answers with JSON lines as it goes
//! (`application/x-ndjson`), each an object with a `kind`:
//! - `progress` with `done` and `total` (assets), at the start and at least every 10 seconds;
//! - `damaged` with `hash` and `reason`: moved aside, to be fetched again;
//! - `missing` with `hash`: there is no content, or no such asset;
//! - `unreadable` with `hash` and `reason`: it could not be hashed, and was left as it is;
//! - `end` with `sound`, `damaged`, `missing`, `unreadable` (assets) and `bytes` (hashed): the last line. An answer
//!   without it broke.

use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::asset::AssetId;
use crate::cli::context::Context;
use crate::cli::format;
use crate::cli::printer::Unit;

/// Hash contents again and compare them with their ids
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which assets: their whole hashes, as `ls` shows them
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    hashes: Vec<AssetId>,
    /// Every asset of the store
    #[arg(long)]
    all: bool,
}

/// One line of the answer.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Progress { done: u64, total: u64 },
    Damaged { hash: String, reason: String },
    Missing { hash: String },
    Unreadable { hash: String, reason: String },
    End { sound: u64, damaged: u64, missing: u64, unreadable: u64, bytes: u64 },
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let hashes: Vec<String> = self.hashes.iter().map(AssetId::to_string).collect();
        let body = if self.all { json!({ "all": true }) } else { json!({ "hashes": hashes }) };
        let (api, printer) = (context.host_api()?, context.printer());
        let mut lines = api.post_for_lines("/verify", &body).await?;
        let progress = printer.progress("verify", None, Unit::Assets);
        while let Some(value) = lines.next::<Value>().await? {
            let line = Line::deserialize(&value)?;
            if printer.is_json() {
                printer.json(&value)?;
            }
            match line {
                Line::Progress { done, total } => progress.set(done, total),
                Line::Damaged { hash, reason } if !printer.is_json() => {
                    printer.line(&format!("{hash}  damaged  {reason}"))?;
                }
                Line::Missing { hash } if !printer.is_json() => printer.line(&format!("{hash}  missing"))?,
                Line::Unreadable { hash, reason } if !printer.is_json() => {
                    printer.line(&format!("{hash}  unreadable  {reason}"))?;
                }
                Line::Damaged { .. } | Line::Missing { .. } | Line::Unreadable { .. } => {}
                Line::End { sound, damaged, missing, unreadable, bytes } => {
                    progress.end();
                    let (assets, bytes) = (format::count(sound, "asset"), format::bytes(bytes));
                    let unread = if unreadable > 0 { format!(", {unreadable} unreadable") } else { String::new() };
                    printer
                        .say(&format!("{assets} sound, {damaged} damaged, {missing} missing{unread}; {bytes} hashed"));
                    if unreadable > 0 {
                        bail!(
                            "not every asset could be hashed; mend what the reasons above name (rights, the disk), and \
                             verify those assets again"
                        );
                    }
                    if damaged + missing > 0 {
                        bail!(
                            "not every asset is sound; what is damaged or missing comes again from a connected peer \
                             that has it, and a hash that no host knows is no asset"
                        );
                    }
                    return Ok(());
                }
            }
        }
        bail!("the host stopped before it was done; start again when it runs")
    }
}
