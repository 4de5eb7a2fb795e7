//! What is written for every language and every choice of hooks.

use std::collections::BTreeMap;
use std::path::Path;

use super::Hook;
use super::Language;
use super::Wanted;
use super::files;
use super::sdk;

const LANGUAGES: [Language; 4] = [Language::Rust, Language::JavaScript, Language::Python, Language::C];

/// Every choice of at least one hook.
fn choices() -> Vec<Vec<Hook>> {
    let all = [Hook::BeforePush, Hook::BeforePull, Hook::AfterReceive];
    let chosen = |bits: usize| (0..3).filter(|at| bits & (1 << at) != 0).map(|at| all[at]).collect();
    (1..8).map(chosen).collect()
}

fn written(language: Language, hooks: &[Hook]) -> BTreeMap<String, String> {
    let files = files(language, &Wanted { name: "my-own", hooks, sdk: None });
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    files.into_iter().map(|(path, content)| (path, text(content))).collect()
}

#[test]
fn nothing_of_the_example_is_left() {
    for language in LANGUAGES {
        for hooks in choices() {
            for (path, content) in written(language, &hooks) {
                if path.starts_with("vendor/") || path.starts_with("wit/") {
                    continue;
                }
                for left in ["example-", "example_", "../../", "{name}", "{notes}", "example.wasm"] {
                    assert!(!content.contains(left), "{language:?} {hooks:?} {path}: {left}\n{content}");
                }
            }
        }
    }
}

#[test]
fn a_plugin_has_the_hooks_that_were_chosen_and_no_others() {
    let all = [Hook::BeforePush, Hook::BeforePull, Hook::AfterReceive];
    for hooks in choices() {
        for hook in all {
            let chosen = hooks.contains(&hook);
            let (rust, python) = (written(Language::Rust, &hooks), written(Language::Python, &hooks));
            let javascript = written(Language::JavaScript, &hooks);
            assert_eq!(rust["src/lib.rs"].contains(&format!("impl {} for", hook.pascal())), chosen, "{hooks:?}");
            assert_eq!(python["plugin.py"].contains(&format!("exports.{})", hook.pascal())), chosen, "{hooks:?}");
            let world = format!("export can-sync:plugin/{}@0.1.0;", hook.kebab());
            for (files, source) in [(&python, "plugin.py"), (&javascript, "plugin.js")] {
                assert_eq!(files["wit/plugin.wit"].contains(&world), chosen, "{hooks:?}");
                let answer = if source == "plugin.py" { "def SNAKE(" } else { "  CAMEL(asset, context) {" };
                let answer = answer.replace("SNAKE", hook.snake()).replace("CAMEL", hook.camel());
                assert_eq!(files[source].contains(&answer), chosen, "{hooks:?}");
            }
            let golden = format!("\"hook\":\"{}\"", hook.kebab());
            assert_eq!(rust["golden.jsonl"].matches(&golden).count(), 2 * usize::from(chosen), "{hooks:?}");
        }
        let c = written(Language::C, &hooks);
        let answers = c["plugin.c"].matches("VERDICT_DROP").count();
        assert_eq!(answers, hooks.len(), "{}", c["plugin.c"]);
    }
}

#[test]
fn the_sdk_that_is_written_is_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/sdk");
    let mut there = Vec::new();
    let mut folders = vec![folder.join("src")];
    while let Some(next) = folders.pop() {
        for path in std::fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                there.push(path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    there.sort();
    assert_eq!(sdk::SOURCES.iter().map(|(path, _)| *path).collect::<Vec<_>>(), there);
    let manifest = &written(Language::Rust, &[Hook::BeforePush])["vendor/can-sync-plugin/Cargo.toml"];
    assert!(!manifest.contains("workspace"), "{manifest}");
    assert!(
        manifest.contains("\nedition = \"2024\"\n") && manifest.contains("\nwit-bindgen = { version"),
        "{manifest}"
    );
}

#[test]
fn an_sdk_elsewhere_is_used_where_it_lies() {
    let wanted = Wanted { name: "x", hooks: &[Hook::BeforePull], sdk: Some(Path::new("/the/sdk")) };
    let files = files(Language::Rust, &wanted);
    assert!(!files.iter().any(|(path, _)| path.starts_with("vendor/")));
    let (_, manifest) = files.iter().find(|(path, _)| path == "Cargo.toml").unwrap();
    let manifest = String::from_utf8_lossy(manifest);
    assert!(manifest.contains("can-sync-plugin = { path = \"/the/sdk\" }"), "{manifest}");
}
