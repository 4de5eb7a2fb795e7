//! The rules, each a function that looks at one source file.

use super::modules::MODULES;
use super::modules::PURE;
use super::source::Source;
use super::source::identifier;

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
pub(crate) const FILE_LINES: usize = 500;

/// Lines an index may have.
pub(crate) const INDEX_LINES: usize = 160;

/// The one file that prints.
const PRINTER: &str = "cli/printer.rs";

/// Files that hand a standard stream to something else.
const STREAMS: &[&str] = &[PRINTER, "telemetry/logging.rs"];

/// The one file with unsafe code: one block, which loads code that this host has compiled itself.
const UNSAFE: &str = "plugin/compiled.rs";

pub(crate) fn check(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    arrows(source, &mut found);
    purity(source, &mut found);
    shape(source, &mut found);
    words(source, &mut found);
    attributes(source, &mut found);
    found
}

/// The other modules that a file names, each with the place where it does.
pub(crate) fn targets(source: &Source) -> Vec<(usize, &str)> {
    let module = source.module();
    let root = if module == "main" { "can_sync::" } else { "crate::" };
    let named = source.find(root).map(|at| (at, identifier(&source.code[at + root.len()..])));
    named.filter(|(_, target)| *target != module && MODULES.iter().any(|(name, ..)| name == target)).collect()
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
    for what in ["crate::{", "crate::*", "can_sync::{", "can_sync::*"] {
        found.extend(source.find(what).map(|at| source.told(at, "one `use` per module path")));
    }
    for (at, target) in targets(source) {
        if !allowed.contains(&target) {
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
    if source.path != UNSAFE {
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
    if source.path == UNSAFE {
        found.extend(source.find("unsafe").skip(1).map(|at| source.told(at, "more unsafe code")).collect::<Vec<_>>());
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
