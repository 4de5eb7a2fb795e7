//! `can-sync init`: a new library, as a configuration with a secret of its own.

use std::path::Path;
use std::path::PathBuf;

use anyhow::anyhow;
use zeroize::Zeroizing;

use crate::auth::ENTROPY_BYTES;
use crate::auth::Phrase;
use crate::cli::context::Context;
use crate::cli::context::DEFAULT_FILE;
use crate::config;
use crate::library::MIRROR;
use crate::node::DataFolder;

/// Write a commented configuration with a new secret of twelve words
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Where to write it; a file that is there is left as it is
    #[arg(default_value = DEFAULT_FILE)]
    file: PathBuf,
}

impl Args {
    pub(in crate::cli) fn execute(self, context: &Context) -> anyhow::Result<()> {
        let mut random = Zeroizing::new([0; ENTROPY_BYTES]);
        getrandom::fill(random.as_mut_slice())
            .map_err(|error| anyhow!("the system has no random bytes for a secret: {error}"))?;
        let phrase = Phrase::generate(*random);
        config::write_new(&self.file, &config::template_with(&phrase))?;
        let founded = found(context, &self.file, &phrase);
        let (printer, file) = (context.printer(), self.file.display());
        printer.line(&file.to_string())?;
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
            Ok(false) => "Whoever first says who belongs to the library is its admin.".to_owned(),
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
