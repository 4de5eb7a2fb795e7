//! Version 0.1 of the contract (`wit/0.1.0`): its words in and out, and what the host does for a plugin.
//!
//! A later version gets a folder of its own beside this one; both end in the words of `hook`.

mod host;
mod words;

use wasmtime::Result;
use wasmtime::Store;
use wasmtime::component::HasSelf;
use wasmtime::component::Instance;
use wasmtime::component::InstancePre;
use wasmtime::component::Linker;

use super::instance::Guest;
use super::loaded::Description;
use super::loaded::Failure;
use crate::asset::Metadata;
use crate::hook::Asked;
use crate::hook::Point;
use crate::hook::Verdict;

#[allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "the code is generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/0.1.0",
        world: "full",
        imports: { "can-sync:plugin/content.read": async },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

use bindings::exports::can_sync::plugin as exports;

/// The package of the contract.
pub(super) const PACKAGE: &str = "can-sync:plugin";

/// The version of the contract that this host speaks.
pub(super) const VERSION: &str = "0.1.0";

/// Where the exports of a component are found; `None` for a hook it does not have.
#[derive(Clone)]
pub(super) struct Exports {
    lifecycle: exports::lifecycle::GuestIndices,
    before_push: Option<exports::before_push::GuestIndices>,
    before_pull: Option<exports::before_pull::GuestIndices>,
    after_receive: Option<exports::after_receive::GuestIndices>,
}

/// The exports of one instance.
pub(super) struct Calls {
    lifecycle: exports::lifecycle::Guest,
    before_push: Option<exports::before_push::Guest>,
    before_pull: Option<exports::before_pull::Guest>,
    after_receive: Option<exports::after_receive::Guest>,
}

/// Lets components import what the contract offers.
pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    bindings::Full::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

impl Exports {
    /// Looks the exports of a component up. A hook that is exported must have the right shape.
    pub(super) fn find(pre: &InstancePre<Guest>) -> Result<Self> {
        let interface = |name: &str| format!("{PACKAGE}/{name}@{VERSION}");
        let has = |name: &str| pre.component().get_export_index(None, interface(name).as_str()).is_some();
        Ok(Self {
            lifecycle: exports::lifecycle::GuestIndices::new(pre)?,
            before_push: has("before-push").then(|| exports::before_push::GuestIndices::new(pre)).transpose()?,
            before_pull: has("before-pull").then(|| exports::before_pull::GuestIndices::new(pre)).transpose()?,
            after_receive: has("after-receive").then(|| exports::after_receive::GuestIndices::new(pre)).transpose()?,
        })
    }

    /// Returns the hooks a component has.
    pub(super) fn points(&self) -> Vec<Point> {
        let points = [
            (Point::BeforePush, self.before_push.is_some()),
            (Point::BeforePull, self.before_pull.is_some()),
            (Point::AfterReceive, self.after_receive.is_some()),
        ];
        points.into_iter().filter(|(_, there)| *there).map(|(point, _)| point).collect()
    }

    /// Finds the exports in an instance; a function of another type than the contract says is an error.
    pub(super) fn load(&self, store: &mut Store<Guest>, instance: &Instance) -> Result<Calls> {
        Ok(Calls {
            lifecycle: self.lifecycle.load(&mut *store, instance)?,
            before_push: self.before_push.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
            before_pull: self.before_pull.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
            after_receive: self.after_receive.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
        })
    }
}

impl Calls {
    /// Has the plugin introduce itself.
    pub(super) async fn describe(&self, store: &mut Store<Guest>) -> Result<Description> {
        let described = self.lifecycle.call_describe(store).await?;
        Ok(Description {
            name: described.name,
            version: described.version,
            summary: described.summary,
            configuration: described.configuration,
        })
    }

    /// Hands the plugin its configuration; the inner error is what it says about it.
    pub(super) async fn configure(&self, store: &mut Store<Guest>, json: &str) -> Result<Result<(), String>> {
        self.lifecycle.call_configure(store, json).await
    }

    /// Asks about an asset whose metadata is as earlier plugins left it.
    pub(super) async fn ask(
        &self,
        store: &mut Store<Guest>,
        asked: &Asked,
        metadata: &Metadata,
    ) -> Result<Result<Verdict, Failure>> {
        // What is shown is lent, not copied: a call takes a few microseconds, and copies would be a good part of it.
        let (id, tags) = (asked.key.id.hex(), metadata.tags.iter().map(String::as_str).collect::<Vec<_>>());
        let peer = asked.peer.as_ref().map(|peer| peer.id.hex());
        let asset = words::asset(&id, &asked.key, metadata, &tags);
        let context = words::context(asked, peer.as_deref());
        let verdict = match asked.point {
            Point::BeforePush => match &self.before_push {
                Some(guest) => guest.call_before_push(store, asset, context).await?,
                None => return Ok(Ok(Verdict::Pass)),
            },
            Point::BeforePull => match &self.before_pull {
                Some(guest) => guest.call_before_pull(store, asset, context).await?,
                None => return Ok(Ok(Verdict::Pass)),
            },
            Point::AfterReceive => match &self.after_receive {
                Some(guest) => guest.call_after_receive(store, asset, context).await?,
                None => return Ok(Ok(Verdict::Pass)),
            },
        };
        Ok(words::verdict(verdict))
    }
}
