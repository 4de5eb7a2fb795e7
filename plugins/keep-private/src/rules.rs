//! What is kept back. Case does not matter anywhere: between keeping back too much and too little, this plugin keeps back
//! too much.

use can_sync_plugin::Asset;
use can_sync_plugin::matches_glob;

use crate::Configuration;

/// The rules; an asset that one of them matches is kept back.
#[derive(Debug)]
pub(crate) struct Rules {
    tags: Vec<String>,
    paths: Vec<Place>,
    names: Vec<String>,
    applications: Vec<String>,
    users: Vec<String>,
    mime_types: Vec<String>,
    larger_than: Option<u64>,
    except_tags: Vec<String>,
}

/// A folder and what is below it, or a pattern.
#[derive(Debug)]
struct Place {
    /// As it is configured, for the reason.
    shown: String,
    text: String,
    pattern: bool,
}

impl Rules {
    /// Takes the configuration.
    ///
    /// # Errors
    /// An entry without a text, or no rule at all.
    pub(crate) fn new(configuration: Configuration) -> Result<Self, String> {
        let rules = Self {
            tags: folded("tags", configuration.tags)?,
            paths: places(configuration.paths)?,
            names: folded("names", configuration.names)?,
            applications: folded("applications", configuration.applications)?,
            users: folded("users", configuration.users)?,
            mime_types: folded("mime_types", configuration.mime_types)?,
            larger_than: configuration.larger_than,
            except_tags: folded("except_tags", configuration.except_tags)?,
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
            let path = tidy(path);
            if let Some(place) = self.paths.iter().find(|place| place.covers(&path)) {
                return Some(format!("the path {} is kept back", place.shown));
            }
        }
        if let Some(pattern) = matching(&self.names, asset.file_name.as_deref()) {
            return Some(format!("the name {pattern} is kept back"));
        }
        if let Some(application) = asset.application.as_deref().and_then(|text| any_same(&self.applications, text)) {
            return Some(format!("the application {application} is kept back"));
        }
        if let Some(user) = asset.user.as_deref().and_then(|text| any_same(&self.users, text)) {
            return Some(format!("the user {user} is kept back"));
        }
        // What follows a semicolon, such as a character set, is no part of the type.
        let mime_type = asset.mime_type.as_deref().and_then(|text| text.split(';').next()).map(str::trim);
        if let Some(pattern) = matching(&self.mime_types, mime_type) {
            return Some(format!("the type {pattern} is kept back"));
        }
        match self.larger_than {
            Some(most) if asset.size > most => Some(format!("{} bytes are more than {most}", asset.size)),
            _ => None,
        }
    }
}

impl Place {
    fn covers(&self, path: &str) -> bool {
        if self.pattern {
            return matches_glob(&self.text, path);
        }
        path.strip_prefix(&self.text).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn folded(key: &str, list: Vec<String>) -> Result<Vec<String>, String> {
    list.into_iter()
        .enumerate()
        .map(|(place, text)| match text.trim() {
            "" => Err(format!("`{key}[{place}]` is empty")),
            text => Ok(text.to_lowercase()),
        })
        .collect()
}

fn places(list: Vec<String>) -> Result<Vec<Place>, String> {
    list.into_iter()
        .enumerate()
        .map(|(number, shown)| match tidy(&shown) {
            text if text.is_empty() => Err(format!("`paths[{number}]` is empty; everything is `**`")),
            text => Ok(Place { pattern: text.contains(['*', '?']), text, shown }),
        })
        .collect()
}

/// Brings a path into one form: `/Work\Secret/./x/` is `work/secret/x`.
fn tidy(path: &str) -> String {
    let path = path.to_lowercase();
    let steps: Vec<&str> = path.split(['/', '\\']).filter(|step| !matches!(*step, "" | ".")).collect();
    steps.join("/")
}

/// Returns the entry that is the same text but for its case. Entries are lower-case.
fn any_same<'a>(entries: &'a [String], text: &str) -> Option<&'a String> {
    if text.is_ascii() {
        return entries.iter().find(|entry| entry.eq_ignore_ascii_case(text));
    }
    let text = text.to_lowercase();
    entries.iter().find(|entry| **entry == text)
}

/// Returns the pattern that matches. Patterns are lower-case.
fn matching<'a>(patterns: &'a [String], text: Option<&str>) -> Option<&'a String> {
    if patterns.is_empty() {
        return None;
    }
    let text = text?.to_lowercase();
    patterns.iter().find(|pattern| matches_glob(pattern, &text))
}
