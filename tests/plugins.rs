//! The plugins that come with the program, as components in the host: what their golden files say is what they answer.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Has `can-sync plugin run` play a golden file against a component.
fn plays(component: &Path, golden: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_can-sync"))
        .current_dir(std::env::temp_dir())
        .args(["plugin", "run", "--golden", "--assets"])
        .arg(root.join(golden))
        .arg(component)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{said}", component.display());
    let lines = std::fs::read_to_string(root.join(golden)).unwrap().lines().count();
    assert!(said.lines().count() > lines, "{said}");
}

/// Where `plugins/build` puts what it builds.
fn built(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let path = cache.join(format!("can-sync/plugins/{name}.wasm"));
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CAN_SYNC_REQUIRE_ALL").is_none(), "{} is not there", path.display());
    // What is printed is shown only of tests that fail.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {name}.wasm is not built; `plugins/build` does that");
    None
}

#[test]
fn the_prebuilt_plugins_answer_as_their_golden_files_say() {
    for name in ["keep-private", "redact", "auto-tag", "normalise"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        plays(&root.join(format!("plugins/prebuilt/{name}.wasm")), &format!("plugins/{name}/golden.jsonl"));
    }
}

#[test]
fn a_component_of_every_released_contract_still_answers_as_it_did() {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contracts");
    let mut versions = 0;
    for entry in std::fs::read_dir(contracts).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let version = entry.file_name().into_string().unwrap();
        plays(&entry.path().join("example.wasm"), &format!("tests/contracts/{version}/golden.jsonl"));
        versions += 1;
    }
    assert!(versions > 0, "they are not there");
}

#[test]
fn the_plugins_built_from_source_answer_as_their_golden_files_say() {
    for name in ["keep-private", "redact", "auto-tag", "normalise"] {
        if let Some(component) = built(name) {
            plays(&component, &format!("plugins/{name}/golden.jsonl"));
        }
    }
}

#[test]
fn the_example_answers_the_same_in_every_language() {
    for language in ["rust", "rust-wasip2", "c", "javascript", "python"] {
        if let Some(component) = built(&format!("example-{language}")) {
            plays(&component, "plugins/examples/golden.jsonl");
        }
    }
}
