//! The ticket: where a host can be reached, as a text that people paste. An address, never a secret.
//!
//! The text is `cansync1` and lower-case base32 without padding of version 1 of the encoding:
//! `u8 version = 1`, 32 bytes host id, `u8 length, relay` (zero: none), `u8 addresses`, then per address
//! `u8 4, 4 bytes` or `u8 6, 16 bytes` and `u16` big-endian port; at the end the first 4 bytes of BLAKE3 of all before.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;

use crate::asset::HostId;
use crate::limits;

mod endpoint_addr;

/// What every ticket's text begins with, whatever its version.
const PREFIX: &str = "cansync";

/// The version of the text and of the encoding.
const VERSION: u8 = 1;

/// Bytes of the checksum.
const CHECKSUM: usize = 4;

/// Where a host can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Which host.
    pub host: HostId,
    /// Its addresses, at most [`TICKET_ADDRESSES`](limits::TICKET_ADDRESSES).
    pub addresses: Vec<SocketAddr>,
    /// The relay it listens at, as a URL.
    pub relay: Option<String>,
}

/// A text that is no ticket. The text itself is never repeated: it may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTicketError {
    /// There is no text, or not yet.
    #[error("the ticket is empty")]
    Empty,
    /// The text stops before its end; perhaps it is still being written, or was not copied whole.
    #[error("the ticket is not complete; copy it again from its first to its last character")]
    Incomplete,
    /// A character that no ticket has.
    #[error("the ticket has a wrong character at position {0}; copy it again")]
    Character(usize),
    /// The text was changed on its way.
    #[error("the ticket is damaged (its checksum does not match); copy it again")]
    Checksum,
    /// The checksum matches and the rest makes no sense.
    #[error("the ticket cannot be understood ({0})")]
    Malformed(&'static str),
    /// A ticket of a later version.
    #[error("the ticket is of a later version; update can-sync on this machine")]
    Version,
    /// A phrase where a ticket should be.
    #[error(
        "this is a secret phrase, not a ticket: it belongs into `sync_passphrase`. A ticket begins with `cansync1`, and \
         the other host writes it to its `ticket_file`"
    )]
    Secret,
    /// Anything else.
    #[error("this is no ticket: a ticket begins with `cansync1`, and the other host writes it to its `ticket_file`")]
    NotATicket,
    /// Far more text than a ticket has.
    #[error("this is no ticket: it has {0} bytes, more than the limit of {limit}", limit = limits::TICKET_BYTES)]
    TooLong(usize),
    /// Looks like an address in JSON and is none.
    #[error("the address in JSON cannot be read")]
    Json(#[source] serde_json::Error),
}

impl ParseTicketError {
    /// Tells whether the text may only be half-written, so that reading it again soon makes sense.
    #[must_use]
    pub const fn may_be_half_written(&self) -> bool {
        matches!(self, Self::Empty | Self::Incomplete | Self::Checksum)
    }
}

impl Ticket {
    /// Returns the encoding without the text around it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let relay = self.relay.as_deref().unwrap_or_default();
        // What is too long for the encoding was never accepted; what a caller put in by hand is left out.
        let relay = if relay.len() <= limits::TICKET_RELAY_BYTES { relay } else { "" };
        let addresses = &self.addresses[..self.addresses.len().min(limits::TICKET_ADDRESSES)];
        let mut out = vec![VERSION];
        out.extend_from_slice(self.host.as_bytes());
        out.push(u8::try_from(relay.len()).expect("at most 255"));
        out.extend_from_slice(relay.as_bytes());
        out.push(u8::try_from(addresses.len()).expect("at most 32"));
        for address in addresses {
            match address.ip() {
                IpAddr::V4(ip) => {
                    out.push(4);
                    out.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.push(6);
                    out.extend_from_slice(&ip.octets());
                }
            }
            out.extend_from_slice(&address.port().to_be_bytes());
        }
        let checksum = blake3::hash(&out);
        out.extend_from_slice(&checksum.as_bytes()[..CHECKSUM]);
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`ParseTicketError`] when the bytes are no ticket.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseTicketError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(_) => return Err(ParseTicketError::Version),
            None => return Err(ParseTicketError::Incomplete),
        }
        let mut rest = Rest(&bytes[1..]);
        let host = HostId::from_bytes(rest.array()?);
        let length = usize::from(rest.byte()?);
        let relay = rest.take(length)?;
        let mut addresses = Vec::new();
        let mut family = None;
        for _ in 0..rest.byte()? {
            let ip = match rest.byte()? {
                4 => IpAddr::from(rest.array::<4>()?),
                6 => IpAddr::from(rest.array::<16>()?),
                other => {
                    // The length of what follows is unknown; the checksum is told from the last bytes.
                    family = Some(other);
                    break;
                }
            };
            addresses.push(SocketAddr::new(ip, u16::from_be_bytes(rest.array()?)));
        }
        if family.is_none() && rest.0.len() < CHECKSUM {
            return Err(ParseTicketError::Incomplete);
        }
        let (body, checksum) = bytes.split_at(bytes.len() - CHECKSUM.min(bytes.len()));
        if blake3::hash(body).as_bytes()[..CHECKSUM] != *checksum {
            return Err(ParseTicketError::Checksum);
        }
        if family.is_some() || rest.0.len() != CHECKSUM || addresses.len() > limits::TICKET_ADDRESSES {
            return Err(ParseTicketError::Malformed("addresses"));
        }
        let relay = std::str::from_utf8(relay).map_err(|_| ParseTicketError::Malformed("relay"))?;
        Ok(Self { host, addresses, relay: (!relay.is_empty()).then(|| relay.to_owned()) })
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{VERSION}{}", BASE32_NOPAD.encode(&self.to_bytes()).to_ascii_lowercase())
    }
}

impl FromStr for Ticket {
    type Err = ParseTicketError;

    /// Reads a ticket, or the JSON form of an iroh endpoint address; blanks around it do not count.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ParseTicketError::Empty);
        }
        if text.len() > limits::TICKET_BYTES {
            return Err(ParseTicketError::TooLong(text.len()));
        }
        if text.starts_with('{') {
            return endpoint_addr::parse(text);
        }
        if looks_like_a_phrase(text) {
            return Err(ParseTicketError::Secret);
        }
        let Some(versioned) = text.strip_prefix(PREFIX) else {
            let half = PREFIX.starts_with(text);
            return Err(if half { ParseTicketError::Incomplete } else { ParseTicketError::NotATicket });
        };
        let payload = match versioned.as_bytes() {
            [] => return Err(ParseTicketError::Incomplete),
            [b'1', ..] => &versioned[1..],
            [b'2'..=b'9', ..] => return Err(ParseTicketError::Version),
            _ => return Err(ParseTicketError::NotATicket),
        };
        let upper = payload.to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(upper.as_bytes()).map_err(|error| match error.kind {
            data_encoding::DecodeKind::Length | data_encoding::DecodeKind::Trailing => ParseTicketError::Incomplete,
            _ => ParseTicketError::Character(PREFIX.len() + 2 + error.position),
        })?;
        Self::from_bytes(&bytes)
    }
}

/// Several words of letters: nothing that a ticket could be, and most likely a secret.
fn looks_like_a_phrase(text: &str) -> bool {
    text.split_whitespace().count() >= 3 && text.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || c == '-')
}

/// The bytes that were not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ParseTicketError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ParseTicketError::Incomplete)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseTicketError> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were taken"))
    }

    fn byte(&mut self) -> Result<u8, ParseTicketError> {
        Ok(self.array::<1>()?[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tickets() -> impl Strategy<Value = Ticket> {
        let addresses = proptest::collection::vec((any::<IpAddr>(), any::<u16>()), 0..=limits::TICKET_ADDRESSES);
        (any::<[u8; 32]>(), addresses, proptest::option::of("https://[a-z.]{1,40}/")).prop_map(
            |(host, addresses, relay)| Ticket {
                host: HostId::from_bytes(host),
                addresses: addresses.into_iter().map(SocketAddr::from).collect(),
                relay,
            },
        )
    }

    fn example() -> Ticket {
        Ticket {
            host: HostId::from_bytes([0xab; 32]),
            addresses: vec!["192.0.2.7:4433".parse().unwrap(), "[2001:db8::1]:4433".parse().unwrap()],
            relay: Some("https://relay.example.org/".to_owned()),
        }
    }

    #[test]
    fn the_text_is_frozen() {
        let text = concat!(
            "cansync1agv2xk5lvov2xk5lvov2xk5lvov2xk5lvov2xk5lvov2xk5lvov2wgtior2ha4z2f4xxezlmmf4s4zlymfwxa3dffzxx",
            "ezzpaicmaaaca4ivcbraaeg3qaaaaaaaaaaaaaaaaaabcfiutmduea"
        );
        assert_eq!(example().to_string(), text);
        assert_eq!(text.parse::<Ticket>().unwrap(), example());
        assert_eq!(text.replace("cansync1", " cansync1").parse::<Ticket>().unwrap(), example());
    }

    proptest! {
        #[test]
        fn tickets_read_back(ticket in tickets()) {
            let text = ticket.to_string();
            prop_assert!(text.len() <= limits::TICKET_BYTES);
            prop_assert_eq!(text.parse::<Ticket>().unwrap(), ticket.clone());
            let shouted = format!("cansync1{}", text["cansync1".len()..].to_ascii_uppercase());
            prop_assert_eq!(shouted.parse::<Ticket>().unwrap(), ticket);
        }

        #[test]
        fn half_a_ticket_is_never_a_ticket(ticket in tickets(), end in any::<prop::sample::Index>()) {
            let text = ticket.to_string();
            let error = text[..end.index(text.len())].parse::<Ticket>().unwrap_err();
            prop_assert!(error.may_be_half_written(), "{error}");
        }

        #[test]
        fn a_changed_character_is_noticed(ticket in tickets(), at in any::<prop::sample::Index>(), to in "[a-z2-7]") {
            let text = ticket.to_string();
            let at = "cansync1".len() + at.index(text.len() - "cansync1".len());
            prop_assume!(text[at..=at] != to);
            let mut changed = text;
            changed.replace_range(at..=at, &to);
            prop_assert!(changed.parse::<Ticket>().is_err());
        }

        #[test]
        fn no_text_is_too_odd(text in ".{0,200}", payload in "[a-z2-7]{0,200}") {
            let _ = text.parse::<Ticket>().map_err(|error| error.to_string());
            let made_up = format!("cansync1{payload}").parse::<Ticket>();
            prop_assert!(made_up.is_err());
        }
    }

    #[test]
    fn what_is_no_ticket_gets_a_fitting_answer() {
        let text = example().to_string();
        let with_char = format!("{}!{}", &text[..20], &text[21..]);
        let wrong = format!("{}{}", &text[..text.len() - 9], "aaaaaaaaa");
        for (text, answer) in [
            ("", "empty"),
            (" \n", "empty"),
            ("cans", "not complete"),
            ("cansync", "not complete"),
            ("cansync1", "not complete"),
            (with_char.as_str(), "position 21"),
            (wrong.as_str(), "checksum"),
            ("cansync2abcdef", "later version"),
            ("cansync1aiaaaaaa", "later version"),
            ("hello", "is no ticket"),
            ("legal winner thank year wave sausage worth useful legal winner thank yellow", "secret phrase"),
            ("correct-horse battery staple", "secret phrase"),
            (&"x".repeat(5000), "5000 bytes"),
        ] {
            let error = text.parse::<Ticket>().unwrap_err().to_string();
            assert!(error.contains(answer), "{text}: {error}");
            assert!(!error.contains("sausage"), "repeats the secret: {error}");
        }
    }

    #[test]
    fn a_sealed_ticket_that_makes_no_sense_is_refused() {
        let sealed = |mut body: Vec<u8>| {
            let checksum = blake3::hash(&body);
            body.extend_from_slice(&checksum.as_bytes()[..CHECKSUM]);
            format!("cansync1{}", BASE32_NOPAD.encode(&body).to_ascii_lowercase()).parse::<Ticket>()
        };
        let mut start = vec![VERSION];
        start.extend_from_slice(&[1; 32]);
        let with = |tail: &[u8]| [start.as_slice(), tail].concat();
        assert!(sealed(with(&[0, 0])).is_ok());
        for tail in [&[0, 0, 9][..], &[0, 1, 5, 1, 2, 3, 4, 0, 80], &[2, 0xff, 0xfe, 0]] {
            assert!(matches!(sealed(with(tail)), Err(ParseTicketError::Malformed(_))), "{tail:?}");
        }
    }
}
