//! A plugin in JavaScript.

use super::File;
use super::Wanted;
use super::cut;
use super::readme;
use super::text;
use super::wit;

const SOURCE: &str = include_str!("../../../../../plugins/examples/javascript/plugin.js");
const README: &str = include_str!("../../../../../plugins/examples/javascript/README.md");

pub(super) fn files(wanted: &Wanted<'_>) -> Vec<File> {
    let [before, hook, behind] = cut::block(SOURCE, "export const beforePush", "\n};\n");
    let source = format!("{before}{}{behind}", cut::per_hook(hook, wanted.hooks, "\n"));
    let mut files = vec![
        text("plugin.js", cut::replaced(&source, &[("example-javascript", wanted.name)])),
        text("README.md", readme::of_example(README, "example-javascript", wanted)),
        text(".gitignore", "*.wasm\nnode_modules/\n"),
    ];
    files.extend(wit::folder(wanted.hooks));
    files
}
