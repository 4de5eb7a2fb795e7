//! `can-sync plugin check`: what a component is, and whether this host would load it.

use anyhow::Context as _;
use anyhow::bail;
use serde_json::json;

use super::Component;
use crate::cli::context::Context;
use crate::hook::Point;
use crate::plugin;
use crate::plugin::Inspection;
use crate::plugin::LoadError;
use crate::plugin::Plugin;
use crate::plugin::Settings;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    component: Component,
}

impl Args {
    pub(super) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let (printer, file) = (context.printer(), &self.component.file);
        let (settings, loaded, inspection) = match self.look(context).await {
            Ok(looked) => looked,
            Err(error) => {
                if printer.is_json() {
                    printer.json(&json!({ "loads": false, "trouble": format!("{error:#}") }))?;
                }
                return Err(error);
            }
        };
        let Settings { grants, enabled, .. } = settings;
        let names = |points: &[Point]| points.iter().map(|point| name(*point)).collect::<Vec<_>>();
        let missing: Vec<&str> =
            inspection.wants.iter().filter(|grant| !grants.contains(grant)).map(|grant| grant.name()).collect();
        let named = plugin::name_of(file);
        let trouble = loaded.as_ref().err().map(ToString::to_string).or(named.err().map(|why| why.to_string()));
        let trouble = trouble.or((!enabled).then(|| "its settings say `enabled: false`".to_owned()));
        let schema = loaded.as_ref().ok().and_then(|plugin| plugin.description().configuration.as_ref());
        let schema = schema.map(|schema| serde_json::from_str(schema).unwrap_or_else(|_| json!(schema)));
        let about = loaded.as_ref().ok().map(Plugin::description);
        if printer.is_json() {
            printer.json(&json!({
                "loads": trouble.is_none(),
                "trouble": trouble,
                "name": about.map(|about| &about.name),
                "version": about.map(|about| &about.version),
                "summary": about.map(|about| &about.summary),
                "enabled": enabled,
                "configuration": schema,
                "sha256": loaded.as_ref().ok().map(|plugin| data_encoding::HEXLOWER.encode(plugin.sha256())),
                "hooks": names(&inspection.hooks),
                "exports": inspection.exports,
                "imports": inspection.imports,
                "wasi": inspection.wasi,
                "wants": inspection.wants.iter().map(|grant| grant.name()).collect::<Vec<_>>(),
                "not_granted": missing,
            }))?;
        } else {
            if let Some(about) = about {
                printer.heading(&format!("{} {}", about.name, about.version))?;
                printer.line(&about.summary)?;
            }
            printer.line(&format!("asked at   {}", names(&inspection.hooks).join(" ")))?;
            printer.line(&format!("exports    {}", inspection.exports.join(" ")))?;
            printer.line(&format!("imports    {}", inspection.imports.join(" ")))?;
            if inspection.wasi {
                printer.line("WASI       an empty one: no files, no network, no environment")?;
            }
            if !missing.is_empty() {
                let missing = missing.join(", ");
                printer.line(&format!("can use    {missing}: not granted; `grants` in its settings does that"))?;
            }
            if let Ok(plugin) = &loaded {
                printer.line(&format!("SHA-256    {}", data_encoding::HEXLOWER.encode(plugin.sha256())))?;
            }
            if let Some(schema) = schema {
                printer.line("it is configured by")?;
                serde_json::to_string_pretty(&schema)?.lines().try_for_each(|line| printer.line(line))?;
            }
        }
        match trouble {
            Some(trouble) => bail!("this host would not load {}: {trouble}", file.display()),
            None => {
                printer.say("This host would load it.");
                Ok(())
            }
        }
    }
}

impl Args {
    /// Loads the component as a host would, and looks at it also where that does not work.
    async fn look(&self, context: &Context) -> anyhow::Result<(Settings, Result<Plugin, LoadError>, Inspection)> {
        let file = &self.component.file;
        let settings = self.component.settings(context)?;
        let loaded = Plugin::load(file, &self.component.name(), settings.clone(), None).await;
        let inspection = if let Ok(plugin) = &loaded {
            plugin.inspection().clone()
        } else {
            let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            plugin::inspect(&bytes).with_context(|| format!("{} is no plugin", file.display()))?
        };
        Ok((settings, loaded, inspection))
    }
}

/// Names a point as the contract does.
pub(super) fn name(point: Point) -> &'static str {
    match point {
        Point::BeforePush => "before-push",
        Point::BeforePull => "before-pull",
        Point::AfterReceive => "after-receive",
    }
}
