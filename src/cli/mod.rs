//! The command line: arguments, one file per command, one printer, exit codes.
//!
//! Commands that need a running host talk to it over HTTP like any other program. Nothing here decides about assets;
//! nothing but `printer` prints.
//!
//! Called by `main.rs`.

mod args;
mod batch;
mod client;
mod commands;
mod context;
mod exit;
mod flags;
mod format;
mod phrase;
mod printer;
mod runtime;
mod temporary;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use self::args::Args;
use self::context::Context;
use self::exit::Exit;

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let is_file = |text: &OsString| Path::new(text).is_file();
    let arguments = args::with_run(std::env::args_os().collect(), is_file);
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => return exit::of_usage(&error).into(),
    };
    let context = Context::new(args.global);
    let done = context.set_up_log().and_then(|()| args.command.execute(&context));
    let exit = match done {
        Ok(()) => Exit::Success,
        Err(error) => {
            let exit = exit::of(&error);
            if exit != Exit::Success {
                context.printer().error(&error);
            }
            exit
        }
    };
    exit.into()
}
