//! `can-sync peers`: the devices of the library, on one screen, and what may be done about them.

mod remove;
mod table;

use std::time::Duration;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::cli::client::HostApi;
use crate::cli::context::Context;

/// Show the devices of the library, and change what they may do
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List every device: connected, away, waiting, blocked
    Ls,
    /// Show everything about one device
    Show {
        /// Its name, or its id or the beginning of it
        peer: String,
    },
    /// Give a device another name on this host
    Rename {
        /// Its name, or its id or the beginning of it
        peer: String,
        /// The new name; without one it is called again what it calls itself
        name: Option<String>,
    },
    /// Leave a device alone: no connection to it and none from it
    Pause {
        /// Its name, or its id or the beginning of it
        peer: String,
        /// For how long, such as `2h`; without it until `resume`
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        time: Option<Duration>,
    },
    /// Take up a device again that is paused
    Resume {
        /// Its name, or its id or the beginning of it
        peer: String,
    },
    /// Limit how fast contents go to a device and come from it
    Limit {
        /// Its name, or its id or the beginning of it
        peer: String,
        /// Bytes a second that go to it, such as `500K` or `2M`, or `off`; without it as before
        #[arg(long, value_parser = rate, required_unless_present = "take")]
        send: Option<Rate>,
        /// Bytes a second that come from it, or `off`; without it as before
        #[arg(long, value_parser = rate)]
        take: Option<Rate>,
    },
    /// Say what a device may do in the library
    Role {
        /// Its name, or its id or the beginning of it
        peer: String,
        /// mirror: it sends and takes. send-only: nothing goes to it. receive-only: nothing is taken from it
        #[arg(value_parser = ["mirror", "send-only", "receive-only"])]
        role: String,
    },
    /// Accept a device that waits
    Accept {
        /// Its name, or its id or the beginning of it
        peer: String,
    },
    /// Show who may accept and remove devices, or let a further one do so
    Admin {
        /// The name of a device, or its id or the beginning of it
        peer: Option<String>,
    },
    /// Show what makes a device a member, or have every new one accepted first from now on
    Membership {
        /// `listed`; there is no way back
        #[arg(value_parser = ["listed"])]
        rule: Option<String>,
    },
    /// Lock a device out for good, and give the library a new secret
    Remove(remove::Args),
}

/// What `GET /peers` tells, as far as people are shown it.
#[derive(Debug, Deserialize)]
struct Peers {
    host: Host,
    members: Members,
    #[serde(default)]
    braked: Vec<Braked>,
    #[serde(rename = "peers")]
    all: Vec<Peer>,
}

/// What goes between the hosts.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Exchange {
    sends: bool,
    takes: bool,
}

#[derive(Debug, Deserialize)]
struct Host {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Members {
    membership: String,
    epoch: u64,
    admins: Vec<String>,
    may_sign: bool,
    trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Braked {
    id: String,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Peer {
    id: String,
    name: String,
    kind: String,
    version: String,
    state: String,
    reason: Option<String>,
    paused_until_ms: Option<u64>,
    trust: String,
    connected: bool,
    allowed_role: String,
    role: Option<String>,
    exchange: Exchange,
    most_sent: Option<u64>,
    most_taken: Option<u64>,
    addresses: Vec<String>,
    relay: Option<String>,
    trouble: Option<String>,
    path: Option<String>,
    rtt_ms: Option<f64>,
    in_sync: bool,
    kept: u64,
    of: u64,
    bytes_in: u64,
    bytes_out: u64,
    first_seen_ms: u64,
    last_seen_ms: u64,
}

impl Peers {
    /// Returns what a device is called, by its id.
    fn name_of(&self, id: &str) -> String {
        let known = self.all.iter().find(|peer| peer.id == id).map(|peer| peer.name.as_str());
        let name = if id == self.host.id { Some(self.host.name.as_str()) } else { known };
        name.filter(|name| !name.is_empty()).unwrap_or(&id[..10.min(id.len())]).to_owned()
    }
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let api = context.host_api()?;
        match self.action.unwrap_or(Action::Ls) {
            Action::Ls => {
                let value: Value = api.get("/peers").await?;
                match context.printer().is_json() {
                    true => context.printer().json(&value)?,
                    false => table::list(context.printer(), &Peers::deserialize(&value)?)?,
                }
                Ok(context.printer().flush()?)
            }
            Action::Show { peer } => {
                let value: Value = api.get(&path(&peer, "")).await?;
                match context.printer().is_json() {
                    true => context.printer().json(&value)?,
                    false => table::one(context.printer(), &Peer::deserialize(&value)?)?,
                }
                Ok(context.printer().flush()?)
            }
            Action::Rename { peer, name } => act(context, &api, &peer, "rename", &json!({ "name": name })).await,
            Action::Pause { peer, time } => {
                let secs = time.map(|time| time.as_secs());
                act(context, &api, &peer, "pause", &json!({ "secs": secs })).await
            }
            Action::Resume { peer } => act(context, &api, &peer, "resume", &json!({})).await,
            Action::Limit { peer, send, take } => {
                let given = [("sent", send), ("taken", take)].into_iter();
                let body = given.filter_map(|(key, rate)| Some((key.to_owned(), json!(rate?.0)))).collect();
                act(context, &api, &peer, "limit", &Value::Object(body)).await
            }
            Action::Role { peer, role } => act(context, &api, &peer, "role", &json!({ "role": role })).await,
            Action::Accept { peer } => act(context, &api, &peer, "accept", &json!({ "admin": false })).await,
            Action::Admin { peer: Some(peer) } => act(context, &api, &peer, "accept", &json!({ "admin": true })).await,
            Action::Admin { peer: None } | Action::Membership { rule: None } => {
                let value: Value = api.get("/peers").await?;
                match context.printer().is_json() {
                    true => context.printer().json(&value["members"])?,
                    false => table::members(context.printer(), &Peers::deserialize(&value)?)?,
                }
                Ok(context.printer().flush()?)
            }
            Action::Membership { rule: Some(_) } => remove::list(context, &api).await,
            Action::Remove(args) => args.execute(context, &api).await,
        }
    }
}

/// Returns a path of the host API for a device.
fn path(peer: &str, what: &str) -> String {
    let mut url = reqwest::Url::parse("http://host/peers").expect("a URL");
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.push(peer);
        if !what.is_empty() {
            segments.push(what);
        }
    }
    url.path().to_owned()
}

async fn act(context: &Context, api: &HostApi, peer: &str, what: &str, body: &Value) -> anyhow::Result<()> {
    let answer: Value = api.post_with(&path(peer, what), body).await?;
    let printer = context.printer();
    if printer.is_json() {
        printer.json(&answer)?;
    } else {
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
        printer.line(&format!("{}  {}", text("id"), text("done")))?;
    }
    Ok(printer.flush()?)
}

/// Bytes a second; `None` for as many as will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate(Option<u64>);

/// Reads a rate: bytes a second, with `K`, `M` or `G` for powers of 1024, or `off`.
fn rate(text: &str) -> Result<Rate, String> {
    if text == "off" {
        return Ok(Rate(None));
    }
    let (number, factor) = match text.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G']) {
        None => (text, 1),
        Some(number) => {
            let factor = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
                Some(b'k') => 1 << 10,
                Some(b'm') => 1 << 20,
                _ => 1 << 30,
            };
            (number, factor)
        }
    };
    let read = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let said = "a rate is a number of bytes a second, such as `500K` or `2M`, or `off`";
    read.map(|number| Rate(Some(number))).ok_or_else(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, bytes) in [("5", Some(5)), ("500K", Some(512_000)), ("2m", Some(2 << 20)), ("1G", Some(1 << 30))] {
            assert_eq!(rate(text), Ok(Rate(bytes)), "{text}");
        }
        assert_eq!(rate("off"), Ok(Rate(None)));
        for text in ["", "K", "-1", "1.5M", "99999999999999999999", "18446744073709551615K"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_make_no_other_path() {
        assert_eq!(path("a b/../c?d", "pause"), "/peers/a%20b%2F..%2Fc%3Fd/pause");
    }
}
