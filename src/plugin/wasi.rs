//! The WASI that a component gets which imports one: without files, sockets, arguments and environment. Its clock stands
//! still and its random numbers are the same at every start, unless granted; what it prints goes to the plugin's log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWrite;
use wasmtime::component::Linker;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::HostMonotonicClock;
use wasmtime_wasi::HostWallClock;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::IsTerminal;
use wasmtime_wasi::cli::StdoutStream;
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

/// Makes the WASI of one instance.
pub(super) fn context(about: &Arc<About>) -> WasiCtx {
    let grants = &about.settings.grants;
    let mut builder = WasiCtxBuilder::new();
    builder.stdout(Lines { log: Arc::clone(&about.log), level: tracing::Level::INFO });
    builder.stderr(Lines { log: Arc::clone(&about.log), level: tracing::Level::WARN });
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
    builder.build()
}

/// Makes the table of what an instance holds of the host.
pub(super) fn resources() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits::plugin::RESOURCES);
    table
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

/// Turns what is printed into lines of the log.
struct Lines {
    log: Arc<Log>,
    level: tracing::Level,
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Printed { log: Arc::clone(&self.log), level: self.level, line: Vec::new() })
    }
}

struct Printed {
    log: Arc<Log>,
    level: tracing::Level,
    line: Vec<u8>,
}

impl AsyncWrite for Printed {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        for byte in bytes {
            if *byte == b'\n' || self.line.len() >= limits::plugin::LOG_LINE_BYTES {
                let line = std::mem::take(&mut self.line);
                self.log.line(self.level, &String::from_utf8_lossy(&line));
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
