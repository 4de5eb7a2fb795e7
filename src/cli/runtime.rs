//! Running a host from the command line: settings to options, faces to services, signals to an end.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use rustix::process::Resource;
use rustix::process::Rlimit;

use crate::config;
use crate::config::ConfigError;
use crate::config::Key;
use crate::config::PkarrDht;
use crate::config::Settings;
use crate::http;
use crate::http::Listener;
use crate::http::Secret;
use crate::node;
use crate::node::BrakeLimits;
use crate::node::DataFolder;
use crate::node::DiscoveryOptions;
use crate::node::Node;
use crate::node::Pkarr;
use crate::node::PluginOptions;
use crate::node::StoreOptions;
use crate::store::can_service::SyncKey;

/// A host that runs, and the addresses of its faces.
pub(super) struct Running {
    pub(super) node: Arc<Node>,
    /// Of the embedded store; a CAN Service answers for itself.
    pub(super) can_api: Option<SocketAddr>,
    pub(super) host_api: SocketAddr,
}

/// Starts the runtime that a host needs. From then on the process leaves no core file.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    leave_no_core();
    // Every HTTPS client of the process shares this provider; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// Keeps what is in memory out of core files: the library's secret and the host's key are, as long as a host runs.
fn leave_no_core() {
    // One byte is less than any core file has, and besides it is the sign for Linux to start no program that would be
    // handed it, which it does with a limit of zero. The process stays open to who runs it (`PR_SET_DUMPABLE`): else
    // `/proc` would hide from its own user how much memory it takes, and nobody could trace what it does.
    let most = rustix::process::getrlimit(Resource::Core).maximum.map_or(1, |most| most.min(1));
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    if let Err(error) = rustix::process::setrlimit(Resource::Core, limit) {
        tracing::warn!(%error, "a crash may leave secrets in a core file");
    }
}

/// Binds the address that a key of the configuration gives.
async fn listener(key: Key, address: SocketAddr) -> anyhow::Result<Listener> {
    Listener::bind(&address.to_string()).await.with_context(|| format!("`{}` cannot be used", key.name()))
}

/// Starts a host with its faces. First the data folder is locked, so that a second host on it is told what is the
/// matter, then the listeners are bound: a port in use costs nothing then.
pub(super) async fn start(settings: &Settings, safe_mode: bool) -> anyhow::Result<Running> {
    let phrase = settings.secret(DataFolder::has_members(&settings.data_dir))?.cloned();
    let store = store_options(settings)?;
    let data_dir = settings.data_dir.clone();
    let folder = tokio::task::spawn_blocking(move || DataFolder::open(&data_dir)).await??;
    let host_listener = listener(Key::ListenAddr, settings.listen_addr).await?;
    let can_listener = match &store {
        StoreOptions::Embedded { .. } => Some(listener(Key::CanListenAddr, settings.can_listen_addr).await?),
        StoreOptions::CanService { .. } => None,
    };
    // Before the endpoint is there, which has to be ended in order.
    let token = Secret::new(&folder.api_token()?);
    let options = node::Options {
        folder,
        store,
        phrase,
        role: settings.role,
        relay_policy: settings.relay_policy,
        brake: BrakeLimits { assets: settings.brake_assets, per_mille: settings.brake_per_mille },
        name: settings.device_name.clone(),
        bind_addr: settings.bind_addr,
        relay: settings.relay.clone(),
        poll_interval: settings.poll_interval,
        ticket_file: settings.ticket_file.clone(),
        connect_ticket_file: settings.connect_ticket_file.clone(),
        discovery: DiscoveryOptions {
            peers: settings.peers.clone(),
            mdns: settings.mdns,
            gossip: settings.gossip,
            pkarr: pkarr(settings),
        },
        plugins: plugin_options(settings, safe_mode),
    };
    let node = Arc::new(Node::start(options).await?);
    let (host_api, can_api) = (host_listener.address(), can_listener.as_ref().map(Listener::address));
    let mut faces = vec![host_listener.served(http::host::router(Arc::clone(&node), token))];
    if let Some(listener) = can_listener {
        faces.push(listener.served(http::can::router(http::can::Options {
            store: node.store(),
            host: node.id(),
            sync_api_key: settings.sync_api_key.as_ref().map(|key| Secret::new(key.expose())),
        })));
    }
    node.serve(faces);
    Ok(Running { node, can_api, host_api })
}

/// Returns where hosts meet that know nothing of each other but the secret.
pub(super) fn pkarr(settings: &Settings) -> Pkarr {
    let dht = match &settings.pkarr_dht {
        PkarrDht::Off => None,
        PkarrDht::Public => Some(Vec::new()),
        PkarrDht::At(nodes) => Some(nodes.clone()),
    };
    Pkarr { relays: settings.rendezvous_relays(), dht }
}

fn plugin_options(settings: &Settings, safe_mode: bool) -> PluginOptions {
    let entries = settings.plugins.clone();
    PluginOptions {
        folder: settings.plugins_dir.clone(),
        named: entries.keys().cloned().collect(),
        settings: Arc::new(move |name, sidecar| config::plugin_settings(entries.get(name), sidecar)),
        safe_mode,
    }
}

fn store_options(settings: &Settings) -> Result<StoreOptions, ConfigError> {
    Ok(match settings.can_service()? {
        Some((url, key)) => StoreOptions::CanService {
            url: url.to_owned(),
            key: SyncKey::new(key.expose()),
            sweep_interval: settings.sweep_interval,
        },
        None => StoreOptions::Embedded {
            storage_root: settings.storage_root.clone(),
            verify_interval: settings.verify_interval,
        },
    })
}

impl Running {
    /// Stops the host in order.
    pub(super) async fn stop(self) {
        self.node.stop().await;
    }
}

/// Waits for SIGINT or SIGTERM. From the first one on, a second ends the process at once.
pub(super) async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::SignalKind;
    use tokio::signal::unix::signal;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            std::process::exit(super::exit::Exit::Interrupted as i32);
        }
    });
    Ok(())
}
