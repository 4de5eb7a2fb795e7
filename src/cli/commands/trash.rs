//! `can-sync trash`: moves assets to the trash, from which they can be restored.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;

use crate::asset::AssetId;
use crate::cli::batch::each;
use crate::cli::context::Context;

/// Move assets to the trash, on every machine; `restore` brings them back
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which assets: their whole hashes, as `ls` shows them
    #[arg(required = true)]
    hashes: Vec<AssetId>,
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let (api, printer) = (context.can_api()?, context.printer());
        each(printer, &self.hashes, async |hash| {
            let changed = api.data(api.request(Method::DELETE, &format!("/asset/{hash}"), &[])).await;
            let changed: Value = changed.with_context(|| format!("{hash} was not trashed"))?;
            Ok(if printer.is_json() { printer.json(&changed) } else { printer.line(&format!("{hash}  trashed")) }?)
        })
        .await
    }
}
