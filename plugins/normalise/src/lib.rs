//! Gives tags and file names that arrive one spelling. It is not passed on: every host decides for itself.

mod spelling;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use can_sync_plugin::AfterReceive;
use can_sync_plugin::Asset;
use can_sync_plugin::Changes;
use can_sync_plugin::Context;
use can_sync_plugin::Description;
use can_sync_plugin::Field;
use can_sync_plugin::Plugin;
use can_sync_plugin::Verdict;
use serde::Deserialize;

use spelling::Case;
use spelling::Spaces;
use spelling::Spelling;
use spelling::Unicode;

/// The longest tag that hosts take, in bytes. Composing can make a text longer; such a tag stays as it is.
const TAG_BYTES: usize = 255;
/// The longest file name that hosts take, in bytes.
const NAME_BYTES: usize = 4096;

/// What the user may set; `configuration.schema.json` describes it.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    fields: Vec<Part>,
    unicode: Unicode,
    tag_case: Case,
    tag_spaces: Spaces,
    rename: BTreeMap<String, String>,
    name_case: Case,
    name_spaces: Spaces,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            fields: vec![Part::Tags, Part::FileName],
            unicode: Unicode::Nfc,
            tag_case: Case::Lower,
            tag_spaces: Spaces::Single,
            rename: BTreeMap::new(),
            name_case: Case::Keep,
            name_spaces: Spaces::Single,
        }
    }
}

/// What is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Tags,
    FileName,
}

/// The plugin.
#[derive(Debug)]
struct Normalise {
    tags: Option<Spelling>,
    name: Option<Spelling>,
    rename: BTreeMap<String, String>,
}

impl Normalise {
    fn tags(&self, asset: &Asset, spelling: &Spelling, changes: &mut Changes<'_>) {
        let wanted: BTreeSet<Cow<'_, str>> = asset.tags.iter().filter_map(|tag| self.tag(tag, spelling)).collect();
        for tag in asset.tags.iter().filter(|tag| !wanted.contains(tag.as_str())) {
            changes.remove_tag(tag);
        }
        for tag in &wanted {
            changes.add_tag(tag);
        }
    }

    /// Returns what becomes of a tag; `None` when nothing is left of it.
    fn tag<'a>(&'a self, tag: &'a str, spelling: &Spelling) -> Option<Cow<'a, str>> {
        let spelt = spelling.of(tag);
        if spelt.is_empty() {
            return None;
        }
        let named = self.rename.get(&*spelt).map_or(spelt, |name| Cow::Borrowed(name));
        Some(if named.len() > TAG_BYTES { Cow::Borrowed(tag) } else { named })
    }
}

impl Plugin for Normalise {
    type Configuration = Configuration;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .configured_by(include_str!("../configuration.schema.json"))
    }

    fn configure(configuration: Configuration) -> Result<Self, String> {
        let Configuration { fields, unicode, tag_case, tag_spaces, rename, name_case, name_spaces } = configuration;
        if fields.is_empty() {
            return Err("`fields` is empty, so nothing would be normalised: name tags, file_name or both".to_owned());
        }
        let tags = Spelling { unicode, case: tag_case, spaces: tag_spaces };
        let name = Spelling { unicode, case: name_case, spaces: name_spaces };
        let mut spelt = BTreeMap::new();
        for (from, to) in rename {
            let (key, value) = (tags.of(&from), to.trim());
            if key.is_empty() {
                return Err("`rename`: a name is empty".to_owned());
            }
            if value.is_empty() {
                return Err(format!("`rename.{from}` is empty"));
            }
            if value.len() > TAG_BYTES {
                return Err(format!("`rename.{from}` has {} bytes, more than the {TAG_BYTES} of a tag", value.len()));
            }
            if spelt.insert(key.clone().into_owned(), value.to_owned()).is_some() {
                return Err(format!("`rename`: `{key}` is given twice, in several spellings"));
            }
        }
        Ok(Self {
            tags: fields.contains(&Part::Tags).then_some(tags),
            name: fields.contains(&Part::FileName).then_some(name),
            rename: spelt,
        })
    }
}

impl AfterReceive for Normalise {
    fn after_receive(&self, asset: &Asset, _: &Context) -> Verdict {
        let mut changes = Changes::of(asset);
        if let Some(spelling) = &self.tags {
            self.tags(asset, spelling, &mut changes);
        }
        if let (Some(spelling), Some(name)) = (&self.name, &asset.file_name) {
            let spelt = spelling.of(name);
            // A name that nothing is left of tells more as it is.
            if !spelt.is_empty() && spelt.len() <= NAME_BYTES {
                changes.set(Field::FileName, spelt);
            }
        }
        changes.verdict()
    }
}

can_sync_plugin::export!(Normalise: after_receive);

#[cfg(test)]
mod tests {
    use can_sync_plugin::testing;

    use super::*;

    #[test]
    fn golden() {
        testing::golden::<Normalise>(include_str!("../golden.jsonl"));
    }
}
