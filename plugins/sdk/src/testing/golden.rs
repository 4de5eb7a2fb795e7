//! Golden files: one JSON object per line, with what a plugin is shown and what it must answer. `plugins/README.md` of
//! can-sync has the format; its host plays the same files against components.

use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::Grant;
use super::Host;
use super::TIMESTAMP;
use super::configured;
use super::context;
use crate::Asset;
use crate::Change;
use crate::Exported;
use crate::Field;
use crate::Hook;
use crate::Occasion;
use crate::Peer;
use crate::Verdict;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    hook: Option<String>,
    #[serde(default)]
    configuration: Option<Value>,
    #[serde(default)]
    asset: ShownAsset,
    #[serde(default)]
    context: ShownContext,
    content: Option<String>,
    #[serde(default)]
    grants: Vec<String>,
    verdict: Option<Value>,
    error: Option<String>,
    /// For the reader.
    #[serde(rename = "//")]
    _comment: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ShownAsset {
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

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ShownContext {
    library: Option<String>,
    occasion: Option<String>,
    peer: Option<ShownPeer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShownPeer {
    id: String,
    name: String,
}

/// Plays a golden file against a plugin.
///
/// # Panics
/// When a line is answered otherwise, naming all such lines; and when a hook of the plugin is in no line.
pub fn golden<P: Exported>(lines: &str) {
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(error) => panic!("line {}: {error}", number + 1),
        };
        if let Err(reason) = play::<P>(line, &mut seen) {
            wrong.push(format!("line {}: {reason}", number + 1));
        }
    }
    for hook in P::HOOKS {
        if !seen.contains(hook) {
            wrong.push(format!("no line asks {}", hook.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn play<P: Exported>(line: Line, seen: &mut Vec<Hook>) -> Result<(), String> {
    let configuration = line.configuration.unwrap_or_else(|| json!({})).to_string();
    let plugin = match (configured::<P>(&configuration), line.error) {
        (Ok(plugin), None) => plugin,
        (Err(said), Some(part)) if said.contains(&part) => return Ok(()),
        (Err(said), _) => return Err(format!("refused: {said}")),
        (Ok(_), Some(part)) => return Err(format!("was not refused with {part:?}")),
    };
    let hook = line.hook.as_deref().and_then(Hook::named).ok_or("names no hook")?;
    let mut grants = Vec::new();
    for name in &line.grants {
        grants.push(Grant::named(name).ok_or_else(|| format!("there is no grant {name:?}"))?);
    }
    let content = match &line.content {
        Some(text) => Some(from_base64(text).ok_or("the content is not base64")?),
        None => None,
    };
    let mut circumstances = context(hook);
    if let Some(library) = line.context.library {
        circumstances.library = library;
    }
    circumstances.occasion = match line.context.occasion.as_deref() {
        None | Some("live") => Occasion::Live,
        Some("catch-up") => Occasion::CatchUp,
        Some(other) => return Err(format!("there is no occasion {other:?}")),
    };
    circumstances.peer = line.context.peer.map(|peer| Peer { id: peer.id, name: peer.name });
    let asset = shown(line.asset);
    let host = Host { grants, content, ..Host::default() };
    let (answer, _) = host.run(|| plugin.ask(hook, &asset, &circumstances));
    let answer = answer.ok_or_else(|| format!("{} is not exported", hook.name()))?;
    seen.push(hook);
    let (answer, expected) = (in_json(answer), line.verdict.ok_or("has no verdict")?);
    if answer == expected { Ok(()) } else { Err(format!("answered {answer}, expected {expected}")) }
}

fn shown(asset: ShownAsset) -> Asset {
    let mut tags = asset.tags;
    tags.sort();
    tags.dedup();
    Asset {
        id: asset.hash.unwrap_or_else(|| "0".repeat(64)),
        timestamp: asset.timestamp.unwrap_or(TIMESTAMP),
        size: asset.size,
        mime_type: asset.mime_type,
        file_name: asset.human_file_name,
        path: asset.human_readable_path,
        application: asset.application,
        user: asset.user,
        description: asset.description,
        tags,
        trashed: asset.trashed,
    }
}

fn in_json(verdict: Verdict) -> Value {
    match verdict {
        Verdict::Pass => json!({"verdict": "pass"}),
        Verdict::Drop(reason) => json!({"verdict": "drop", "reason": reason}),
        Verdict::Hold(reason) => json!({"verdict": "hold", "reason": reason}),
        Verdict::Edit(changes) => {
            let changes: Vec<Value> = changes.into_iter().map(change).collect();
            json!({"verdict": "edit", "changes": changes})
        }
    }
}

fn change(change: Change) -> Value {
    let name = |field: Field| field.name();
    match change {
        Change::Set(field, value) => json!({"set": name(field), "value": value}),
        Change::Clear(field) => json!({"clear": name(field)}),
        Change::AddTag(tag) => json!({"add_tag": tag}),
        Change::RemoveTag(tag) => json!({"remove_tag": tag}),
    }
}

/// Reads base64 with padding.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let body = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for &character in body {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}
