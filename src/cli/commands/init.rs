//! `can-sync init`: a new library, as a configuration with a secret of its own.

use std::path::Path;
use std::path::PathBuf;

use serde_json::json;

use crate::auth::Phrase;
use crate::cli::context::Context;
use crate::cli::context::DEFAULT_FILE;
use crate::cli::phrase::new_phrase;
use crate::config;
use crate::library::MIRROR;
use crate::node::DataFolder;

/// Write a commented configuration with a new secret of twelve words
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Where to write it; a file that is there is left as it is [default: that of `--config`, else `config.yaml`]
    file: Option<PathBuf>,
}

impl Args {
    pub(in crate::cli) fn execute(self, context: &Context) -> anyhow::Result<()> {
        let path = self.file.or_else(|| context.named_file()).unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let phrase = new_phrase()?;
        config::write_new(&path, &config::template_with(&phrase))?;
        let founded = found(context, &path, &phrase);
        let (printer, file) = (context.printer(), path.display());
        if printer.is_json() {
            printer.json(&json!({ "file": file.to_string(), "admin": matches!(founded, Ok(true)) }))?;
        } else {
            printer.line(&file.to_string())?;
        }
        for line in [
            format!("Wrote {file} with a new secret; only you can read it."),
            String::new(),
            "On this machine:".to_owned(),
            format!("  can-sync run {file}"),
            "For every further machine:".to_owned(),
            "  1. here, while the host runs: can-sync pair".to_owned(),
            "  2. there: can-sync pair with the four words, then can-sync run".to_owned(),
            format!("Or copy {file} there by a way you trust; they find each other by `sync_passphrase`."),
        ] {
            printer.say(&line);
        }
        printer.say(&match founded {
            Ok(true) => {
                "This machine may say who belongs to the library; `can-sync peers admin` shares that.".to_owned()
            }
            Ok(false) => "The data folder was there before and keeps what it is: whoever first says who belongs to the library is its admin."
                .to_owned(),
            Err(error) => format!("Whoever first says who belongs to the library is its admin: {error:#}."),
        });
        Ok(())
    }
}

/// Makes this machine the first admin of the new library, if its data folder holds no other.
fn found(context: &Context, file: &Path, phrase: &Phrase) -> anyhow::Result<bool> {
    let settings = context.resolve(Some(file))?.settings;
    Ok(DataFolder::open(&settings.data_dir)?.found(phrase, MIRROR)?)
}
