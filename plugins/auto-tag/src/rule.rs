//! Rules: which assets get which tags.

use can_sync_plugin::Asset;
use can_sync_plugin::matches_glob;
use serde::Deserialize;

/// Types that say only how something is packed.
const WRAPPERS: [&str; 5] =
    ["application/octet-stream", "application/zip", "application/x-ole-storage", "text/xml", "application/gzip"];

/// Tags for the assets that meet every condition; a condition is met when one of its entries is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) tags: Vec<String>,
    mime_types: Vec<String>,
    names: Vec<String>,
    paths: Vec<String>,
    applications: Vec<String>,
    larger_than: Option<u64>,
    smaller_than: Option<u64>,
}

/// An asset as rules look at it: texts in lower case.
pub(crate) struct Seen<'a> {
    declared: Option<String>,
    found: Option<&'a str>,
    name: Option<String>,
    path: Option<String>,
    application: Option<String>,
    size: u64,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(asset: &Asset, found: Option<&'a str>) -> Self {
        let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_lowercase());
        let mut declared = lower(&asset.mime_type);
        if let Some(declared) = &mut declared {
            // What follows a semicolon, such as a character set, is no part of the type.
            if let Some(end) = declared.find(';') {
                declared.truncate(end);
            }
            declared.truncate(declared.trim_end().len());
        }
        // `application/zip` says less about an office document than what is declared.
        let vague = declared.as_deref().is_some_and(|declared| declared != WRAPPERS[0]);
        let found = found.filter(|found| !(vague && WRAPPERS.contains(found)));
        Self {
            declared,
            found,
            name: lower(&asset.file_name),
            path: lower(&asset.path).map(|path| path.trim_matches('/').to_owned()),
            application: lower(&asset.application),
            size: asset.size,
        }
    }

    /// Says whether the content is of another kind than declared: an archive that calls itself an image, say.
    pub(crate) fn mismatched(&self) -> bool {
        let (Some(declared), Some(found)) = (&self.declared, self.found) else { return false };
        let kind = |text: &str| match text.split('/').next().unwrap_or_default() {
            // One container holds both.
            "audio" => "video".to_owned(),
            kind => kind.to_owned(),
        };
        let declared = kind(declared);
        // Programs disagree about what is an application.
        declared != "application" && declared != kind(found)
    }
}

impl Rule {
    fn of(tag: &str, mime_types: &[&str]) -> Self {
        let mime_types = mime_types.iter().map(|&text| text.to_owned()).collect();
        Self { tags: vec![tag.to_owned()], mime_types, ..Self::default() }
    }

    /// Says whether it matters what the content is.
    pub(crate) fn asks_for_type(&self) -> bool {
        !self.mime_types.is_empty()
    }

    pub(crate) fn matches(&self, seen: &Seen<'_>) -> bool {
        let any = |patterns: &[String], text: Option<&str>| {
            text.is_some_and(|text| patterns.iter().any(|pattern| matches_glob(pattern, text)))
        };
        let met = |patterns: &[String], text: &Option<String>| patterns.is_empty() || any(patterns, text.as_deref());
        (self.mime_types.is_empty()
            || any(&self.mime_types, seen.declared.as_deref())
            || any(&self.mime_types, seen.found))
            && met(&self.names, &seen.name)
            && met(&self.paths, &seen.path)
            && met(&self.applications, &seen.application)
            && self.larger_than.is_none_or(|size| seen.size > size)
            && self.smaller_than.is_none_or(|size| seen.size < size)
    }
}

/// Checks rules, and brings their patterns into the form in which they are compared.
pub(crate) fn checked(mut rules: Vec<Rule>) -> Result<Vec<Rule>, String> {
    for (place, rule) in rules.iter_mut().enumerate() {
        if rule.tags.is_empty() {
            return Err(format!("`rules[{place}]`: `tags` is missing or empty"));
        }
        if rule.tags.iter().any(|tag| tag.is_empty()) {
            return Err(format!("`rules[{place}].tags`: a tag is empty"));
        }
        let lists = [&mut rule.mime_types, &mut rule.names, &mut rule.paths, &mut rule.applications];
        let mut conditions = 0;
        for pattern in lists.into_iter().flatten() {
            *pattern = pattern.to_lowercase();
            conditions += 1;
        }
        for path in &mut rule.paths {
            *path = path.trim_matches('/').to_owned();
        }
        if conditions == 0 && rule.larger_than.is_none() && rule.smaller_than.is_none() {
            return Err(format!(
                "`rules[{place}]` has no condition and would tag everything: give mime_types, names, paths, \
                 applications, larger_than or smaller_than"
            ));
        }
    }
    Ok(rules)
}

/// The rules when none are configured.
pub(crate) fn standard() -> Vec<Rule> {
    let document = [
        "application/pdf",
        "application/msword",
        "application/rtf",
        "application/epub+zip",
        "application/vnd.ms-*",
        "application/vnd.oasis.opendocument.*",
        "application/vnd.openxmlformats-officedocument.*",
        "text/markdown",
        "text/rtf",
    ];
    let archive = [
        "application/zip",
        "application/gzip",
        "application/x-tar",
        "application/x-7z-compressed",
        "application/x-bzip2",
        "application/x-xz",
        "application/vnd.rar",
        "application/x-rar*",
        "application/zstd",
    ];
    let names = ["screenshot*", "screen shot*", "bildschirmfoto*", "capture d*cran*", "captura de pantalla*"];
    let screenshot = Rule { names: names.map(str::to_owned).to_vec(), ..Rule::of("screenshot", &["image/*"]) };
    vec![
        Rule::of("image", &["image/*"]),
        Rule::of("video", &["video/*"]),
        Rule::of("audio", &["audio/*"]),
        Rule::of("document", &document),
        Rule::of("archive", &archive),
        screenshot,
    ]
}
