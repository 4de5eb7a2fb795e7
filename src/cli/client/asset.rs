//! Assets as the CAN API tells them.

use serde::Deserialize;
use serde_json::Value;

use crate::asset::AssetId;
use crate::cli::format;
use crate::cli::printer::Align;

/// One asset, for people. What programs are shown is the JSON as it came.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Asset {
    #[serde(deserialize_with = "hash")]
    pub(in crate::cli) hash: AssetId,
    pub(in crate::cli) timestamp: u64,
    pub(in crate::cli) size: u64,
    pub(in crate::cli) mime_type: Option<String>,
    human_file_name: Option<String>,
    human_readable_path: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Page {
    /// The assets, as JSON.
    pub(in crate::cli) assets: Vec<Value>,
    /// How many there are in all pages.
    pub(in crate::cli) total: u64,
    /// Where the next page begins.
    pub(in crate::cli) next: Option<String>,
}

fn hash<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<AssetId, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl Asset {
    /// The columns in which assets are listed.
    pub(in crate::cli) const COLUMNS: [(&'static str, Align); 5] = [
        ("HASH", Align::Left),
        ("SIZE", Align::Right),
        ("TIME", Align::Left),
        ("NAME", Align::Left),
        ("TAGS", Align::Left),
    ];

    /// Returns its cells in those columns.
    pub(in crate::cli) fn row(&self) -> Vec<String> {
        vec![
            self.hash.to_string(),
            format::bytes(self.size),
            format::time(self.timestamp),
            self.name(),
            self.tags.join(", "),
        ]
    }

    /// Returns folder and name for people.
    pub(in crate::cli) fn name(&self) -> String {
        let name = self.human_file_name.as_deref().unwrap_or("-");
        match self.human_readable_path.as_deref().map(|path| path.trim_end_matches('/')) {
            Some(path) if !path.is_empty() => format!("{path}/{name}"),
            _ => name.to_owned(),
        }
    }
}
