//! `can-sync pair`: show a code with which a device joins, or join with one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::auth::pairing::CodeError;
use crate::auth::pairing::PairingCode;
use crate::cli::client::HostApi;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::exit::Misused;
use crate::cli::printer::Printer;
use crate::cli::runtime;
use crate::library::ParseTicketError;
use crate::library::Ticket;
use crate::node;
use crate::node::DataFolder;
use crate::node::JoinOptions;

/// Let a new device join with four words, or join with them
///
/// Without words it shows a code on the running host, good once and for five minutes. With the words of another device
/// it joins that device's library; the host of this one must not be running.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The four words that the other device shows, or what its QR code says
    words: Vec<String>,
    /// Where the other device is, if it is not found by itself: its ticket
    #[arg(long, requires = "words")]
    ticket: Option<Ticket>,
}

/// How often the running host is asked what became of the code.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// What a QR code of pairing says.
const LINK: &str = "can-sync-pair:";

/// A code, and where the device is that shows it.
#[derive(Debug, Clone, PartialEq)]
struct Link {
    code: PairingCode,
    ticket: Option<Ticket>,
}

/// A text that is neither the words of a code nor what a QR code says.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum ParseLinkError {
    Code(#[from] CodeError),
    Ticket(#[from] ParseTicketError),
}

#[derive(Debug, Deserialize)]
struct Invitation {
    code: String,
    ticket: String,
    expires_in_secs: u64,
}

impl Args {
    pub(in crate::cli) fn execute(self, context: &Context) -> anyhow::Result<()> {
        if self.words.is_empty() {
            return block_on(invite(context));
        }
        let link: Result<Link, ParseLinkError> = self.words.join(" ").parse();
        let link = link.map_err(|error| Misused(error.to_string()))?;
        join(context, Link { ticket: self.ticket.or(link.ticket), ..link })
    }
}

/// Shows a code on the running host, until a device has joined or it is no longer good.
async fn invite(context: &Context) -> anyhow::Result<()> {
    let (api, printer) = (context.host_api()?, context.printer());
    let invitation: Invitation = api.post("/pair").await?;
    let link = Link { code: invitation.code.parse()?, ticket: invitation.ticket.parse().ok() };
    if printer.is_json() {
        printer.json(&json!({
            "code": invitation.code,
            "link": link.to_string(),
            "expires_in_secs": invitation.expires_in_secs,
        }))?;
        printer.flush()?;
    } else {
        show(printer, &invitation, &link)?;
    }
    let interrupted = runtime::interrupted();
    tokio::select! {
        outcome = outcome(&api, printer) => outcome,
        interrupted = interrupted => {
            let _: Value = api.delete("/pair").await?;
            printer.say("the code is no longer good");
            interrupted
        }
    }
}

fn show(printer: &Printer, invitation: &Invitation, link: &Link) -> anyhow::Result<()> {
    printer.line(&invitation.code)?;
    printer.flush()?;
    if printer.stdout_is_terminal() {
        let code = QrCode::new(link.to_string()).context("the code cannot be drawn")?;
        let drawn = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
        printer.say("");
        drawn.lines().for_each(|line| printer.say(line));
        printer.say("");
    }
    printer.say(&format!("On the new device: can-sync pair {}", invitation.code));
    if let Some(ticket) = &link.ticket {
        printer.say(&format!("If it does not find this one by itself, add: --ticket {ticket}"));
    }
    printer.say(&format!(
        "The code is good once, for {} minutes. Waiting; Ctrl-C takes it back.",
        invitation.expires_in_secs / 60
    ));
    Ok(())
}

async fn outcome(api: &HostApi, printer: &Printer) -> anyhow::Result<()> {
    loop {
        let status: Value = api.get("/pair").await?;
        let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match text("state").as_str() {
            "open" => tokio::time::sleep(ASKED_EVERY).await,
            "paired" => {
                if printer.is_json() {
                    printer.json(&status)?;
                } else {
                    printer.line(&format!("{} joined ({})", text("name"), text("id")))?;
                }
                return Ok(printer.flush()?);
            }
            "closed" => anyhow::bail!("{}", text("reason")),
            _ => anyhow::bail!("the code was taken back"),
        }
    }
}

/// Joins the library of the device that shows the code.
fn join(context: &Context, link: Link) -> anyhow::Result<()> {
    let (settings, printer) = (context.resolve(None)?.settings, context.printer());
    let runtime = runtime::runtime()?;
    let joined = runtime.block_on(async {
        let data_dir = settings.data_dir.clone();
        let folder = tokio::task::spawn_blocking(move || DataFolder::open(&data_dir)).await??;
        printer.say("Looking for the device that shows this code …");
        let options = JoinOptions {
            folder,
            name: settings.device_name.clone(),
            code: link.code,
            ticket: link.ticket,
            bind_addr: settings.bind_addr,
            relay: settings.relay.clone(),
            mdns: settings.mdns,
            pkarr: runtime::pkarr(&settings),
        };
        Ok::<_, anyhow::Error>(node::join(options).await?)
    });
    runtime.shutdown_background();
    let joined = joined?;
    if printer.is_json() {
        let (library, device, host) = (joined.library, joined.device, joined.host.to_string());
        printer.json(&json!({ "library": library, "device": device, "id": host }))?;
    } else {
        printer.line(&format!("Joined {} with {} ({})", joined.library, joined.device, joined.host))?;
        printer.say("Now start this host: can-sync run");
    }
    Ok(printer.flush()?)
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LINK}{}", self.code)?;
        self.ticket.as_ref().map_or(Ok(()), |ticket| write!(f, "@{ticket}"))
    }
}

impl FromStr for Link {
    type Err = ParseLinkError;

    fn from_str(text: &str) -> Result<Self, ParseLinkError> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix(LINK) else { return Ok(Self { code: text.parse()?, ticket: None }) };
        let (code, ticket) = rest.split_once('@').map_or((rest, None), |(code, ticket)| (code, Some(ticket)));
        Ok(Self { code: code.parse()?, ticket: ticket.map(str::parse).transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::HostId;

    #[test]
    fn a_link_reads_back_and_words_alone_are_one() {
        let code: PairingCode = "legal-winner-thank-year".parse().unwrap();
        let ticket =
            Ticket { host: HostId::from_bytes([7; 32]), addresses: vec!["192.0.2.1:5".parse().unwrap()], relay: None };
        for ticket in [None, Some(ticket)] {
            let link = Link { code: code.clone(), ticket };
            assert_eq!(link.to_string().parse::<Link>().unwrap(), link);
            assert!(QrCode::new(link.to_string()).is_ok());
        }
        assert_eq!("legal winner thank year".parse::<Link>().unwrap(), Link { code, ticket: None });
        for wrong in ["legal winner thank", "can-sync-pair:legal-winner-thank-year@nonsense"] {
            assert!(wrong.parse::<Link>().is_err(), "{wrong}");
        }
    }
}
