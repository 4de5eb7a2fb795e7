//! Several things of one command, one after the other.

use anyhow::bail;

use super::client::is_away;
use super::printer::Printer;
use super::printer::is_closed_pipe;

/// Does something with each of several things, which errors are to name. One of several that fails is told and stops no
/// other, unless the host is gone, or who reads the output.
///
/// # Errors
/// That of the only one, or how many of them failed.
pub(super) async fn each<T>(
    printer: &Printer,
    things: &[T],
    mut act: impl AsyncFnMut(&T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut failed = 0;
    for (done, thing) in things.iter().enumerate() {
        match act(thing).await {
            // Of the one under way nobody knows.
            Err(error) if things.len() > 1 && is_away(&error) => {
                let context =
                    format!("{} of {} are done, and nothing was tried behind this", done - failed, things.len());
                return Err(error.context(context));
            }
            Err(error) if things.len() > 1 && !error.chain().any(is_closed_pipe) => {
                printer.error(&error);
                failed += 1;
            }
            done => done?,
        }
    }
    match failed {
        0 => Ok(()),
        failed if failed == things.len() => bail!("none of the {failed} is done"),
        failed => bail!("{failed} of {} are not done; the others are", things.len()),
    }
}
