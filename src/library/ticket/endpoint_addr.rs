//! The JSON form of iroh's `EndpointAddr`, as other programs write it:
//! `{"id": "…64 hex…", "addrs": [{"Relay": "https://…/"}, {"Ip": "192.0.2.7:4433"}]}`.

use std::net::SocketAddr;

use data_encoding::BASE32_NOPAD;
use serde::Deserialize;
use serde_json::Value;

use super::ParseTicketError;
use super::Ticket;
use crate::asset::HostId;
use crate::limits;

#[derive(Deserialize)]
struct EndpointAddr {
    id: String,
    #[serde(default)]
    addrs: Vec<Value>,
}

/// Reads the JSON form. Addresses of a kind that is not known here are left out, as iroh adds kinds.
pub(super) fn parse(text: &str) -> Result<Ticket, ParseTicketError> {
    let address: EndpointAddr = serde_json::from_str(text)
        .map_err(|error| if error.is_eof() { ParseTicketError::Incomplete } else { ParseTicketError::Json(error) })?;
    let mut ticket = Ticket { host: host(&address.id)?, addresses: Vec::new(), relay: None };
    for entry in &address.addrs {
        if let Some(ip) = entry.get("Ip") {
            let ip = ip.as_str().and_then(|text| text.parse::<SocketAddr>().ok());
            let ip = ip.ok_or(ParseTicketError::Malformed("an `Ip` is no address with a port"))?;
            if ticket.addresses.len() < limits::TICKET_ADDRESSES {
                ticket.addresses.push(ip);
            }
        } else if let (Some(relay), None) = (entry.get("Relay"), &ticket.relay) {
            let relay = relay.as_str().filter(|url| !url.is_empty() && url.len() <= limits::TICKET_RELAY_BYTES);
            ticket.relay = Some(relay.ok_or(ParseTicketError::Malformed("a `Relay` is no URL"))?.to_owned());
        }
    }
    Ok(ticket)
}

/// Reads an endpoint id as iroh does: hex, or base32 without padding.
fn host(id: &str) -> Result<HostId, ParseTicketError> {
    if let Ok(host) = id.parse() {
        return Ok(host);
    }
    let bytes = BASE32_NOPAD.decode(id.to_ascii_uppercase().as_bytes()).ok();
    let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map(HostId::from_bytes).ok_or(ParseTicketError::Malformed("`id` is no endpoint id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";

    #[test]
    fn the_json_of_an_endpoint_address_is_a_ticket() {
        let text = format!(
            r#"{{"id":"{ID}","addrs":[{{"Relay":"https://relay.example.org./"}},{{"Ip":"192.0.2.7:4433"}},
            {{"Ip":"[2001:db8::1]:4433"}},{{"Custom":{{"id":7,"data":[1,2]}}}},{{"Later":1}}]}}"#
        );
        let ticket: Ticket = text.parse().unwrap();
        assert_eq!(ticket.host.to_string(), ID);
        assert_eq!(ticket.relay.as_deref(), Some("https://relay.example.org./"));
        assert_eq!(ticket.addresses, ["192.0.2.7:4433".parse().unwrap(), "[2001:db8::1]:4433".parse().unwrap()]);
        assert_eq!(ticket.to_string().parse::<Ticket>().unwrap(), ticket);
        let base32 = BASE32_NOPAD.encode(ticket.host.as_bytes()).to_ascii_lowercase();
        assert_eq!(text.replace(ID, &base32).parse::<Ticket>().unwrap(), ticket);
        for end in 1..text.len() {
            let error = text[..end].parse::<Ticket>().unwrap_err();
            assert!(error.may_be_half_written(), "{end}: {error}");
        }
    }

    #[test]
    fn json_that_is_no_address_is_refused() {
        for (text, answer) in [
            ("{}", "JSON"),
            (r#"{"id": 5}"#, "JSON"),
            (r#"{"id": "abc"}"#, "endpoint id"),
            (&format!(r#"{{"id":"{ID}","addrs":[{{"Ip":"192.0.2.7"}}]}}"#), "Ip"),
            (&format!(r#"{{"id":"{ID}","addrs":[{{"Relay":5}}]}}"#), "Relay"),
        ] {
            let error = text.parse::<Ticket>().unwrap_err().to_string();
            assert!(error.contains(answer), "{text}: {error}");
        }
    }
}
