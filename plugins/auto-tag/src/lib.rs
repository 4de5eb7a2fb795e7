//! Tags what arrives, by rules about media type, name, path, application, size and content.

mod rule;
mod sniff;

use can_sync_plugin::AfterReceive;
use can_sync_plugin::Asset;
use can_sync_plugin::Changes;
use can_sync_plugin::Context;
use can_sync_plugin::Description;
use can_sync_plugin::Plugin;
use can_sync_plugin::Verdict;
use can_sync_plugin::limits;
use serde::Deserialize;

use rule::Rule;
use rule::Seen;
use sniff::Sniff;
use sniff::Sniffer;

/// What the user may set; `configuration.schema.json` describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    rules: Option<Vec<Rule>>,
    sniff: Sniff,
    mismatch_tag: Option<String>,
}

/// The plugin.
#[derive(Debug)]
struct AutoTag {
    rules: Vec<Rule>,
    sniffer: Sniffer,
    mismatch_tag: Option<String>,
}

impl Plugin for AutoTag {
    type Configuration = Configuration;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .configured_by(include_str!("../configuration.schema.json"))
    }

    fn configure(configuration: Configuration) -> Result<Self, String> {
        let Configuration { rules, sniff, mismatch_tag } = configuration;
        let rules = match rules {
            Some(rules) => rule::checked(rules)?,
            None => rule::standard(),
        };
        if rules.is_empty() && mismatch_tag.is_none() {
            return Err("there is no rule, so nothing would be tagged: give rules or mismatch_tag".to_owned());
        }
        if let Some(tag) = &mismatch_tag {
            limits::check_tag(tag).map_err(|wrong| format!("`mismatch_tag` {wrong}"))?;
            if sniff == Sniff::Never {
                return Err("`mismatch_tag` needs the content: set `sniff` to when-granted or required".to_owned());
            }
        }
        let wanted = mismatch_tag.is_some() || rules.iter().any(Rule::asks_for_type);
        Ok(Self { rules, sniffer: Sniffer::new(if wanted { sniff } else { Sniff::Never }), mismatch_tag })
    }
}

impl AfterReceive for AutoTag {
    fn after_receive(&self, asset: &Asset, _: &Context) -> Verdict {
        let found = match self.sniffer.sniff() {
            Ok(found) => found,
            Err(reason) => return Verdict::Hold(reason),
        };
        let seen = Seen::new(asset, found);
        let mut changes = Changes::of(asset);
        for rule in self.rules.iter().filter(|rule| rule.matches(&seen)) {
            for tag in &rule.tags {
                changes.add_tag(tag);
            }
        }
        if let Some(tag) = self.mismatch_tag.as_ref().filter(|_| seen.mismatched()) {
            changes.add_tag(tag);
        }
        changes.verdict()
    }
}

can_sync_plugin::export!(AutoTag: after_receive);

#[cfg(test)]
mod tests {
    use can_sync_plugin::Hook;
    use can_sync_plugin::log::Level;
    use can_sync_plugin::testing;

    use super::*;

    #[test]
    fn golden() {
        testing::golden::<AutoTag>(include_str!("../golden.jsonl"));
    }

    #[test]
    fn a_missing_grant_is_said_once() {
        let plugin: AutoTag = testing::configured("{}").unwrap();
        let asset = testing::asset(&[]);
        let ((), host) = testing::Host::default().run(|| {
            for _ in 0..3 {
                plugin.after_receive(&asset, &testing::context(Hook::AfterReceive));
            }
        });
        let words = "content is not granted: types are taken as declared".to_owned();
        assert_eq!(host.log, [(Level::Info, words)]);
    }
}
