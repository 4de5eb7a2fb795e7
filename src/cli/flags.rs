//! A flag for every key of the configuration that is no secret.

use clap::Arg;
use clap::ArgMatches;
use clap::Command;
use clap::Error;
use clap::FromArgMatches;

use crate::config::Key;

/// The flags that were given, with their texts. Secrets have none: arguments can be read by everyone on the machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags(Vec<(Key, String)>);

impl Flags {
    /// Returns the keys that were given.
    pub(super) fn given(&self) -> &[(Key, String)] {
        &self.0
    }
}

/// Returns every key that has a flag, with its flag.
fn keys() -> impl Iterator<Item = (Key, &'static str)> {
    Key::ALL.into_iter().filter_map(|key| Some((key, key.flag()?)))
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let flags = keys().map(|(key, flag)| {
            let flag = Arg::new(key.name())
                .long(flag.trim_start_matches('-'))
                .value_name("VALUE")
                .help(key.about())
                .help_heading("Configuration (these beat variables and the file)")
                .hide_short_help(true)
                .global(true);
            if key == Key::AllowWeakPassphrase {
                return flag.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            flag
        });
        command.args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = keys().filter_map(|(key, _)| Some((key, matches.get_one::<String>(key.name())?.clone())));
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
