//! Assets and verdicts as text: one JSON object per line.
//!
//! A line is an asset as the CAN API gives it, or a golden line, which also says at which hook it is asked about, how the
//! plugin is set up, and what it must answer.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use anyhow::bail;
use data_encoding::BASE64;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::HostId;
use crate::asset::Metadata;
use crate::asset::Timestamp;
use crate::asset::names;
use crate::hook::Asked;
use crate::hook::BoxFuture;
use crate::hook::Content;
use crate::hook::Occasion;
use crate::hook::Peer;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::limits;

/// What a golden line may have, and what stands in it.
const GOLDEN_KEYS: &[&str] =
    &["hook", "configuration", "grants", "asset", "context", "content", "verdict", "error", "//"];
const ASSET_KEYS: &[&str] = &[
    "hash",
    "timestamp",
    "size",
    "mime_type",
    "human_file_name",
    "human_readable_path",
    "application",
    "user",
    "description",
    "tags",
    "trashed",
];
const VERDICTS: &[&str] = &["pass", "drop", "hold", "edit"];
const CONTEXT_KEYS: &[&str] = &["library", "occasion", "peer"];

/// One line.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "a JSON object")]
pub(super) struct Line {
    /// Golden lines: at which hook. Others are asked about at every hook of the plugin.
    pub(super) hook: Option<String>,
    /// Golden lines: the configuration of the plugin.
    pub(super) configuration: Option<Value>,
    /// Golden lines: what is granted.
    pub(super) grants: Vec<String>,
    asset: Option<Asset>,
    context: Surroundings,
    content: Option<String>,
    /// Golden lines: what it must answer.
    pub(super) verdict: Option<Value>,
    /// Golden lines: a part of what it must say about its configuration.
    pub(super) error: Option<String>,
    #[serde(flatten)]
    plain: Asset,
}

/// An asset as the CAN API gives it; what is left out is as if nobody knew it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Asset {
    hash: Option<String>,
    timestamp: Option<u64>,
    size: u64,
    mime_type: Option<String>,
    human_file_name: Option<String>,
    human_readable_path: Option<String>,
    application: Option<String>,
    user: Option<String>,
    description: Option<String>,
    tags: Vec<String>,
    trashed: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Surroundings {
    library: Option<String>,
    occasion: Option<String>,
    peer: Option<From>,
}

#[derive(Debug, Clone, Deserialize)]
struct From {
    id: String,
    name: String,
}

/// A content that stands in a line.
struct Given(Vec<u8>);

impl Line {
    /// Reads an asset of a host, which may be of a later version and tell more.
    pub(super) fn of_host(asset: &Value) -> anyhow::Result<Self> {
        Ok(Self::deserialize(asset)?)
    }

    /// Reads a line. In a key that is not known a slip of the pen would go unseen.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        Self::of_keys(text, &[GOLDEN_KEYS, ASSET_KEYS].concat())
    }

    /// Reads a golden line.
    pub(super) fn read_golden(text: &str) -> anyhow::Result<Self> {
        let line = Self::of_keys(text, GOLDEN_KEYS)?;
        match (&line.hook, &line.verdict, &line.error) {
            (Some(_), Some(verdict), None) if !VERDICTS.contains(&verdict["verdict"].as_str().unwrap_or_default()) => {
                bail!("a `verdict` is an object whose `verdict` is one of {}, not {verdict}", VERDICTS.join(", "))
            }
            (Some(_), Some(_), None) | (None, None, Some(_)) => Ok(line),
            _ => bail!("a golden line has a `hook` and the `verdict` there, or the `error` of a configuration"),
        }
    }

    fn of_keys(text: &str, keys: &[&str]) -> anyhow::Result<Self> {
        const FORM: &str = "a line is a JSON object: an asset as `can-sync ls --json` gives it";
        let object: Value = serde_json::from_str(text).context(FORM)?;
        for (place, known) in [("", keys), ("/asset", ASSET_KEYS), ("/context", CONTEXT_KEYS)] {
            let found = object.pointer(place).and_then(Value::as_object).into_iter().flat_map(|object| object.keys());
            if let Some(unknown) = found.into_iter().find(|key| !known.contains(&key.as_str())) {
                bail!("there is no key `{unknown}` here; the keys are {}", known.join(", "));
            }
        }
        Self::deserialize(object).context(FORM)
    }

    /// What is asked at a point.
    pub(super) fn asked(&self, point: Point) -> anyhow::Result<Asked> {
        let asset = self.asset.clone().unwrap_or_else(|| self.plain.clone());
        let id = asset.hash.as_deref().map(str::parse::<AssetId>).transpose()?;
        let timestamp = Timestamp::new(asset.timestamp.unwrap_or(limits::TIMESTAMP_MIN_MS))?;
        let content = self.content.as_ref().map(|text| BASE64.decode(text.as_bytes())).transpose();
        let content = content.context("`content` is base64")?;
        let peer = match &self.context.peer {
            Some(From { id, name }) => Some(Peer { id: id.parse()?, name: name.clone() }),
            None if point == Point::BeforePush => None,
            None => Some(Peer { id: HostId::from_bytes([0; 32]), name: "example".to_owned() }),
        };
        Ok(Asked {
            point,
            library: self.context.library.as_deref().unwrap_or("mirror").into(),
            key: AssetKey { id: id.unwrap_or_else(|| AssetId::from_bytes([0; 32])), timestamp, size: asset.size },
            metadata: Metadata {
                mime_type: asset.mime_type,
                file_name: asset.human_file_name,
                path: asset.human_readable_path,
                application: asset.application,
                user: asset.user,
                description: asset.description,
                tags: asset.tags.into_iter().collect(),
                trashed: asset.trashed,
            },
            peer,
            occasion: match self.context.occasion.as_deref() {
                None | Some("live") => Occasion::Live,
                Some("catch-up") => Occasion::CatchUp,
                Some(other) => bail!("the occasion is `live` or `catch-up`, not {other:?}"),
            },
            content: content.map(|bytes| Arc::new(Given(bytes)) as Arc<dyn Content>),
            overruled: Vec::new(),
        })
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Given").field(&self.0.len()).finish()
    }
}

impl Content for Given {
    fn read(&self, offset: u64, length: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        Box::pin(std::future::ready(Ok(from[..length.min(from.len())].to_vec())))
    }
}

/// A verdict in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Value>,
}

impl std::convert::From<&Verdict> for Said {
    fn from(verdict: &Verdict) -> Self {
        let (reason, changes) = match verdict {
            Verdict::Pass => (None, Vec::new()),
            Verdict::Drop(reason) | Verdict::Hold(reason) => (Some(reason.clone()), Vec::new()),
            Verdict::Edit(changes) => (None, listed(changes)),
        };
        Self { verdict: word(verdict), reason, changes }
    }
}

/// Returns a verdict in one word.
pub(super) fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Drop(_) => "drop",
        Verdict::Hold(_) => "hold",
        Verdict::Edit(_) => "edit",
    }
}

fn listed(changes: &Changes) -> Vec<Value> {
    let one = |(name, value): (&str, &crate::asset::Value)| match (name.strip_prefix(names::TAG_PREFIX), value.text()) {
        (Some(tag), Some(_)) => serde_json::json!({ "add_tag": tag }),
        (Some(tag), None) => serde_json::json!({ "remove_tag": tag }),
        (None, Some(text)) => serde_json::json!({ "set": name, "value": text }),
        (None, None) => serde_json::json!({ "clear": name }),
    };
    changes.iter().map(one).collect()
}

/// Tells whether a verdict is what a golden line wants; the order of changes does not count.
pub(super) fn same(said: &Said, wanted: &Value) -> bool {
    let sorted = |value: &Value| {
        let mut value = value.clone();
        if let Some(changes) = value.get_mut("changes").and_then(Value::as_array_mut) {
            changes.iter_mut().for_each(with_underscores);
            changes.sort_by_key(ToString::to_string);
        }
        value
    };
    serde_json::to_value(said).is_ok_and(|said| sorted(&said) == sorted(wanted))
}

/// Writes names of fields as the store does, where a golden line writes them as the contract does.
fn with_underscores(change: &mut Value) {
    for key in ["set", "clear"] {
        if let Some(Value::String(field)) = change.get_mut(key) {
            *field = field.replace('-', "_");
        }
    }
}

/// Writes a verdict for people: the word, and the reason or what changes from what to what.
pub(super) fn told(verdict: &Verdict, before: &Metadata) -> Vec<String> {
    match verdict {
        Verdict::Pass => vec!["pass".to_owned()],
        Verdict::Drop(reason) => vec![format!("drop: {reason}")],
        Verdict::Hold(reason) => vec![format!("hold: {reason}")],
        Verdict::Edit(changes) => {
            let mut after = before.clone();
            after.change(changes);
            std::iter::once("edit".to_owned()).chain(differences(before, &after)).collect()
        }
    }
}

fn differences(before: &Metadata, after: &Metadata) -> Vec<String> {
    let texts = |of: &Metadata| {
        let Metadata { mime_type, file_name, path, application, user, description, .. } = of.clone();
        [mime_type, file_name, path, application, user, description]
    };
    let shown = |text: &Option<String>| text.as_ref().map_or_else(|| "nothing".to_owned(), |text| format!("{text:?}"));
    let mut lines = Vec::new();
    for ((name, old), new) in names::TEXTS.iter().zip(texts(before)).zip(texts(after)) {
        if old != new {
            lines.push(format!("  {name}: {} -> {}", shown(&old), shown(&new)));
        }
    }
    lines.extend(before.tags.difference(&after.tags).map(|tag| format!("  - tag {tag:?}")));
    lines.extend(after.tags.difference(&before.tags).map(|tag| format!("  + tag {tag:?}")));
    lines
}
