//! The list of keys.

/// A key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Key {
    /// Phrase that the members of the library share.
    SyncPassphrase,
    /// Whether a phrase that can be guessed is taken.
    AllowWeakPassphrase,
    /// Name of this host for people.
    DeviceName,
    /// What this host does in the library.
    Role,
    /// Assets that one author or peer may trash in an hour.
    BrakeAssets,
    /// Part of the library that one author or peer may trash in an hour.
    BrakePercent,
    /// Folder in which this host keeps what it remembers.
    DataDir,
    /// Folder of the embedded store.
    StorageRoot,
    /// Where the ticket of this host is written.
    TicketFile,
    /// Where the ticket of another host is read.
    ConnectTicketFile,
    /// Which relay is used.
    RelayUrl,
    /// What this host lets travel over a relay.
    RelayPolicy,
    /// Where hosts meet that know nothing of each other but the secret.
    PkarrRelays,
    /// Whether they meet in the DHT itself too.
    PkarrDht,
    /// Whether hosts on the local network find each other.
    Mdns,
    /// Whether members tell each other of those they know.
    Gossip,
    /// Tickets of hosts to which a connection is kept.
    Peers,
    /// Address of the socket that peers talk to.
    BindAddr,
    /// Seconds between two comparisons with a peer.
    PollIntervalSecs,
    /// Address of the host API.
    ListenAddr,
    /// Address of the CAN API of the embedded store.
    CanListenAddr,
    /// Hours in which every content is hashed once.
    VerifyIntervalHours,
    /// A CAN Service to mirror instead of the embedded store.
    CanServiceUrl,
    /// Key of the sync API.
    SyncApiKey,
    /// Seconds between two sweeps of all metadata of a CAN Service.
    SweepIntervalSecs,
    /// Folder that plugins are dropped into.
    PluginsDir,
}

impl Key {
    /// Every key, in the order of `config.yaml`.
    pub const ALL: [Self; 26] = [
        Self::SyncPassphrase,
        Self::AllowWeakPassphrase,
        Self::DeviceName,
        Self::Role,
        Self::BrakeAssets,
        Self::BrakePercent,
        Self::DataDir,
        Self::StorageRoot,
        Self::TicketFile,
        Self::ConnectTicketFile,
        Self::RelayUrl,
        Self::RelayPolicy,
        Self::PkarrRelays,
        Self::PkarrDht,
        Self::Mdns,
        Self::Gossip,
        Self::Peers,
        Self::BindAddr,
        Self::PollIntervalSecs,
        Self::ListenAddr,
        Self::CanListenAddr,
        Self::VerifyIntervalHours,
        Self::CanServiceUrl,
        Self::SyncApiKey,
        Self::SweepIntervalSecs,
        Self::PluginsDir,
    ];

    /// Returns the name in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SyncPassphrase => "sync_passphrase",
            Self::AllowWeakPassphrase => "allow_weak_passphrase",
            Self::DeviceName => "device_name",
            Self::Role => "role",
            Self::BrakeAssets => "brake_assets",
            Self::BrakePercent => "brake_percent",
            Self::DataDir => "data_dir",
            Self::TicketFile => "ticket_file",
            Self::ConnectTicketFile => "connect_ticket_file",
            Self::RelayUrl => "relay_url",
            Self::RelayPolicy => "relay_policy",
            Self::PkarrRelays => "pkarr_relays",
            Self::PkarrDht => "pkarr_dht",
            Self::Mdns => "mdns",
            Self::Gossip => "gossip",
            Self::Peers => "peers",
            Self::BindAddr => "bind_addr",
            Self::PollIntervalSecs => "poll_interval_secs",
            Self::ListenAddr => "listen_addr",
            Self::StorageRoot => "storage_root",
            Self::CanListenAddr => "can_listen_addr",
            Self::VerifyIntervalHours => "verify_interval_hours",
            Self::CanServiceUrl => "can_service_url",
            Self::SyncApiKey => "sync_api_key",
            Self::SweepIntervalSecs => "sweep_interval_secs",
            Self::PluginsDir => "plugins_dir",
        }
    }

    /// Finds a key by its name in the file.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Returns the name of the environment variable: `CAN_SYNC_` and the key in upper case.
    #[must_use]
    pub fn variable(self) -> String {
        format!("CAN_SYNC_{}", self.name().to_uppercase())
    }

    /// Returns the flag, the key with dashes. Secrets have none: everyone on a machine can read arguments.
    #[must_use]
    pub const fn flag(self) -> Option<&'static str> {
        match self {
            Self::SyncPassphrase | Self::SyncApiKey => None,
            Self::AllowWeakPassphrase => Some("--allow-weak-passphrase"),
            Self::DeviceName => Some("--device-name"),
            Self::Role => Some("--role"),
            Self::BrakeAssets => Some("--brake-assets"),
            Self::BrakePercent => Some("--brake-percent"),
            Self::DataDir => Some("--data-dir"),
            Self::TicketFile => Some("--ticket-file"),
            Self::ConnectTicketFile => Some("--connect-ticket-file"),
            Self::RelayUrl => Some("--relay-url"),
            Self::RelayPolicy => Some("--relay-policy"),
            Self::PkarrRelays => Some("--pkarr-relays"),
            Self::PkarrDht => Some("--pkarr-dht"),
            Self::Mdns => Some("--mdns"),
            Self::Gossip => Some("--gossip"),
            Self::Peers => Some("--peers"),
            Self::BindAddr => Some("--bind-addr"),
            Self::PollIntervalSecs => Some("--poll-interval-secs"),
            Self::ListenAddr => Some("--listen-addr"),
            Self::StorageRoot => Some("--storage-root"),
            Self::CanListenAddr => Some("--can-listen-addr"),
            Self::VerifyIntervalHours => Some("--verify-interval-hours"),
            Self::CanServiceUrl => Some("--can-service-url"),
            Self::SweepIntervalSecs => Some("--sweep-interval-secs"),
            Self::PluginsDir => Some("--plugins-dir"),
        }
    }

    /// Says in one line what the key is for.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::SyncPassphrase => "Secret that all members share",
            Self::AllowWeakPassphrase => "Take a phrase that can be guessed",
            Self::DeviceName => "What this machine is called on the others",
            Self::Role => "Whether this host sends, takes, or both: `mirror`, `send-only`, `receive-only`",
            Self::BrakeAssets => "Assets that one author or peer may trash in an hour",
            Self::BrakePercent => "Percent of the library that one author or peer may trash in an hour",
            Self::DataDir => "Folder of what this host remembers",
            Self::StorageRoot => "Folder of the embedded store",
            Self::TicketFile => "Where this host writes its ticket",
            Self::ConnectTicketFile => "Where the ticket of another host is found",
            Self::RelayUrl => "Relay for hosts that cannot reach each other directly, or `off`",
            Self::RelayPolicy => "What may travel over a relay: `allow`, `small_only`, `never`",
            Self::PkarrRelays => "Relays at which hosts with the same secret find each other, or `off`",
            Self::PkarrDht => "Find each other in the Mainline DHT too: `off`, `on`, or the nodes to begin at",
            Self::Mdns => "Find hosts on the local network, and be found there",
            Self::Gossip => "Tell members of other members, and hear of them",
            Self::Peers => "Tickets of hosts to stay connected to",
            Self::BindAddr => "Address and port that peers talk to",
            Self::PollIntervalSecs => "Seconds between two comparisons with a peer",
            Self::ListenAddr => "Address of the host API",
            Self::CanListenAddr => "Address of the CAN API of the embedded store",
            Self::VerifyIntervalHours => "Hours in which every asset is hashed once",
            Self::CanServiceUrl => "CAN Service to mirror in place of the embedded store",
            Self::SyncApiKey => "Key of the sync API",
            Self::SweepIntervalSecs => "Seconds between two sweeps of all metadata of a CAN Service",
            Self::PluginsDir => "Folder that plugins are dropped into",
        }
    }

    /// Tells whether the value is a list: in the file a list of YAML, elsewhere with commas.
    #[must_use]
    pub const fn is_list(self) -> bool {
        matches!(self, Self::PkarrRelays | Self::PkarrDht | Self::Peers)
    }

    /// Tells whether the value must not be shown.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        self.flag().is_none()
    }
}

/// Returns the name that a mistyped one most likely stands for.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).max(2);
    names
        .map(|known| (strsim::damerau_levenshtein(&name.to_lowercase().replace('-', "_"), known), known))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, known)| known)
}
