//! The rules of the house that a script can check. A red test here names file, line and rule.
//!
//! Every `crate::name` counts as an arrow to that module.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends with a panic")]

mod modules;
mod rules;
mod source;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use modules::MODULES;
use modules::PURE;
use modules::SIDEWAYS;
use rules::FILE_LINES;
use rules::INDEX_LINES;
use rules::check;
use rules::targets;
use source::Source;

/// Goes through a folder and everything below it, in a fixed order.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy();
        // What is built, what hosts keep, and what git keeps is not the project.
        if name == ".git" || name.starts_with("target") || name == "can_data" || name == "can_sync_data" {
            continue;
        }
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_sources_keep_the_rules() {
    let sources = sources();
    assert!(sources.len() > 20, "the sources were not found");
    let found: Vec<String> = sources.iter().flat_map(check).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Returns every source file.
fn sources() -> Vec<Source> {
    let mut all = Vec::new();
    walk(&root().join("src"), &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root().join("src")).unwrap().to_string_lossy().replace('\\', "/");
            all.push(Source::new(&name, &fs::read_to_string(path).unwrap()));
        }
    });
    all
}

#[test]
fn every_allowed_arrow_is_there_and_documented() {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let to = targets(&source).into_iter().map(|(_, target)| target.to_owned());
        arrows.entry(source.module().to_owned()).or_default().extend(to);
    }
    let architecture = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let rows = architecture.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        Some((words(cells.get(1)?), cells.get(2)?.parse::<u8>().ok()?, words(cells.get(3)?)))
    });
    let documented: Vec<_> =
        rows.flat_map(|(names, layer, to)| names.into_iter().map(move |name| (name, layer, to.clone()))).collect();
    for (module, layer, allowed) in MODULES {
        let allowed: BTreeSet<String> = allowed.iter().map(|target| (*target).to_owned()).collect();
        assert_eq!(arrows.get(*module), Some(&allowed), "the arrows of {module}, and those that are allowed");
        let row = (module.to_string(), *layer, allowed);
        assert!(documented.contains(&row), "docs/architecture.md does not say {row:?}");
    }
    assert_eq!(documented.len(), MODULES.len(), "docs/architecture.md has other modules");
}

#[test]
fn allowed_arrows_point_down_or_are_listed() {
    for (module, layer, allowed) in MODULES {
        for target in *allowed {
            let (_, below, _) = MODULES.iter().find(|(name, ..)| name == target).unwrap();
            let fits = below < layer || (below == layer && SIDEWAYS.contains(&(module, target)));
            assert!(fits, "the arrow from {module} to {target} does not point down");
            assert!(!PURE.contains(module) || PURE.contains(target), "{module} is pure and uses {target}");
        }
    }
}

#[test]
fn the_project_names_no_other_place() {
    // Put together here, so that this file does not name them either.
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/brief")];
    let mut found = Vec::new();
    walk(root(), &mut |path| {
        let Ok(text) = fs::read_to_string(path) else { return };
        for (number, line) in text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                found.push(format!("{}:{}: names a place that is not the project's", path.display(), number + 1));
            }
        }
    });
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_broken_rule_is_found() {
    for (path, text, rule) in [
        ("asset/id.rs", "use crate::event::Event;", "no arrow from `asset` to `event`"),
        ("engine/peer.rs", "fn f() { crate::plugin::f() }", "no arrow from `engine` to `plugin`"),
        ("auth/keys.rs", "use crate::library::Ticket;", "no arrow from `auth` to `library`"),
        ("store/disk.rs", "pub use crate::{asset, state};", "one `use` per module path"),
        ("main.rs", "use can_sync::node::Node;", "no arrow from `main` to `node`"),
        ("asset/id.rs", "use super::super::event::Event;", "climbs to the root"),
        ("asset/mod.rs", "use super::event::Event;", "climbs to the root"),
        ("stuff/mod.rs", "", "the module `stuff` is in no layer"),
        ("sync/peer.rs", "use tokio::sync::mpsc;", "`tokio` in a pure module"),
        ("library/ticket.rs", "use std::net::TcpStream;", "beyond addresses"),
        ("library/ticket.rs", "use std::net::{IpAddr, TcpStream};", "beyond addresses"),
        ("auth/secret.rs", "let now = SystemTime::now();", "`SystemTime::now` in a pure module"),
        ("asset/helpers.rs", "", "`helpers` is no noun"),
        ("net/codec.rs", "println!()", "only the printer prints"),
        ("net/codec.rs", "std::io::stderr().lock()", "only the printer prints"),
        ("net/codec.rs", "fn f() -> anyhow::Result<()>", "`anyhow` only in"),
        ("net/codec.rs", "unsafe { f() }", "unsafe code"),
        ("net/codec.rs", "tokio::spawn(async {})", "tasks belong to"),
        ("net/codec.rs", "let (a, b) = mpsc::unbounded_channel();", "an unbounded channel"),
        ("net/codec.rs", "let (a, b) = mpsc::channel::<u8>();", "an unbounded channel"),
        ("net/codec.rs", "#[allow(dead_code)]\nfn f() {}", "silenced without a reason"),
        ("net/codec.rs", "#![allow(dead_code)]", "silenced without a reason"),
        ("net/codec.rs", "#[cfg(not(test))]\nuse crate::node::Node;", "no arrow from `net` to `node`"),
        ("net/codec.rs", "let quote = '\"'; println!()", "only the printer prints"),
        ("net/codec.rs", "let text = r#\"a\"b\"#; println!()", "only the printer prints"),
        ("net/codec.rs", "#[cfg(test)]\nuse a::b;\nprintln!()", "src/net/codec.rs:4: only the printer prints"),
        ("net/codec.rs", "fn f<'a>(x: &'a str) { println!(\"{x}\") }", "only the printer prints"),
    ] {
        let found = check(&Source::new(path, &format!("//! What it is.\n{text}")));
        assert!(found.iter().any(|told| told.contains(rule)), "{path}: {text}: {found:?}");
    }
    let long = "fn f() {}\n".repeat(FILE_LINES + 1);
    assert!(check(&Source::new("net/codec.rs", &format!("//! x\n{long}")))[0].contains("more than 500"));
    let index = "//! x\n".repeat(INDEX_LINES);
    assert!(check(&Source::new("net/mod.rs", &index))[0].contains("an index of 160 lines"));
    assert!(check(&Source::new("net/codec.rs", "use a::b;"))[0].contains("does not begin with what it is"));
}

#[test]
fn what_keeps_the_rules_is_left_alone() {
    let tests = "fn f() { println!(\"{}\", '{') }\n".repeat(FILE_LINES);
    for (path, text) in [
        ("sync/peer.rs", "use crate::asset::AssetId;\nuse super::set::Item;"),
        ("sync/peer.rs", "// tokio, unsafe, println!\n/* crate::node /* nested */ anyhow */\nlet t = \"crate::node\";"),
        ("library/ticket.rs", "use std::net::IpAddr;\nuse std::net::SocketAddr;\nlet iroha = 1;"),
        ("cli/exit.rs", "use anyhow::Context;\nuse crate::config::Settings;\npub(in crate::cli) fn f() {}"),
        ("cli/printer.rs", "println!()"),
        ("net/codec.rs", "let (a, b) = mpsc::channel(limits::QUEUE); tokio::task::spawn_blocking(f)"),
        ("net/codec.rs", "#[allow(dead_code, reason = \"read by a test\")]\nfn f() {}"),
        ("net/codec.rs", "#[cfg(test)]\nmod tests {\n    use crate::node::Node;\n    fn f() { println!(\"}\") }\n}"),
        ("asset/tests.rs", "use crate::store::Store;\nfn f() { println!() }"),
        ("asset/id.rs", &format!("#[cfg(test)]\nmod tests {{\n{tests}}}")),
    ] {
        let found = check(&Source::new(path, &format!("//! What it is.\n{text}")));
        assert!(found.is_empty(), "{found:?}");
    }
}
