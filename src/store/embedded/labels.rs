//! What an asset can be searched by exactly, and the text it can be searched for.

use std::collections::BTreeSet;

use crate::asset::Metadata;

/// What a label says, as stored in `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// Every asset has it once.
    All = 0,
    Mime = 1,
    /// The first half of a media type, with its slash.
    MimeFirst = 2,
    Application = 3,
    User = 4,
    Tag = 5,
}

/// A label: its kind and its value.
pub(super) type Label = (Kind, String);

/// Collects the labels of an asset as seen on this host.
pub(super) fn of(metadata: &Metadata) -> BTreeSet<Label> {
    let mut labels = BTreeSet::from([(Kind::All, String::new())]);
    if let Some(mime) = &metadata.mime_type {
        labels.insert((Kind::Mime, mime.clone()));
        if let Some(slash) = mime.find('/') {
            labels.insert((Kind::MimeFirst, mime[..=slash].to_owned()));
        }
    }
    labels.extend(metadata.application.iter().map(|value| (Kind::Application, value.clone())));
    labels.extend(metadata.user.iter().map(|value| (Kind::User, value.clone())));
    labels.extend(metadata.tags.iter().map(|tag| (Kind::Tag, tag.clone())));
    labels
}

/// Parts two fields in the searched text; no UTF-8 has this byte.
const BETWEEN: u8 = 0xff;

/// Joins what a search for text looks through.
pub(super) fn folded(metadata: &Metadata) -> Vec<u8> {
    let texts = [&metadata.file_name, &metadata.path, &metadata.description].into_iter().flatten();
    let mut folded = Vec::new();
    for text in texts.chain(&metadata.tags) {
        folded.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
        folded.push(BETWEEN);
    }
    folded
}

/// The same as text, for the index of it; every piece of a field is in it as it was.
pub(super) fn readable(folded: &[u8]) -> String {
    let fields = folded.split(|byte| *byte == BETWEEN);
    fields.map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n")
}
