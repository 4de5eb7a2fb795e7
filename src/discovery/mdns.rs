//! The local network: hosts announce their addresses by multicast DNS.
//!
//! The name of the service is the same for every library and every user, so a stranger on the network learns that
//! can-sync runs there, its endpoint id and its addresses, and nothing of which library it is. What strangers announce
//! is found too: the dial that a find causes shows who is a member.

use std::net::Ipv4Addr;
use std::net::SocketAddr;

use async_trait::async_trait;
use futures_util::StreamExt;
use iroh::EndpointId;
use iroh::address_lookup::AddressLookup;
use iroh::address_lookup::EndpointData;
use iroh_mdns_address_lookup::DiscoveryEvent;
use iroh_mdns_address_lookup::MdnsAddressLookup;
use tokio::net::UdpSocket;

use super::source::Condition;
use super::source::Finder;
use super::source::Source;
use super::source::SourceError;
use super::source::Surroundings;
use crate::asset::HostId;
use crate::auth::pairing::MeetingPlace;
use crate::library::Ticket;
use crate::limits;
use crate::task::now_ms;

/// Name of the service.
const SERVICE: &str = "can-sync";

/// Where hosts of a local network ask each other.
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);

/// Announces this host on the local network and finds others there.
#[derive(Debug)]
pub struct Mdns {
    service: String,
}

impl Mdns {
    /// Its name, for people and for the configuration.
    pub const NAME: &str = "local network";

    /// Prepares it; nothing is sent before it runs.
    #[must_use]
    pub fn new() -> Self {
        Self { service: SERVICE.to_owned() }
    }

    /// Prepares to meet one device that pairs; others on the network can see at which place, and that somebody pairs.
    #[must_use]
    pub fn at(place: MeetingPlace) -> Self {
        Self { service: format!("{SERVICE}-{}", place.label()) }
    }
}

impl Default for Mdns {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Source for Mdns {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn run(&self, surroundings: Surroundings, finder: &Finder) -> Result<(), SourceError> {
        let mut own = surroundings.own;
        let unavailable = |source| SourceError::Unavailable { what: "multicast DNS cannot start", source };
        let id = EndpointId::from_bytes(own.borrow().host.as_bytes()).map_err(|error| unavailable(error.into()))?;
        let lookup =
            MdnsAddressLookup::builder().service_name(&self.service).discovery_cadence(limits::MDNS_ASKED_EVERY);
        // It is not made a look-up of the endpoint: what a dial looks up there, it does not tell its subscribers.
        let lookup = lookup.build(id).map_err(|error| unavailable(error.into()))?;
        let mut events = lookup.subscribe().await;
        let mut probe = tokio::time::interval(limits::MDNS_PROBED_EVERY);
        announce(&lookup, &own.borrow_and_update());
        loop {
            tokio::select! {
                changed = own.changed() => {
                    if changed.is_err() {
                        // The host stops.
                        return Ok(());
                    }
                    announce(&lookup, &own.borrow_and_update());
                }
                event = events.next() => match event {
                    Some(DiscoveryEvent::Discovered { endpoint_info, .. }) => {
                        let host = HostId::from_bytes(*endpoint_info.endpoint_id.as_bytes());
                        let mut addresses: Vec<SocketAddr> = endpoint_info.ip_addrs().copied().collect();
                        addresses.truncate(limits::TICKET_ADDRESSES);
                        finder.found(Ticket { host, addresses, relay: None }, now_ms(), None).await;
                    }
                    Some(DiscoveryEvent::Expired { endpoint_id }) => {
                        finder.gone(HostId::from_bytes(*endpoint_id.as_bytes())).await;
                    }
                    Some(_) => {}
                    None => return Err(unavailable("it has ended by itself".into())),
                },
                _ = probe.tick() => finder.is(condition().await),
            }
        }
    }
}

/// Announces where this host is on its networks; not its relay, which is of no use there.
fn announce(lookup: &MdnsAddressLookup, own: &Ticket) {
    lookup.publish(&own.addresses.iter().copied().map(iroh::TransportAddr::Ip).collect::<EndpointData>());
}

/// Tells whether this machine can send to a local network; the look-up itself does not say when it cannot.
async fn condition() -> Condition {
    let routed = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(GROUP).await
    };
    match routed.await {
        Ok(()) => Condition::Ok,
        Err(error) => Condition::Degraded(format!(
            "this machine has no network to ask (no way to {}: {error}); it is tried again",
            GROUP.0
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use iroh::SecretKey;
    use tokio::sync::mpsc;
    use tokio::sync::watch;

    use super::*;
    use crate::discovery::Find;
    use crate::discovery::Planned;
    use crate::discovery::Search;
    use crate::task::Group;

    /// A hang becomes a failure after this.
    const LONG: Duration = Duration::from_secs(60);

    struct Host {
        ticket: Ticket,
        search: Search,
        finds: mpsc::Receiver<Find>,
        own: watch::Sender<Ticket>,
        _connected: watch::Sender<Vec<Ticket>>,
        group: Group,
    }

    fn start(addresses: &[&str]) -> Host {
        let mut seed = [0; 32];
        // Another test run on this network is another pair of hosts.
        getrandom::fill(&mut seed).unwrap();
        let host = HostId::from_bytes(*SecretKey::from_bytes(&seed).public().as_bytes());
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let ticket = Ticket { host, addresses, relay: Some("https://relay.example.org./".to_owned()) };
        let group = Group::new("test", Arc::new(|_, _, message| panic!("{message}")));
        let (own, own_seen) = watch::channel(ticket.clone());
        let (connected, connected_seen) = watch::channel(Vec::new());
        let surroundings = Surroundings { own: own_seen, connected: connected_seen };
        let (search, finds) = Search::start(vec![Planned::On(Box::new(Mdns::new()))], surroundings, &group);
        Host { ticket, search, finds, own, _connected: connected, group }
    }

    impl Host {
        /// Waits until another host was found; strangers may be on the network too.
        async fn finds(&mut self, other: HostId) -> Ticket {
            let finding = async {
                loop {
                    let find = self.finds.recv().await.unwrap();
                    if find.ticket.host == other {
                        return find.ticket;
                    }
                }
            };
            tokio::time::timeout(LONG, finding).await.expect("not found on the local network")
        }
    }

    /// Names this test to the program that runs it again in a network of its own.
    const TEST: &str = "discovery::mdns::tests::hosts_of_a_local_network_find_each_other";

    /// Runs the test again in a network with nothing but a loopback that carries multicast, so that nothing leaves the
    /// machine and nobody else is heard.
    fn run_in_a_network_of_its_own() {
        let script = "ip link set lo up && ip link set lo multicast on && ip route add 224.0.0.0/4 dev lo && exec \"$0\" \
                      --exact \"$1\" --nocapture";
        let namespace = |command: &[&str]| {
            let mut unshare = std::process::Command::new("unshare");
            unshare.args(["--user", "--map-root-user", "--net"]).args(command);
            unshare
        };
        let can = namespace(&["ip", "link", "set", "lo", "up"]).output().is_ok_and(|output| output.status.success());
        if !can {
            return crate::telemetry::skip(&format!("{TEST}: this machine makes no network namespaces"));
        }
        let program = std::env::current_exe().unwrap();
        let mut test = namespace(&["sh", "-c", script, program.to_str().unwrap(), TEST]);
        let output = test.env("CAN_SYNC_TEST_NETWORK", "own").output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn hosts_of_a_local_network_find_each_other() {
        if std::env::var_os("CAN_SYNC_TEST_NETWORK").is_none() {
            return run_in_a_network_of_its_own();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(find_each_other());
    }

    async fn find_each_other() {
        assert_eq!(condition().await, Condition::Ok);
        let (mut a, mut b) = (start(&["192.0.2.1:4433"]), start(&["192.0.2.2:4433", "198.51.100.2:4433"]));
        let found = a.finds(b.ticket.host).await;
        assert_eq!(found.relay, None, "only addresses are announced");
        assert!(found.addresses.iter().all(|address| b.ticket.addresses.contains(address)), "{found:?}");
        assert_eq!(b.finds(a.ticket.host).await.addresses, a.ticket.addresses);
        assert_eq!(a.search.health(), [("local network", Condition::Ok.into())]);
        let moved = Ticket { addresses: vec!["203.0.113.2:4433".parse().unwrap()], ..b.ticket.clone() };
        b.own.send(moved.clone()).unwrap();
        let mut found = a.finds(b.ticket.host).await;
        while found.addresses != moved.addresses {
            found = a.finds(b.ticket.host).await;
        }
        a.group.shut_down().await;
        b.group.shut_down().await;
    }
}
