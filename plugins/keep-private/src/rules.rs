//! What is kept back. Texts are compared as people read them: between keeping back too much and too little, this plugin
//! keeps back too much.

use can_sync_plugin::Asset;
use can_sync_plugin::Folder;
use can_sync_plugin::Place;
use can_sync_plugin::folded;
use can_sync_plugin::matches_glob;

use crate::Configuration;

/// The rules; an asset that one of them matches is kept back.
#[derive(Debug)]
pub(crate) struct Rules {
    tags: Vec<String>,
    /// Each as it is configured, for the reason, and as it is compared.
    paths: Vec<(String, Place)>,
    names: Vec<String>,
    applications: Vec<String>,
    users: Vec<String>,
    mime_types: Vec<String>,
    larger_than: Option<u64>,
    except_tags: Vec<String>,
}

impl Rules {
    /// Takes the configuration.
    ///
    /// # Errors
    /// An entry without a text, or no rule at all.
    pub(crate) fn new(configuration: Configuration) -> Result<Self, String> {
        let rules = Self {
            tags: entries("tags", configuration.tags)?,
            paths: places(configuration.paths)?,
            names: entries("names", configuration.names)?,
            applications: entries("applications", configuration.applications)?,
            users: entries("users", configuration.users)?,
            mime_types: entries("mime_types", configuration.mime_types)?,
            larger_than: configuration.larger_than,
            except_tags: entries("except_tags", configuration.except_tags)?,
        };
        let lists = [&rules.tags, &rules.names, &rules.applications, &rules.users, &rules.mime_types];
        if rules.paths.is_empty() && rules.larger_than.is_none() && lists.iter().all(|list| list.is_empty()) {
            return Err(
                "there is no rule, so nothing would be kept back: give tags, paths, names, applications, users, \
                        mime_types or larger_than"
                    .to_owned(),
            );
        }
        Ok(rules)
    }

    /// Returns why an asset is kept back, if it is.
    pub(crate) fn reason_to_keep(&self, asset: &Asset) -> Option<String> {
        let reason = self.matching(asset)?;
        let excepted = asset.tags.iter().any(|tag| any_same(&self.except_tags, tag).is_some());
        if excepted { None } else { Some(reason) }
    }

    fn matching(&self, asset: &Asset) -> Option<String> {
        if let Some(tag) = asset.tags.iter().find(|tag| any_same(&self.tags, tag).is_some()) {
            return Some(format!("the tag {tag} is kept back"));
        }
        if let (Some(path), false) = (&asset.path, self.paths.is_empty()) {
            let folder = Folder::of(path);
            if let Some((shown, _)) = self.paths.iter().find(|(_, place)| place.covers(&folder)) {
                return Some(format!("the path {shown} is kept back"));
            }
        }
        if let Some(pattern) = matching_name(&self.names, asset.file_name.as_deref()) {
            return Some(format!("the name {pattern} is kept back"));
        }
        if let Some(application) = asset.application.as_deref().and_then(|text| any_same(&self.applications, text)) {
            return Some(format!("the application {application} is kept back"));
        }
        if let Some(user) = asset.user.as_deref().and_then(|text| any_same(&self.users, text)) {
            return Some(format!("the user {user} is kept back"));
        }
        // What follows a semicolon, such as a character set, is no part of the type.
        let mime_type = asset.mime_type.as_deref().and_then(|text| text.split(';').next());
        if let Some(pattern) = matching(&self.mime_types, mime_type) {
            return Some(format!("the type {pattern} is kept back"));
        }
        match self.larger_than {
            Some(most) if asset.size > most => Some(format!("{} bytes are more than {most}", asset.size)),
            _ => None,
        }
    }
}

fn entries(key: &str, list: Vec<String>) -> Result<Vec<String>, String> {
    list.iter()
        .enumerate()
        .map(|(place, text)| match folded(text) {
            text if text.is_empty() => Err(format!("`{key}[{place}]` is empty")),
            text => Ok(text),
        })
        .collect()
}

fn places(list: Vec<String>) -> Result<Vec<(String, Place)>, String> {
    list.into_iter()
        .enumerate()
        .map(|(number, shown)| match Place::new(&shown) {
            None => Err(format!("`paths[{number}]` is empty; everything is `**`")),
            Some(place) => Ok((shown, place)),
        })
        .collect()
}

/// Returns the entry that is the same text. Entries are folded.
fn any_same<'a>(entries: &'a [String], text: &str) -> Option<&'a String> {
    if entries.is_empty() {
        return None;
    }
    let text = folded(text);
    entries.iter().find(|entry| **entry == text)
}

/// Returns the pattern that matches. Patterns are folded.
fn matching<'a>(patterns: &'a [String], text: Option<&str>) -> Option<&'a String> {
    if patterns.is_empty() {
        return None;
    }
    let text = folded(text?);
    patterns.iter().find(|pattern| matches_glob(pattern, &text))
}

/// The same for a file name, which may have folders before it.
fn matching_name<'a>(patterns: &'a [String], name: Option<&str>) -> Option<&'a String> {
    let last = name.and_then(|name| name.rsplit_once(['/', '\\'])).map(|(_, last)| last);
    matching(patterns, name).or_else(|| matching(patterns, last))
}
