//! A plugin in Python.

use super::File;
use super::Wanted;
use super::cut;
use super::readme;
use super::text;
use super::wit;

const SOURCE: &str = include_str!("../../../../../plugins/examples/python/plugin.py");
const README: &str = include_str!("../../../../../plugins/examples/python/README.md");

pub(super) fn files(wanted: &Wanted<'_>) -> Vec<File> {
    let [before, hook, behind] = cut::block(SOURCE, "class BeforePush(", "return Verdict_Pass()\n");
    let source = format!("{before}{}{behind}", cut::per_hook(hook, wanted.hooks, "\n\n"));
    let mut files = vec![
        text("plugin.py", cut::replaced(&source, &[("example-python", wanted.name)])),
        text("README.md", readme::of_example(README, "example-python", wanted)),
        text(".gitignore", "*.wasm\n__pycache__/\n"),
    ];
    files.extend(wit::folder(wanted.hooks));
    files
}
