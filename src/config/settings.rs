//! The resolved configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::ConfigError;
use super::PluginEntry;
use crate::auth::Phrase;
use crate::library::Relay;
use crate::library::RelayPolicy;
use crate::library::Role;
use crate::library::Ticket;
use crate::limits;

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Zeroizing<String>);

impl Hidden {
    /// Hides a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// Returns the text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// Whether hosts meet in the Mainline DHT itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PkarrDht {
    /// They do not.
    Off,
    /// In the public one.
    Public,
    /// In the one that these nodes belong to.
    At(Vec<SocketAddrV4>),
}

/// Public pkarr relays, as pkarr itself names them (`DEFAULT_RELAYS`).
const PUBLIC_PKARR_RELAYS: [&str; 2] = ["https://pkarr.pubky.app", "https://pkarr.pubky.org"];

/// What the configuration says, every key with its value. Relative paths are relative to the current directory;
/// `plugins_dir` lies beside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Phrase that the members of the library share.
    pub sync_passphrase: Option<Phrase>,
    /// Whether a phrase that can be guessed is taken.
    pub allow_weak_passphrase: bool,
    /// Name of this host for people; the host name by default.
    pub device_name: String,
    /// What this host does in the library.
    pub role: Role,
    /// Assets that one author or peer may trash in an hour.
    pub brake_assets: usize,
    /// Part of the library that one author or peer may trash in an hour, in thousandths.
    pub brake_per_mille: u32,
    /// Folder in which this host keeps what it remembers.
    pub data_dir: PathBuf,
    /// Where the ticket of this host is written.
    pub ticket_file: Option<PathBuf>,
    /// Where the ticket of another host is read.
    pub connect_ticket_file: Option<PathBuf>,
    /// Which relay is used.
    pub relay: Relay,
    /// What this host lets travel over a relay.
    pub relay_policy: RelayPolicy,
    /// Where hosts meet that know nothing of each other but the secret; `None` for what goes with `relay`.
    pub pkarr_relays: Option<Vec<String>>,
    /// Whether they meet in the DHT itself too.
    pub pkarr_dht: PkarrDht,
    /// Whether hosts on the local network find each other.
    pub mdns: bool,
    /// Whether members tell each other of those they know.
    pub gossip: bool,
    /// Hosts to which a connection is kept.
    pub peers: Vec<Ticket>,
    /// Address of the socket that peers talk to; `None` for every address and a port that is kept.
    pub bind_addr: Option<SocketAddr>,
    /// Time between two comparisons with a peer.
    pub poll_interval: Duration,
    /// Address of the host API.
    pub listen_addr: SocketAddr,
    /// Folder of the embedded store.
    pub storage_root: PathBuf,
    /// Address of the CAN API of the embedded store.
    pub can_listen_addr: SocketAddr,
    /// Time in which every content is hashed once.
    pub verify_interval: Duration,
    /// A CAN Service to mirror instead of the embedded store.
    pub can_service_url: Option<String>,
    /// Key of the sync API: of the CAN Service, or required by the embedded store.
    pub sync_api_key: Option<Hidden>,
    /// Time between two sweeps of all metadata of a CAN Service.
    pub sweep_interval: Duration,
    /// Folder that plugins are dropped into.
    pub plugins_dir: PathBuf,
    /// How plugins are set up, by their names.
    pub plugins: BTreeMap<String, PluginEntry>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync_passphrase: None,
            allow_weak_passphrase: false,
            device_name: host_name(),
            role: Role::default(),
            brake_assets: limits::membership::BRAKE_ASSETS,
            brake_per_mille: limits::membership::BRAKE_PER_MILLE,
            data_dir: PathBuf::from("./can_sync_data"),
            ticket_file: None,
            connect_ticket_file: None,
            relay: Relay::Public,
            relay_policy: RelayPolicy::default(),
            pkarr_relays: None,
            pkarr_dht: PkarrDht::Off,
            mdns: true,
            gossip: true,
            peers: Vec::new(),
            bind_addr: None,
            poll_interval: Duration::from_secs(30),
            listen_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 3213)),
            storage_root: PathBuf::from("./can_data"),
            can_listen_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 3210)),
            verify_interval: Duration::from_hours(12),
            can_service_url: None,
            sync_api_key: None,
            sweep_interval: Duration::from_mins(5),
            plugins_dir: PathBuf::from("./plugins"),
            plugins: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Returns the phrase; a device that was paired needs none.
    ///
    /// # Errors
    /// [`ConfigError::MissingSecret`] without a phrase where one is needed, [`ConfigError::WeakPhrase`] when it can be
    /// guessed and that is not allowed.
    pub fn secret(&self, is_paired: bool) -> Result<Option<&Phrase>, ConfigError> {
        let Some(phrase) = &self.sync_passphrase else {
            return if is_paired { Ok(None) } else { Err(ConfigError::MissingSecret) };
        };
        if !self.allow_weak_passphrase {
            phrase.check_strength().map_err(ConfigError::WeakPhrase)?;
        }
        Ok(Some(phrase))
    }

    /// Returns the pkarr relays at which hosts meet: those that are named, else public ones where public services are
    /// used at all.
    #[must_use]
    pub fn rendezvous_relays(&self) -> Vec<String> {
        match (&self.pkarr_relays, &self.relay) {
            (Some(relays), _) => relays.clone(),
            (None, Relay::Public) => PUBLIC_PKARR_RELAYS.map(str::to_owned).to_vec(),
            (None, Relay::Off | Relay::Own(_)) => Vec::new(),
        }
    }

    /// Returns where the CAN Service is and the key of its sync API; `None` with the embedded store.
    ///
    /// # Errors
    /// [`ConfigError::MissingSyncKey`] when there is no key for it.
    pub fn can_service(&self) -> Result<Option<(&str, &Hidden)>, ConfigError> {
        let Some(url) = &self.can_service_url else { return Ok(None) };
        let key = self.sync_api_key.as_ref().ok_or(ConfigError::MissingSyncKey)?;
        Ok(Some((url, key)))
    }
}

/// Returns the name of this machine, cut to what a device name may have.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = name.trim();
    let end = name.floor_char_boundary(limits::DEVICE_NAME_BYTES);
    if end == 0 { "unnamed".to_owned() } else { name[..end].to_owned() }
}
