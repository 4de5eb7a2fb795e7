//! The contract, for tools that make bindings of it.

use super::File;
use super::hook::Hook;
use super::text;

/// The contract, word for word.
pub(super) const CONTRACT: &str = include_str!("../../../../../wit/0.1.0/plugin.wit");

/// The world of [`folder`]. Python wants another name than that of the source.
pub(super) const WORLD: &str = "filter";

/// A folder `wit` whose world `filter` exports the chosen hooks and no others.
pub(super) fn folder(hooks: &[Hook]) -> Vec<File> {
    let exports: String =
        hooks.iter().map(|hook| format!("    export can-sync:plugin/{}@0.1.0;\n", hook.kebab())).collect();
    let world = format!(
        "package local:plugin;\n\n/// What this plugin is: a further hook is a further line here, and in the source.\n\
         world {WORLD} {{\n    include can-sync:plugin/host@0.1.0;\n    export can-sync:plugin/lifecycle@0.1.0;\n\
         {exports}}}\n"
    );
    vec![text("wit/plugin.wit", world), text("wit/deps/can-sync-plugin/plugin.wit", CONTRACT)]
}
