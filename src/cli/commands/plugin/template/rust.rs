//! A plugin in Rust.

use super::File;
use super::Wanted;
use super::cut;
use super::hook;
use super::hook::Hook;
use super::readme;
use super::sdk;
use super::text;

const MANIFEST: &str = include_str!("../../../../../plugins/examples/rust/Cargo.toml");
const SOURCE: &str = include_str!("../../../../../plugins/examples/rust/src/lib.rs");
const README: &str = include_str!("../../../../../plugins/examples/rust/README.md");
const FORMAT: &str = include_str!("../../../../../plugins/.rustfmt.toml");
const CARGO: &str = include_str!("../../../../../plugins/.cargo/config.toml");

/// Words of the language, crates of its own, and crates that the plugin needs.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "can-sync-plugin",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "serde-json",
    "static",
    "std",
    "strsim",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unicode-normalization",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "wit-bindgen",
    "yield",
];

/// Tells whether a crate cannot have this name.
pub(in crate::cli::commands::plugin) fn is_taken(name: &str) -> bool {
    TAKEN.contains(&name.replace('_', "-").as_str())
}

pub(super) fn files(wanted: &Wanted<'_>) -> Vec<File> {
    let mut files = vec![
        text("Cargo.toml", manifest(wanted)),
        text("src/lib.rs", source(wanted)),
        text("README.md", readme::of_rust(README, wanted)),
        text(".gitignore", "/target\n"),
        text(".cargo/config.toml", CARGO),
        text(".rustfmt.toml", FORMAT),
    ];
    if wanted.sdk.is_none() {
        files.extend(sdk::files());
    }
    files
}

fn manifest(wanted: &Wanted<'_>) -> String {
    let path = wanted.sdk.map_or_else(|| sdk::FOLDER.to_owned(), |path| path.display().to_string());
    let manifest = cut::replaced(MANIFEST, &[("example-rust", wanted.name), ("\"../../sdk\"", &format!("{path:?}"))]);
    let [_, profile, _] = cut::block(sdk::WORKSPACE, "# Small components", "strip = true\n");
    format!("{manifest}\n{profile}\n# It belongs to no workspace around it.\n[workspace]\n")
}

fn source(wanted: &Wanted<'_>) -> String {
    let Wanted { name, hooks, .. } = wanted;
    let [used, tests, rest] = cut::block(SOURCE, "#[cfg(test)]", "mod tests");
    let [before, hook, behind] = cut::block(used, "impl BeforePush for", "\n}\n");
    let names: Vec<&str> = hooks.iter().map(|hook| hook.snake()).collect();
    let behind = cut::replaced(behind, &[(": before_push)", &format!(": {})", names.join(", ")))]);
    let body = format!("{}{}{behind}", with_traits(before, hooks), cut::per_hook(hook, hooks, "\n"));
    // The tests ask at the first hook.
    let rest = hook::renamed(rest, Hook::BeforePush, hooks[0]);
    let rest = cut::replaced(&rest, &[("../../golden.jsonl", "../golden.jsonl")]);
    cut::replaced(&format!("{body}{tests}{rest}"), &[("example-rust", name)])
}

/// Has the first `use` name the trait of every hook, in the order that rustfmt wants.
fn with_traits(source: &str, hooks: &[Hook]) -> String {
    let used = cut::between(source, "use can_sync_plugin::{", "}");
    let mut names: Vec<&str> = used.split(", ").filter(|name| *name != Hook::BeforePush.pascal()).collect();
    names.extend(hooks.iter().map(|hook| hook.pascal()));
    names.sort_unstable();
    cut::replaced(source, &[(&format!("{{{used}}};"), &format!("{{{}}};", names.join(", ")))])
}
