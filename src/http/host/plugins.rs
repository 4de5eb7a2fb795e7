//! `GET /plugins`, `POST /plugins/{name}/enable|disable|reload`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::json;

use super::Api;
use super::held;
use crate::http::Failure;
use crate::http::path::NamePath;
use crate::http::success;
use crate::plugin::BreakerState;
use crate::plugin::OnFailure;
use crate::plugin::PluginState;
use crate::plugin::PluginStatus;
use crate::plugin::UnknownPlugin;

/// What a plugin is and does, in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Plugin {
    name: String,
    /// `loaded`, `failing` (its policy answers for it), `refused` (never active, and stops nothing) or `disabled`.
    state: &'static str,
    /// What is wrong with it, or null.
    trouble: Option<String>,
    title: String,
    version: String,
    summary: String,
    sha256: Option<String>,
    /// Of `before-push`, `before-pull` and `after-receive`.
    hooks: Vec<&'static str>,
    order: i64,
    grants: Vec<&'static str>,
    libraries: Option<Vec<String>>,
    on_failure: &'static str,
    breaker: Breaker,
    last_failure: Option<String>,
    calls: u64,
    verdicts: Verdicts,
    /// Assets that wait for it now.
    held: u64,
    failures: u64,
    traps: u64,
    timeouts: u64,
    /// Microseconds.
    p50_us: f64,
    p95_us: f64,
    p99_us: f64,
    limits: Limits,
    log_lines_left_out: u64,
}

#[derive(Debug, Serialize)]
struct Breaker {
    /// `closed`, `open` or `trying`.
    state: &'static str,
    /// How long it is left alone still, in milliseconds.
    rest_ms: u64,
}

#[derive(Debug, Serialize)]
struct Verdicts {
    pass: u64,
    drop: u64,
    hold: u64,
    edit: u64,
}

#[derive(Debug, Serialize)]
struct Limits {
    call_ms: Limit<f64>,
    start_ms: Limit<f64>,
    memory_bytes: Limit<usize>,
    table_elements: Limit<usize>,
    content_bytes: Limit<u64>,
    state_bytes: Limit<usize>,
    log_lines_per_sec: Limit<u32>,
    component_bytes: Limit<u64>,
    // What is used of these is not measured.
    instances: Limit<Option<usize>>,
    stack_bytes: Limit<Option<usize>>,
    answer_bytes: Limit<Option<usize>>,
}

/// What was used at most, and what may be.
#[derive(Debug, Serialize)]
struct Limit<T> {
    used: T,
    limit: T,
}

pub(super) async fn plugins(State(api): State<Api>) -> Result<Response, Failure> {
    let held_by = api.node.held_by().await.map_err(|error| Failure::internal(&error))?;
    Ok(success(json!({ "plugins": all(&api, &held_by) })))
}

/// Tells about every plugin, in their order; `held_by` says how many assets wait for each.
pub(super) fn all(api: &Api, held_by: &BTreeMap<String, u64>) -> Vec<Plugin> {
    let one = |status: PluginStatus| {
        let held = held_by.get(&status.name).copied().unwrap_or_default();
        Plugin { held, ..Plugin::from(status) }
    };
    api.node.plugins().into_iter().map(one).collect()
}

pub(super) async fn enable(State(api): State<Api>, NamePath(name): NamePath) -> Result<Response, Failure> {
    api.node.enable_plugin(&name).await.map_err(failure)?;
    one(&api, &name).await
}

pub(super) async fn disable(State(api): State<Api>, NamePath(name): NamePath) -> Result<Response, Failure> {
    api.node.disable_plugin(&name).await.map_err(failure)?;
    one(&api, &name).await
}

pub(super) async fn reload(State(api): State<Api>, NamePath(name): NamePath) -> Result<Response, Failure> {
    api.node.reload_plugin(&name).await.map_err(failure)?;
    one(&api, &name).await
}

async fn one(api: &Api, name: &str) -> Result<Response, Failure> {
    let held_by = api.node.held_by().await.map_err(|error| Failure::internal(&error))?;
    let found = all(api, &held_by).into_iter().find(|plugin| plugin.name == name);
    let plugin = found.ok_or_else(|| Failure::not_found("the plugin has gone meanwhile"))?;
    Ok(success(serde_json::to_value(plugin).map_err(|error| Failure::internal(&error))?))
}

fn failure(error: UnknownPlugin) -> Failure {
    match error {
        UnknownPlugin::Unknown(_) => Failure::not_found(error.to_string()),
        UnknownPlugin::SafeMode => Failure::conflict(error.to_string()),
        _ => Failure::internal(&error),
    }
}

/// What [`named`] returns.
pub(super) const STATES: [&str; 4] = ["loaded", "failing", "refused", "disabled"];

/// What [`breaker`] returns.
pub(super) const BREAKERS: [&str; 3] = ["closed", "open", "trying"];

/// Names how a plugin is.
pub(super) const fn named(state: PluginState) -> &'static str {
    match state {
        PluginState::Loaded => "loaded",
        PluginState::Failing => "failing",
        PluginState::Refused => "refused",
        PluginState::Disabled => "disabled",
    }
}

/// Names what the breaker of a plugin does.
pub(super) const fn breaker(state: &BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::Trying => "trying",
    }
}

impl From<PluginStatus> for Plugin {
    fn from(status: PluginStatus) -> Self {
        let state = named(status.state());
        let (settings, figures, used) = (status.settings, status.figures, status.used);
        let may = settings.limits;
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        Self {
            name: status.name,
            state,
            held: 0,
            trouble: status.trouble,
            title: status.description.name,
            version: status.description.version,
            summary: status.description.summary,
            sha256: status.sha256.map(|sha256| HEXLOWER.encode(&sha256)),
            hooks: status.points.into_iter().map(held::point).collect(),
            order: settings.order,
            grants: settings.grants.iter().map(|grant| grant.name()).collect(),
            libraries: settings.libraries.map(|libraries| libraries.into_iter().collect()),
            on_failure: match settings.on_failure {
                OnFailure::Hold => "hold",
                OnFailure::Pass => "pass",
                OnFailure::Drop => "drop",
            },
            breaker: Breaker {
                state: breaker(&status.breaker),
                rest_ms: match status.breaker {
                    BreakerState::Open { rest } => rest.as_millis() as u64,
                    BreakerState::Closed | BreakerState::Trying => 0,
                },
            },
            last_failure: status.last_failure,
            calls: figures.calls,
            verdicts: Verdicts {
                pass: figures.passed,
                drop: figures.dropped,
                hold: figures.held,
                edit: figures.edited,
            },
            failures: figures.failures,
            traps: figures.traps,
            timeouts: figures.timeouts,
            p50_us: figures.p50_us,
            p95_us: figures.p95_us,
            p99_us: figures.p99_us,
            limits: Limits {
                call_ms: Limit { used: figures.p99_us / 1000.0, limit: ms(may.call) },
                start_ms: Limit { used: ms(used.start), limit: ms(may.start) },
                memory_bytes: Limit { used: used.memory_bytes, limit: may.memory_bytes },
                table_elements: Limit { used: used.table_elements, limit: may.table_elements },
                content_bytes: Limit { used: used.content_bytes, limit: may.content_bytes },
                state_bytes: Limit { used: used.state_bytes, limit: may.state_bytes },
                log_lines_per_sec: Limit { used: used.log_lines_per_sec, limit: may.log_lines_per_sec },
                component_bytes: Limit { used: used.component_bytes, limit: may.component_bytes },
                instances: Limit { used: None, limit: Some(may.instances) },
                stack_bytes: Limit { used: None, limit: Some(may.stack_bytes) },
                answer_bytes: Limit { used: None, limit: Some(may.answer_bytes) },
            },
            log_lines_left_out: status.lines_left_out,
        }
    }
}
