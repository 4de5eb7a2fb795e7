//! The rules of the house that a script can check. A red test here names file, line and rule.
//!
//! The scanner reads Rust well enough for this: it knows comments, strings and what only tests see, and takes every
//! `crate::name` for an arrow to that module.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends with a panic")]

use std::fs;
use std::path::Path;

/// Every module of `src/`, its layer, and the modules it may use. A new arrow is a change of this list.
const MODULES: &[(&str, u8, &[&str])] = &[
    ("asset", 1, &["limits"]),
    ("limits", 1, &[]),
    ("event", 1, &["asset", "limits"]),
    ("proto", 1, &[]),
    ("task", 1, &["event"]),
    ("telemetry", 1, &[]),
    ("database", 1, &["limits"]),
    ("sync", 2, &["asset", "limits", "event", "library"]),
    ("library", 2, &["asset", "limits", "event"]),
    ("auth", 2, &["asset", "limits", "event"]),
    ("hook", 2, &["asset", "limits", "event"]),
    ("store", 3, &["asset", "limits", "event", "proto", "task", "telemetry", "database"]),
    ("state", 3, &["asset", "limits", "event", "task", "database", "sync", "library", "auth", "hook"]),
    ("net", 3, &["asset", "limits", "event", "proto", "task", "sync", "library", "auth"]),
    ("discovery", 3, &["asset", "limits", "event", "proto", "task", "library", "auth", "net"]),
    ("plugin", 3, &["asset", "limits", "event", "task", "hook"]),
    ("mailbox", 3, &["asset", "limits", "event", "proto", "task", "library", "auth"]),
    (
        "engine",
        4,
        &[
            "asset",
            "limits",
            "event",
            "task",
            "sync",
            "library",
            "auth",
            "hook",
            "store",
            "state",
            "net",
            "discovery",
            "mailbox",
            "telemetry",
        ],
    ),
    (
        "node",
        5,
        &[
            "asset",
            "limits",
            "event",
            "task",
            "sync",
            "library",
            "auth",
            "hook",
            "store",
            "state",
            "net",
            "discovery",
            "plugin",
            "mailbox",
            "engine",
            "telemetry",
            "database",
        ],
    ),
    ("http", 6, &["asset", "limits", "event", "proto", "task", "telemetry", "hook", "store", "engine", "node"]),
    (
        "config",
        6,
        &[
            "asset",
            "limits",
            "event",
            "library",
            "auth",
            "store",
            "net",
            "discovery",
            "plugin",
            "mailbox",
            "engine",
            "node",
        ],
    ),
    (
        "cli",
        6,
        &[
            "asset",
            "limits",
            "event",
            "task",
            "telemetry",
            "library",
            "auth",
            "hook",
            "store",
            "net",
            "node",
            "http",
            "config",
        ],
    ),
    ("main", 6, &["cli"]),
];

/// The arrows inside a layer that exist.
const SIDEWAYS: &[(&str, &str)] = &[
    ("asset", "limits"),
    ("event", "asset"),
    ("event", "limits"),
    ("task", "event"),
    ("database", "limits"),
    ("sync", "library"),
    ("discovery", "net"),
    ("cli", "http"),
    ("cli", "config"),
    ("main", "cli"),
];

/// Modules without runtime, files, sockets, clock and randomness.
const PURE: &[&str] = &["asset", "limits", "event", "sync", "library", "auth", "hook"];

/// What a pure module does not say.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "getrandom",
    "SystemRandom",
    "rusqlite",
    "iroh",
    "reqwest",
    "axum",
    "rustix",
];

/// What a pure module may take from `std::net`: addresses are data.
const ADDRESSES: &[&str] =
    &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError"];

/// Names that say nothing about the domain.
const NO_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"];

/// Lines a file may have, without what only tests see.
const FILE_LINES: usize = 500;

/// Lines an index may have.
const INDEX_LINES: usize = 230;

/// The one file that prints.
const PRINTER: &str = "cli/printer.rs";

/// Files that hand a standard stream to something else.
const STREAMS: &[&str] = &[PRINTER, "telemetry/logging.rs"];

/// Functions with unsafe code: none.
const UNSAFE: &[&str] = &[];

/// A source file as the rules see it.
struct Source {
    /// Below `src/`, with slashes.
    path: String,
    raw: String,
    /// Without comments, the insides of strings, and what only tests see; lines are where they were.
    code: String,
    /// Lines without what only tests see.
    lines: usize,
}

impl Source {
    fn new(path: &str, raw: &str) -> Self {
        let mut code: Vec<char> = strip(raw);
        let hidden = hide_tests(&mut code);
        // The simulator is a test that has a room of its own.
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/sim/");
        if is_test {
            code.iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        }
        let lines = if is_test { 0 } else { raw.lines().count() - hidden };
        Self { path: path.to_owned(), raw: raw.to_owned(), code: code.into_iter().collect(), lines }
    }

    /// The module of `src/` it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many `super::` reach the root of the crate.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// Where a word or path stands in the code.
    fn find<'a>(&'a self, what: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        self.code.match_indices(what).map(|(at, _)| at).filter(move |at| {
            let before = self.code[..*at].chars().next_back().is_some_and(is_part);
            let after = self.code[at + what.len()..].chars().next().is_some_and(is_part);
            !(before && what.starts_with(is_part) || after && what.ends_with(is_part))
        })
    }

    fn told(&self, at: usize, rule: &str) -> String {
        format!("src/{}:{}: {rule}", self.path, self.code[..at].matches('\n').count() + 1)
    }
}

/// Blanks comments and the insides of strings and characters.
fn strip(raw: &str) -> Vec<char> {
    let mut code: Vec<char> = raw.chars().collect();
    let mut at = 0;
    while at < code.len() {
        let next = code.get(at + 1).copied();
        let end = match code[at] {
            '/' if next == Some('/') => (at..code.len()).find(|i| code[*i] == '\n').unwrap_or(code.len()),
            '/' if next == Some('*') => block_comment_end(&code, at),
            '"' => string_end(&code, at, raw_hashes(&code, at)),
            '\'' if next == Some('\\') => (at + 3..code.len()).find(|i| code[*i] == '\'').map_or(code.len(), |i| i + 1),
            '\'' if code.get(at + 2) == Some(&'\'') => at + 3,
            _ => at + 1,
        };
        if end > at + 1 {
            code[at..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        }
        at = end;
    }
    code
}

fn block_comment_end(code: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < code.len() {
        match (code[at], code[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    code.len()
}

/// How many `#` a raw string has before its quote; `None` for another string.
fn raw_hashes(code: &[char], quote: usize) -> Option<usize> {
    let hashes = code[..quote].iter().rev().take_while(|c| **c == '#').count();
    (code[..quote - hashes].last() == Some(&'r')).then_some(hashes)
}

fn string_end(code: &[char], quote: usize, raw_hashes: Option<usize>) -> usize {
    let mut at = quote + 1;
    while at < code.len() {
        match (code[at], raw_hashes) {
            ('\\', None) => at += 2,
            ('"', None) => return at + 1,
            ('"', Some(hashes)) if code[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes => {
                return at + 1 + hashes;
            }
            _ => at += 1,
        }
    }
    code.len()
}

/// Blanks items under `#[cfg(test)]`, and returns how many lines they have.
fn hide_tests(code: &mut [char]) -> usize {
    let marker: Vec<char> = "#[cfg(test)]".chars().collect();
    let mut hidden = 0;
    let mut at = 0;
    while at + marker.len() <= code.len() {
        if code[at..at + marker.len()] != marker[..] {
            at += 1;
            continue;
        }
        let end = item_end(code, at + marker.len());
        hidden += code[at..end].iter().filter(|c| **c == '\n').count() + 1;
        code[at..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        at = end;
    }
    hidden
}

/// Where an item ends: at its semicolon, or at the brace that closes it.
fn item_end(code: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.iter().enumerate().skip(start) {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' if depth == 1 => return at + 1,
            // A field or variant, which is the last of its item.
            '}' if depth == 0 => return at,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The identifier that begins a text.
fn identifier(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

fn check(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    arrows(source, &mut found);
    purity(source, &mut found);
    shape(source, &mut found);
    words(source, &mut found);
    attributes(source, &mut found);
    found
}

fn arrows(source: &Source, found: &mut Vec<String>) {
    let module = source.module();
    if module == "lib" {
        return;
    }
    let Some((_, _, allowed)) = MODULES.iter().find(|(name, ..)| *name == module) else {
        found.push(source.told(0, &format!("the module `{module}` is in no layer")));
        return;
    };
    let root = if module == "main" { "can_sync::" } else { "crate::" };
    for at in source.find(root) {
        let rest = &source.code[at + root.len()..];
        let target = identifier(rest);
        if rest.starts_with('{') || rest.starts_with('*') {
            found.push(source.told(at, "one `use` per module path"));
        } else if target != module && MODULES.iter().any(|(name, ..)| *name == target) && !allowed.contains(&target) {
            found.push(source.told(at, &format!("no arrow from `{module}` to `{target}`")));
        }
    }
    let climb = "super::".repeat(source.depth());
    found.extend(source.find(&climb).map(|at| source.told(at, "climbs to the root of the crate; say `crate::`")));
}

fn purity(source: &Source, found: &mut Vec<String>) {
    if !PURE.contains(&source.module()) {
        return;
    }
    for what in IMPURE {
        found.extend(source.find(what).map(|at| source.told(at, &format!("`{what}` in a pure module"))));
    }
    for at in source.find("std::net") {
        let rest = source.code[at + "std::net".len()..].trim_start_matches("::");
        if !ADDRESSES.contains(&identifier(rest)) {
            found.push(source.told(at, "`std::net` in a pure module, beyond addresses"));
        }
    }
}

fn shape(source: &Source, found: &mut Vec<String>) {
    for part in source.path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part)) {
        if NO_NAMES.contains(&part) {
            found.push(source.told(0, &format!("`{part}` is no noun of the domain")));
        }
    }
    if source.lines > FILE_LINES {
        found.push(source.told(0, &format!("{} lines without tests, more than {FILE_LINES}", source.lines)));
    }
    if !source.raw.starts_with("//!") {
        found.push(source.told(0, "does not begin with what it is (`//!`)"));
    }
    let all = source.raw.lines().count();
    if source.path.ends_with("mod.rs") && all >= INDEX_LINES {
        found.push(source.told(0, &format!("an index of {all} lines; it stays below {INDEX_LINES}")));
    }
}

fn words(source: &Source, found: &mut Vec<String>) {
    let mut ban = |what: &str, rule: &str| found.extend(source.find(what).map(|at| source.told(at, rule)));
    if source.path != PRINTER {
        for what in ["println!", "print!", "eprintln!", "eprint!", "dbg!"] {
            ban(what, "only the printer prints");
        }
    }
    if !STREAMS.contains(&source.path.as_str()) {
        for what in ["io::stdout", "io::stderr"] {
            ban(what, "only the printer prints");
        }
    }
    if !["cli", "main"].contains(&source.module()) {
        ban("anyhow", "`anyhow` only in `cli` and `main`");
    }
    if !UNSAFE.contains(&source.path.as_str()) {
        ban("unsafe", "unsafe code");
    }
    if source.module() != "task" {
        for what in ["tokio::spawn", "tokio::task::spawn", "spawn_local", "JoinSet"] {
            ban(what, "tasks belong to a `task::Group`");
        }
    }
    for what in ["unbounded", "unbounded_channel", "UnboundedSender", "UnboundedReceiver", "std::sync::mpsc::channel"] {
        ban(what, "an unbounded channel");
    }
    // Without an argument it is the unbounded one of the standard library.
    let bare = source.find("mpsc::channel").filter(|at| {
        let rest = &source.code[*at..];
        rest.find('(').is_some_and(|open| rest[open + 1..].trim_start().starts_with(')'))
    });
    found.extend(bare.map(|at| source.told(at, "an unbounded channel")).collect::<Vec<_>>());
}

fn attributes(source: &Source, found: &mut Vec<String>) {
    for kind in ["[allow(", "[expect("] {
        for (at, _) in source.code.match_indices(kind) {
            let end = source.code[at..].find(']').map_or(source.code.len(), |end| at + end);
            if !source.code[at..end].contains("reason =") {
                found.push(source.told(at, "a lint is silenced without a reason"));
            }
        }
    }
}

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
    let (mut found, mut files) = (Vec::new(), 0);
    walk(&root().join("src"), &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root().join("src")).unwrap().to_string_lossy().replace('\\', "/");
            found.extend(check(&Source::new(&name, &fs::read_to_string(path).unwrap())));
            files += 1;
        }
    });
    assert!(files > 20, "the sources were not found");
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
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
    assert!(check(&Source::new("net/mod.rs", &index))[0].contains("an index of 230 lines"));
    assert!(check(&Source::new("net/codec.rs", "use a::b;"))[0].contains("does not begin with what it is"));
}

#[test]
fn what_keeps_the_rules_is_left_alone() {
    let tests = "fn f() { println!(\"{}\", '{') }\n".repeat(FILE_LINES);
    for (path, text) in [
        ("sync/peer.rs", "use crate::library::Library;\nuse super::set::Item;"),
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
