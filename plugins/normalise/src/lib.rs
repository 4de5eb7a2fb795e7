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
use can_sync_plugin::limits;
use serde::Deserialize;

use spelling::Case;
use spelling::Spaces;
use spelling::Spelling;
use spelling::Unicode;

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
        // Composing can make a text longer than hosts take, and kept spaces can be control characters.
        Some(if named == tag || limits::check_tag(&named).is_ok() { named } else { Cow::Borrowed(tag) })
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
            limits::check_tag(value).map_err(|wrong| format!("`rename.{from}` {wrong}"))?;
            if spelt.insert(key.clone().into_owned(), value.to_owned()).is_some() {
                return Err(format!("`rename`: `{key}` is given twice, in several spellings"));
            }
        }
        // Whatever a tag becomes must stay: it is shown again with every later version.
        for to in spelt.values().cloned().collect::<Vec<_>>() {
            let again = spelt.entry(tags.of(&to).into_owned()).or_insert_with(|| to.clone());
            if *again != to {
                return Err(format!("`rename`: `{to}` is itself renamed, to `{again}`"));
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
            // A name that nothing is left of tells more as it is; so does one that hosts would not take.
            if !spelt.is_empty() && limits::check_text(Field::FileName, &spelt).is_ok() {
                changes.set(Field::FileName, spelt);
            }
        }
        changes.verdict()
    }
}

can_sync_plugin::export!(Normalise: after_receive);

#[cfg(test)]
mod tests {
    use can_sync_plugin::Change;
    use can_sync_plugin::Hook;
    use can_sync_plugin::testing;

    use super::*;

    #[test]
    fn golden() {
        testing::golden::<Normalise>(include_str!("../golden.jsonl"));
    }

    /// Makes the changes of a verdict, as a host does.
    fn changed(asset: &Asset, verdict: Verdict) -> Asset {
        let Verdict::Edit(changes) = verdict else { return asset.clone() };
        let mut asset = asset.clone();
        for change in changes {
            match change {
                Change::AddTag(tag) => asset.tags.push(tag),
                Change::RemoveTag(tag) => asset.tags.retain(|other| *other != tag),
                Change::Set(Field::FileName, name) => asset.file_name = Some(name),
                other => panic!("{other:?}"),
            }
        }
        asset.tags.sort();
        asset
    }

    #[test]
    fn what_was_normalised_passes() {
        const TEXTS: [&str; 14] = [
            "a",
            "b",
            "B",
            "foto",
            "Photo",
            "photo ",
            "PHOTO",
            "a  b",
            "a-b",
            "a\u{7}b",
            "Cafe\u{301}",
            "café",
            "ΑΣ",
            "\u{958}",
        ];
        // Composing makes it longer than a tag may be.
        let long = "\u{958}".repeat(85);
        let texts = || TEXTS.into_iter().chain([long.as_str()]);
        let (mut taken, mut refused) = (0, 0);
        for (from, to) in texts().flat_map(|from| texts().map(move |to| (from, to))) {
            for (other, another) in [("b", "a"), ("photo", "picture"), ("x", "Photo"), ("y", "y")] {
                for spaces in [Spaces::Single, Spaces::Dash, Spaces::Keep] {
                    for case in [Case::Lower, Case::Keep] {
                        let rename = [(from, to), (other, another)].map(|(from, to)| (from.to_owned(), to.to_owned()));
                        let rename = BTreeMap::from(rename);
                        let configuration = Configuration {
                            tag_spaces: spaces,
                            tag_case: case,
                            name_spaces: spaces,
                            rename,
                            ..Default::default()
                        };
                        let Ok(plugin) = Normalise::configure(configuration) else {
                            refused += 1;
                            continue;
                        };
                        taken += 1;
                        let tags: Vec<&str> = texts().chain(["x", "y", "picture"]).collect();
                        let asset = Asset { file_name: Some("a\u{7}  B".to_owned()), ..testing::asset(&tags) };
                        let context = testing::context(Hook::AfterReceive);
                        let once = changed(&asset, plugin.after_receive(&asset, &context));
                        let again = plugin.after_receive(&once, &context);
                        assert_eq!(again, Verdict::Pass, "{from:?} to {to:?}, {other:?} to {another:?}");
                    }
                }
            }
        }
        assert!(taken > refused && refused > 0, "{taken} taken, {refused} refused");
    }
}
