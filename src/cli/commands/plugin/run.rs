//! `can-sync plugin run`: a component is asked about assets, and nothing is changed.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use super::Component;
use super::TemporaryCache;
use super::check;
use super::sample;
use super::sample::Line;
use super::sample::Said;
use crate::cli::client::CanApi;
use crate::cli::context::Context;
use crate::cli::printer::Printer;
use crate::hook::Point;
use crate::limits;
use crate::plugin::Cache;
use crate::plugin::Grant;
use crate::plugin::Plugin;
use crate::plugin::Settings;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    component: Component,
    /// Assets, one JSON object per line, or golden lines; `-` for standard input
    #[arg(long, value_name = "FILE", default_value = "-", conflicts_with = "last")]
    assets: PathBuf,
    /// The latest assets of the running host, so many of them; without their contents
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1000))]
    last: Option<u64>,
    /// Fail when a golden line is answered otherwise than it says
    #[arg(long)]
    golden: bool,
}

/// What was counted.
#[derive(Debug, Default)]
struct Counted {
    by_verdict: BTreeMap<&'static str, u64>,
    failed: u64,
    /// Configurations that were refused, as they should be.
    refused: u64,
    wrong: u64,
}

impl Args {
    pub(super) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let printer = context.printer();
        let settings = self.component.settings(context)?;
        let lines = self.lines(context).await?;
        if lines.is_empty() {
            bail!("there is no asset to ask about: `--assets` and standard input have one on each line");
        }
        let kept = TemporaryCache::make()?;
        let mut tried = Tried { component: &self.component, settings, cache: kept.cache.clone(), loaded: None };
        let mut counted = Counted::default();
        for (number, line) in lines.iter().enumerate() {
            let place = || format!("line {}", number + 1);
            let plugin = match (tried.plugin(line).await.with_context(place)?, &line.error) {
                (Ok(plugin), None) => plugin,
                (Err(error), Some(wanted)) if error.contains(wanted.as_str()) => {
                    let told = format!("{}: refused, as wanted: {error}", place());
                    refused(printer, number + 1, &error, true, &told)?;
                    counted.refused += 1;
                    continue;
                }
                (Err(error), None) if self.golden && line.configuration.is_some() => {
                    refused(printer, number + 1, &error, false, &format!("{}: WRONG refused: {error}", place()))?;
                    counted.wrong += 1;
                    continue;
                }
                (Err(error), None) => bail!("this host would not load {}: {error}", self.component.file.display()),
                (outcome, Some(wanted)) => {
                    let error = outcome.err().unwrap_or_else(|| "it is taken".to_owned());
                    let told = format!("{}: should be refused with {wanted:?}, but: {error}", place());
                    refused(printer, number + 1, &error, false, &told)?;
                    counted.wrong += 1;
                    continue;
                }
            };
            for point in points(line, plugin).with_context(place)? {
                let asked = line.asked(point).with_context(place)?;
                let answer = plugin.ask(&asked, &asked.metadata).await;
                let said = answer.as_ref().ok().map(Said::from);
                let right = match (&line.verdict, &said) {
                    (Some(wanted), Some(said)) => Some(sample::same(said, wanted)),
                    (Some(_), None) => Some(false),
                    (None, _) => None,
                };
                counted.wrong += u64::from(right == Some(false));
                match &answer {
                    Ok(verdict) => *counted.by_verdict.entry(sample::word(verdict)).or_default() += 1,
                    Err(_) => counted.failed += 1,
                }
                if printer.is_json() {
                    printer.json(&json!({
                        "line": number + 1,
                        "hash": asked.key.id.to_string(),
                        "name": asked.metadata.file_name,
                        "hook": check::name(point),
                        "verdict": said,
                        "failure": answer.as_ref().err().map(ToString::to_string),
                        "right": right,
                        "wanted": line.verdict.as_ref().filter(|_| right == Some(false)),
                    }))?;
                    continue;
                }
                let name = asked.metadata.file_name.as_deref().unwrap_or("-");
                let mark = if right == Some(false) { "WRONG " } else { "" };
                let told = match &answer {
                    Ok(verdict) => sample::told(verdict, &asked.metadata),
                    Err(failure) => vec![format!("failed: {failure}")],
                };
                let id = asked.key.id.fmt_short();
                printer.line(&format!("{mark}{id} {name} {}: {}", check::name(point), told[0]))?;
                told[1..].iter().try_for_each(|change| printer.line(change))?;
                if right == Some(false) {
                    printer.line(&format!("  wanted: {}", line.verdict.as_ref().unwrap_or(&Value::Null)))?;
                }
            }
        }
        let verdicts = counted.by_verdict.iter().map(|(word, count)| format!("{count} {word}"));
        let failures = [format!("{} failed", counted.failed), format!("{} wrong", counted.wrong)];
        printer.say(&verdicts.chain(failures).collect::<Vec<_>>().join(", "));
        let Counted { by_verdict, failed, refused, wrong } = counted;
        if self.golden && wrong + failed > 0 {
            bail!("{} of {} lines are answered otherwise than they say", wrong.max(failed), lines.len());
        }
        if self.golden && by_verdict.is_empty() && refused == 0 {
            bail!("no line asks the plugin anything");
        }
        if failed > 0 {
            bail!("the plugin failed {failed} times");
        }
        Ok(())
    }

    async fn lines(&self, context: &Context) -> anyhow::Result<Vec<Line>> {
        if let Some(last) = self.last {
            return latest(&context.can_api()?, last as usize).await;
        }
        let reader: Box<dyn Read> = if self.assets.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            let file = std::fs::File::open(&self.assets);
            Box::new(file.with_context(|| format!("cannot read {}", self.assets.display()))?)
        };
        let mut lines = Vec::new();
        for (number, line) in BufReader::new(reader.take(limits::plugin::SAMPLES_BYTES)).lines().enumerate() {
            let line = line.context("cannot read the assets")?;
            if !line.trim().is_empty() {
                let read = if self.golden { Line::read_golden } else { Line::read };
                lines.push(read(&line).with_context(|| format!("line {}", number + 1))?);
            }
        }
        Ok(lines)
    }
}

/// Returns the latest assets of the running host; a page of large ones ends early.
async fn latest(api: &CanApi, count: usize) -> anyhow::Result<Vec<Line>> {
    let (mut lines, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = [("limit", (count - lines.len()).to_string()), ("cursor", cursor.clone())];
        let page: Value = api.data(api.request(Method::GET, "/list", &query)).await?;
        for asset in page["assets"].as_array().into_iter().flatten() {
            lines.push(Line::of_host(asset)?);
        }
        match page["next"].as_str() {
            Some(next) if lines.len() < count => next.clone_into(&mut cursor),
            _ => return Ok(lines),
        }
    }
}

/// Shows how a line ended that has the plugin refused.
fn refused(printer: &Printer, line: usize, error: &str, right: bool, told: &str) -> anyhow::Result<()> {
    if printer.is_json() {
        return Ok(printer.json(&json!({ "line": line, "refused": error, "right": right }))?);
    }
    Ok(printer.line(told)?)
}

fn points(line: &Line, plugin: &Plugin) -> anyhow::Result<Vec<Point>> {
    let Some(hook) = &line.hook else { return Ok(plugin.points().to_vec()) };
    let point = plugin.points().iter().find(|point| check::name(**point) == hook);
    let has = || plugin.points().iter().map(|point| check::name(*point)).collect::<Vec<_>>().join(", ");
    Ok(vec![*point.with_context(|| format!("the plugin has no hook `{hook}`; it has {}", has()))?])
}

/// The component as it is set up at present; a golden line may set it up otherwise.
struct Tried<'a> {
    component: &'a Component,
    settings: Settings,
    cache: Cache,
    loaded: Option<(Settings, Result<Plugin, String>)>,
}

impl Tried<'_> {
    /// Returns the plugin as a line wants it set up, or why it is not loaded.
    async fn plugin(&mut self, line: &Line) -> anyhow::Result<Result<&Plugin, String>> {
        let mut settings = self.settings.clone();
        if let Some(configuration) = &line.configuration {
            settings.configuration = configuration.clone();
        }
        for name in &line.grants {
            let grant = Grant::ALL.into_iter().find(|(known, _)| known == name);
            settings.grants.insert(grant.with_context(|| format!("there is no grant `{name}`"))?.1);
        }
        if self.loaded.as_ref().is_none_or(|(as_it_was, _)| *as_it_was != settings) {
            let (file, name) = (&self.component.file, self.component.name());
            let loaded = Plugin::load(file, &name, settings.clone(), Some(self.cache.clone())).await;
            self.loaded = Some((settings, loaded.map_err(|error| error.to_string())));
        }
        Ok(match &self.loaded {
            Some((_, Ok(plugin))) => Ok(plugin),
            Some((_, Err(error))) => Err(error.clone()),
            None => Err("it is not loaded".to_owned()),
        })
    }
}
