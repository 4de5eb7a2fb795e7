//! The WASI that a component gets which imports one: without files, sockets, arguments and environment. Its clock stands
//! still and its random numbers are the same at every start, unless granted; what it prints goes to the plugin's log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::HostMonotonicClock;
use wasmtime_wasi::HostWallClock;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::WasiCtxView;
use wasmtime_wasi::cli::IsTerminal;
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::p2::OutputStream;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::p2::StreamError;
use wasmtime_wasi::p2::StreamResult;
use wasmtime_wasi::random::Deterministic;

use super::figures::Log;
use super::instance::About;
use super::instance::Guest;
use super::settings::Grant;
use crate::limits;

/// What interfaces of WASI begin with.
pub(super) const PREFIX: &str = "wasi:";

/// Lets components import WASI.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// The WASI of one instance.
pub(super) struct Empty {
    ctx: WasiCtx,
    table: ResourceTable,
    printed: [Lines; 2],
}

impl Empty {
    pub(super) fn new(about: &About) -> Self {
        let grants = &about.settings.grants;
        let mut builder = WasiCtxBuilder::new();
        let printed = [tracing::Level::INFO, tracing::Level::WARN].map(|level| Lines::new(&about.log, level));
        let [stdout, stderr] = printed.clone();
        builder.stdout(stdout).stderr(stderr);
        builder.max_random_size(limits::plugin::READ_BYTES as u64);
        builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        if !grants.contains(&Grant::Clock) {
            builder.wall_clock(Still).monotonic_clock(Still);
        }
        if !grants.contains(&Grant::Random) {
            let mut bytes = vec![0; limits::plugin::RANDOM_BYTES];
            blake3::Hasher::new_derive_key("can-sync random numbers of a plugin v1")
                .update(&about.digest)
                .finalize_xof()
                .fill(&mut bytes);
            builder.secure_random(Deterministic::new(bytes.clone()));
            builder.insecure_random(Deterministic::new(bytes));
            builder.insecure_random_seed(0);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::plugin::RESOURCES);
        Self { ctx: builder.build(), table, printed }
    }

    pub(super) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }

    /// Writes down what was printed without the end of a line: with the call it belongs to, not with a later one.
    pub(super) fn end_lines(&self) {
        self.printed.iter().for_each(|lines| lines.0.end_line());
    }
}

/// A clock that stands still.
struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

/// What an instance prints, turned into lines of the log. Cloning shares the line that has begun.
///
/// It is written down at once, not by a task behind a queue: what a plugin prints before it traps says why it did.
#[derive(Clone)]
struct Lines(Arc<Printed>);

struct Printed {
    log: Arc<Log>,
    level: tracing::Level,
    line: Mutex<Vec<u8>>,
}

impl Lines {
    fn new(log: &Arc<Log>, level: tracing::Level) -> Self {
        Self(Arc::new(Printed { log: Arc::clone(log), level, line: Mutex::default() }))
    }
}

impl Printed {
    fn print(&self, bytes: &[u8]) {
        let mut line = self.line.lock();
        for byte in bytes {
            if *byte == b'\n' || line.len() >= limits::plugin::LOG_LINE_BYTES {
                self.log.line(self.level, &String::from_utf8_lossy(&line));
                line.clear();
            }
            if *byte != b'\n' {
                line.push(*byte);
            }
        }
    }

    /// Ends the line that has begun, if one has.
    fn end_line(&self) {
        let line = std::mem::take(&mut *self.line.lock());
        if !line.is_empty() {
            self.log.line(self.level, &String::from_utf8_lossy(&line));
        }
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        self.end_line();
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > limits::plugin::PRINT_BYTES {
            return Err(StreamError::trap("more was printed at once than `check-write` allows"));
        }
        self.0.print(&bytes);
        Ok(())
    }

    /// Ends no line: programs flush in the middle of one.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(limits::plugin::PRINT_BYTES)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
