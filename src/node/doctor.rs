//! A look at everything a host depends on, with what to do about what is wrong.
//!
//! Looking is apart from judging: [`Node::examine`] gathers, the functions behind it say what that means.

use std::path::Path;
use std::time::Duration;

use super::start::Node;
use super::status::NodeStatus;
use super::status::SourceStatus;
use crate::engine::Condition;
use crate::engine::PeerStatus;
use crate::limits;
use crate::net::Reachability;
use crate::plugin::BreakerState;
use crate::plugin::PluginState;
use crate::plugin::PluginStatus;
use crate::state::StateError;

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of what: `store`, `peer laptop`.
    pub of: String,
    /// How it is.
    pub severity: Severity,
    /// What was seen.
    pub seen: String,
    /// What to do about it, if something is to be done.
    pub advice: Option<String>,
}

/// How much something is to be minded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works.
    Ok,
    /// It is switched off, or of no use here.
    Off,
    /// It works less well than it could.
    Warning,
    /// It does not work.
    Error,
}

impl Finding {
    fn new(of: impl Into<String>, severity: Severity, seen: impl Into<String>) -> Self {
        Self { of: of.into(), severity, seen: seen.into(), advice: None }
    }

    fn advising(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl Node {
    /// Looks at the store, the disk, the plugins, the clock, the network, every source of hosts and every device.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub async fn examine(&self) -> Result<Vec<Finding>, StateError> {
        let status = self.status().await?;
        let mut findings = vec![store(&status)];
        let mut places = vec![self.folder.path().to_owned()];
        places.extend(self.storage_root.clone());
        findings.extend(places.iter().map(|place| disk(place, free_bytes(place))));
        findings.extend(plugins(&self.plugins(), self.engine.exchanges()));
        findings.extend(held(status.replication.held));
        findings.push(clock(&status.replication.peers));
        let reach = self.net.reachability();
        findings.push(udp(&reach, &status.replication.peers));
        findings.extend(relays(&reach));
        findings.extend(status.discovery.iter().flat_map(source));
        if self.engine.exchanges() {
            let peers = status.replication.peers.iter();
            findings.extend(peers.filter_map(|peer| device(peer, &reach)));
            findings.extend(strangers(status.replication.refused));
        }
        findings.extend(status.notes.iter().map(|note| Finding::new("note", Severity::Warning, note)));
        Ok(findings)
    }
}

fn free_bytes(place: &Path) -> Result<u64, String> {
    let stat = rustix::fs::statvfs(place).map_err(|errno| errno.to_string())?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn store(status: &NodeStatus) -> Finding {
    let store = &status.store;
    let seen = format!("{}, {}", store.kind, counted(store.assets, "asset", "assets"));
    match (&store.trouble, store.missing) {
        (Some(trouble), _) => Finding::new("store", Severity::Error, format!("{}: {trouble}", store.kind))
            .advising("see that it runs and can be written; nothing is lost meanwhile"),
        (None, 0) => Finding::new("store", Severity::Ok, seen),
        (None, missing) => Finding::new(
            "store",
            Severity::Warning,
            format!("{seen}; {} missing", counted(missing, "content is", "contents are")),
        )
        .advising("they come again from a member that has them; `can-sync verify --all` looks at every content"),
    }
}

fn disk(place: &Path, free: Result<u64, String>) -> Finding {
    let of = format!("disk {}", place.display());
    let mib = |bytes: u64| format!("{} MiB free", bytes / (1024 * 1024));
    match free {
        Err(error) => Finding::new(of, Severity::Error, error).advising("see that the folder is there and can be read"),
        Ok(free) if free < limits::DISK_LOW_BYTES => {
            let reserve = limits::DISK_RESERVE_BYTES / (1024 * 1024);
            let advice = format!("make room: below {reserve} MiB nothing is taken in");
            Finding::new(of, Severity::Error, mib(free)).advising(advice)
        }
        Ok(free) if free < limits::DISK_SHORT_BYTES => {
            Finding::new(of, Severity::Warning, mib(free)).advising("make room soon")
        }
        Ok(free) => Finding::new(of, Severity::Ok, mib(free)),
    }
}

/// Says what is wrong with plugins, and what their failing means.
fn plugins(all: &[PluginStatus], exchanges: bool) -> Vec<Finding> {
    if !exchanges {
        let finding = Finding::new("plugins", Severity::Error, "the host runs in safe mode: nothing is exchanged");
        return vec![finding.advising("`can-sync plugin disable` what is at fault, and start without `--safe-mode`")];
    }
    let finding = |plugin: &PluginStatus| {
        let (of, why) = (format!("plugin {}", plugin.name), plugin.ails()?);
        let (severity, advice) = match plugin.state() {
            PluginState::Disabled => (Severity::Warning, "put it right before it is switched on again"),
            PluginState::Refused => {
                (Severity::Warning, "put it right or take it away; it was never active, so nothing waits for it")
            }
            PluginState::Loaded if plugin.breaker == BreakerState::Closed => {
                (Severity::Warning, "put its file right, or put the earlier one back")
            }
            PluginState::Loaded | PluginState::Failing => {
                (Severity::Error, "its `on_failure` decides meanwhile; put it right, or `can-sync plugin disable` it")
            }
        };
        Some(Finding::new(of, severity, why).advising(advice))
    };
    let troubles: Vec<Finding> = all.iter().filter_map(finding).collect();
    let loaded = all.iter().filter(|plugin| plugin.state() == PluginState::Loaded).count();
    match (troubles.is_empty(), loaded) {
        (false, _) => troubles,
        (true, 0) => vec![Finding::new("plugins", Severity::Off, "none is loaded")],
        (true, loaded) => vec![Finding::new("plugins", Severity::Ok, format!("{loaded} loaded"))],
    }
}

/// Says that assets wait for a decision.
fn held(count: u64) -> Option<Finding> {
    (count > 0).then(|| {
        let seen = format!("{} for a decision", counted(count, "asset waits", "assets wait"));
        Finding::new("held", Severity::Warning, seen)
            .advising("`can-sync held ls` says why, `can-sync held release` or `drop` decides")
    })
}

/// Writes a count before its noun.
fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// Compares this host's clock with those of the others: where most are ahead, or most behind, it is this one.
fn clock(peers: &[PeerStatus]) -> Finding {
    let ahead: Vec<i64> = peers.iter().filter_map(|peer| peer.clock_ahead_ms).collect();
    let apart = |ms: i64| ms.unsigned_abs() > limits::CLOCK_APART_MS;
    let off: Vec<i64> = ahead.iter().copied().filter(|ms| apart(*ms)).collect();
    if ahead.is_empty() {
        return Finding::new("clock", Severity::Off, "no device is connected to compare it with");
    }
    if off.is_empty() {
        return Finding::new(
            "clock",
            Severity::Ok,
            format!("within a minute of {}", counted(ahead.len() as u64, "device", "devices")),
        );
    }
    let by = humantime::format_duration(Duration::from_secs(off[0].unsigned_abs() / 1000));
    let alike = off.iter().all(|ms| ms.signum() == off[0].signum());
    if alike && off.len() * 2 > ahead.len() && ahead.len() > 1 {
        let way = if off[0] > 0 { "behind" } else { "ahead of" };
        Finding::new("clock", Severity::Error, format!("{by} {way} most devices"))
            .advising("set the clock of this machine")
    } else {
        Finding::new(
            "clock",
            Severity::Warning,
            format!("{by} apart from {} of {}", off.len(), counted(ahead.len() as u64, "device", "devices")),
        )
        .advising("set the clocks of both right; changes stamped ahead have to wait")
    }
}

fn udp(reach: &Reachability, peers: &[PeerStatus]) -> Finding {
    let join =
        |addresses: &[std::net::SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let direct = peers.iter().filter(|peer| peer.direct == Some(true)).count();
    let seen = format!("bound to {}; reached at {}", join(&reach.sockets), join(&reach.addresses));
    if direct > 0 {
        return Finding::new(
            "udp",
            Severity::Ok,
            format!("{seen}; {} reached directly", counted(direct as u64, "device is", "devices are")),
        );
    }
    let relayed = peers.iter().any(|peer| peer.direct == Some(false));
    if reach.addresses.is_empty() {
        return Finding::new("udp", Severity::Error, format!("bound to {}; no address is known", join(&reach.sockets)))
            .advising("see that this machine has a network, or set `bind_addr`");
    }
    if relayed {
        return Finding::new("udp", Severity::Warning, format!("{seen}; every device is reached over a relay only"))
            .advising(format!("let UDP port {} through the firewall or router of this machine", reach.port()));
    }
    Finding::new("udp", Severity::Ok, seen)
}

fn relays(reach: &Reachability) -> Vec<Finding> {
    if reach.relays.is_empty() {
        return vec![Finding::new("relay", Severity::Off, "none is used, or none was chosen yet")];
    }
    let relay = |(url, state): &(String, Result<(), String>)| match state {
        Ok(()) => Finding::new(format!("relay {url}"), Severity::Ok, "connected"),
        Err(error) => Finding::new(format!("relay {url}"), Severity::Warning, error.clone())
            .advising("devices that cannot be reached directly stay away meanwhile; see `relay_url`"),
    };
    reach.relays.iter().map(relay).collect()
}

fn source(source: &SourceStatus) -> Vec<Finding> {
    let finding = |status: &SourceStatus, of: String| {
        let severity = match status.condition {
            "ok" => Severity::Ok,
            "failed" => Severity::Error,
            "degraded" => Severity::Warning,
            _ => Severity::Off,
        };
        let seen = status.trouble.clone().unwrap_or_else(|| status.condition.to_owned());
        Finding::new(of, severity, seen)
    };
    let whole = finding(source, format!("finding by {}", source.name));
    let parts = source.parts.iter().map(|part| finding(part, format!("{} at {}", source.name, part.name)));
    std::iter::once(whole).chain(parts).collect()
}

/// Says how a device is reached, or why it is not; nothing of one that is meant to be out of reach.
fn device(peer: &PeerStatus, reach: &Reachability) -> Option<Finding> {
    let id = peer.id.fmt_short();
    let of = if peer.name.is_empty() { format!("device {id}") } else { format!("device {} ({id})", peer.name) };
    let rtt = peer.rtt.map(|rtt| format!(", {:.1} ms", rtt.as_secs_f64() * 1000.0)).unwrap_or_default();
    Some(match &peer.condition {
        Condition::Blocked => return None,
        Condition::Paused { .. } => Finding::new(of, Severity::Off, "paused here").advising("`can-sync peers resume`"),
        Condition::Pending => Finding::new(of, Severity::Warning, "waits to be accepted")
            .advising(format!("if it is yours: `can-sync peers accept {id}`")),
        Condition::Pairing | Condition::Paired => {
            Finding::new(of, Severity::Warning, "was let in and has not connected yet")
                .advising("start it: `can-sync run`")
        }
        Condition::Connected if peer.trouble.is_some() => {
            Finding::new(of, Severity::Warning, peer.trouble.unwrap_or_default())
        }
        Condition::Connected if peer.direct == Some(false) => {
            Finding::new(of, Severity::Warning, format!("connected over a relay{rtt}: {}", why_not_direct(peer, reach)))
                .advising(format!(
                    "forward UDP port {} to this machine, or the port of the other one to that, at one of the routers",
                    reach.port()
                ))
        }
        Condition::Connected => {
            let one_sided = peer.dialled == Some(false) && peer.unreached.is_some();
            let seen = format!("connected directly{rtt}");
            if one_sided {
                Finding::new(
                    of,
                    Severity::Warning,
                    format!("{seen}; it reaches this host, and this host does not reach it"),
                )
                .advising("let UDP in at the firewall of that device; as long as it dials, nothing is amiss")
            } else {
                Finding::new(of, Severity::Ok, seen)
            }
        }
        Condition::Discovered | Condition::Disconnected { .. } => match &peer.unreached {
            Some(error) => {
                Finding::new(of, Severity::Warning, format!("not reached: {error}")).advising(away(peer, error))
            }
            None => Finding::new(of, Severity::Warning, "away, and nothing tells where it is")
                .advising("start it there; see that both use the same way to find each other"),
        },
    })
}

/// Says that others try to connect who do not prove the secret.
fn strangers(refused: u64) -> Option<Finding> {
    (refused > 0).then(|| {
        let seen = format!(
            "{} the secret of this library since the start",
            counted(refused, "connection did not prove", "connections did not prove")
        );
        Finding::new("strangers", Severity::Warning, seen)
            .advising("if a device of yours cannot connect: compare `sync_passphrase`, or pair it again")
    })
}

fn why_not_direct(peer: &PeerStatus, reach: &Reachability) -> &'static str {
    match (reach.addresses.is_empty(), peer.addresses.is_empty()) {
        (true, _) => "this host has no address of its own",
        (_, true) => "it says no address of its own",
        _ => "no packet got through on any of its addresses; a firewall, or two routers that both hide their hosts",
    }
}

fn away(peer: &PeerStatus, error: &str) -> String {
    if error.contains("paused") {
        return "`can-sync peers resume` on that device".to_owned();
    }
    if error.contains("secret") {
        return "it answers, and does not take this host for a member: compare `sync_passphrase`, or pair again"
            .to_owned();
    }
    if peer.addresses.is_empty() && peer.relay.is_none() {
        return "nothing tells where it is; start it, or name its ticket under `peers`".to_owned();
    }
    "see that it runs and that UDP is let through there; it is dialled again and again".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::HostId;
    use crate::engine::Flow;
    use crate::engine::PeerSettings;
    use crate::engine::Role;
    use crate::engine::Trust;
    use crate::hook::Point;
    use crate::plugin::Settings;

    fn peer(condition: Condition) -> PeerStatus {
        let connected = condition == Condition::Connected;
        PeerStatus {
            id: HostId::from_bytes([7; 32]),
            name: "laptop".to_owned(),
            kind: String::new(),
            version: "0".to_owned(),
            condition,
            trust: Trust::Secret,
            settings: PeerSettings::default(),
            role: None,
            flow: Flow::between(Role::Mirror, Role::Mirror),
            addresses: vec!["192.0.2.1:1".to_owned()],
            relay: None,
            first_seen_ms: 1,
            connected,
            dialled: connected.then_some(true),
            unreached: None,
            trouble: None,
            direct: connected.then_some(true),
            rtt: connected.then_some(Duration::from_micros(1500)),
            clock_ahead_ms: connected.then_some(0),
            in_sync: connected,
            keeps_everything: None,
            kept: (0, 0),
            bytes_in: 0,
            bytes_out: 0,
            last_seen_ms: 1,
        }
    }

    fn reach() -> Reachability {
        let address = vec!["192.0.2.9:4433".parse().unwrap()];
        Reachability { sockets: address.clone(), addresses: address, relays: Vec::new() }
    }

    #[test]
    fn every_state_of_a_device_has_a_word_and_most_have_advice() {
        let away = || Condition::Disconnected { why: None };
        let paused = "this host is paused there".to_owned();
        let secret = "the other side does not prove the same secret".to_owned();
        for (peer, severity, seen, advice) in [
            (peer(Condition::Connected), Severity::Ok, "directly, 1.5 ms", ""),
            (
                PeerStatus { direct: Some(false), ..peer(Condition::Connected) },
                Severity::Warning,
                "over a relay",
                "port 4433",
            ),
            (
                PeerStatus { dialled: Some(false), unreached: Some("no answer".into()), ..peer(Condition::Connected) },
                Severity::Warning,
                "does not reach it",
                "firewall of that device",
            ),
            (
                PeerStatus { trouble: Some("two machines use its key"), ..peer(Condition::Connected) },
                Severity::Warning,
                "two machines",
                "",
            ),
            (peer(Condition::Paused { until_ms: None }), Severity::Off, "paused", "resume"),
            (peer(Condition::Pending), Severity::Warning, "waits", "peers accept 0707"),
            (peer(Condition::Paired), Severity::Warning, "let in", "can-sync run"),
            (peer(away()), Severity::Warning, "nothing tells where", "start it"),
            (PeerStatus { unreached: Some(paused), ..peer(away()) }, Severity::Warning, "not reached", "peers resume"),
            (PeerStatus { unreached: Some(secret), ..peer(away()) }, Severity::Warning, "not reached", "pair again"),
            (
                PeerStatus { unreached: Some("no answer".into()), ..peer(away()) },
                Severity::Warning,
                "not reached",
                "UDP",
            ),
        ] {
            let finding = device(&peer, &reach()).unwrap();
            assert_eq!(finding.severity, severity, "{finding:?}");
            assert!(finding.seen.contains(seen), "{finding:?}");
            assert!(finding.advice.unwrap_or_default().contains(advice), "{seen}");
        }
        assert_eq!(device(&peer(Condition::Blocked), &reach()), None);
    }

    #[test]
    fn the_clock_that_is_wrong_is_the_one_that_most_others_differ_from() {
        let ahead = |ms: &[i64]| -> Vec<PeerStatus> {
            ms.iter().map(|ms| PeerStatus { clock_ahead_ms: Some(*ms), ..peer(Condition::Connected) }).collect()
        };
        for (clocks, severity, seen) in [
            (ahead(&[]), Severity::Off, "compare"),
            (ahead(&[5, -5]), Severity::Ok, "2 devices"),
            (ahead(&[3_600_000, 3_600_000, 0]), Severity::Error, "1h behind most"),
            (ahead(&[-3_600_000, -3_600_000]), Severity::Error, "1h ahead of most"),
            (ahead(&[3_600_000, 0, 0]), Severity::Warning, "1 of 3"),
            (ahead(&[3_600_000]), Severity::Warning, "1 of 1"),
        ] {
            let finding = clock(&clocks);
            assert!(finding.severity == severity && finding.seen.contains(seen), "{finding:?}");
        }
    }

    #[test]
    fn plugins_are_told_by_what_their_failing_means() {
        let plugin = |enabled, loaded, points: &[Point], trouble: Option<&str>| PluginStatus {
            loaded,
            points: points.to_vec(),
            ..PluginStatus::absent("one".to_owned(), enabled, trouble.map(str::to_owned), Settings::default())
        };
        let asked = &[Point::BeforePush][..];
        let open = PluginStatus {
            breaker: BreakerState::Trying,
            last_failure: Some("it trapped".to_owned()),
            ..plugin(true, true, asked, None)
        };
        for (all, severity, seen) in [
            (vec![], Severity::Off, "none"),
            (vec![plugin(true, true, asked, None)], Severity::Ok, "1 loaded"),
            (vec![plugin(false, false, &[], None)], Severity::Off, "none"),
            (vec![plugin(false, false, &[], Some("x"))], Severity::Warning, "x"),
            (vec![plugin(true, true, asked, Some("x"))], Severity::Warning, "x"),
            (vec![plugin(true, false, &[], Some("x"))], Severity::Warning, "x"),
            (vec![plugin(true, false, asked, Some("x"))], Severity::Error, "x"),
            (vec![open, plugin(true, true, asked, None)], Severity::Error, "it trapped"),
        ] {
            let findings = plugins(&all, true);
            assert_eq!((findings.len(), findings[0].severity), (1, severity), "{findings:?}");
            assert!(findings[0].seen.contains(seen), "{findings:?}");
            assert_eq!(findings[0].advice.is_some(), findings[0].severity >= Severity::Warning);
            assert_eq!(plugins(&all, false)[0].severity, Severity::Error);
        }
        assert_eq!(held(0), None);
        assert_eq!(held(1).unwrap().seen, "1 asset waits for a decision");
    }

    #[test]
    fn disk_relay_and_network_say_what_to_do() {
        let place = Path::new("/data");
        for (free, severity) in [
            (Ok(1 << 40), Severity::Ok),
            (Ok(limits::DISK_SHORT_BYTES - 1), Severity::Warning),
            (Ok(limits::DISK_LOW_BYTES - 1), Severity::Error),
            (Err("no such folder".to_owned()), Severity::Error),
        ] {
            let finding = disk(place, free);
            assert_eq!(
                (finding.severity, finding.advice.is_none()),
                (severity, severity == Severity::Ok),
                "{finding:?}"
            );
        }
        let nowhere = Reachability { addresses: Vec::new(), ..reach() };
        assert_eq!(udp(&nowhere, &[]).severity, Severity::Error);
        assert_eq!(udp(&reach(), &[]).severity, Severity::Ok);
        let relayed = PeerStatus { direct: Some(false), ..peer(Condition::Connected) };
        assert!(udp(&reach(), &[relayed]).advice.unwrap().contains("4433"));
        let relayed = vec![("https://relay.example".to_owned(), Err("refused".to_owned()))];
        assert_eq!(relays(&Reachability { relays: relayed, ..reach() })[0].severity, Severity::Warning);
        assert_eq!(relays(&reach())[0].severity, Severity::Off);
    }
}
