//! `can-sync get`: reads the content of an asset, and checks it.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use reqwest::Method;
use reqwest::Response;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::asset::AssetId;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::cli::client::Asset;
use crate::cli::client::CanApi;
use crate::cli::context::Context;
use crate::cli::exit::Misused;
use crate::cli::printer::Printer;
use crate::cli::printer::Unit;

/// Read the content of an asset
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which asset: its whole hash, as `ls` shows it
    hash: AssetId,
    /// Write it to this file, once it is whole and checked, instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file when it is there
    #[arg(long, requires = "output")]
    force: bool,
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let (api, printer) = (context.can_api()?, context.printer());
        let meta = api.request(Method::GET, &format!("/asset/{}/meta", self.hash), &[]);
        let asset: Asset = api.data(meta).await?;
        let is_text = asset.mime_type.as_deref().is_some_and(|mime_type| mime_type.starts_with("text/"));
        if self.output.is_none() && printer.stdout_is_terminal() && !is_text {
            let kind = asset.mime_type.as_deref().unwrap_or("of no known type");
            return Err(Misused(format!("this is {kind}, and stdout is a terminal; name a file with -o")).into());
        }
        let response = api.open(api.request(Method::GET, &format!("/asset/{}", self.hash), &[])).await?;
        let verifier = Verifier::new(Timestamp::new(asset.timestamp)?);
        let mut copy = Copy { api: &api, printer, response, verifier, asset: &asset };
        match self.output {
            None => {
                copy.run(&mut Sink::Stdout(printer)).await?;
                printer.flush()?;
                copy.check(&self.hash).context("what was written to stdout is wrong")
            }
            Some(path) => write_file(copy, &path, &self.hash, self.force).await,
        }
    }
}

/// Where the content goes.
enum Sink<'a> {
    Stdout(&'a Printer),
    File(File),
}

/// A content on its way.
struct Copy<'a> {
    api: &'a CanApi,
    printer: &'a Printer,
    response: Response,
    verifier: Verifier,
    asset: &'a Asset,
}

impl Copy<'_> {
    async fn run(&mut self, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let progress = self.printer.progress(&self.asset.name(), Some(self.asset.size), Unit::Bytes);
        while let Some(piece) = self.response.chunk().await.map_err(|error| self.api.broken(error))? {
            self.verifier.update(&piece);
            match sink {
                Sink::Stdout(printer) => printer.bytes(&piece)?,
                Sink::File(file) => file.write_all(&piece).await?,
            }
            progress.add(piece.len() as u64);
        }
        Ok(())
    }

    fn check(self, hash: &AssetId) -> anyhow::Result<()> {
        self.verifier.finish(hash).with_context(|| {
            format!("the content does not match its hash; `can-sync verify {hash}` looks into the store")
        })?;
        Ok(())
    }
}

/// Writes a file beside, checks it, and gives it its name only then.
async fn write_file(mut copy: Copy<'_>, path: &Path, hash: &AssetId, force: bool) -> anyhow::Result<()> {
    if !force && path.symlink_metadata().is_ok() {
        return Err(Misused(format!("{} is there already; --force replaces it", path.display())).into());
    }
    let Some(name) = path.file_name() else { bail!("{} names no file", path.display()) };
    let half = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let cannot_write = || format!("cannot write {}", path.display());
    let written = async {
        let mut sink = Sink::File(File::create(&half).await.with_context(cannot_write)?);
        copy.run(&mut sink).await?;
        if let Sink::File(mut file) = sink {
            file.flush().await.with_context(cannot_write)?;
            file.sync_all().await.with_context(cannot_write)?;
        }
        copy.check(hash)?;
        publish(&half, path, force).with_context(cannot_write)
    };
    let written = written.await;
    if written.is_err() {
        // Half a file is worth nothing; if it was never made there is nothing to remove.
        let _ = std::fs::remove_file(&half);
    }
    written
}

fn publish(half: &Path, path: &Path, force: bool) -> io::Result<()> {
    if !force && path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(half, path)
}
