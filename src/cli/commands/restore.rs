//! `can-sync restore`: brings assets back from the trash.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;

use crate::asset::AssetId;
use crate::cli::batch::each;
use crate::cli::context::Context;

/// Bring assets back from the trash, on every machine
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which assets: their whole hashes, as `ls --trashed` shows them
    #[arg(required = true)]
    hashes: Vec<AssetId>,
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let (api, printer) = (context.can_api()?, context.printer());
        each(printer, &self.hashes, async |hash| {
            let changed = api.data(api.request(Method::POST, &format!("/asset/{hash}/restore"), &[])).await;
            let changed: Value = changed.with_context(|| format!("{hash} was not restored"))?;
            Ok(if printer.is_json() { printer.json(&changed) } else { printer.line(&format!("{hash}  restored")) }?)
        })
        .await
    }
}
