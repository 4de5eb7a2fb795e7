//! `can-sync tag`: adds and removes tags.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::asset::AssetId;
use crate::cli::client::Asset;
use crate::cli::client::with_json;
use crate::cli::context::Context;

/// Add or remove tags of an asset
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").args(["add", "remove"]).required(true).multiple(true)))]
pub(in crate::cli) struct Args {
    /// Which asset: its whole hash, as `ls` shows it
    hash: AssetId,
    /// Tag to add; may be given several times
    #[arg(long, value_name = "TAG")]
    add: Vec<String>,
    /// Tag to remove; may be given several times
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let (api, printer) = (context.can_api()?, context.printer());
        let request = api.request(Method::PATCH, &format!("/asset/{}/meta", self.hash), &[]);
        let changed: Value =
            api.data(with_json(request, &json!({ "add_tags": self.add, "remove_tags": self.remove }))).await?;
        if printer.is_json() {
            return Ok(printer.json(&changed)?);
        }
        Ok(printer.table(&Asset::COLUMNS, &[Asset::deserialize(&changed)?.row()])?)
    }
}
