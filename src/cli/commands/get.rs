//! `can-sync get`: reads the content of an asset, and checks it.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use data_encoding::HEXLOWER;
use reqwest::Method;
use rustix::fs::CWD;
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::asset::AssetId;
use crate::asset::Timestamp;
use crate::asset::Verifier;
use crate::cli::client::Answer;
use crate::cli::client::Asset;
use crate::cli::context::Context;
use crate::cli::exit::Misused;
use crate::cli::printer::Printer;
use crate::cli::printer::Unit;
use crate::task;

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
        let answer = api.open(api.request(Method::GET, &format!("/asset/{}", self.hash), &[])).await?;
        let verifier = Verifier::new(Timestamp::new(asset.timestamp)?);
        let mut copy = Copy { printer, answer, verifier, asset: &asset };
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
    printer: &'a Printer,
    answer: Answer,
    verifier: Verifier,
    asset: &'a Asset,
}

impl Copy<'_> {
    async fn run(&mut self, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let progress = self.printer.progress(&self.asset.name(), Some(self.asset.size), Unit::Bytes);
        let broke_off = || {
            let hash = &self.asset.hash;
            format!(
                "the content broke off; unless the host was stopped it may be damaged: see `can-sync verify {hash}`"
            )
        };
        while let Some(piece) = self.answer.piece().await.with_context(broke_off)? {
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
    if path.file_name().is_none() {
        bail!("{} names no file", path.display());
    }
    // Short, whatever the name is, and nobody can have put a link there.
    let half = path.with_file_name(format!(".can-sync-{}.part", HEXLOWER.encode(&task::random::<8>())));
    let cannot_write = || format!("cannot write {}", path.display());
    let written = async {
        let mut sink = Sink::File(File::create_new(&half).await.with_context(cannot_write)?);
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

/// Gives a file its name. Without force, one that was made meanwhile is kept.
fn publish(half: &Path, path: &Path, force: bool) -> io::Result<()> {
    if force {
        return std::fs::rename(half, path);
    }
    match rustix::fs::renameat_with(CWD, half, CWD, path, RenameFlags::NOREPLACE) {
        // A file system that cannot do both at once.
        Err(Errno::INVAL | Errno::NOSYS) if path.symlink_metadata().is_err() => std::fs::rename(half, path),
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::AlreadyExists.into()),
        renamed => Ok(renamed?),
    }
}
