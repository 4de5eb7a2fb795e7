//! Keeps assets back: what a rule matches is not shared with anybody, or waits for a person.

mod rules;

use can_sync_plugin::Asset;
use can_sync_plugin::BeforePull;
use can_sync_plugin::BeforePush;
use can_sync_plugin::Context;
use can_sync_plugin::Description;
use can_sync_plugin::Plugin;
use can_sync_plugin::Verdict;
use serde::Deserialize;

use rules::Rules;

/// What the user may set; `configuration.schema.json` describes it.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    tags: Vec<String>,
    paths: Vec<String>,
    names: Vec<String>,
    applications: Vec<String>,
    users: Vec<String>,
    mime_types: Vec<String>,
    larger_than: Option<u64>,
    except_tags: Vec<String>,
    on: Vec<On>,
    answer: Answer,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            tags: vec!["private".to_owned()],
            paths: Vec::new(),
            names: Vec::new(),
            applications: Vec::new(),
            users: Vec::new(),
            mime_types: Vec::new(),
            larger_than: None,
            except_tags: Vec::new(),
            on: vec![On::Push],
            answer: Answer::Drop,
        }
    }
}

/// Which way of an asset is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum On {
    Push,
    Pull,
}

/// What is answered about an asset that is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Drop,
    Hold,
}

/// The plugin.
#[derive(Debug)]
struct KeepPrivate {
    rules: Rules,
    push: bool,
    pull: bool,
    answer: Answer,
}

impl KeepPrivate {
    fn decide(&self, asset: &Asset) -> Verdict {
        match (self.rules.reason_to_keep(asset), self.answer) {
            (None, _) => Verdict::Pass,
            (Some(reason), Answer::Drop) => Verdict::Drop(reason),
            (Some(reason), Answer::Hold) => Verdict::Hold(reason),
        }
    }
}

impl Plugin for KeepPrivate {
    type Configuration = Configuration;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .configured_by(include_str!("../configuration.schema.json"))
    }

    fn configure(configuration: Configuration) -> Result<Self, String> {
        let (push, pull) = (configuration.on.contains(&On::Push), configuration.on.contains(&On::Pull));
        if !push && !pull {
            return Err("`on` is empty, so nothing would be kept back: name push, pull or both".to_owned());
        }
        let answer = configuration.answer;
        Ok(Self { rules: Rules::new(configuration)?, push, pull, answer })
    }
}

impl BeforePush for KeepPrivate {
    fn before_push(&self, asset: &Asset, _: &Context) -> Verdict {
        if self.push { self.decide(asset) } else { Verdict::Pass }
    }
}

impl BeforePull for KeepPrivate {
    fn before_pull(&self, asset: &Asset, _: &Context) -> Verdict {
        if self.pull { self.decide(asset) } else { Verdict::Pass }
    }
}

can_sync_plugin::export!(KeepPrivate: before_push, before_pull);

#[cfg(test)]
mod tests {
    use can_sync_plugin::testing;

    use super::*;

    #[test]
    fn golden() {
        testing::golden::<KeepPrivate>(include_str!("../golden.jsonl"));
    }
}
