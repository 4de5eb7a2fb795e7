//! The order of construction.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio::sync::broadcast;
use tokio::sync::watch;

use super::data_folder::DataFolder;
use super::data_folder::DataFolderError;
use super::discovery::Discovery;
use super::discovery::DiscoveryOptions;
use super::discovery::Speaker;
use super::plugins;
use super::plugins::Begun;
use super::plugins::PluginOptions;
use super::plugins::Present;
use super::ticket_files;
use crate::asset::HostId;
use crate::auth::HostKey;
use crate::auth::Phrase;
use crate::database;
use crate::discovery;
use crate::engine;
use crate::engine::Engine;
use crate::event::Event;
use crate::hook::Peer;
use crate::library::Library;
use crate::library::Relay;
use crate::library::RelayPolicy;
use crate::library::Role;
use crate::library::Ticket;
use crate::limits;
use crate::net;
use crate::net::Net;
use crate::plugin;
use crate::state::State;
use crate::state::StateError;
use crate::store::Store;
use crate::store::can_service;
use crate::store::can_service::CanService;
use crate::store::can_service::SyncKey;
use crate::store::embedded;
use crate::store::embedded::EmbeddedStore;
use crate::sync::BrakeLimits;
use crate::task::Group;

/// A face that serves until its group is cancelled.
pub type Service = Box<dyn FnOnce(Group) -> BoxFuture<'static, ()> + Send>;

/// What a host is made of.
pub struct Options {
    /// Folder of what it remembers, locked.
    pub folder: DataFolder,
    /// Where its assets lie.
    pub store: StoreOptions,
    /// The phrase that all members share; a device that was paired needs none.
    pub phrase: Option<Phrase>,
    /// What this host does in the library.
    pub role: Role,
    /// What it lets travel over a relay.
    pub relay_policy: RelayPolicy,
    /// How much one author or peer may trash.
    pub brake: BrakeLimits,
    /// Its name, for people.
    pub name: String,
    /// Socket for peers; `None` for every interface and a port that is kept.
    pub bind_addr: Option<SocketAddr>,
    /// Relays.
    pub relay: Relay,
    /// How often sets are compared with peers when nothing happens.
    pub poll_interval: Duration,
    /// Where its ticket is written.
    pub ticket_file: Option<PathBuf>,
    /// Where the ticket of another host is read.
    pub connect_ticket_file: Option<PathBuf>,
    /// How other hosts are found.
    pub discovery: DiscoveryOptions,
    /// Where its plugins come from.
    pub plugins: PluginOptions,
}

/// Where the assets lie.
#[derive(Debug, Clone)]
pub enum StoreOptions {
    /// In the store that the program brings itself.
    Embedded {
        /// Its folder.
        storage_root: PathBuf,
        /// Time in which every content is hashed once, from the beginning of one walk to that of the next.
        verify_interval: Duration,
    },
    /// At a CAN Service that runs already.
    CanService {
        /// Where it is.
        url: String,
        /// Its `sync_api_key`.
        key: SyncKey,
        /// How often all its metadata is read again.
        sweep_interval: Duration,
    },
}

/// A host could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The state cannot be opened.
    #[error("{next}")]
    State {
        /// What to do.
        next: &'static str,
        /// What is wrong.
        source: database::OpenError,
    },
    /// The embedded store cannot be opened.
    #[error(transparent)]
    Store(#[from] embedded::OpenError),
    /// The CAN Service cannot be used as the store.
    #[error(transparent)]
    CanService(#[from] can_service::OpenError),
    /// The endpoint cannot be bound.
    #[error(transparent)]
    Net(#[from] net::BindError),
    /// Rendezvous cannot be done as it is configured.
    #[error("`pkarr_relays` cannot be used")]
    Rendezvous(#[from] discovery::BeginError),
    /// Plugins cannot be kept.
    #[error(transparent)]
    Plugins(#[from] plugin::StartError),
    /// What is known of peers cannot be read.
    #[error(transparent)]
    Known(#[from] StateError),
    /// The engine cannot start.
    #[error(transparent)]
    Engine(#[from] engine::StartError),
}

/// A running host.
pub struct Node {
    pub(super) folder: Arc<DataFolder>,
    pub(super) name: String,
    pub(super) store: Arc<dyn Store>,
    pub(super) state: State,
    pub(super) net: Net,
    pub(super) discovery: Arc<Discovery>,
    pub(super) engine: Engine,
    pub(super) plugins: Present,
    pub(super) judging: Group,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) faces: Group,
    pub(super) background: Group,
    pub(super) replication: Group,
    /// The folder of the embedded store.
    pub(super) storage_root: Option<PathBuf>,
    pub(super) ticket_file: Option<PathBuf>,
    pub(super) connect_ticket_file: Option<PathBuf>,
    pub(super) ticket_trouble: ticket_files::Trouble,
    pub(super) began: Instant,
}

impl Node {
    /// Builds a host, in this order: store, state, plugins, and the secret beside them; endpoint, discovery, engine.
    /// Nothing is served and nobody is dialled before [`serve`](Self::serve).
    ///
    /// # Errors
    /// [`StartError`] names what cannot be used; what was built before is given back.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let began = Instant::now();
        let library = Library::mirror();
        let folder = Arc::new(options.folder);
        let key = {
            let folder = Arc::clone(&folder);
            blocking(move || folder.host_key()).await?
        };
        // Stretching a phrase for the first time takes longer than all the rest, which goes on meanwhile.
        let circle = {
            let (folder, phrase, name) = (Arc::clone(&folder), options.phrase, library.name.clone());
            let own = net::host_id(&key);
            tokio::task::spawn_blocking(move || folder.circle(own, phrase.as_ref(), &name))
        };
        let (events, _) = broadcast::channel(limits::EVENTS_QUEUED);
        let whole = Group::new("host", on_panic(events.clone()));
        let place = Place {
            host: net::host_id(&key),
            data_dir: folder.path().to_owned(),
            poll_interval: options.poll_interval,
            events: events.clone(),
            group: whole.child("store"),
        };
        let storage_root = match &options.store {
            StoreOptions::Embedded { storage_root, .. } => Some(storage_root.clone()),
            StoreOptions::CanService { .. } => None,
        };
        let store = open_store(options.store, place).await?;
        let state = {
            let (path, name) = (folder.file("state.db"), library.name.clone());
            blocking(move || State::open(&path, &name)).await.map_err(|error| state_trouble(error, folder.path()))?
        };
        let host = Peer { id: net::host_id(&key), name: options.name.clone() };
        // Before anything is exchanged every plugin that is known is loaded, or counts as failing.
        let judging = whole.child("plugins");
        let Begun { plugins, hooks, exchange } =
            plugins::begin(options.plugins, &folder, &store, host, &judging).await?;
        let host_key = HostKey::from_seed(&key);
        let circle = watch::Sender::new(Arc::new(circle.await.expect("the work does not panic and is not cancelled")?));
        let net = Net::bind(net::Options {
            key,
            bind_addr: options.bind_addr,
            last_port: folder.last_port(),
            relay: options.relay,
            circle: circle.subscribe(),
        });
        let net = net.await?;
        if let Some(port) = net.port() {
            folder.keep_port(port)?;
        }
        let speaker = Speaker { key: host_key.clone(), name: options.name.clone() };
        let discovery = Discovery::prepare(options.discovery, state.peers().await?, &circle.borrow(), &net, speaker)?;
        let replication = whole.child("replication");
        let engine = Engine::start(
            engine::Options {
                store: Arc::clone(&store),
                state: state.clone(),
                net: net.clone(),
                hooks,
                library,
                role: options.role,
                relay_policy: options.relay_policy,
                circle,
                key: host_key,
                keep: folder.keeper(),
                brake: options.brake,
                name: options.name.clone(),
                poll_interval: options.poll_interval,
                events: events.clone(),
                exchange,
            },
            replication.clone(),
        );
        let engine = engine.await?;
        Ok(Self {
            folder,
            name: options.name,
            store,
            state,
            net,
            discovery: Arc::new(discovery),
            engine,
            plugins,
            judging,
            events,
            faces: whole.child("faces"),
            background: whole.child("background"),
            replication,
            storage_root,
            ticket_file: options.ticket_file,
            connect_ticket_file: options.connect_ticket_file,
            ticket_trouble: ticket_files::Trouble::default(),
            began,
        })
    }

    /// Serves the faces, accepts peers, writes the ticket, reads that of the other host and looks for others.
    pub fn serve(&self, faces: Vec<Service>) {
        for face in faces {
            let serving = face(self.faces.child("face"));
            self.faces.spawn("face", serving);
        }
        let engine = self.engine.clone();
        self.replication.spawn("accept", async move { engine.accept().await });
        if let Some(path) = self.ticket_file.clone() {
            let writing = ticket_files::write(self.discovery.own(), path, Arc::clone(&self.ticket_trouble));
            self.background.spawn_until_cancelled("ticket", writing);
        }
        self.discovery.begin(&self.net, &self.engine, &self.background);
        if let Some(path) = self.connect_ticket_file.clone() {
            let reading = ticket_files::read(self.engine.clone(), path);
            self.background.spawn_until_cancelled("connect ticket", reading);
        }
    }

    /// Keeps a connection to another host.
    pub async fn connect(&self, ticket: Ticket) {
        self.engine.connect(ticket).await;
    }

    /// Returns where this host can be reached now.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.net.ticket()
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Returns the id of this host.
    #[must_use]
    pub fn id(&self) -> HostId {
        self.net.id()
    }

    /// Follows what happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// What a store gets from the host that it belongs to.
struct Place {
    host: HostId,
    data_dir: PathBuf,
    poll_interval: Duration,
    events: broadcast::Sender<Event>,
    group: Group,
}

async fn open_store(options: StoreOptions, place: Place) -> Result<Arc<dyn Store>, StartError> {
    let Place { host, data_dir, poll_interval, events, group } = place;
    match options {
        StoreOptions::Embedded { storage_root, verify_interval } => {
            let notice = Arc::new(move |event| {
                let _ = events.send(event);
            });
            let verify_interval = Some(verify_interval);
            let options = embedded::Options { verify_interval, notice, ..embedded::Options::new(storage_root) };
            Ok(Arc::new(EmbeddedStore::open(options).await?))
        }
        StoreOptions::CanService { url, key, sweep_interval } => {
            let options = can_service::Options {
                url,
                key,
                host,
                spool_dir: data_dir.join("spool"),
                data_dir,
                poll_interval,
                sweep_interval,
                stall: limits::SERVICE_STALL,
                call_time: limits::SERVICE_CALL_TIME,
            };
            Ok(Arc::new(CanService::open(options, &group).await?))
        }
    }
}

/// Says what to do where the state cannot be opened. Losing it loses no asset, so nobody should stay away for it.
fn state_trouble(source: database::OpenError, folder: &Path) -> StartError {
    let is_full = || rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail == 0);
    let next = match source {
        database::OpenError::Newer { .. } => "what this host remembers was written by a later version",
        _ if source.is_disk_full() || is_full() => "the disk of `data_dir` is full; make room and start again",
        _ if source.is_damage() => {
            "what this host remembers is damaged; restore it, or move it and its -wal away: what was held, declined, \
             paused and braked is forgotten then, and no asset is lost"
        }
        _ => {
            "what this host remembers cannot be opened; see that this user may read and write it, and that nothing else has it open"
        }
    };
    StartError::State { next, source }
}

/// A task that panics is announced and logged, and the rest goes on.
fn on_panic(events: broadcast::Sender<Event>) -> crate::task::OnPanic {
    Arc::new(move |group, task, message| {
        tracing::error!(group, task, message, "a task panicked");
        let _ = events.send(Event::TaskPanicked { task: format!("{group}/{task}"), message: message.to_owned() });
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic and is not cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::causes;

    #[test]
    fn a_state_that_does_not_open_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let told = || {
            let error = State::open(&path, "mirror").unwrap_err();
            causes(&state_trouble(error, dir.path()))
        };
        std::fs::write(&path, "no database at all, ".repeat(1000)).unwrap();
        let damaged = told();
        assert!(damaged.contains("its -wal away") && damaged.contains("state.db"), "{damaged}");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let closed = told();
        assert!(closed.contains("may read and write it") && !closed.contains("damaged"), "{closed}");
        std::fs::remove_dir(&path).unwrap();
        drop(State::open(&path, "mirror").unwrap());
        rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 1_000_000).unwrap();
        let newer = told();
        assert!(newer.contains("later version") && newer.contains("start the newer can-sync"), "{newer}");
    }
}
