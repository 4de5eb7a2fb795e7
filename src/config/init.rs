//! A new configuration file, with a secret of its own.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::ErrorKind;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::InitError;
use crate::auth::Phrase;

/// The complete, commented configuration with every default: `config.yaml` of the project.
pub const TEMPLATE: &str = include_str!("../../config.yaml");

/// The line of the template that the secret replaces.
const SECRET_LINE: &str = "\nsync_passphrase: null\n";

/// Returns the template with a secret in it.
#[must_use]
pub fn template_with(phrase: &Phrase) -> Zeroizing<String> {
    // Generated words are letters and blanks, so they need no escapes between quotes.
    let line = Zeroizing::new(format!("\nsync_passphrase: \"{}\"\n", phrase.expose()));
    Zeroizing::new(TEMPLATE.replacen(SECRET_LINE, &line, 1))
}

/// Writes a file that was not there before, for the owner alone: whole and on stable storage, or not at all.
///
/// # Errors
/// [`InitError`] when there is such a file, or it cannot be written.
pub fn write_new(path: &Path, text: &str) -> Result<(), InitError> {
    let failed = |source| InitError::Write { path: path.to_owned(), source };
    let exists = || InitError::Exists { path: path.to_owned() };
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = path.file_name().ok_or_else(|| failed(ErrorKind::IsADirectory.into()))?.to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = write_private(&temporary, text).and_then(|()| publish(&temporary, path));
    // After a success it is a second name of the file, after a failure half of one.
    let removed = std::fs::remove_file(&temporary);
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists()),
        written => written.map_err(failed)?,
    }
    removed.map_err(failed)?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    // Left by a process of the same id that was killed here.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create_private(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Gives the file its name, unless there is one of that name: a link, unlike a rename, replaces nothing.
fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(temporary, path) {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
            // A file system without links: there the name is taken first, and the file is short for a moment.
            let mut file = create_private(path)?;
            io::copy(&mut File::open(temporary)?, &mut file)?;
            file.sync_all()
        }
        linked => linked,
    }
}
