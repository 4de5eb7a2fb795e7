//! The program `can-sync`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    can_sync::cli::main()
}
