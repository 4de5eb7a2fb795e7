//! `can-sync explain`: what became of one asset on this host, step by step.

use serde::Deserialize;
use serde_json::Value;

use crate::asset::AssetId;
use crate::cli::client::HostApi;
use crate::cli::context::Context;
use crate::cli::format;
use crate::cli::printer::Align;
use crate::cli::printer::Printer;

/// Show every step of one asset on this host: what plugins said and changed, what stops it, who has it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which asset: its whole hash, as `ls` shows it
    hash: AssetId,
}

/// What `GET /explain/{hash}` tells, as far as people are shown it.
#[derive(Debug, Deserialize)]
struct Explanation {
    hash: String,
    stored: Option<Stored>,
    passes: bool,
    verdicts: Vec<Verdicted>,
    decisions: Vec<Decision>,
    peers: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
struct Stored {
    timestamp: u64,
    size: u64,
    content: String,
    origin: String,
    file_name: Option<String>,
    trashed: bool,
    local: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
struct Verdicted {
    point: String,
    peer: Option<String>,
    peer_name: Option<String>,
    at_ms: u64,
    current: bool,
    standing: String,
    verdict: String,
    reason: Option<String>,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    plugin: String,
    verdict: String,
    reason: Option<String>,
    failure: Option<String>,
    took_us: u64,
    changed: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
struct Difference {
    field: String,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Decision {
    point: String,
    #[serde(rename = "decision")]
    kind: String,
    reason: String,
    by: Option<String>,
    standing: String,
    at_ms: u64,
}

#[derive(Debug, Deserialize)]
struct Peer {
    id: String,
    name: String,
    connected: bool,
    version: Option<String>,
    same: bool,
    refusal: Option<Refusal>,
}

/// How a peer turned the asset down.
#[derive(Debug, Deserialize)]
struct Refusal {
    kind: String,
    reason: String,
    at_ms: u64,
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        show(context, &context.host_api()?, &self.hash).await
    }
}

/// Prints what became of an asset.
pub(super) async fn show(context: &Context, api: &HostApi, hash: &AssetId) -> anyhow::Result<()> {
    let value: Value = api.get(&format!("/explain/{hash}")).await?;
    let printer = context.printer();
    if printer.is_json() {
        return Ok(printer.json(&value)?);
    }
    let explained = Explanation::deserialize(&value)?;
    printer.heading(&explained.hash)?;
    for line in lines(&explained) {
        printer.line(&line)?;
    }
    peers(printer, &explained)
}

/// Returns the steps, a line each.
fn lines(explained: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    match &explained.stored {
        None => lines.push("not in the store of this host".to_owned()),
        Some(stored) => {
            let name = stored.file_name.as_deref().unwrap_or("-");
            let (size, time) = (format::bytes(stored.size), format::time(stored.timestamp));
            let from = if stored.origin == "peer" { "came from a peer" } else { "made here" };
            let content =
                if stored.content == "here" { String::new() } else { format!(", content {}", stored.content) };
            let trash = if stored.trashed { ", in the trash" } else { "" };
            lines.push(format!("{name}, {size}, {time}, {from}{content}{trash}"));
            lines.extend(stored.local.iter().map(|value| format!("  only here: {}", difference(value))));
        }
    }
    for verdicted in &explained.verdicts {
        let of = match (&verdicted.peer_name, &verdicted.peer) {
            (Some(name), Some(_)) if !name.is_empty() => format!(" of {name}"),
            (_, Some(id)) => format!(" of {id}"),
            _ => String::new(),
        };
        // What a failure made of it is told at the step that failed.
        let failed = verdicted.steps.iter().any(|step| step.failure.is_some());
        let said = said(&verdicted.verdict, verdicted.reason.as_deref().filter(|_| !failed));
        let stands = match verdicted.standing.as_str() {
            "firm" => "",
            "failed" => ", because a plugin failed",
            _ => ", because a plugin could not be asked",
        };
        let age = if verdicted.current { "" } else { ", by earlier plugins" };
        let at = format::time(verdicted.at_ms);
        lines.push(format!("{}{of} at {at}: {said}{stands}{age}", verdicted.point));
        for step in &verdicted.steps {
            let failure = step.failure.as_deref().map_or_else(String::new, |failure| format!("; failed: {failure}"));
            let said = self::said(&step.verdict, step.reason.as_deref().filter(|_| step.failure.is_none()));
            lines.push(format!("  {}: {said} ({} µs){failure}", step.plugin, step.took_us));
            lines.extend(step.changed.iter().map(|changed| format!("    {}", difference(changed))));
        }
    }
    for decision in &explained.decisions {
        let by = decision.by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
        let what = match decision.kind.as_str() {
            "hold" => "held",
            "drop" => "dropped",
            _ => "released",
        };
        let stands = if decision.standing == "absent" { ", until it can be asked" } else { "" };
        let at = format::time(decision.at_ms);
        lines.push(format!("{what} {}{by} since {at}{stands}: {}", decision.point, decision.reason));
    }
    lines.push(if explained.passes { "passed on to peers" } else { "not passed on to peers" }.to_owned());
    lines
}

fn said(verdict: &str, reason: Option<&str>) -> String {
    reason.map_or_else(|| verdict.to_owned(), |reason| format!("{verdict} ({reason})"))
}

fn difference(difference: &Difference) -> String {
    let Difference { field, before, after } = difference;
    let shown =
        |value: &Option<String>| value.as_ref().map_or_else(|| "nothing".to_owned(), |text| format!("`{text}`"));
    match (field.strip_prefix("tag/"), after) {
        (Some(tag), Some(_)) => format!("+ tag `{tag}`"),
        (Some(tag), None) => format!("- tag `{tag}`"),
        (None, _) => format!("{field}: {} becomes {}", shown(before), shown(after)),
    }
}

fn peers(printer: &Printer, Explanation { peers, stored, .. }: &Explanation) -> anyhow::Result<()> {
    if peers.is_empty() {
        return Ok(printer.line("no peers yet")?);
    }
    let columns = [("PEER", Align::Left), ("STATE", Align::Left), ("HAS", Align::Left), ("ID", Align::Left)];
    let rows: Vec<_> = peers
        .iter()
        .map(|peer| {
            let has = match (&peer.refusal, &peer.version, peer.same) {
                (Some(Refusal { kind, reason, at_ms }), ..) => {
                    format!("{kind} there at {}: {reason}", format::time(*at_ms))
                }
                (None, None, _) => "not known".to_owned(),
                (None, Some(_), true) => "this version".to_owned(),
                (None, Some(_), false) if stored.is_none() => "a version".to_owned(),
                (None, Some(_), false) => "another version".to_owned(),
            };
            let state = if peer.connected { "connected" } else { "away" };
            vec![peer.name.clone(), state.to_owned(), has, peer.id.clone()]
        })
        .collect();
    Ok(printer.table(&columns, &rows)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_are_told_in_order_with_what_they_changed() {
        let step = json!({
            "plugin": "tagger", "verdict": "edit", "reason": null, "failure": null, "took_us": 7,
            "changed": [
                { "field": "path", "before": "a", "after": null },
                { "field": "tag/x", "before": null, "after": "" },
            ],
        });
        let value = json!({
            "hash": "ab",
            "stored": {
                "timestamp": 1_700_000_000_000_u64, "size": 3, "content": "here", "origin": "peer", "file_name": "n",
                "trashed": true, "local": [],
            },
            "passes": false,
            "verdicts": [{
                "point": "after-receive", "peer": "id", "peer_name": "laptop", "at_ms": 1_700_000_000_000_u64,
                "current": false, "standing": "firm", "verdict": "edit", "reason": null, "steps": [step],
            }],
            "decisions": [{
                "point": "before-push", "decision": "hold", "reason": "wait", "by": "keeper", "standing": "absent",
                "at_ms": 1_700_000_000_000_u64,
            }],
            "peers": [],
        });
        let lines = lines(&Explanation::deserialize(&value).unwrap());
        let expected = [
            "n, 3 B, 2023-11-14T22:13:20Z, came from a peer, in the trash",
            "after-receive of laptop at 2023-11-14T22:13:20Z: edit, by earlier plugins",
            "  tagger: edit (7 µs)",
            "    path: `a` becomes nothing",
            "    + tag `x`",
            "held before-push by keeper since 2023-11-14T22:13:20Z, until it can be asked: wait",
            "not passed on to peers",
        ];
        assert_eq!(lines, expected);
    }
}
