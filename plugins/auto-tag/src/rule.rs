//! Rules: which assets get which tags.

use can_sync_plugin::Asset;
use can_sync_plugin::Folder;
use can_sync_plugin::Place;
use can_sync_plugin::folded;
use can_sync_plugin::limits;
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
    /// The paths, in the form in which they are compared.
    #[serde(skip)]
    places: Vec<Place>,
    applications: Vec<String>,
    larger_than: Option<u64>,
    smaller_than: Option<u64>,
}

/// An asset as rules look at it: texts folded.
pub(crate) struct Seen<'a> {
    declared: Option<String>,
    found: Option<&'a str>,
    name: Option<String>,
    folder: Option<Folder>,
    application: Option<String>,
    size: u64,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(asset: &Asset, found: Option<&'a str>) -> Self {
        let folded = |text: Option<&str>| text.map(folded);
        // What follows a semicolon, such as a character set, is no part of the type.
        let declared = folded(asset.mime_type.as_deref().and_then(|text| text.split(';').next()));
        let found = found.filter(|found| declared.as_deref().is_none_or(|declared| says_more(found, declared)));
        Self {
            declared,
            found,
            name: folded(asset.file_name.as_deref()),
            folder: asset.path.as_deref().map(Folder::of),
            application: folded(asset.application.as_deref()),
            size: asset.size,
        }
    }

    /// Says whether the content is of another kind than declared: an archive that calls itself an image, say.
    pub(crate) fn mismatched(&self) -> bool {
        let (Some(declared), Some(found)) = (&self.declared, self.found) else { return false };
        let found = match found {
            // Where these belong today.
            "application/rtf" => "text",
            found if found.starts_with("application/font-") => "font",
            found => kind(found),
        };
        let declared = kind(declared);
        // Programs disagree about what is an application.
        declared != "application" && declared != found
    }
}

/// Returns what comes before the slash of a media type.
fn kind(text: &str) -> &str {
    text.split('/').next().unwrap_or_default()
}

/// Says whether a type that the content shows says something beside the declared one.
fn says_more(found: &str, declared: &str) -> bool {
    match (kind(found), kind(declared)) {
        // One container holds both, and its head does not tell.
        ("video", "audio") | ("audio", "video") => false,
        // `application/zip` says less about an office document than what is declared.
        _ => declared == WRAPPERS[0] || !WRAPPERS.contains(&found),
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
            && (self.places.is_empty()
                || seen.folder.as_ref().is_some_and(|folder| self.places.iter().any(|place| place.covers(folder))))
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
        for (number, tag) in rule.tags.iter().enumerate() {
            limits::check_tag(tag).map_err(|wrong| format!("`rules[{place}].tags[{number}]` {wrong}"))?;
        }
        for (number, path) in rule.paths.iter().enumerate() {
            let path = Place::new(path)
                .ok_or_else(|| format!("`rules[{place}].paths[{number}]` is empty; everything is `**`"))?;
            rule.places.push(path);
        }
        let mut conditions = rule.places.len();
        for pattern in [&mut rule.mime_types, &mut rule.names, &mut rule.applications].into_iter().flatten() {
            *pattern = folded(pattern);
            conditions += 1;
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
