//! What can be written behind `can-sync`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::CommandFactory;
use clap::Parser;

use super::commands::Command;
use super::flags::Flags;

/// Mirrors a content-addressed asset store between machines, peer to peer, encrypted and verified.
#[derive(Debug, Parser)]
#[command(
    name = "can-sync",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 configuration or arguments refused, 3 data folder in use, \
                  4 port in use, 130 second Ctrl-C.\n`can-sync config.yaml` is `can-sync run config.yaml`."
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(super) struct Global {
    /// The configuration [default: `config.yaml` in the current folder, if it is there]
    #[arg(short, long, global = true, value_name = "FILE", env = "CAN_SYNC_CONFIG", hide_env_values = true)]
    pub(super) config: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Say more on stderr; twice for details (`CAN_SYNC_LOG` takes a filter)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    #[command(flatten)]
    pub(super) flags: Flags,
}

/// Puts `run` before a configuration file that is the first argument, behind switches without a value.
pub(super) fn with_run(mut arguments: Vec<OsString>, is_file: impl Fn(&OsString) -> bool) -> Vec<OsString> {
    let is_switch = |argument: &OsString| {
        let text = argument.to_string_lossy();
        text == "--json" || text == "--verbose" || (text.starts_with("-v") && text[1..].bytes().all(|b| b == b'v'))
    };
    let Some(at) = arguments.iter().skip(1).position(|argument| !is_switch(argument)).map(|at| at + 1) else {
        return arguments;
    };
    let first = &arguments[at];
    let text = first.to_string_lossy();
    let is_command = text == "help" || Args::command().get_subcommands().any(|command| command.get_name() == text);
    let is_yaml = [".yaml", ".yml"].iter().any(|end| text.ends_with(end));
    if !text.starts_with('-') && !is_command && (is_yaml || is_file(first)) {
        arguments.insert(at, "run".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Key;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_file_as_first_argument_is_run() {
        for (line, becomes) in [
            ("can-sync", "can-sync"),
            ("can-sync config.yaml", "can-sync run config.yaml"),
            ("can-sync other.yml --json", "can-sync run other.yml --json"),
            ("can-sync -v --json /etc/there", "can-sync -v --json run /etc/there"),
            ("can-sync -vv config.yaml", "can-sync -vv run config.yaml"),
            ("can-sync nothing", "can-sync nothing"),
            ("can-sync ls", "can-sync ls"),
            ("can-sync config show", "can-sync config show"),
            ("can-sync --config config.yaml ls", "can-sync --config config.yaml ls"),
            ("can-sync --help", "can-sync --help"),
            ("can-sync help", "can-sync help"),
        ] {
            let arguments = with_run(line.split(' ').map(OsString::from).collect(), |path| path == "/etc/there");
            let joined: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
            assert_eq!(joined.join(" "), becomes);
        }
    }

    #[test]
    fn arguments_are_taken_or_refused() {
        let hash = "ab".repeat(32);
        for (line, fits) in [
            ("can-sync add a.txt b.txt --tag x --tag y --description d --path p --application a --user u", true),
            ("can-sync add", false),
            ("can-sync ls --limit 5 --tag x --order oldest --trashed --json", true),
            ("can-sync ls --limit 0", false),
            ("can-sync ls --order sideways", false),
            ("can-sync ls --all --limit 5", false),
            ("can-sync get HASH", true),
            ("can-sync get HASH -o file --force", true),
            ("can-sync get HASH --force", false),
            ("can-sync get abcdef", false),
            ("can-sync tag HASH --add x --add y --remove z", true),
            ("can-sync tag HASH", false),
            ("can-sync trash HASH HASH", true),
            ("can-sync trash", false),
            ("can-sync restore HASH", true),
            ("can-sync purge HASH HASH --last-copy --yes", true),
            ("can-sync purge --yes", false),
            ("can-sync status --json", true),
            ("can-sync verify --all", true),
            ("can-sync verify HASH", true),
            ("can-sync verify", false),
            ("can-sync verify HASH --all", false),
            ("can-sync held ls --json", true),
            ("can-sync held ls --declined", true),
            ("can-sync held", false),
            ("can-sync held show HASH", true),
            ("can-sync held release HASH HASH", true),
            ("can-sync held release", false),
            ("can-sync held drop HASH", true),
            ("can-sync held replay HASH", true),
            ("can-sync held replay --all", true),
            ("can-sync held replay", false),
            ("can-sync held replay HASH --all", false),
            ("can-sync explain HASH --json", true),
            ("can-sync explain", false),
            ("can-sync plugin new x --language javascript --hook before-push --hook after-receive --into y", true),
            ("can-sync plugin new x --language js", true),
            ("can-sync plugin new", false),
            ("can-sync plugin new x --hook after-push", false),
            ("can-sync plugin new x --language cobol", false),
            ("can-sync config check", true),
            ("can-sync config show other.yaml --json", true),
            ("can-sync config", false),
            ("can-sync init", true),
            ("can-sync init other.yaml", true),
            ("can-sync completions bash", true),
            ("can-sync completions cobol", false),
            ("can-sync ls --data-dir x --allow-weak-passphrase", true),
            ("can-sync ls --sync-passphrase x", false),
            ("can-sync ls --sync-api-key x", false),
            ("can-sync frobnicate", false),
        ] {
            let parsed = parse(&line.replace("HASH", &hash));
            assert_eq!(parsed.is_ok(), fits, "{line}: {:?}", parsed.err().map(|error| error.to_string()));
        }
    }

    #[test]
    fn every_key_that_is_no_secret_has_a_flag() {
        for (key, flag) in Key::ALL.into_iter().filter_map(|key| Some((key, key.flag()?))) {
            assert_eq!(flag, format!("--{}", key.name().replace('_', "-")));
            for line in [format!("can-sync {flag}=text ls"), format!("can-sync ls {flag}=text")] {
                assert_eq!(parse(&line).unwrap().global.flags.given(), [(key, "text".to_owned())]);
            }
        }
        let weak = parse("can-sync ls --allow-weak-passphrase").unwrap().global.flags;
        assert_eq!(weak.given(), [(Key::AllowWeakPassphrase, "true".to_owned())]);
    }
}
