//! Devices as people see them.

use super::Peer;
use super::Peers;
use crate::cli::format;
use crate::cli::printer::Align;
use crate::cli::printer::Printer;

const COLUMNS: [(&str, Align); 7] = [
    ("NAME", Align::Left),
    ("ID", Align::Left),
    ("STATE", Align::Left),
    ("ROLE", Align::Left),
    ("PATH", Align::Left),
    ("KEPT", Align::Right),
    ("SEEN", Align::Left),
];

/// Characters of an id by which a device can be named on a screen.
const SHORT: usize = 10;

/// Lists all devices, and who may change that.
pub(super) fn list(printer: &Printer, peers: &Peers) -> anyhow::Result<()> {
    if peers.all.is_empty() {
        printer.line("no other device is known yet; `can-sync pair` lets one join")?;
    } else {
        let rows: Vec<_> = peers.all.iter().map(row).collect();
        printer.table(&COLUMNS, &rows)?;
    }
    if peers.all.iter().any(|peer| peer.state == "pending") {
        printer.line("")?;
        printer.line("a device waits: `can-sync peers accept NAME` lets it in, if it is yours")?;
    }
    for braked in &peers.braked {
        let name = if braked.name.is_empty() { short(&braked.id) } else { &braked.name };
        printer.line("")?;
        printer.line(&format!(
            "{name} trashed too much in too short a time; its changes wait. Let them pass: `can-sync held release \
             --braked`. Undo them everywhere: `can-sync held drop --braked`"
        ))?;
    }
    if let Some(trouble) = &peers.members.trouble {
        printer.line("")?;
        printer.line(&format!("note: {trouble}"))?;
    }
    Ok(())
}

/// Says what makes a device a member, and who may change that.
pub(super) fn members(printer: &Printer, peers: &Peers) -> anyhow::Result<()> {
    let members = &peers.members;
    printer.line(match members.membership.as_str() {
        "listed" => "membership: listed; a device must be accepted by an admin",
        _ => "membership: secret; whoever knows the secret is a member",
    })?;
    printer.line(&format!("epoch: {} (times the secret was replaced)", members.epoch))?;
    let names: Vec<String> = members.admins.iter().map(|id| peers.name_of(id)).collect();
    printer.line(&match names.is_empty() {
        true => "admins: none yet; the first device that pairs, accepts or removes another becomes one".to_owned(),
        false => format!("admins: {}", names.join(", ")),
    })?;
    printer.line(match members.may_sign {
        true => "this device may accept and remove others",
        false => "this device may not accept or remove others; ask on an admin",
    })?;
    Ok(())
}

/// Shows everything about one device.
pub(super) fn one(printer: &Printer, peer: &Peer) -> anyhow::Result<()> {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let rate = |rate: Option<u64>| rate.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", format::bytes(rate)));
    let seen = |millis: u64| if millis == 0 { "never".to_owned() } else { format::time(millis) };
    printer.heading(&format!("{}  {}", or_dash(&peer.name), peer.id))?;
    let rtt = peer.rtt_ms.map(|rtt| format!(", {rtt:.1} ms")).unwrap_or_default();
    let lines = [
        ("state", state(peer)),
        ("why", peer.reason.clone().unwrap_or_default()),
        ("trouble", peer.trouble.clone().unwrap_or_default()),
        ("trust", peer.trust.clone()),
        ("device", or_dash(format!("{} {}", peer.kind, peer.version).trim())),
        ("role", format!("{}, allowed here: {}", peer.role.as_deref().unwrap_or("-"), peer.allowed_role)),
        ("exchange", exchange(peer).to_owned()),
        ("limits", format!("to it {}, from it {}", rate(peer.most_sent), rate(peer.most_taken))),
        ("path", peer.path.as_ref().map(|path| format!("{path}{rtt}")).unwrap_or_default()),
        ("kept", if peer.connected { format!("{} of {}", peer.kept, peer.of) } else { String::new() }),
        ("traffic", format!("{} in, {} out", format::bytes(peer.bytes_in), format::bytes(peer.bytes_out))),
        ("addresses", or_dash(&peer.addresses.join(" "))),
        ("relay", peer.relay.clone().unwrap_or_default()),
        ("first seen", seen(peer.first_seen_ms)),
        ("last seen", if peer.connected { "now".to_owned() } else { seen(peer.last_seen_ms) }),
    ];
    for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        printer.line(&format!("{name:11} {value}"))?;
    }
    Ok(())
}

pub(super) fn row(peer: &Peer) -> Vec<String> {
    let name = if peer.name.is_empty() { "-" } else { &peer.name };
    let rtt = |path: &String| match peer.rtt_ms {
        Some(rtt) => format!("{path} {rtt:.1} ms"),
        None => path.clone(),
    };
    let admin = if peer.trust == "admin" { " (admin)" } else { "" };
    vec![
        format!("{name}{admin}"),
        short(&peer.id).to_owned(),
        state(peer),
        exchange(peer).to_owned(),
        peer.path.as_ref().map_or_else(|| "-".to_owned(), rtt),
        if peer.connected { format!("{}/{}", peer.kept, peer.of) } else { "-".to_owned() },
        match (peer.connected, peer.last_seen_ms) {
            (true, _) => "now".to_owned(),
            (false, 0) => "never".to_owned(),
            (false, millis) => format::time(millis),
        },
    ]
}

fn state(peer: &Peer) -> String {
    match (peer.state.as_str(), peer.paused_until_ms) {
        ("connected", _) if peer.in_sync => "in sync".to_owned(),
        ("paused", Some(until)) => format!("paused until {}", format::time(until)),
        (state, _) => state.to_owned(),
    }
}

fn exchange(peer: &Peer) -> &'static str {
    match (peer.exchange.sends, peer.exchange.takes) {
        _ if peer.trust == "none" => "-",
        (true, true) => "mirror",
        (true, false) => "only sent to",
        (false, true) => "only taken from",
        (false, false) => "nothing",
    }
}

pub(super) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}
