//! `can-sync add`: ingests files.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use anyhow::bail;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use reqwest::Body;
use reqwest::Method;
use reqwest::multipart::Form;
use reqwest::multipart::Part;
use serde::Deserialize;
use serde_json::Value;
use tokio::fs::File;
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

use crate::cli::batch::each;
use crate::cli::client::Asset;
use crate::cli::client::CanApi;
use crate::cli::context::Context;
use crate::cli::exit::Misused;
use crate::cli::printer::Printer;
use crate::cli::printer::Progress;
use crate::cli::printer::Unit;
use crate::limits;

/// Add files as assets
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Media type; found from the file's name when not given
    #[arg(long, value_name = "TYPE")]
    mime_type: Option<String>,
    /// Name for people; the file's own when not given
    #[arg(long)]
    name: Option<String>,
    /// Logical folder for people
    #[arg(long)]
    path: Option<String>,
    /// Program that made it
    #[arg(long)]
    application: Option<String>,
    /// Person who made it
    #[arg(long)]
    user: Option<String>,
    /// Tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Free text
    #[arg(long)]
    description: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        if self.name.is_some() && self.files.len() > 1 {
            return Err(Misused("--name is for one file; several keep their own names".to_owned()).into());
        }
        if let Some(tag) = self.tags.iter().find(|tag| tag.contains(',')) {
            let text = format!("the tag `{tag}` has a comma; add the file without it, then use `can-sync tag`");
            return Err(Misused(text).into());
        }
        let (api, printer) = (context.can_api()?, context.printer());
        each(printer, &self.files, async |path| {
            let own_name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = self.name.clone().or(own_name).unwrap_or_default();
            let answer = upload(&api, printer, path, &name, self.fields(&name)).await;
            let answer = answer.with_context(|| format!("{} was not added", path.display()))?;
            if printer.is_json() {
                return Ok(printer.json(&answer)?);
            }
            let asset = Asset::deserialize(&answer)?;
            Ok(printer.line(&format!("{}  {}", asset.hash, path.display()))?)
        })
        .await
    }

    /// Returns the fields that have a text.
    fn fields(&self, name: &str) -> Vec<(&'static str, String)> {
        let tags = (!self.tags.is_empty()).then(|| self.tags.join(","));
        let fields = [
            ("mime_type", self.mime_type.clone()),
            ("human_file_name", Some(name.to_owned())),
            ("human_readable_path", self.path.clone()),
            ("application", self.application.clone()),
            ("user", self.user.clone()),
            ("tags", tags),
            ("description", self.description.clone()),
        ];
        fields.into_iter().filter_map(|(field, text)| Some((field, text.filter(|text| !text.is_empty())?))).collect()
    }
}

/// Ingests a file with the fields given, showing how much of it is sent; returns the asset as the host tells it.
pub(super) async fn upload(
    api: &CanApi,
    printer: &Printer,
    path: &Path,
    name: &str,
    fields: Vec<(&'static str, String)>,
) -> anyhow::Result<Value> {
    let file = File::open(path).await.context("cannot open it")?;
    let metadata = file.metadata().await.context("cannot read it")?;
    if !metadata.is_file() {
        bail!("it is not a file; of a folder, name the files in it");
    }
    let size = metadata.len();
    let (sent, moved) = watch::channel(0);
    let has_changed = Arc::new(AtomicBool::new(false));
    let pieces = watched(file, size, printer.progress(name, Some(size), Unit::Bytes), sent, Arc::clone(&has_changed));
    let part = Part::stream_with_length(Body::wrap_stream(pieces), size);
    // The fields go first, so that what is not allowed is told before the content travels.
    let form = fields.into_iter().fold(Form::new(), |form, (field, text)| form.text(field, text));
    // A header holds no control characters; the name itself goes as a field. This one tells the media type.
    let header_name: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let form = form.part("file", part.file_name(header_name));
    let answer = api.upload(api.request(Method::POST, "/ingest", &[]).multipart(form), moved).await;
    if has_changed.load(Ordering::Relaxed) {
        bail!("it changed while it was read, or has no size of its own; add it again, or a copy of it");
    }
    Ok(answer?)
}

/// Reads a file of this size in pieces; notes how much was read, and whether it is not that much.
fn watched(
    file: File,
    size: u64,
    progress: Progress,
    sent: watch::Sender<u64>,
    has_changed: Arc<AtomicBool>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let pieces = ReaderStream::with_capacity(file, limits::CONTENT_CHUNK_BYTES).map(Some);
    pieces.chain(stream::iter([None])).filter_map(move |piece| {
        let read = *sent.borrow();
        let piece = match piece {
            Some(Ok(piece)) if read + piece.len() as u64 <= size => {
                progress.add(piece.len() as u64);
                sent.send_replace(read + piece.len() as u64);
                Some(Ok(piece))
            }
            None if read == size => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(_)) | None => {
                has_changed.store(true, Ordering::Relaxed);
                Some(Err(io::ErrorKind::InvalidData.into()))
            }
        };
        std::future::ready(piece)
    })
}
