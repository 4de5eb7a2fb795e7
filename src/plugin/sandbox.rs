//! The engines that plugins run in, and the clock that interrupts them.
//!
//! The clock is a thread of its own: it must go on when every worker of the runtime runs a plugin. It rests while
//! nothing runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::Thread;

use parking_lot::Mutex;
use wasmtime::Config;
use wasmtime::Engine;

use crate::limits;

/// Engines, one for each size of stack. Cloning shares them.
#[derive(Clone)]
pub(super) struct Sandbox(Arc<Inside>);

struct Inside {
    engines: Mutex<BTreeMap<usize, Engine>>,
    clock: Clock,
}

struct Clock {
    /// Calls that run now.
    running: AtomicUsize,
    resting: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

/// A call that runs; the clock ticks as long as there is one.
pub(super) struct Running(Arc<Inside>);

impl Sandbox {
    pub(super) fn new() -> Self {
        let clock = Clock { running: AtomicUsize::new(0), resting: AtomicBool::new(false), thread: Mutex::new(None) };
        let inside = Arc::new(Inside { engines: Mutex::default(), clock });
        let weak = Arc::downgrade(&inside);
        let spawned = std::thread::Builder::new().name("plugin clock".to_owned()).spawn(move || tick(&weak));
        let thread = spawned.expect("a thread can be started").thread().clone();
        *inside.clock.thread.lock() = Some(thread);
        Self(inside)
    }

    /// Returns the engine whose calls have a stack of this size.
    pub(super) fn engine(&self, stack_bytes: usize) -> wasmtime::Result<Engine> {
        let mut engines = self.0.engines.lock();
        if let Some(engine) = engines.get(&stack_bytes) {
            return Ok(engine.clone());
        }
        let mut config = Config::new();
        config.epoch_interruption(true);
        config.max_wasm_stack(stack_bytes);
        config.async_stack_size(stack_bytes + limits::plugin::HOST_STACK_BYTES);
        config.wasm_memory64(false);
        let engine = Engine::new(&config)?;
        engines.insert(stack_bytes, engine.clone());
        Ok(engine)
    }

    /// Keeps the clock going until the value is dropped.
    pub(super) fn run(&self) -> Running {
        let clock = &self.0.clock;
        clock.running.fetch_add(1, Ordering::SeqCst);
        if clock.resting.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*clock.thread.lock()
        {
            thread.unpark();
        }
        Running(Arc::clone(&self.0))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.clock.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // The clock sees that there is nothing left to tick for.
        if let Some(thread) = &*self.clock.thread.lock() {
            thread.unpark();
        }
    }
}

fn tick(inside: &Weak<Inside>) {
    let mut idle_ticks = 0;
    loop {
        std::thread::sleep(limits::plugin::TICK);
        let Some(inside) = inside.upgrade() else { return };
        inside.engines.lock().values().for_each(Engine::increment_epoch);
        idle_ticks = if inside.clock.running.load(Ordering::SeqCst) > 0 { 0 } else { idle_ticks + 1 };
        if idle_ticks < limits::plugin::IDLE_TICKS {
            continue;
        }
        inside.clock.resting.store(true, Ordering::SeqCst);
        // A call that began meanwhile may have missed that the clock rests.
        if inside.clock.running.load(Ordering::SeqCst) == 0 {
            drop(inside);
            std::thread::park();
        }
        idle_ticks = 0;
    }
}
