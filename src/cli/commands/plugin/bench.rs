//! `can-sync plugin bench`: what a component costs.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::anyhow;
use serde_json::json;

use super::Component;
use super::TemporaryCache;
use super::sample::Line;
use crate::cli::context::Context;
use crate::cli::format;
use crate::cli::printer::Align;
use crate::hook::Asked;
use crate::plugin::Plugin;

/// An asset like those of a photo library: every field is there, with ten tags.
const ASSET: &str = r#"{
    "hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "timestamp": 1700000000000,
    "size": 12345, "mime_type": "image/png", "human_file_name": "screenshot-2024.png",
    "human_readable_path": "pictures/2024", "application": "org.example.app", "user": "ann",
    "description": "a screenshot of something",
    "tags": ["tag-0", "tag-1", "tag-2", "tag-3", "tag-4", "tag-5", "tag-6", "tag-7", "tag-8", "tag-9"]
}"#;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    component: Component,
    /// Warm calls that are timed, 100 at least
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    calls: u32,
}

impl Args {
    pub(super) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let Component { file, .. } = &self.component;
        let (name, settings) = (self.component.name(), self.component.settings(context)?);
        let kept = TemporaryCache::make()?;
        let mut rows = Vec::new();
        let began = Instant::now();
        let plugin = Plugin::load(file, &name, settings.clone(), Some(kept.cache.clone())).await;
        let plugin = plugin.map_err(|error| anyhow!("this host would not load {}: {error}", file.display()))?;
        rows.push(("cold start: compiled, started, configured", vec![began.elapsed()]));
        let mut loads = Vec::new();
        for _ in 0..11 {
            let began = Instant::now();
            Plugin::load(file, &name, settings.clone(), Some(kept.cache.clone())).await?;
            loads.push(began.elapsed());
        }
        rows.push(("start from compiled code", loads));
        let asked = Line::read(ASSET)?.asked(*plugin.points().first().context("it has no hook")?)?;
        let mut fresh = Vec::new();
        for _ in 0..101 {
            plugin.drop_instances();
            fresh.push(timed(&plugin, &asked).await?);
        }
        rows.push(("fresh instance and call", fresh));
        for _ in 0..1000 {
            timed(&plugin, &asked).await?;
        }
        let mut warm = Vec::with_capacity(self.calls as usize);
        for _ in 0..self.calls {
            warm.push(timed(&plugin, &asked).await?);
        }
        rows.push(("warm call", warm));
        let printer = context.printer();
        let memory = plugin.used().memory_bytes;
        let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
        let measured: Vec<(&str, Duration, Duration)> = rows
            .into_iter()
            .map(|(what, mut times)| {
                times.sort_unstable();
                (what, times[times.len() / 2], times[times.len() * 99 / 100])
            })
            .collect();
        if printer.is_json() {
            let micros = |time: Duration| time.as_secs_f64() * 1e6;
            let times: Vec<_> = measured
                .iter()
                .map(|(what, p50, p99)| json!({ "what": what, "p50_us": micros(*p50), "p99_us": micros(*p99) }))
                .collect();
            return Ok(printer.json(&json!({ "times": times, "memory_bytes": memory, "size_bytes": size }))?);
        }
        let table: Vec<Vec<String>> =
            measured.iter().map(|(what, p50, p99)| vec![(*what).to_owned(), shown(*p50), shown(*p99)]).collect();
        printer.table(&[("", Align::Left), ("P50", Align::Right), ("P99", Align::Right)], &table)?;
        let (memory, size) = (format::bytes(memory as u64), format::bytes(size));
        Ok(printer.line(&format!("linear memory of one instance {memory}, component {size}"))?)
    }
}

async fn timed(plugin: &Plugin, asked: &Asked) -> anyhow::Result<Duration> {
    let began = Instant::now();
    plugin.ask(asked, &asked.metadata).await?;
    Ok(began.elapsed())
}

fn shown(time: Duration) -> String {
    match time.as_nanos() {
        0..1_000_000 => format!("{:.2} us", time.as_secs_f64() * 1e6),
        1_000_000..1_000_000_000 => format!("{:.2} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}
