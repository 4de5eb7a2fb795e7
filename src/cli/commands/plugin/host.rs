//! What is done with the plugins of the running host.

use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::exit::Misused;
use crate::cli::format;
use crate::cli::printer::Align;
use crate::plugin;

#[derive(Debug, Deserialize)]
struct Plugin {
    name: String,
    state: String,
    trouble: Option<String>,
    version: String,
    hooks: Vec<String>,
    breaker: Breaker,
    last_failure: Option<String>,
    calls: u64,
    verdicts: Verdicts,
    failures: u64,
    p50_us: f64,
    p99_us: f64,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
struct Breaker {
    state: String,
}

#[derive(Debug, Deserialize)]
struct Verdicts {
    pass: u64,
    drop: u64,
    hold: u64,
    edit: u64,
}

#[derive(Debug, Deserialize)]
struct Limits {
    memory_bytes: Limit,
}

#[derive(Debug, Deserialize)]
struct Limit {
    used: u64,
    limit: u64,
}

const COLUMNS: [(&str, Align); 10] = [
    ("PLUGIN", Align::Left),
    ("STATE", Align::Left),
    ("VERSION", Align::Left),
    ("CALLS", Align::Right),
    ("PASS/DROP/HOLD/EDIT", Align::Right),
    ("FAILED", Align::Right),
    ("P50", Align::Right),
    ("P99", Align::Right),
    ("MEMORY", Align::Right),
    ("HOOKS", Align::Left),
];

pub(super) async fn list(context: &Context) -> anyhow::Result<()> {
    let printer = context.printer();
    let value: Value = context.host_api()?.get("/plugins").await?;
    if printer.is_json() {
        return Ok(printer.json(&value)?);
    }
    let plugins = Vec::<Plugin>::deserialize(&value["plugins"])?;
    if plugins.is_empty() {
        return Ok(printer.line("no plugins")?);
    }
    let rows: Vec<_> = plugins.iter().map(row).collect();
    printer.table(&COLUMNS, &rows)?;
    for plugin in &plugins {
        for trouble in
            plugin.trouble.iter().chain(plugin.last_failure.iter().filter(|_| plugin.breaker.state != "closed"))
        {
            printer.line(&format!("{}: {trouble}", plugin.name))?;
        }
    }
    Ok(())
}

fn row(plugin: &Plugin) -> Vec<String> {
    let state = match plugin.breaker.state.as_str() {
        "closed" => plugin.state.clone(),
        other => format!("{}, {other}", plugin.state),
    };
    let Verdicts { pass, drop, hold, edit } = plugin.verdicts;
    let micros = |us: f64| if plugin.calls == 0 { "-".to_owned() } else { format!("{us:.1} us") };
    let memory = &plugin.limits.memory_bytes;
    vec![
        plugin.name.clone(),
        state,
        plugin.version.clone(),
        plugin.calls.to_string(),
        format!("{pass}/{drop}/{hold}/{edit}"),
        plugin.failures.to_string(),
        micros(plugin.p50_us),
        micros(plugin.p99_us),
        format!("{}/{}", format::bytes(memory.used), format::bytes(memory.limit)),
        plugin.hooks.join(" "),
    ]
}

/// Switches plugins on or off; one that cannot be loaded is switched on all the same.
pub(super) async fn switch(context: &Context, names: &[String], action: &str, done: &str) -> anyhow::Result<()> {
    for name in names {
        match order(context, name, action).await? {
            Some(trouble) => context.printer().say(&format!("{name} {done}, but: {trouble}")),
            None => context.printer().say(&format!("{name} {done}")),
        }
    }
    Ok(())
}

/// Loads plugins again.
pub(super) async fn reload(context: &Context, names: &[String]) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for name in names {
        match order(context, name, "reload").await? {
            Some(trouble) => failed.push(format!("{name}: {trouble}")),
            None => context.printer().say(&format!("{name} loaded again")),
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("not loaded: {}", failed.join("; ")) }
}

/// Has the host do something with a plugin; returns what is wrong with it then.
async fn order(context: &Context, name: &str, action: &str) -> anyhow::Result<Option<String>> {
    if !plugin::is_name(name) {
        return Err(Misused(format!("{name:?} is not the name of a plugin; `can-sync plugin ls` lists them")).into());
    }
    let plugin: Value = context.host_api()?.post(&format!("/plugins/{name}/{action}")).await?;
    if context.printer().is_json() {
        context.printer().json(&plugin)?;
    }
    Ok(plugin["trouble"].as_str().map(str::to_owned))
}
