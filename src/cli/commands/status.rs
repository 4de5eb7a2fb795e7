//! `can-sync status`: how the running host is, on one screen.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::format;
use crate::cli::printer::Align;
use crate::cli::printer::Printer;

/// Show how the running host is
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

/// What `GET /status` tells, as far as people are shown it.
#[derive(Debug, Deserialize)]
struct Status {
    host_id: String,
    name: String,
    version: String,
    uptime_secs: u64,
    notes: Vec<String>,
    store: Store,
    libraries: Vec<Library>,
    peers: Vec<Peer>,
    transfers: Vec<IgnoredAny>,
    held: u64,
    declined: u64,
    refused: u64,
    discovery: Vec<Source>,
    plugins: Vec<Plugin>,
}

#[derive(Debug, Deserialize)]
struct Source {
    name: String,
    trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Plugin {
    name: String,
    state: String,
    trouble: Option<String>,
    breaker: Breaker,
    last_failure: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Breaker {
    state: String,
}

#[derive(Debug, Deserialize)]
struct Store {
    kind: String,
    trouble: Option<String>,
    notes: Vec<String>,
    assets: u64,
    bytes: u64,
    missing: u64,
}

#[derive(Debug, Deserialize)]
struct Library {
    name: String,
    count: u64,
    fingerprint: String,
    equal: bool,
    in_sync: bool,
    behind: u64,
    peers: u64,
    exchange: bool,
    review: Option<Review>,
}

/// What is being judged again.
#[derive(Debug, Deserialize)]
struct Review {
    judged: u64,
    of: u64,
}

#[derive(Debug, Deserialize)]
struct Peer {
    id: String,
    name: Option<String>,
    state: String,
    connected: bool,
    path: Option<String>,
    rtt_ms: Option<f64>,
    in_sync: bool,
    kept: u64,
    of: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let (api, printer) = (context.host_api()?, context.printer());
        let value: Value = api.get("/status").await?;
        if printer.is_json() {
            return Ok(printer.json(&value)?);
        }
        show(printer, &Status::deserialize(&value)?)
    }
}

fn show(printer: &Printer, status: &Status) -> anyhow::Result<()> {
    let Status { host_id, name, version, store, .. } = status;
    let up = format::duration(status.uptime_secs);
    printer.heading(&format!("{name}  {host_id}"))?;
    printer.line(&format!("can-sync {version}, up {up}"))?;
    let (assets, bytes) = (format::count(store.assets, "asset"), format::bytes(store.bytes));
    printer.line(&format!("store: {}, {assets}, {bytes}", store.kind))?;
    if let Some(trouble) = &store.trouble {
        printer.line(&format!("store: NOT HEALTHY: {trouble}"))?;
    }
    if store.missing > 0 {
        let missing = format::count(store.missing, "content");
        printer.line(&format!("store: {missing} missing or moved aside; a peer that has it sends it again"))?;
    }
    for note in status.notes.iter().chain(&store.notes) {
        printer.line(&format!("note: {note}"))?;
    }
    for Source { name, trouble } in &status.discovery {
        if let Some(trouble) = trouble {
            printer.line(&format!("finding hosts by {name}: {trouble}"))?;
        }
    }
    for trouble in status.plugins.iter().filter_map(trouble) {
        printer.line(&trouble)?;
    }
    let Status { held, declined, refused, .. } = status;
    let transfers = status.transfers.len();
    printer.line(&format!("{transfers} in transfer, {held} held, {declined} declined, {refused} refused"))?;
    printer.line("")?;
    let rows: Vec<_> = status.libraries.iter().map(library).collect();
    let columns = [
        ("LIBRARY", Align::Left),
        ("ASSETS", Align::Right),
        ("STATE", Align::Left),
        ("PEERS", Align::Right),
        ("FINGERPRINT", Align::Left),
    ];
    printer.table(&columns, &rows)?;
    printer.line("")?;
    if status.peers.is_empty() {
        return Ok(printer.line("no peers yet")?);
    }
    let rows: Vec<_> = status.peers.iter().map(peer).collect();
    let columns = [
        ("PEER", Align::Left),
        ("STATE", Align::Left),
        ("PATH", Align::Left),
        ("RTT", Align::Right),
        ("KEPT", Align::Right),
        ("IN", Align::Right),
        ("OUT", Align::Right),
        ("ID", Align::Left),
    ];
    Ok(printer.table(&columns, &rows)?)
}

/// Says what is wrong with a plugin, if something is.
fn trouble(plugin: &Plugin) -> Option<String> {
    let Plugin { name, state, trouble, breaker, last_failure } = plugin;
    let resting = || last_failure.as_ref().filter(|_| breaker.state != "closed");
    let why = trouble.as_ref().or_else(resting)?;
    let resting = if breaker.state == "closed" { String::new() } else { format!(", {}", breaker.state) };
    Some(format!("plugin {name} ({state}{resting}): {why}"))
}

fn library(library: &Library) -> Vec<String> {
    let mut state = match (library.in_sync, library.behind) {
        _ if !library.exchange => "exchanges nothing".to_owned(),
        (true, _) => "in sync".to_owned(),
        (false, 0) if library.equal => "equal with those connected".to_owned(),
        (false, 0) if library.peers == 0 => "nobody connected".to_owned(),
        (false, 0) => "not in sync".to_owned(),
        (false, behind) => format!("{behind} behind"),
    };
    if let Some(Review { judged, of }) = &library.review {
        state.push_str(&format!(", {judged} of {of} judged again"));
    }
    let peers = library.peers.to_string();
    vec![library.name.clone(), library.count.to_string(), state, peers, library.fingerprint.clone()]
}

fn peer(peer: &Peer) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let state = match (peer.connected, peer.in_sync) {
        (true, true) => "in sync",
        (true, false) => "connected",
        (false, _) if peer.state == "paused" => "paused",
        (false, _) => "away",
    };
    vec![
        or_dash(peer.name.clone()),
        state.to_owned(),
        or_dash(peer.path.clone()),
        or_dash(peer.rtt_ms.map(|rtt| format!("{rtt:.1} ms"))),
        if peer.connected { format!("{}/{}", peer.kept, peer.of) } else { "-".to_owned() },
        format::bytes(peer.bytes_in),
        format::bytes(peer.bytes_out),
        peer.id.clone(),
    ]
}
