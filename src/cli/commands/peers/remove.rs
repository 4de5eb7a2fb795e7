//! Locking a device out, and having every new device accepted first: both ask who stays.

use anyhow::bail;
use serde_json::Value;
use serde_json::json;

use super::Peer;
use super::Peers;
use super::path;
use super::table;
use crate::cli::client::HostApi;
use crate::cli::context::Context;
use crate::cli::exit::Misused;

/// Lock a device out for good, and give the library a new secret
///
/// What it has already, it keeps. Every other device that stays gets the new secret by itself, also one that is away
/// now. One that does not stay gets nothing any more: an accepted one is removed for good as well, any other has to be
/// paired again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name, or its id or the beginning of it
    peer: String,
    /// A device that does not stay either, by name or id
    #[arg(long, value_name = "PEER")]
    except: Vec<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Args {
    pub(super) async fn execute(self, context: &Context, api: &HostApi) -> anyhow::Result<()> {
        let peers: Peers = api.get("/peers").await?;
        let removed: Peer = api.get(&path(&self.peer, "")).await?;
        let mut left_out = Vec::new();
        for except in &self.except {
            left_out.push(api.get::<Peer>(&path(except, "")).await?.id);
        }
        let staying: Vec<&Peer> =
            members(&peers).filter(|peer| peer.id != removed.id && !left_out.contains(&peer.id)).collect();
        let name = peers.name_of(&removed.id);
        let question = format!("Remove {name} ({}) for good?", table::short(&removed.id));
        confirm(context, &peers, &staying, &question, self.yes)?;
        let ids: Vec<&String> = staying.iter().map(|peer| &peer.id).collect();
        let answer: Value =
            api.post_with(&path(&removed.id, "remove"), &json!({ "leaving": left_out, "staying": ids })).await?;
        let printer = context.printer();
        if printer.is_json() {
            printer.json(&answer)?;
        } else {
            let renewed = answer.get("renewed").and_then(Value::as_bool).unwrap_or_default();
            let secret = if renewed { "; the library has a new secret" } else { ", and the library keeps its secret" };
            printer.line(&format!("{}  removed{secret}", removed.id))?;
            printer.say(if renewed {
                "A phrase in a configuration no longer lets anybody in; new devices join with `can-sync pair`."
            } else {
                "It is locked out, and still knows the secret by which members find each other; `can-sync status` says why."
            });
        }
        Ok(printer.flush()?)
    }
}

/// From now on every new device has to be accepted; those that are known stay.
pub(super) async fn list(context: &Context, api: &HostApi) -> anyhow::Result<()> {
    let peers: Peers = api.get("/peers").await?;
    let ids: Vec<&String> = members(&peers).map(|peer| &peer.id).collect();
    let answer: Value = api.post_with("/members/list", &json!({ "staying": ids })).await?;
    let printer = context.printer();
    if printer.is_json() {
        printer.json(&answer)?;
    } else {
        printer.line("every new device has to be accepted from now on: `can-sync peers accept`")?;
    }
    Ok(printer.flush()?)
}

/// Goes through those that belong to the library: where the secret alone makes a member, whoever was ever connected.
fn members(peers: &Peers) -> impl Iterator<Item = &Peer> {
    peers.all.iter().filter(|peer| peer.trust != "none" && peer.state != "blocked")
}

/// Shows who stays, and asks unless that is not wanted.
fn confirm(context: &Context, peers: &Peers, staying: &[&Peer], question: &str, yes: bool) -> anyhow::Result<()> {
    let printer = context.printer();
    printer.say("These devices stay, and are handed the new secret:");
    printer.say(&format!("  {}  {}  (this one)", table::short(&peers.host.id), peers.host.name));
    for peer in staying {
        let cells = table::row(peer);
        printer.say(&format!("  {}  {}  {}", cells[1], cells[0], cells[2]));
    }
    if yes {
        return Ok(());
    }
    let question = format!("{question} Every device above must be yours; leave others out with `--except`.");
    match printer.confirmed(&question)? {
        Some(true) => Ok(()),
        Some(false) => bail!("nothing was changed"),
        None => {
            let text = "look at who stays, leave out with `--except` what is not yours, and say `--yes`";
            Err(Misused(text.to_owned()).into())
        }
    }
}
