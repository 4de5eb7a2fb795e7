//! `can-sync plugin new`: a folder with a plugin that can be built at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::json;

use super::template;
use super::template::Hook;
use super::template::Language;
use super::template::Wanted;
use crate::cli::context::Context;
use crate::cli::exit::Misused;
use crate::limits;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What it is called: the folder, the component, and for Rust the crate
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    language: Language,
    /// Where it is asked; may be given more than once
    #[arg(long = "hook", value_enum, default_value = "before-push")]
    hooks: Vec<Hook>,
    /// The folder that its folder is made in
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
    /// Rust: use the SDK that lies there (`plugins/sdk`), instead of writing it into the new folder
    #[arg(long, value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

impl Args {
    pub(super) fn execute(self, context: &Context) -> anyhow::Result<()> {
        check_name(&self.name, self.language)?;
        let sdk = self.sdk.as_deref().map(|path| found_sdk(path, self.language)).transpose()?;
        let hooks: BTreeSet<Hook> = self.hooks.into_iter().collect();
        let hooks: Vec<Hook> = hooks.into_iter().collect();
        let wanted = Wanted { name: &self.name, hooks: &hooks, sdk: sdk.as_deref() };
        let files = template::files(self.language, &wanted);
        let folder = self.into.join(&self.name);
        std::fs::create_dir_all(&self.into).with_context(|| format!("cannot make {}", self.into.display()))?;
        if let Err(error) = std::fs::create_dir(&folder) {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                bail!("{} is there already; choose another name, or another place by `--into`", folder.display());
            }
            return Err(error).with_context(|| format!("cannot make {}", folder.display()));
        }
        for (path, content) in &files {
            let path = folder.join(path);
            let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            let written = written.and_then(|()| std::fs::write(&path, content));
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        let printer = context.printer();
        if printer.is_json() {
            let names: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
            return Ok(printer.json(&json!({ "folder": folder, "files": names }))?);
        }
        printer.line(&folder.display().to_string())?;
        printer.say(&format!("{} has the command that builds it.", folder.join("README.md").display()));
        Ok(())
    }
}

/// Refuses names that would not do everywhere they are used.
fn check_name(name: &str, language: Language) -> Result<(), Misused> {
    let first = |c: char| c.is_ascii_lowercase();
    let other = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let why = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > limits::plugin::NAME_BYTES {
        format!("it has {} characters", name.chars().count())
    } else if let Some(c) = name.chars().next().filter(|c| !first(*c)) {
        format!("it begins with {c:?}")
    } else if let Some(c) = name.chars().find(|c| !other(*c)) {
        format!("{c:?} is in it")
    } else if language == Language::Rust && template::is_taken_in_rust(name) {
        let why = "it is a word of Rust, or a crate that the plugin needs";
        return Err(Misused(format!("`{name}` cannot be the name of a crate: {why}")));
    } else {
        return Ok(());
    };
    Err(Misused(format!(
        "`{name}` cannot be the name of a plugin: {why}. It becomes the name of a folder, of a file among the plugins \
         of a host, and of a crate: up to {} lower-case letters, digits, dashes and underscores, a letter first",
        limits::plugin::NAME_BYTES
    )))
}

/// Returns the whole path of an SDK.
fn found_sdk(path: &Path, language: Language) -> anyhow::Result<PathBuf> {
    if language != Language::Rust {
        return Err(Misused("`--sdk` is for Rust; the other languages need no SDK".to_owned()).into());
    }
    let whole = path.canonicalize().with_context(|| format!("cannot find the SDK {}", path.display()))?;
    let manifest = std::fs::read_to_string(whole.join("Cargo.toml")).unwrap_or_default();
    if !manifest.contains(&format!("name = \"{}\"", template::SDK)) {
        bail!("{} is not the SDK: its `Cargo.toml` is not that of `{}`", path.display(), template::SDK);
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_is_refused_with_the_reason_and_what_is_allowed() {
        for (name, why) in [
            ("", "it is empty"),
            ("Keep", "it begins with 'K'"),
            ("2much", "it begins with '2'"),
            ("../up", "it begins with '.'"),
            ("-x", "it begins with '-'"),
            ("a b", "' ' is in it"),
            ("a/b", "'/' is in it"),
            ("a.b", "'.' is in it"),
            ("caf\u{e9}", "'\u{e9}' is in it"),
            (&"a".repeat(65), "it has 65 characters"),
        ] {
            let error = check_name(name, Language::C).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("up to 64 lower-case letters"), "{name}: {error}");
        }
        for name in ["keep", "keep-private2_x", &"a".repeat(64)] {
            assert!(check_name(name, Language::Rust).is_ok(), "{name}");
        }
        for name in ["serde", "match", "can-sync-plugin", "can_sync_plugin"] {
            let error = check_name(name, Language::Rust).unwrap_err().to_string();
            assert!(error.contains("cannot be the name of a crate"), "{error}");
            assert!(check_name(name, Language::Python).is_ok(), "{name}");
        }
    }
}
