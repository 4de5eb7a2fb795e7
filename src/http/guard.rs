//! Who may speak to a listener: programs on this machine, and no web page of another origin.
//!
//! A page in a browser can reach loopback addresses, also under a name of its own choice (DNS rebinding). So the Host
//! must name this listener, and a request that a browser marks as coming from elsewhere is refused, before routing. No
//! answer ever carries a CORS header.
//!
//! A listener on every address (`0.0.0.0`, `::`) is reached by addresses it does not know beforehand. Then a Host may
//! also be the address at which this very connection has come in: an address, which no page can have given a name to.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::Uri;
use axum::http::header;

use super::Failure;

/// Names under which a listener on a loopback address is known.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// What a browser says about where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks Host, Origin and the fetch metadata of a request.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Names without a port, in lower case.
    names: Vec<String>,
    port: u16,
    /// The listener is bound to every address of the machine.
    is_everywhere: bool,
}

impl Guard {
    /// Accepts the loopback names and the host part of the configured address, with the port that was bound.
    #[must_use]
    pub fn new(configured: &str, bound: SocketAddr) -> Self {
        let mut names: Vec<String> = LOOPBACK.map(str::to_owned).to_vec();
        let bound_name = match bound {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        let configured = split_port(configured).map_or(configured, |(name, _)| name).to_ascii_lowercase();
        for name in [configured, bound_name] {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Self { names, port: bound.port(), is_everywhere: bound.ip().is_unspecified() }
    }

    /// Tells whether a request may be answered; `local` is the address of this machine at which its connection has come
    /// in.
    ///
    /// # Errors
    /// [`Failure`] with 403 names the header that is not accepted.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap, local: Option<IpAddr>) -> Result<(), Failure> {
        let local = local.filter(|_| self.is_everywhere).map(|local| local.to_canonical());
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let names_us = |authority: &str| self.port_of(authority, local).is_some();
        if !host.is_some_and(names_us) || hosts.next().is_some() {
            let more = if self.is_everywhere { ", or the address of this machine that you can reach" } else { "" };
            return Err(Failure::forbidden(format!(
                "the Host header does not name this listener; use 127.0.0.1:{0} or localhost:{0}{more}",
                self.port
            )));
        }
        if uri.authority().is_some_and(|authority| !names_us(authority.as_str())) {
            return Err(Failure::forbidden("the address in the request line does not name this listener"));
        }
        let foreign =
            |origin: &axum::http::HeaderValue| !origin.to_str().is_ok_and(|origin| self.is_own(origin, local));
        if headers.get_all(header::ORIGIN).iter().any(foreign) {
            return Err(Failure::forbidden("requests from pages of another origin are not answered"));
        }
        let elsewhere = |site: &axum::http::HeaderValue| !matches!(site.as_bytes(), b"same-origin" | b"none");
        if headers.get_all(SEC_FETCH_SITE).iter().any(elsewhere) {
            return Err(Failure::forbidden("requests from pages of another site are not answered"));
        }
        Ok(())
    }

    /// Returns the port an authority stands for (80 when it names none), when its name is one of ours and its port
    /// absent or ours.
    fn port_of(&self, authority: &str, local: Option<IpAddr>) -> Option<u16> {
        let (name, port) = match split_port(authority) {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (authority, None),
        };
        let ours = self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
            || local.is_some_and(|local| address(name) == Some(local));
        (ours && port.is_none_or(|port| port == self.port)).then_some(port.unwrap_or(80))
    }

    /// Tells whether an origin is this listener's own: a page on another port is foreign.
    fn is_own(&self, origin: &str, local: Option<IpAddr>) -> bool {
        let port = origin.strip_prefix("http://").and_then(|authority| self.port_of(authority, local));
        port == Some(self.port)
    }
}

/// Splits an authority at the colon before its port; one inside brackets belongs to an address.
fn split_port(authority: &str) -> Option<(&str, &str)> {
    authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'))
}

/// Reads the name of an authority as an address, without brackets and as version 4 where it is one.
fn address(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical()),
        None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(configured: &str, headers: &[(HeaderName, &str)]) -> bool {
        let bound = "127.0.0.1:3210".parse().unwrap();
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        Guard::new(configured, bound).check(&Uri::from_static("/"), &headers, Some(Ipv4Addr::LOCALHOST.into())).is_ok()
    }

    #[test]
    fn the_host_must_name_this_listener() {
        for (host, fits) in [
            ("127.0.0.1:3210", true),
            ("127.0.0.1", true),
            ("localhost:3210", true),
            ("LocalHost", true),
            ("[::1]:3210", true),
            ("[::1]", true),
            ("192.168.1.5:3210", true),
            ("127.0.0.1:80", false),
            ("127.0.0.2:3210", false),
            ("localhost.evil.example:3210", false),
            ("evil.example", false),
            ("127.0.0.1:3210:3210", false),
            ("localhost:", false),
            ("", false),
            ("user@localhost", false),
        ] {
            assert_eq!(check("192.168.1.5:3210", &[(header::HOST, host)]), fits, "{host}");
        }
        assert!(!check("127.0.0.1:3210", &[]));
        assert!(!check("127.0.0.1:3210", &[(header::HOST, "192.168.1.5:3210")]));
        assert!(!check("127.0.0.1:3210", &[(header::HOST, "localhost"), (header::HOST, "localhost")]));
    }

    #[test]
    fn pages_from_elsewhere_are_refused() {
        for (name, value, fits) in [
            (header::ORIGIN, "http://127.0.0.1:3210", true),
            (header::ORIGIN, "http://localhost:3210", true),
            (header::ORIGIN, "http://localhost", false),
            (header::ORIGIN, "http://localhost:8080", false),
            (header::ORIGIN, "https://localhost:3210", false),
            (header::ORIGIN, "https://evil.example", false),
            (header::ORIGIN, "null", false),
            (SEC_FETCH_SITE, "same-origin", true),
            (SEC_FETCH_SITE, "none", true),
            (SEC_FETCH_SITE, "same-site", false),
            (SEC_FETCH_SITE, "cross-site", false),
        ] {
            assert_eq!(check("127.0.0.1:3210", &[(header::HOST, "localhost:3210"), (name, value)]), fits, "{value}");
        }
    }

    #[test]
    fn an_address_in_the_request_line_counts_too() {
        let guard = Guard::new("127.0.0.1:3210", "127.0.0.1:3210".parse().unwrap());
        let headers = [(header::HOST, "localhost".parse().unwrap())].into_iter().collect();
        assert!(guard.check(&Uri::from_static("http://localhost:3210/x"), &headers, None).is_ok());
        assert!(guard.check(&Uri::from_static("http://evil.example/x"), &headers, None).is_err());
    }

    #[test]
    fn a_listener_everywhere_is_named_by_the_address_of_the_connection() {
        let guard = |bound: &str| Guard::new(bound, bound.parse().unwrap());
        let check = |guard: &Guard, local: &str, name: &HeaderName, value: &str| {
            let mut headers: HeaderMap = [(header::HOST, "localhost".parse().unwrap())].into_iter().collect();
            headers.insert(name, value.parse().unwrap());
            guard.check(&Uri::from_static("/"), &headers, Some(local.parse().unwrap())).is_ok()
        };
        for (bound, local, host, fits) in [
            ("0.0.0.0:3210", "192.168.1.5", "192.168.1.5:3210", true),
            ("0.0.0.0:3210", "192.168.1.5", "192.168.1.5", true),
            ("0.0.0.0:3210", "192.168.1.5", "localhost:3210", true),
            ("0.0.0.0:3210", "192.168.1.5", "192.168.1.5:80", false),
            ("0.0.0.0:3210", "192.168.1.5", "192.168.1.6:3210", false),
            ("0.0.0.0:3210", "192.168.1.5", "evil.example:3210", false),
            ("0.0.0.0:3210", "192.168.1.5", "192.168.1.5.evil.example:3210", false),
            ("[::]:3210", "::ffff:192.168.1.5", "192.168.1.5:3210", true),
            ("[::]:3210", "fd00::5", "[fd00::5]:3210", true),
            ("[::]:3210", "fd00::5", "[fd00:0::5]", true),
            ("[::]:3210", "fd00::5", "fd00::5", false),
            ("[::]:3210", "fd00::5", "[fd00::6]:3210", false),
            ("127.0.0.1:3210", "192.168.1.5", "192.168.1.5:3210", false),
        ] {
            assert_eq!(check(&guard(bound), local, &header::HOST, host), fits, "{bound} {local} {host}");
        }
        for (origin, fits) in [
            ("http://192.168.1.5:3210", true),
            ("http://192.168.1.5:8080", false),
            ("http://192.168.1.6:3210", false),
            ("http://evil.example:3210", false),
        ] {
            assert_eq!(check(&guard("0.0.0.0:3210"), "192.168.1.5", &header::ORIGIN, origin), fits, "{origin}");
        }
    }
}
