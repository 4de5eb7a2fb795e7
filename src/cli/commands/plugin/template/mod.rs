//! What `can-sync plugin new` writes: the example of a language in `plugins/examples`, under another name and with the
//! hooks that were chosen.
//!
//! Nothing is here a second time: sources, configuration, golden lines, commands and notes are cut out of the examples,
//! the SDK and the contract, which are compiled in. A file per language says what is cut where. It writes no files.
//! Called by `plugin new`.

mod c;
mod cut;
mod hook;
mod javascript;
mod python;
mod readme;
mod rust;
mod sdk;
#[cfg(test)]
mod tests;
mod wit;

use std::path::Path;

use clap::ValueEnum;

pub(super) use self::hook::Hook;
pub(super) use self::rust::is_taken as is_taken_in_rust;
pub(super) use self::sdk::NAME as SDK;

/// What a plugin can be written in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    Rust,
    #[value(name = "javascript", alias = "js")]
    JavaScript,
    Python,
    C,
}

/// Which plugin is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    /// In the order of the contract, at least one.
    pub(super) hooks: &'a [Hook],
    /// Rust: where the SDK lies, when it is not to be written.
    pub(super) sdk: Option<&'a Path>,
}

/// A file: its path in the folder, and what is in it.
type File = (String, Vec<u8>);

/// Returns the files of a new plugin.
pub(super) fn files(language: Language, wanted: &Wanted<'_>) -> Vec<File> {
    let mut files = match language {
        Language::Rust => rust::files(wanted),
        Language::JavaScript => javascript::files(wanted),
        Language::Python => python::files(wanted),
        Language::C => c::files(wanted),
    };
    files.push(text("golden.jsonl", golden(wanted.hooks)));
    files
}

fn text(path: &str, content: impl Into<String>) -> File {
    (path.to_owned(), content.into().into_bytes())
}

/// The first two lines of the examples' golden file, one that is stopped and one that passes, at every hook.
fn golden(hooks: &[Hook]) -> String {
    let lines = include_str!("../../../../../plugins/examples/golden.jsonl");
    let at = |hook: &Hook| hook::renamed(&cut::lines(lines, 2), Hook::BeforePush, *hook);
    hooks.iter().map(at).collect()
}
