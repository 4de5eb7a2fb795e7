//! `can-sync purge`: removes assets from this machine for good.

use anyhow::Context as _;
use anyhow::bail;
use serde_json::Value;
use serde_json::json;

use crate::asset::AssetId;
use crate::cli::batch::each;
use crate::cli::context::Context;
use crate::cli::exit::Misused;
use crate::cli::format;

/// Remove assets from this machine for good; other machines keep theirs
///
/// Content and metadata are removed, and from then on the assets are not taken from others: `held ls --declined` shows
/// them, `held release` brings them back. An asset that no connected machine has to give is not purged.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which assets: their whole hashes, as `ls` shows them
    #[arg(required = true)]
    hashes: Vec<AssetId>,
    /// Purge also what no connected machine has; it may be lost then
    #[arg(long)]
    last_copy: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let (api, printer) = (context.host_api()?, context.printer());
        if !self.yes {
            let assets = format::count(self.hashes.len() as u64, "asset");
            let question = format!("Remove {assets} from this machine for good?");
            match printer.confirmed(&question)? {
                Some(true) => {}
                Some(false) => bail!("nothing was changed"),
                None => {
                    let text = "what is purged comes back only from another device that has it; say `--yes`";
                    return Err(Misused(text.to_owned()).into());
                }
            }
        }
        let body = json!({ "last_copy": self.last_copy });
        each(printer, &self.hashes, async |hash| {
            let answer = api.post_with(&format!("/purge/{hash}"), &body).await;
            let answer: Value = answer.with_context(|| format!("{hash} was not purged"))?;
            Ok(if printer.is_json() { printer.json(&answer) } else { printer.line(&format!("{hash}  purged")) }?)
        })
        .await
    }
}
