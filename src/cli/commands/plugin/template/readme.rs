//! The page of a new plugin: how the example says that it is built, how it is tried, and what the example says beside.

use super::Wanted;
use super::cut;
use super::wit;

/// Cuts the page of an example: what comes before the command, the command, and the list behind it.
pub(super) fn of_example(example: &str, called: &str, wanted: &Wanted<'_>) -> String {
    let introduction = cut::between(example, "\n\n", "\n\n```");
    let command = cut::between(example, "```\n", "\n```");
    let notes = cut::list(example);
    // The example in C stands for its world by name.
    let world = if called == "example-c" { "push-filter" } else { wit::WORLD };
    let here = |text: &str| {
        let text = text.replace(called, wanted.name).replace("../../../wit/0.1.0", "wit");
        text.replace("--world push-filter", &format!("--world {world}"))
    };
    let component = format!("{}.wasm", wanted.name);
    page(wanted, &here(introduction), &here(command), &component, &here(notes))
}

/// Cuts the page of the example in Rust, whose last command is the one for a small component.
pub(super) fn of_rust(example: &str, wanted: &Wanted<'_>) -> String {
    let [_, fenced, _] = cut::block(example, "```\nrustup target add wasm32-unknown-unknown", "\n```");
    let command = cut::between(fenced, "```\n", "\n```");
    let component = format!("target/wasm32-unknown-unknown/release/{}.wasm", wanted.name.replace('-', "_"));
    let sdk = include_str!("../../../../../plugins/sdk/README.md");
    let notes = cut::replaced(cut::list(sdk), &[("[golden file](../README.md#golden-files)", "golden file")]);
    let introduction = "Keeps back assets with a tag (`src/lib.rs`), by the crate `can-sync-plugin`.";
    let introduction = match wanted.sdk {
        Some(_) => introduction.to_owned(),
        None => format!(
            "{introduction} The crate is in\n`{}`, since it is not published; `cargo doc --open` shows what it has.",
            super::sdk::FOLDER
        ),
    };
    page(wanted, &introduction, command, &component, &notes)
}

fn page(wanted: &Wanted<'_>, introduction: &str, command: &str, component: &str, notes: &str) -> String {
    let hooks: Vec<String> = wanted.hooks.iter().map(|hook| format!("`{}`", hook.kebab())).collect();
    include_str!("page.md")
        .replace("{name}", wanted.name)
        .replace("{introduction}", introduction)
        .replace("{command}", command)
        .replace("{component}", component)
        .replace("{hooks}", &hooks.join(", "))
        .replace("{notes}", notes)
}
