//! Texts of values: from a text to a setting, and back to a text for people.

use std::fmt::Display;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::Hidden;
use super::Key;
use super::PkarrDht;
use super::Settings;
use crate::auth::Phrase;
use crate::library::ParseRelayPolicyError;
use crate::library::ParseRoleError;
use crate::library::ParseTicketError;
use crate::library::Relay;
use crate::library::Ticket;
use crate::limits;

/// Seconds of a day, the longest interval that is given in seconds.
const DAY_SECS: u64 = 24 * 3600;

/// Hours of a year, the longest interval that is given in hours.
const YEAR_HOURS: u64 = 365 * 24;

/// What is shown in place of a secret.
pub(super) const REDACTED: &str = "(hidden)";

/// Sets a key from the text of its value. The reason of a refusal never repeats a secret.
pub(super) fn apply(settings: &mut Settings, key: Key, text: &str) -> Result<(), String> {
    match key {
        Key::SyncPassphrase => {
            settings.sync_passphrase = Some(Phrase::parse(text).map_err(|error| error.to_string())?);
        }
        Key::AllowWeakPassphrase => settings.allow_weak_passphrase = flag(text)?,
        Key::DeviceName => settings.device_name = device_name(text)?,
        Key::Role => settings.role = text.parse().map_err(|error: ParseRoleError| format!("is wrong: {error}"))?,
        Key::BrakeAssets => {
            let assets = number(text, "assets", 0..=limits::membership::BRAKE_ASSETS_MOST as u64)?;
            settings.brake_assets = usize::try_from(assets).unwrap_or(usize::MAX);
        }
        Key::BrakePercent => settings.brake_per_mille = per_mille(text)?,
        Key::DataDir => settings.data_dir = path(text)?,
        Key::TicketFile => settings.ticket_file = Some(path(text)?),
        Key::ConnectTicketFile => settings.connect_ticket_file = Some(path(text)?),
        Key::RelayUrl => settings.relay = relay(text)?,
        Key::RelayPolicy => {
            settings.relay_policy =
                text.parse().map_err(|error: ParseRelayPolicyError| format!("is wrong: {error}"))?;
        }
        Key::PkarrRelays => settings.pkarr_relays = Some(pkarr_relays(text)?),
        Key::PkarrDht => settings.pkarr_dht = pkarr_dht(text)?,
        Key::Mdns => settings.mdns = flag(text)?,
        Key::Gossip => settings.gossip = flag(text)?,
        Key::Peers => settings.peers = listed(text).map(ticket).collect::<Result<_, _>>()?,
        Key::BindAddr => settings.bind_addr = Some(address(text)?),
        Key::PollIntervalSecs => settings.poll_interval = seconds(text, 1..=DAY_SECS)?,
        Key::ListenAddr => settings.listen_addr = address(text)?,
        Key::StorageRoot => settings.storage_root = path(text)?,
        Key::CanListenAddr => settings.can_listen_addr = address(text)?,
        Key::VerifyIntervalHours => {
            settings.verify_interval = Duration::from_secs(number(text, "hours", 1..=YEAR_HOURS)? * 3600);
        }
        Key::CanServiceUrl => settings.can_service_url = Some(url(text)?),
        Key::SyncApiKey => settings.sync_api_key = Some(api_key(text)?),
        Key::SweepIntervalSecs => settings.sweep_interval = seconds(text, 1..=DAY_SECS)?,
        Key::PluginsDir => settings.plugins_dir = path(text)?,
    }
    Ok(())
}

/// Returns the value of a key as it is written in the file; `None` when there is none. Secrets are redacted.
pub(super) fn show(settings: &Settings, key: Key) -> Option<String> {
    let path = |path: &PathBuf| path.display().to_string();
    let secret = |is_set: bool| is_set.then(|| REDACTED.to_owned());
    match key {
        Key::SyncPassphrase => secret(settings.sync_passphrase.is_some()),
        Key::AllowWeakPassphrase => Some(settings.allow_weak_passphrase.to_string()),
        Key::DeviceName => Some(settings.device_name.clone()),
        Key::Role => Some(settings.role.to_string()),
        Key::BrakeAssets => Some(settings.brake_assets.to_string()),
        Key::BrakePercent => Some((f64::from(settings.brake_per_mille) / 10.0).to_string()),
        Key::DataDir => Some(path(&settings.data_dir)),
        Key::TicketFile => settings.ticket_file.as_ref().map(path),
        Key::ConnectTicketFile => settings.connect_ticket_file.as_ref().map(path),
        Key::RelayUrl => match &settings.relay {
            Relay::Public => None,
            Relay::Off => Some("off".to_owned()),
            Relay::Own(url) => Some(url.clone()),
        },
        Key::RelayPolicy => Some(settings.relay_policy.to_string()),
        Key::PkarrRelays => settings.pkarr_relays.as_ref().map(|relays| match &relays[..] {
            [] => "off".to_owned(),
            relays => relays.join(", "),
        }),
        Key::PkarrDht => Some(match &settings.pkarr_dht {
            PkarrDht::Off => "off".to_owned(),
            PkarrDht::Public => "on".to_owned(),
            PkarrDht::At(nodes) => nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }),
        Key::Mdns => Some(settings.mdns.to_string()),
        Key::Gossip => Some(settings.gossip.to_string()),
        Key::Peers => {
            let tickets: Vec<String> = settings.peers.iter().map(ToString::to_string).collect();
            (!tickets.is_empty()).then(|| tickets.join(", "))
        }
        Key::BindAddr => settings.bind_addr.as_ref().map(SocketAddr::to_string),
        Key::PollIntervalSecs => Some(settings.poll_interval.as_secs().to_string()),
        Key::ListenAddr => Some(settings.listen_addr.to_string()),
        Key::StorageRoot => Some(path(&settings.storage_root)),
        Key::CanListenAddr => Some(settings.can_listen_addr.to_string()),
        Key::VerifyIntervalHours => Some((settings.verify_interval.as_secs() / 3600).to_string()),
        Key::CanServiceUrl => settings.can_service_url.clone(),
        Key::SyncApiKey => secret(settings.sync_api_key.is_some()),
        Key::SweepIntervalSecs => Some(settings.sweep_interval.as_secs().to_string()),
        Key::PluginsDir => Some(path(&settings.plugins_dir)),
    }
}

fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(format!("is `true` or `false`, not `{text}`")),
    }
}

fn number(text: &str, unit: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let (least, most) = (range.start(), range.end());
    let wrong = || format!("is a whole number of {unit} from {least} to {most}, not `{text}`");
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(wrong)
}

/// Reads a percentage with at most one decimal as thousandths.
fn per_mille(text: &str) -> Result<u32, String> {
    let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
    let read = digits(whole).zip(digits(tenth).filter(|_| tenth.len() == 1));
    let per_mille = read.map(|(whole, tenth)| whole.saturating_mul(10) + tenth);
    per_mille.filter(|per_mille| *per_mille <= 1000).ok_or_else(|| format!("is a number from 0 to 100, not `{text}`"))
}

fn seconds(text: &str, range: RangeInclusive<u64>) -> Result<Duration, String> {
    number(text, "seconds", range).map(Duration::from_secs)
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("is a path, and this is none".to_owned());
    }
    Ok(PathBuf::from(text))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |_| format!("is an IP address and a port, such as `127.0.0.1:3210` or `[::1]:3210`, not `{text}`");
    text.parse().map_err(wrong)
}

fn device_name(text: &str) -> Result<String, String> {
    let (name, limit) = (text.trim(), limits::DEVICE_NAME_BYTES);
    if name.is_empty() || name.len() > limit {
        return Err(format!("is a name of 1 to {limit} bytes, and this has {}", name.len()));
    }
    if name.contains(char::is_control) {
        return Err("is a line, and this has a line break or another control character in it".to_owned());
    }
    Ok(name.to_owned())
}

fn api_key(text: &str) -> Result<Hidden, String> {
    let printable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if printable { Ok(Hidden::new(text)) } else { Err("is sent as a header, so it is ASCII without blanks".to_owned()) }
}

fn url(text: &str) -> Result<String, String> {
    let wrong = |why: &dyn Display| format!("is an http or https URL, such as `http://127.0.0.1:3210` ({why})");
    let url = reqwest::Url::parse(text).map_err(|error| wrong(&error))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format_args!("the scheme is `{}`", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password in it; a secret does not belong into a URL".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn relay(text: &str) -> Result<Relay, String> {
    match text.to_ascii_lowercase().as_str() {
        "off" | "false" | "no" => Ok(Relay::Off),
        _ => url(text).map(Relay::Own).map_err(|reason| format!("{reason}, or `off`")),
    }
}

/// Goes through the entries of a list that is written with commas.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn pkarr_relays(text: &str) -> Result<Vec<String>, String> {
    if matches!(text.to_ascii_lowercase().as_str(), "off" | "false" | "no") {
        return Ok(Vec::new());
    }
    let relays: Vec<String> = listed(text)
        .map(|relay| url(relay).map_err(|reason| format!("{reason}, or `off`")))
        .collect::<Result<_, _>>()?;
    let limit = limits::RENDEZVOUS_RELAYS;
    match relays.len() {
        0 => Err("names relays, or is `off`".to_owned()),
        count if count > limit => Err(format!("names at most {limit} relays, and these are {count}")),
        _ => Ok(relays),
    }
}

fn pkarr_dht(text: &str) -> Result<PkarrDht, String> {
    if let Ok(on) = flag(text) {
        return Ok(if on { PkarrDht::Public } else { PkarrDht::Off });
    }
    let wrong = |node| format!("is `off`, `on`, or a list of nodes such as 192.0.2.1:6881, not `{node}`");
    let nodes: Vec<SocketAddrV4> =
        listed(text).map(|node| node.parse().map_err(|_| wrong(node))).collect::<Result<_, _>>()?;
    if nodes.is_empty() { Err(wrong(text)) } else { Ok(PkarrDht::At(nodes)) }
}

fn ticket(text: &str) -> Result<Ticket, String> {
    text.parse().map_err(|error: ParseTicketError| format!("holds tickets: {error}"))
}
