//! One instance of a plugin, and what the host keeps beside it.

use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use wasmtime::ResourceLimiter;
use wasmtime::Store;
use wasmtime::UpdateDeadline;
use wasmtime::component::InstancePre;
use wasmtime_wasi::WasiCtxView;
use wasmtime_wasi::WasiView;

use super::contract_0_1::Calls;
use super::contract_0_1::Exports;
use super::figures::Log;
use super::loaded::Description;
use super::loaded::Failure;
use super::loaded::shortened;
use super::sandbox::Sandbox;
use super::settings::Settings;
use super::state::State;
use super::turns::Deadline;
use super::turns::Turns;
use super::used::Peaks;
use super::wasi;
use crate::asset::Metadata;
use crate::hook::Asked;
use crate::hook::Content;
use crate::hook::Verdict;

/// What all instances of a plugin share.
pub(super) struct About {
    pub(super) name: String,
    /// BLAKE3 of the component.
    pub(super) digest: [u8; 32],
    pub(super) settings: Settings,
    pub(super) log: Arc<Log>,
    pub(super) state: State,
    /// Size of the component in bytes.
    pub(super) bytes: u64,
    /// The most that instances have used.
    pub(super) peaks: Peaks,
}

/// Code that is ready to be instantiated.
#[derive(Clone)]
pub(super) struct Code {
    pub(super) sandbox: Sandbox,
    pub(super) pre: InstancePre<Guest>,
    /// Whether it imports WASI.
    pub(super) wasi: bool,
    pub(super) exports: Exports,
    /// Calls that may run beside one.
    pub(super) others: u32,
}

/// What the host keeps for one instance.
pub(super) struct Guest {
    pub(super) about: Arc<About>,
    pub(super) call: Call,
    turns: Turns,
    memory_bytes: usize,
    table_elements: usize,
    /// For components that import it: it takes longer to make than all the rest.
    wasi: Option<wasi::Empty>,
}

/// What belongs to one call.
pub(super) struct Call {
    deadline: Deadline,
    pub(super) content: Option<Arc<dyn Content>>,
    pub(super) content_left: u64,
    /// Why the content could not be read, if it could not: what the plugin says then is no answer about the asset.
    pub(super) unread: Option<String>,
    /// Whether the host is reading the content for it.
    pub(super) reading: bool,
}

/// An instance that has been configured.
pub(super) struct Instance {
    store: Store<Guest>,
    calls: Calls,
    asked: u32,
}

/// Ends a call whose time is over.
#[derive(Debug, thiserror::Error)]
#[error("the time is over")]
struct OutOfTime;

/// Ends a call that wants more than it may have.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OutOfLimit(String);

impl Instance {
    /// Makes an instance and has it introduce itself, without configuring it.
    pub(super) async fn introduce(code: &Code, about: &Arc<About>) -> Result<(Self, Description), Failure> {
        let (mut store, deadline) = Self::store(code, about);
        store.set_epoch_deadline(1);
        let _running = code.sandbox.run();
        let starting = async {
            let instance = code.pre.instantiate_async(&mut store).await?;
            let calls = code.exports.load(&mut store, &instance)?;
            let described = calls.describe(&mut store).await?;
            Ok((calls, described))
        };
        let (calls, described) = in_time(&deadline, pin!(starting)).await?;
        store.data().end_lines();
        Ok((Self { store, calls, asked: 0 }, described))
    }

    /// Makes an instance and configures it.
    pub(super) async fn start(code: &Code, about: &Arc<About>) -> Result<Self, Failure> {
        let began = Instant::now();
        let (mut instance, _) = Self::introduce(code, about).await?;
        instance.configure(code).await?;
        about.peaks.started(began.elapsed());
        Ok(instance)
    }

    /// Hands the instance the configuration of the plugin.
    pub(super) async fn configure(&mut self, code: &Code) -> Result<(), Failure> {
        let about = Arc::clone(&self.store.data().about);
        let deadline = self.begin(code, about.settings.limits.start, None);
        let _running = code.sandbox.run();
        let configuration = about.settings.configuration.to_string();
        let configured = in_time(&deadline, pin!(self.calls.configure(&mut self.store, &configuration))).await?;
        self.store.data().end_lines();
        configured.map_err(|why| Failure::Configuration(shortened(why)))
    }

    /// Asks about an asset whose metadata is as earlier plugins left it. After an error the instance is not to be used
    /// again.
    pub(super) async fn ask(&mut self, code: &Code, asked: &Asked, metadata: &Metadata) -> Result<Verdict, Failure> {
        let limit = self.store.data().about.settings.limits.call;
        self.asked += 1;
        let deadline = self.begin(code, limit, asked.content.clone());
        let _running = code.sandbox.run();
        let answer = in_time(&deadline, pin!(self.calls.ask(&mut self.store, asked, metadata))).await;
        self.store.data().end_lines();
        let Guest { about, call, .. } = self.store.data_mut();
        call.content = None;
        about.peaks.content(about.settings.limits.content_bytes - call.content_left);
        match call.unread.take() {
            Some(error) if answer.is_ok() => Err(Failure::Content(error)),
            _ => answer?,
        }
    }

    /// Tells whether the last call ended while the host was reading the content for it.
    pub(super) fn ended_reading(&self) -> bool {
        self.store.data().call.reading
    }

    /// Tells whether the instance has served long enough, or grown large.
    pub(super) fn is_worn(&self) -> bool {
        let guest = self.store.data();
        let limits = &guest.about.settings.limits;
        self.asked >= limits.calls_per_instance || guest.memory_bytes > limits.memory_bytes / 2
    }

    fn begin(&mut self, code: &Code, limit: Duration, content: Option<Arc<dyn Content>>) -> Deadline {
        let guest = self.store.data_mut();
        let content_left = guest.about.settings.limits.content_bytes;
        let deadline = Deadline::new(limit, code.others, &guest.turns);
        guest.call = Call { deadline: deadline.clone(), content, content_left, unread: None, reading: false };
        self.store.set_epoch_deadline(1);
        deadline
    }

    /// Makes what an instance lives in, and begins its start.
    fn store(code: &Code, about: &Arc<About>) -> (Store<Guest>, Deadline) {
        let turns = Turns::default();
        let deadline = Deadline::new(about.settings.limits.start, code.others, &turns);
        let guest = Guest {
            about: Arc::clone(about),
            call: Call { deadline: deadline.clone(), content: None, content_left: 0, unread: None, reading: false },
            turns,
            memory_bytes: 0,
            table_elements: 0,
            wasi: code.wasi.then(|| wasi::Empty::new(about)),
        };
        let mut store = Store::new(code.pre.engine(), guest);
        store.limiter(|guest| guest);
        store.set_hostcall_fuel(about.settings.limits.answer_bytes);
        // At every tick others get their turn, and at the deadline it ends.
        store.epoch_deadline_callback(|guest| {
            if guest.data().call.deadline.is_over() {
                return Err(wasmtime::Error::new(OutOfTime));
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(guest.data().turns.clone().give())))
        });
        (store, deadline)
    }
}

/// Runs something of a guest, which ends itself when its time is over; where it waits for the host, it is ended.
async fn in_time<T>(
    deadline: &Deadline,
    running: Pin<&mut impl Future<Output = wasmtime::Result<T>>>,
) -> Result<T, Failure> {
    match deadline.keep(running).await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => Err(failure(&error, deadline.limit())),
        None => Err(Failure::Deadline(deadline.limit())),
    }
}

fn failure(error: &wasmtime::Error, limit: Duration) -> Failure {
    if error.downcast_ref::<OutOfTime>().is_some() {
        Failure::Deadline(limit)
    } else if let Some(OutOfLimit(text)) = error.downcast_ref() {
        Failure::Limit(text.clone())
    } else if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        Failure::Trap(trap.to_string())
    } else {
        // What lies around it says only where in the plugin it was.
        let cause = error.root_cause().to_string();
        // Its type is not public.
        if cause.contains("fuel allocated for hostcalls has been exhausted") {
            return Failure::Limit(
                "to pass more in one answer, or one call of the host, than `answer_kib` lets it".to_owned(),
            );
        }
        Failure::Broken(cause)
    }
}

/// Writes an error of wasmtime and its causes in one line.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}

impl Guest {
    /// Writes down what was printed without the end of a line.
    fn end_lines(&self) {
        self.wasi.iter().for_each(wasi::Empty::end_lines);
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let (wanted, limit) = (self.memory_bytes + (desired - current), self.about.settings.limits.memory_bytes);
        if wanted > limit {
            return Err(wasmtime::Error::new(OutOfLimit(format!("{wanted} bytes of memory, the limit is {limit}"))));
        }
        self.memory_bytes = wanted;
        self.about.peaks.memory(wanted);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let (wanted, limit) = (self.table_elements + (desired - current), self.about.settings.limits.table_elements);
        if wanted > limit {
            return Err(wasmtime::Error::new(OutOfLimit(format!("{wanted} table elements, the limit is {limit}"))));
        }
        self.table_elements = wanted;
        self.about.peaks.table(wanted);
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.about.settings.limits.instances
    }

    fn tables(&self) -> usize {
        self.about.settings.limits.instances
    }

    fn memories(&self) -> usize {
        self.about.settings.limits.instances
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.as_mut().expect("only who imports WASI is linked with it").view()
    }
}
