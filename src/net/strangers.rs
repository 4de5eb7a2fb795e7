//! Places for connections that have proved nothing yet: how many there are, and how many of them one source may take.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use iroh::endpoint::IncomingAddr;
use parking_lot::Mutex;
use parking_lot::MutexGuard;

use crate::limits;

/// Where a connection says that it comes from, as far as whoever is there could have others like it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// The first three bytes of an IPv4 address.
    V4([u8; 3]),
    /// The first seven bytes of an IPv6 address, of which a household is given as many as it likes.
    V6([u8; 7]),
    /// A relay, which lets anybody in.
    Relay(String),
}

/// The places that are taken.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    taken: Mutex<BTreeMap<(Source, Shown), usize>>,
}

/// Whether a connection has shown that packets reach it where it says that it is; else anyone may have made it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    Yes,
    No,
}

/// What becomes of a connection that comes in.
#[derive(Debug)]
pub(super) enum Entry {
    /// It has a place, until this is dropped.
    Place(Place),
    /// It has to show first that it is where it says; that takes no place.
    Show,
    /// It is refused.
    Full,
}

/// A place that is taken.
#[derive(Debug)]
pub(super) struct Place {
    strangers: Arc<Strangers>,
    of: (Source, Shown),
}

impl Strangers {
    /// Decides about a connection.
    pub(super) fn enter(self: &Arc<Self>, from: &IncomingAddr, shown: bool) -> Entry {
        let (source, shown) = match from {
            IncomingAddr::Ip(address) => (Source::of(address.ip()), if shown { Shown::Yes } else { Shown::No }),
            // The relay knows where to send what is for it.
            IncomingAddr::Relay { url, .. } => (Source::Relay(url.to_string()), Shown::Yes),
            _ => (Source::Relay(String::new()), Shown::Yes),
        };
        let of = (source, shown);
        let mut taken = self.taken();
        let all: usize = taken.values().sum();
        let most = match shown {
            Shown::Yes => limits::STRANGERS,
            Shown::No => limits::STRANGERS / 2,
        };
        let of_source = taken.entry(of.clone()).or_default();
        if all < most && *of_source < limits::STRANGERS_PER_SOURCE {
            *of_source += 1;
            return Entry::Place(Place { strangers: Arc::clone(self), of });
        }
        if *of_source == 0 {
            taken.remove(&of);
        }
        match shown {
            Shown::Yes => Entry::Full,
            Shown::No => Entry::Show,
        }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<(Source, Shown), usize>> {
        self.taken.lock()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.strangers.taken();
        if let Some(of_source) = taken.get_mut(&self.of) {
            *of_source -= 1;
            if *of_source == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [first, second, third, _] = address.octets();
                Self::V4([first, second, third])
            }
            IpAddr::V6(address) => {
                let mut prefix = [0; 7];
                prefix.copy_from_slice(&address.octets()[..7]);
                Self::V6(prefix)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IncomingAddr {
        IncomingAddr::Ip(text.parse().unwrap())
    }

    /// Takes places until there is none; returns them, and what is said then.
    fn fill(strangers: &Arc<Strangers>, from: &IncomingAddr, shown: bool) -> (Vec<Place>, Entry) {
        let mut places = Vec::new();
        loop {
            match strangers.enter(from, shown) {
                Entry::Place(place) => places.push(place),
                other => return (places, other),
            }
        }
    }

    #[test]
    fn no_source_takes_more_than_its_share() {
        let strangers = Arc::new(Strangers::default());
        let (places, refused) = fill(&strangers, &ip("192.0.2.1:1"), true);
        assert_eq!(places.len(), limits::STRANGERS_PER_SOURCE);
        assert!(matches!(refused, Entry::Full));
        // Its neighbours are the same source, in either form; others are not.
        for same in ["192.0.2.200:5", "[::ffff:192.0.2.7]:5"] {
            assert!(matches!(strangers.enter(&ip(same), true), Entry::Full), "{same}");
        }
        assert!(matches!(strangers.enter(&ip("192.0.3.1:1"), true), Entry::Place(_)));
        let (_of_a_household, _) = fill(&strangers, &ip("[2001:db8:0:1::1]:1"), true);
        assert!(matches!(strangers.enter(&ip("[2001:db8:0:2::2]:1"), true), Entry::Full));
        assert!(matches!(strangers.enter(&ip("[2001:db8:0:100::1]:1"), true), Entry::Place(_)));
        drop(places);
        assert!(matches!(strangers.enter(&ip("192.0.2.1:1"), true), Entry::Place(_)));
    }

    #[test]
    fn addresses_that_were_made_up_leave_room_for_those_that_are_true() {
        let strangers = Arc::new(Strangers::default());
        let mut made_up = Vec::new();
        for network in 0..=255 {
            let (places, asked) = fill(&strangers, &ip(&format!("198.51.{network}.1:1")), false);
            made_up.extend(places);
            assert!(matches!(asked, Entry::Show));
        }
        assert_eq!(made_up.len(), limits::STRANGERS / 2);
        // Who is slandered by it is let in all the same.
        let (places, _) = fill(&strangers, &ip("198.51.0.1:1"), true);
        assert_eq!(places.len(), limits::STRANGERS_PER_SOURCE);
        drop((made_up, places));
        assert!(strangers.taken().is_empty());
    }
}
