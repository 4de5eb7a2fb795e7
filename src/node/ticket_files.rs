//! The files by which two hosts find each other: one's own ticket, written; the other's, read and read again.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::engine::Engine;
use crate::library::ParseTicketError;
use crate::library::Ticket;
use crate::limits;
use crate::telemetry::causes;

/// Why the ticket cannot be written, if so; for people.
pub(super) type Trouble = Arc<Mutex<Option<String>>>;

/// Writes this host's ticket, and again whenever its addresses change, or when it could not be written.
pub(super) async fn write(own: watch::Receiver<Ticket>, path: PathBuf, trouble: Trouble) {
    let mut file = TicketFile { path, written: None, trouble };
    loop {
        let ticket = own.borrow().clone();
        file.hold(ticket).await;
        tokio::time::sleep(limits::TICKET_LOOKED_AT_EVERY).await;
    }
}

/// The file with this host's ticket.
struct TicketFile {
    path: PathBuf,
    written: Option<Ticket>,
    trouble: Trouble,
}

impl TicketFile {
    /// Writes a ticket unless the file holds it; says so once when that does not work, and when it works again.
    async fn hold(&mut self, ticket: Ticket) {
        if self.written.as_ref() == Some(&ticket) {
            return;
        }
        let (text, place) = (format!("{ticket}\n"), self.path.clone());
        let replaced = tokio::task::spawn_blocking(move || replace(&place, &text)).await;
        let failure = replaced.map_err(io::Error::other).flatten().err().map(|error| error.to_string());
        if failure.is_none() {
            self.written = Some(ticket);
        }
        let path = self.path.display();
        let now = failure.as_ref().map(|error| format!("cannot write the ticket {path}: {error}; check `ticket_file`"));
        let mut trouble = self.trouble.lock();
        if *trouble != now {
            match failure {
                Some(error) => tracing::error!(%path, error, "the ticket cannot be written; check `ticket_file`"),
                None => tracing::info!(%path, "the ticket can be written again"),
            }
            *trouble = now;
        }
    }
}

/// Reads another host's ticket until it parses, and again when the file changes, and has a connection kept to it.
pub(super) async fn read(engine: Engine, path: PathBuf) {
    let (mut seen, mut told) = (None, None);
    if matches!(load(&path).await, Err(Unread::NotYet)) {
        tracing::warn!(path = %path.display(), "there is no ticket in this file yet; waiting for it");
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::HostId;
    use crate::telemetry::Captured;

    #[tokio::test]
    async fn a_ticket_that_cannot_be_written_is_told_once_for_each_cause() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        let trouble = Trouble::default();
        let mut file = TicketFile { path: folder.join("ticket"), written: None, trouble: Arc::clone(&trouble) };
        let ticket = |n| Ticket { host: HostId::from_bytes([n; 32]), addresses: Vec::new(), relay: None };
        let log = Captured::new("info");
        let told = |level: &str| log.lines().iter().filter(|line| line.contains(level)).count();
        for n in 0..3 {
            file.hold(ticket(n)).await;
        }
        assert_eq!(told("ERROR"), 1, "{:?}", log.lines());
        let note = trouble.lock().clone().unwrap();
        assert!(note.contains("ticket_file") && note.contains(folder.to_str().unwrap()), "{note}");

        std::fs::write(&folder, b"a file where a folder should be").unwrap();
        for n in 0..3 {
            file.hold(ticket(n)).await;
        }
        assert_eq!(told("ERROR"), 2, "{:?}", log.lines());

        std::fs::remove_file(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        for _ in 0..3 {
            file.hold(ticket(5)).await;
        }
        assert_eq!((told("ERROR"), told("INFO")), (2, 1), "{:?}", log.lines());
        assert_eq!(*trouble.lock(), None);
        assert_eq!(std::fs::read_to_string(folder.join("ticket")).unwrap(), format!("{}\n", ticket(5)));
    }
}
