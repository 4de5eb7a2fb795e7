//! Plugins in a folder of their own, and assets to ask them about.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::super::Grant;
use super::super::Limits;
use super::super::Options;
use super::super::PluginStatus;
use super::super::Plugins;
use super::super::Samples;
use super::super::Settings;
use super::fixtures::Fixture;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Metadata;
use crate::asset::Timestamp;
use crate::hook::Asked;
use crate::hook::BoxFuture;
use crate::hook::Hooks;
use crate::hook::Judgement;
use crate::hook::Occasion;
use crate::hook::Point;
use crate::task::Group;

/// The folders of a host, and how its plugins are set up.
pub(super) struct Place {
    pub(super) root: tempfile::TempDir,
    pub(super) settings: Arc<Mutex<BTreeMap<String, Settings>>>,
    pub(super) named: BTreeSet<String>,
    pub(super) samples: Vec<Asked>,
}

/// Plugins that run.
pub(super) struct Host {
    pub(super) plugins: Plugins,
    group: Group,
}

struct Given(Vec<Asked>);

impl Samples for Given {
    fn latest(&self, count: usize) -> BoxFuture<'_, Vec<Asked>> {
        Box::pin(std::future::ready(self.0.iter().take(count).cloned().collect()))
    }
}

impl Place {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("plugins")).unwrap();
        Self { root, settings: Arc::default(), named: BTreeSet::new(), samples: Vec::new() }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("plugins").join(name)
    }

    /// Drops a file into the folder. All of it is there at once: with looks so close together a slow machine would have
    /// half of a large one taken for the whole.
    pub(super) fn drop_in(&self, name: &str, bytes: &[u8]) {
        let aside = self.root.path().join(name);
        std::fs::write(&aside, bytes).unwrap();
        std::fs::rename(aside, self.file(name)).unwrap();
    }

    pub(super) fn set(&self, name: &str, settings: Settings) {
        self.settings.lock().insert(name.to_owned(), settings);
    }

    pub(super) async fn start(&self) -> Host {
        let group = Group::new("test", Arc::new(|_, task, message| panic!("{task}: {message}")));
        let settings = Arc::clone(&self.settings);
        let options = Options {
            folder: self.root.path().join("plugins"),
            data: self.root.path().join("data"),
            settings: Arc::new(move |name, sidecar| {
                let set = settings.lock().get(name).cloned().unwrap_or_default();
                match sidecar.map(|sidecar| sidecar.text) {
                    None | Some("") => Ok(set),
                    Some("off" | "enabled: false") => Ok(Settings { enabled: false, ..set }),
                    Some(text) => Err(format!("the sidecar says {text}")),
                }
            }),
            named: self.named.clone(),
            samples: Arc::new(Given(self.samples.clone())),
            look_every: Duration::from_millis(20),
        };
        Host { plugins: Plugins::start(options, &group).await.unwrap(), group }
    }
}

impl Host {
    pub(super) async fn ask(&self, asked: &Asked) -> Judgement {
        self.plugins.ask(asked).await
    }

    pub(super) fn status(&self, name: &str) -> Option<PluginStatus> {
        self.plugins.status().into_iter().find(|status| status.name == name)
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), waiting).await.is_err() {
            panic!("{what}: {:#?}", self.plugins.status());
        }
    }

    pub(super) async fn stop(self) {
        self.group.shut_down().await;
    }
}

/// Starts a host with the one plugin `one`.
pub(super) async fn with_one(fixture: &Fixture, settings: Settings) -> (Place, Host) {
    let place = Place::new();
    place.drop_in("one.wasm", &fixture.build());
    place.set("one", settings);
    let host = place.start().await;
    (place, host)
}

/// Grants, and a call that may take its time on a machine that has none.
pub(super) fn granting(grants: &[Grant]) -> Settings {
    let limits = Limits { call: Duration::from_secs(20), ..Limits::default() };
    Settings { grants: grants.iter().copied().collect(), limits, ..Settings::default() }
}

/// Asks about an asset with tags, before a push.
pub(super) fn asked(tags: &[&str]) -> Asked {
    asked_at(Point::BeforePush, tags)
}

pub(super) fn asked_at(point: Point, tags: &[&str]) -> Asked {
    let metadata = Metadata {
        mime_type: Some("image/png".to_owned()),
        file_name: Some("beach.png".to_owned()),
        path: Some("holiday".to_owned()),
        user: Some("ann".to_owned()),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Metadata::default()
    };
    let timestamp = Timestamp::new(1_700_000_000_000).unwrap();
    Asked {
        point,
        library: "mirror".into(),
        key: AssetKey { id: AssetId::from_bytes([7; 32]), timestamp, size: 12 },
        metadata,
        peer: None,
        occasion: Occasion::Live,
        content: None,
        overruled: Vec::new(),
    }
}
