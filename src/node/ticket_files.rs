//! The files by which two hosts find each other: one's own ticket, written; the other's, read and read again.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::engine::Engine;
use crate::library::ParseTicketError;
use crate::library::Ticket;
use crate::limits;
use crate::net::Net;
use crate::telemetry::causes;

/// Writes this host's ticket, and again whenever its addresses change.
pub(super) async fn write(net: Net, path: PathBuf) {
    let mut written = None;
    loop {
        let ticket = net.ticket();
        if written.as_ref() != Some(&ticket) {
            let (text, place) = (format!("{ticket}\n"), path.clone());
            match tokio::task::spawn_blocking(move || replace(&place, &text)).await {
                Ok(Ok(())) => written = Some(ticket),
                Ok(Err(error)) => {
                    tracing::error!(path = %path.display(), %error, "the ticket cannot be written; check `ticket_file`");
                }
                Err(_) => return,
            }
        }
        tokio::time::sleep(limits::TICKET_LOOKED_AT_EVERY).await;
    }
}

/// Reads another host's ticket until it parses, and again when the file changes, and has a connection kept to it.
pub(super) async fn read(engine: Engine, path: PathBuf) {
    let (mut seen, mut told) = (None, None);
    loop {
        match load(&path).await {
            Ok(ticket) if seen.as_ref() != Some(&ticket) => {
                tracing::info!(peer = %ticket.host.fmt_short(), "read a ticket");
                engine.connect(ticket.clone()).await;
                seen = Some(ticket);
                told = None;
            }
            Ok(_) => told = None,
            Err(Unread::NotYet) => {}
            Err(Unread::Wrong(reason)) => {
                if told.as_ref() != Some(&reason) {
                    tracing::warn!(path = %path.display(), reason, "the ticket file cannot be used");
                    told = Some(reason);
                }
            }
        }
        tokio::time::sleep(limits::TICKET_LOOKED_AT_EVERY).await;
    }
}

/// Why there is no ticket.
enum Unread {
    /// It is missing, empty or half-written: no mistake, it may come.
    NotYet,
    /// Somebody has to look at it.
    Wrong(String),
}

async fn load(path: &Path) -> Result<Ticket, Unread> {
    use tokio::io::AsyncReadExt;
    let read = async {
        let mut text = String::new();
        let most = limits::TICKET_BYTES as u64 + 1;
        tokio::fs::File::open(path).await?.take(most).read_to_string(&mut text).await?;
        Ok::<_, io::Error>(text)
    };
    match read.await {
        Ok(text) => text.trim().parse().map_err(|error: ParseTicketError| match error.may_be_half_written() {
            true => Unread::NotYet,
            false => Unread::Wrong(causes(&error)),
        }),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Err(Unread::NotYet),
        Err(error) => Err(Unread::Wrong(error.to_string())),
    }
}

/// Writes a file whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}
