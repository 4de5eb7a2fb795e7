//! `can-sync demo`: two hosts on this machine that mirror each other, to see it work before setting anything up.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::anyhow;
use anyhow::bail;
use futures_util::StreamExt;
use serde::Deserialize;

use super::add::upload;
use crate::asset::AssetId;
use crate::auth::Phrase;
use crate::cli::client::Asset;
use crate::cli::client::CanApi;
use crate::cli::context::Context;
use crate::cli::format;
use crate::cli::phrase::new_phrase;
use crate::cli::printer::Align;
use crate::cli::printer::Printer;
use crate::cli::printer::Unit;
use crate::cli::runtime;
use crate::cli::runtime::Running;
use crate::cli::temporary::TemporaryFolder;
use crate::config::Settings;
use crate::http::can::PREFIX;
use crate::library::Relay;
use crate::node::NodeStatus;
use crate::node::VerifyStep;
use crate::node::Which;
use crate::store::Verification;

/// Files that are ingested into both hosts together, at most.
const FILES: usize = 60;

/// Files above this are left out: it is a demonstration.
const FILE_BYTES: u64 = 8 * 1024 * 1024;

/// The plugin that A has. It is compiled in, since the program has to show it wherever it lies.
const KEEP_PRIVATE: &[u8] = include_bytes!("../../../plugins/prebuilt/keep-private.wasm");

/// A file that stays on A, and the tag that keeps it there.
const DIARY: &str = "diary.txt";
const PRIVATE: &str = "private";

/// Time in which two hosts on one machine must have become equal.
const PATIENCE: Duration = Duration::from_secs(50);

/// Watch two hosts on this machine mirror each other, and a plugin keep something back
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// End when both are equal, instead of staying up
    #[arg(long)]
    exit: bool,
}

impl Args {
    pub(in crate::cli) fn execute(self, context: &Context) -> anyhow::Result<()> {
        let runtime = runtime::runtime()?;
        let done = runtime.block_on(self.run(context.printer()));
        runtime.shutdown_background();
        done
    }

    async fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let folder = TemporaryFolder::make("demo")?;
        let phrase = new_phrase()?;
        printer.say(&format!("Two hosts with one secret, in {}", folder.path().display()));
        let mut hosts = Vec::new();
        let mut interrupted = std::pin::pin!(runtime::interrupted());
        let shown = tokio::select! {
            shown = show_both(printer, folder.path(), &phrase, &mut hosts) => shown.map(|()| !self.exit),
            // A script that waits for the proof has to see that there was none.
            signal = &mut interrupted => match signal {
                Ok(()) if self.exit => Err(anyhow!("interrupted before both were equal")),
                signal => signal.map(|()| false),
            },
        };
        if let Ok(true) = shown {
            printer.say("");
            printer.say("Both stay up. Ctrl-C ends them.");
            interrupted.await?;
        }
        printer.say("stopping");
        // B has dialled: while it runs, it would look for an A that has gone.
        for (running, _) in hosts.into_iter().rev() {
            running.stop().await;
        }
        shown.map(|_| ())
    }
}

/// Starts both hosts, and shows what they do.
async fn show_both(
    printer: &Printer,
    folder: &Path,
    phrase: &Phrase,
    hosts: &mut Vec<(Running, Settings)>,
) -> anyhow::Result<()> {
    let plugins = folder.join("A").join("plugins");
    std::fs::create_dir_all(&plugins).with_context(|| format!("cannot make {}", plugins.display()))?;
    let plugin = plugins.join("keep-private.wasm");
    std::fs::write(&plugin, KEEP_PRIVATE).with_context(|| format!("cannot write {}", plugin.display()))?;
    for name in ["A", "B"] {
        let mut settings = settings(folder, name, phrase.clone());
        let running = runtime::start(&settings, false).await?;
        settings.can_listen_addr = running.can_api.context("the embedded store has a CAN API")?;
        let (id, can_api) = (running.node.id().fmt_short(), settings.can_listen_addr);
        printer.say(&format!("{name}: {id}, CAN API http://{can_api}{PREFIX}"));
        hosts.push((running, settings));
    }
    let [(a, at_a), (b, at_b)] = hosts.as_slice() else { bail!("two hosts were started") };
    let diary = folder.join(DIARY);
    std::fs::write(&diary, "Nobody else reads this.\n").with_context(|| format!("cannot write {}", diary.display()))?;
    show(printer, (a, at_a), (b, at_b), &diary).await
}

/// Ingests, connects, waits, proves.
async fn show(
    printer: &Printer,
    a: (&Running, &Settings),
    b: (&Running, &Settings),
    diary: &Path,
) -> anyhow::Result<()> {
    let files = files()?;
    for (at, (_, settings)) in [a, b].into_iter().enumerate() {
        let api = CanApi::new(settings)?;
        let mine: Vec<&PathBuf> = files.iter().skip(at).step_by(2).collect();
        for path in &mine {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let fields = vec![("tags", "demo".to_owned()), ("application", "can-sync demo".to_owned())];
            upload(&api, printer, path, &name, fields).await.with_context(|| path.display().to_string())?;
        }
        printer.say(&format!("{}: {} ingested", settings.device_name, format::count(mine.len() as u64, "file")));
    }
    let private = upload(&CanApi::new(a.1)?, printer, diary, DIARY, vec![("tags", PRIVATE.to_owned())]).await?;
    printer.say(&format!("A: {DIARY} ingested, tagged {PRIVATE}; A has the plugin keep-private"));
    let (can_of_a, can_of_b) = (a.1.can_listen_addr, b.1.can_listen_addr);
    let (a, b) = (a.0, b.0);
    let began = Instant::now();
    b.node.connect(a.node.ticket()).await;
    let progress = printer.progress("mirroring", Some(2 * files.len() as u64), Unit::Assets);
    let (at_a, at_b) = loop {
        let (at_a, at_b) = (a.node.status().await?, b.node.status().await?);
        progress.set(at_a.store.assets + at_b.store.assets - 1, 2 * files.len() as u64);
        if equal(&at_a, &at_b) && at_b.store.assets as usize == files.len() && at_a.replication.declined == 1 {
            break (at_a, at_b);
        }
        if began.elapsed() > PATIENCE {
            bail!("the hosts did not become equal within {} s; please report what `-vv` shows", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    progress.end();
    printer.say(&format!("equal after {} ms", began.elapsed().as_millis()));
    let mut rows = Vec::new();
    for (host, status) in [(a, &at_a), (b, &at_b)] {
        let (sound, bytes) = rehash(printer, host).await?;
        let library = &status.replication.library;
        rows.push(vec![
            status.name.clone(),
            library.summary.count.to_string(),
            data_encoding::HEXLOWER.encode(&library.summary.fingerprint),
            format!("{sound} sound, {}", format::bytes(bytes)),
        ]);
    }
    let columns =
        [("HOST", Align::Left), ("ASSETS", Align::Right), ("FINGERPRINT", Align::Left), ("RE-HASHED", Align::Left)];
    printer.table(&columns, &rows)?;
    printer.line("")?;
    printer.line(&kept_back(a, b, Asset::deserialize(&private)?.hash).await?)?;
    printer.line("")?;
    printer.line("Ingest a file here, and read it there by the hash in the answer:")?;
    printer.line(&format!("  curl -F file=@Cargo.toml http://{can_of_a}{PREFIX}/ingest"))?;
    printer.line(&format!("  curl http://{can_of_b}{PREFIX}/asset/HASH"))?;
    Ok(())
}

/// Tells whether both say that they are in sync, with the same set.
fn equal(a: &NodeStatus, b: &NodeStatus) -> bool {
    let (of_a, of_b) = (&a.replication.library, &b.replication.library);
    of_a.in_sync && of_b.in_sync && of_a.summary == of_b.summary && of_b.summary.count == b.store.assets
}

/// Says why an asset of A stays there, and makes sure that B has never heard of it.
async fn kept_back(a: &Running, b: &Running, asset: AssetId) -> anyhow::Result<String> {
    let explained = a.node.explain(asset).await?;
    let stopped = explained.decisions.first().context("the plugin keeps nothing back; please report this")?;
    if explained.passes || b.node.store().record(&asset).await?.is_some() || b.node.explain(asset).await.is_ok() {
        bail!("B knows of {DIARY}, which A keeps back; please report this");
    }
    Ok(format!("{DIARY} stays on A: {} says \"{}\". B does not know that it exists.", stopped.by, stopped.reason))
}

/// Hashes every byte of a host again.
async fn rehash(printer: &Printer, host: &Running) -> anyhow::Result<(u64, u64)> {
    let mut steps = std::pin::pin!(host.node.verify(Which::All).await?);
    let progress = printer.progress("re-hashing", None, Unit::Assets);
    let (mut sound, mut hashed, mut total) = (0, 0, 0);
    while let Some(step) = steps.next().await {
        match step? {
            VerifyStep::Total(all) => total = all,
            VerifyStep::Verified(verified) => match verified.found {
                Verification::Sound { bytes } => {
                    sound += 1;
                    hashed += bytes;
                }
                other => bail!("asset {} is not sound: {other:?}", verified.id),
            },
        }
        progress.set(sound, total);
    }
    Ok((sound, hashed))
}

/// Returns files of the current folder (the repository's own, most likely); where there are none, this program itself.
fn files() -> anyhow::Result<Vec<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![PathBuf::from(".")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?.flatten()
        {
            let name = entry.file_name();
            let hidden = name.to_string_lossy().starts_with('.') || name == "target" || name == "can_data";
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !hidden && files.len() < FILES {
                folders.push(entry.path());
            } else if kind.is_file() && !hidden && entry.metadata().is_ok_and(|metadata| metadata.len() <= FILE_BYTES) {
                files.insert(entry.path());
            }
        }
    }
    let mut files: Vec<PathBuf> = files.into_iter().take(FILES).collect();
    // A large one, so that there is something to see.
    files.push(std::env::current_exe().context("cannot find this program's own file")?);
    Ok(files)
}

fn settings(folder: &Path, name: &str, phrase: Phrase) -> Settings {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Settings {
        sync_passphrase: Some(phrase),
        device_name: name.to_owned(),
        data_dir: folder.join(name).join("can_sync_data"),
        storage_root: folder.join(name).join("can_data"),
        plugins_dir: folder.join(name).join("plugins"),
        relay: Relay::Off,
        bind_addr: Some(any_port),
        listen_addr: any_port,
        can_listen_addr: any_port,
        ..Settings::default()
    }
}
