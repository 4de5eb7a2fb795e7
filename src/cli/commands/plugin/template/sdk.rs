//! The SDK for Rust. It is not published, so a plugin brings it along: its sources stand in the folder, and what they
//! speak is what this program speaks.

use super::File;
use super::cut;
use super::text;
use super::wit;

/// The crate.
pub(in crate::cli::commands::plugin) const NAME: &str = "can-sync-plugin";

/// Where it lies in a plugin. It looks for the contract two folders up.
pub(super) const FOLDER: &str = "vendor/can-sync-plugin";

/// The manifest of the workspace that the SDK is part of here.
pub(super) const WORKSPACE: &str = include_str!("../../../../../plugins/Cargo.toml");

const MANIFEST: &str = include_str!("../../../../../plugins/sdk/Cargo.toml");

macro_rules! sources {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../plugins/sdk/", $path)))),+]
    };
}

/// Every source of it.
pub(super) const SOURCES: &[(&str, &str)] = sources![
    "src/asset.rs",
    "src/clock.rs",
    "src/component.rs",
    "src/configuration/mod.rs",
    "src/configuration/refused.rs",
    "src/configuration/value.rs",
    "src/content.rs",
    "src/export.rs",
    "src/glob.rs",
    "src/lib.rs",
    "src/limits.rs",
    "src/log.rs",
    "src/place.rs",
    "src/plugin.rs",
    "src/refusal.rs",
    "src/state.rs",
    "src/testing/golden.rs",
    "src/testing/host.rs",
    "src/testing/mod.rs",
    "src/testing/tests.rs",
    "src/text.rs",
    "src/verdict.rs",
];

/// The SDK, and the contract where it looks for it.
pub(super) fn files() -> Vec<File> {
    let mut files: Vec<File> =
        SOURCES.iter().map(|(path, source)| text(&format!("{FOLDER}/{path}"), *source)).collect();
    files.push(text(&format!("{FOLDER}/Cargo.toml"), manifest()));
    files.push(text("wit/0.1.0/plugin.wit", wit::CONTRACT));
    files
}

/// The manifest without its workspace: what it takes from there stands in it. The page about the SDK stays behind.
fn manifest() -> String {
    let [before, _, behind] = cut::block(MANIFEST, "\n[lints]\n", "workspace = true\n");
    let lines = before.lines().chain(behind.lines()).filter(|line| !line.starts_with("readme"));
    lines.map(|line| inherited(line) + "\n").collect()
}

/// Returns a line, or the one of the workspace that it refers to.
fn inherited(line: &str) -> String {
    let key = line.strip_suffix(".workspace = true").or_else(|| line.strip_suffix(" = { workspace = true }"));
    let Some(key) = key else { return line.to_owned() };
    let found = WORKSPACE.lines().find(|line| line.starts_with(&format!("{key} = ")));
    found.unwrap_or_else(|| panic!("the workspace has {key}")).to_owned()
}
