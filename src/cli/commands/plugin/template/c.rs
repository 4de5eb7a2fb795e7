//! A plugin in C.
//!
//! Its bindings are generated, and come with it, so that a build needs one tool less. There are some for each world of the
//! contract; a plugin takes the smallest world with its hooks, and passes everything at a hook of it that was not chosen.

use super::File;
use super::Wanted;
use super::cut;
use super::hook::Hook;
use super::readme;
use super::text;
use super::wit;

const SOURCE: &str = include_str!("../../../../../plugins/examples/c/plugin.c");
const READER: &str = include_str!("../../../../../plugins/examples/c/configuration.c");
const HEADER: &str = include_str!("../../../../../plugins/examples/c/configuration.h");
const README: &str = include_str!("../../../../../plugins/examples/c/README.md");

/// The files that were generated for a world.
macro_rules! bindings {
    ($name:literal) => {
        [binding!(concat!($name, ".c")), binding!(concat!($name, ".h")), binding!(concat!($name, "_component_type.o"))]
    };
}

macro_rules! binding {
    ($file:expr) => {
        ($file, include_bytes!(concat!("../../../../../plugins/examples/c/bindings/", $file)) as &[u8])
    };
}

/// A world of the contract: its name, that of its bindings, its hooks, and its bindings.
struct World {
    name: &'static str,
    prefix: &'static str,
    hooks: &'static [Hook],
    bindings: [(&'static str, &'static [u8]); 3],
}

/// The worlds, smaller ones first; the last has every hook.
static WORLDS: [World; 3] = [
    World {
        name: "push-filter",
        prefix: "push_filter",
        hooks: &[Hook::BeforePush],
        bindings: bindings!("push_filter"),
    },
    World {
        name: "receive-filter",
        prefix: "receive_filter",
        hooks: &[Hook::BeforePull, Hook::AfterReceive],
        bindings: bindings!("receive_filter"),
    },
    World {
        name: "full",
        prefix: "full",
        hooks: &[Hook::BeforePush, Hook::BeforePull, Hook::AfterReceive],
        bindings: bindings!("full"),
    },
];

pub(super) fn files(wanted: &Wanted<'_>) -> Vec<File> {
    let has_all = |world: &&World| wanted.hooks.iter().all(|hook| world.hooks.contains(hook));
    let world = WORLDS.iter().find(has_all).expect("the last world has every hook");
    let in_world = |source: &str| source.replace("push_filter", world.prefix);
    let readme = readme::of_example(README, "example-c", wanted);
    let mut files = vec![
        text("plugin.c", in_world(&source(wanted, world))),
        text("configuration.c", READER),
        text("configuration.h", HEADER),
        text("README.md", in_world(&readme).replace("push-filter", world.name)),
        text(".gitignore", "*.wasm\n"),
        text("wit/plugin.wit", wit::CONTRACT),
    ];
    files.extend(world.bindings.iter().map(|(name, bytes)| (format!("bindings/{name}"), bytes.to_vec())));
    files
}

fn source(wanted: &Wanted<'_>, world: &World) -> String {
    let begin = "void exports_can_sync_plugin_before_push_before_push(";
    let [before, hook, behind] = cut::block(SOURCE, begin, "\n}\n");
    let [_, signature, _] = cut::block(hook, begin, "{\n");
    let passes = format!(
        "// The world `{}` has this hook too; here everything passes.\n{signature}  \
         verdict->tag = CAN_SYNC_PLUGIN_TYPES_VERDICT_PASS;\n  can_sync_plugin_types_asset_free(asset);\n  \
         can_sync_plugin_types_context_free(context);\n}}\n",
        world.name
    );
    let one = |at: &Hook| {
        let block = if wanted.hooks.contains(at) { hook } else { &passes };
        // The parameters stay under each other, behind a name that may be longer.
        let longer = 2 * (at.snake().len() - Hook::BeforePush.snake().len());
        let indented = block
            .replace(&format!("\n{}", " ".repeat(begin.len())), &format!("\n{}", " ".repeat(begin.len() + longer)));
        cut::per_hook(&indented, &[*at], "")
    };
    let hooks: Vec<String> = world.hooks.iter().map(one).collect();
    cut::replaced(&format!("{before}{}{behind}", hooks.join("\n")), &[("example-c", wanted.name)])
}
