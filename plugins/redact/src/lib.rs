//! Clears or replaces fields and drops tags of what is shared. This host goes on seeing what it had.

use std::collections::BTreeMap;

use can_sync_plugin::Asset;
use can_sync_plugin::BeforePush;
use can_sync_plugin::Changes;
use can_sync_plugin::Context;
use can_sync_plugin::Description;
use can_sync_plugin::Field;
use can_sync_plugin::Plugin;
use can_sync_plugin::Verdict;
use can_sync_plugin::folded;
use can_sync_plugin::limits;
use can_sync_plugin::matches_glob;
use serde::Deserialize;

/// What is cleared when nothing is said about it.
const CLEARED: [Field; 2] = [Field::Path, Field::User];

/// What the user may set; `configuration.schema.json` describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    clear: Option<Vec<Field>>,
    replace: BTreeMap<Field, String>,
    drop_tags: Vec<String>,
}

/// The plugin.
#[derive(Debug)]
struct Redact {
    clear: Vec<Field>,
    replace: BTreeMap<Field, String>,
    /// Folded patterns.
    drop_tags: Vec<String>,
}

impl Plugin for Redact {
    type Configuration = Configuration;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .configured_by(include_str!("../configuration.schema.json"))
    }

    fn configure(configuration: Configuration) -> Result<Self, String> {
        let Configuration { clear, replace, drop_tags } = configuration;
        for (field, text) in &replace {
            let name = field.name();
            if text.is_empty() {
                return Err(format!("`replace.{name}` is empty: to take the field away, name it in `clear`"));
            }
            limits::check_text(*field, text).map_err(|wrong| format!("`replace.{name}` {wrong}"))?;
            if clear.as_ref().is_some_and(|clear| clear.contains(field)) {
                return Err(format!("`{name}` is both in `clear` and in `replace`: name it in one of them"));
            }
        }
        let mut clear = clear.unwrap_or_else(|| CLEARED.to_vec());
        clear.retain(|field| !replace.contains_key(field));
        clear.sort_unstable();
        clear.dedup();
        let drop_tags: Vec<String> = drop_tags.iter().map(|pattern| folded(pattern)).collect();
        if let Some(place) = drop_tags.iter().position(|pattern| pattern.is_empty()) {
            return Err(format!("`drop_tags[{place}]` is empty"));
        }
        if clear.is_empty() && replace.is_empty() && drop_tags.is_empty() {
            return Err("nothing would be redacted: give clear, replace or drop_tags".to_owned());
        }
        Ok(Self { clear, replace, drop_tags })
    }
}

impl BeforePush for Redact {
    fn before_push(&self, asset: &Asset, _: &Context) -> Verdict {
        let mut changes = Changes::of(asset);
        for &field in &self.clear {
            changes.clear(field);
        }
        for (&field, text) in &self.replace {
            // A field that is not there gives nothing away.
            if asset.field(field).is_some() {
                changes.set(field, text);
            }
        }
        if !self.drop_tags.is_empty() {
            for tag in &asset.tags {
                let folded = folded(tag);
                if self.drop_tags.iter().any(|pattern| matches_glob(pattern, &folded)) {
                    changes.remove_tag(tag);
                }
            }
        }
        changes.verdict()
    }
}

can_sync_plugin::export!(Redact: before_push);

#[cfg(test)]
mod tests {
    use can_sync_plugin::testing;

    use super::*;

    #[test]
    fn golden() {
        testing::golden::<Redact>(include_str!("../golden.jsonl"));
    }
}
