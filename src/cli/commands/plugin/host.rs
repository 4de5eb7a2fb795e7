//! What is done with the plugins of the running host.

use anyhow::Context as _;
use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::batch::each;
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

/// What a person has done with plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Enable,
    Disable,
    Reload,
}

impl Order {
    const fn path(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Reload => "reload",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Enable => "switched on",
            Self::Disable => "switched off",
            Self::Reload => "loaded again",
        }
    }
}

/// Has the host do something with plugins, one after the other; an order that does not work stops no other.
pub(super) async fn order(context: &Context, names: &[String], order: Order) -> anyhow::Result<()> {
    let (api, printer) = (context.host_api()?, context.printer());
    each(printer, names, async |name| {
        if !plugin::is_name(name) {
            let names = "letters, digits, dots, dashes and underscores, without `.wasm`";
            return Err(Misused(format!("no plugin is called {name:?}: a name has {names}")).into());
        }
        let answer = api.post(&format!("/plugins/{name}/{}", order.path())).await;
        let plugin: Value = answer.with_context(|| format!("{name} was not {}", order.done()))?;
        if printer.is_json() {
            printer.json(&plugin)?;
        }
        match (order, plugin["trouble"].as_str()) {
            (Order::Disable, _) => {}
            (_, Some(trouble)) if order == Order::Reload => bail!("{name} is not loaded: {trouble}"),
            (_, Some(trouble)) => {
                printer.say(&format!("{name} {}, but: {trouble}", order.done()));
                return Ok(());
            }
            (Order::Enable, None) if plugin["state"] == "disabled" => {
                bail!("{name} stays switched off: its settings say `enabled: false`")
            }
            (_, None) if plugin["state"] == "disabled" => {
                bail!("{name} is switched off; see its settings, and `can-sync plugin enable {name}`")
            }
            (_, None) => {}
        }
        printer.say(&format!("{name} {}", order.done()));
        Ok(())
    })
    .await
}
