//! A listener: bound first, served later, stopped in order.
//!
//! One task accepts; one task per connection. Both belong to the group they are given and end with it.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::Guard;
use crate::limits;
use crate::task::Backoff;
use crate::task::Group;

/// A face that is ready to run: it serves until its group is cancelled, and returns when its connections are closed.
pub type Served = Box<dyn FnOnce(Group) -> BoxFuture<'static, ()> + Send>;

/// Cancelled when the listener ends; with every request, for answers that have no end of their own.
#[derive(Debug, Clone)]
pub(super) struct Closing(pub(super) CancellationToken);

/// A listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("cannot listen on {address}; {}", next_step(source))]
pub struct BindError {
    /// Where.
    pub address: String,
    /// Why.
    pub source: io::Error,
}

fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop what uses it, or choose another",
        io::ErrorKind::AddrNotAvailable => "choose an address that this machine has",
        io::ErrorKind::PermissionDenied => "choose a port above 1023, or start it with the right to use this one",
        _ => "choose another",
    }
}

/// A bound socket that does not answer yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    guard: Guard,
}

impl Listener {
    /// Binds an address such as `127.0.0.1:3210`; port 0 for any free one.
    ///
    /// # Errors
    /// [`BindError`] when the address is no address, or is in use.
    pub async fn bind(address: &str) -> Result<Self, BindError> {
        let error = |source| BindError { address: address.to_owned(), source };
        let socket = TcpListener::bind(address).await.map_err(error)?;
        let bound = socket.local_addr().map_err(error)?;
        Ok(Self { socket, address: bound, guard: Guard::new(address, bound) })
    }

    /// Returns the address that was bound.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Turns the listener into a face that answers with `router` what the guard lets through.
    #[must_use]
    pub fn served(self, router: Router) -> Served {
        Box::new(move |group| Box::pin(self.run(router, group)))
    }

    /// Accepts until the group is cancelled.
    async fn run(self, router: Router, group: Group) {
        let permits = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS));
        let guard = Arc::new(self.guard);
        let connections = group.child("http connections");
        let mut pauses = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        let accepting = async {
            loop {
                let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
                match self.socket.accept().await {
                    Ok((stream, _)) => {
                        pauses.reset();
                        let (router, guard, closing) =
                            (router.clone(), Arc::clone(&guard), connections.token().clone());
                        connections.spawn("http connection", async move {
                            connection(stream, router, guard, closing, limits::HTTP_HEAD_TIME).await;
                            drop(permit);
                        });
                    }
                    // Out of file descriptors, most often: others may close some.
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(pauses.pause()).await;
                    }
                }
            }
        };
        let _: Option<()> = group.token().run_until_cancelled(accepting).await;
        connections.shut_down().await;
    }
}

/// Serves one connection until it ends, or until its last request after the token was cancelled has had its time. The
/// head of a request may take `patience`, and so may its coming.
async fn connection(
    stream: TcpStream,
    router: Router,
    guard: Arc<Guard>,
    closing: CancellationToken,
    patience: Duration,
) {
    // Answers are small and follow requests; waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().ok().map(|address| address.ip());
    let token = closing.clone();
    let service = hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
        let checked = guard.check(request.uri(), request.headers(), local);
        request.extensions_mut().insert(Closing(token.clone()));
        let router = router.clone();
        async move {
            match checked {
                Ok(()) => router.oneshot(request.map(Body::new)).await,
                // A page that may not speak here must not keep a place, either.
                Err(refusal) => Ok(([(header::CONNECTION, "close")], refusal).into_response()),
            }
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(limits::HTTP_BUFFER_BYTES);
    let mut serving = pin!(http.serve_connection(TokioIo::new(Impatient::new(stream)), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => Ok(ended),
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            timeout(limits::HTTP_CLOSE_TIME, serving.as_mut()).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) if is_usual(&error) => tracing::trace!(%error, "connection ended"),
        Ok(Err(error)) => tracing::debug!(%error, "connection broke off"),
        Err(_) => tracing::debug!("connection was cut at the end"),
    }
}

/// Tells whether a connection ended as they do: it lay idle for too long, or the client went away.
fn is_usual(error: &hyper::Error) -> bool {
    let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    let gone = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::NotConnected];
    error.is_timeout() || kind.is_some_and(|kind| gone.contains(&kind))
}

/// A connection whose writes fail when the other side reads nothing for [`HTTP_STALL`](limits::HTTP_STALL).
struct Impatient {
    stream: TcpStream,
    /// Set while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    const fn new(stream: TcpStream) -> Self {
        Self { stream, deadline: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limits::HTTP_STALL)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::telemetry::Captured;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    /// Serves one connection with little patience, and returns what that logs; `client` is the other end.
    async fn log_of<F: Future<Output = ()>>(client: impl FnOnce(TcpStream) -> F) -> String {
        let log = Captured::new("trace");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let guard = Arc::new(Guard::new("127.0.0.1:0", address));
            let router = Router::new().fallback(|| async { "answer" });
            connection(stream, router, guard, CancellationToken::new(), Duration::from_millis(50)).await;
        };
        let talking = async { client(TcpStream::connect(address).await.unwrap()).await };
        let both = async { tokio::join!(serving, talking) };
        tokio::time::timeout(Duration::from_mins(1), both).await.unwrap();
        log.lines().into_iter().filter(|line| line.contains("can_sync")).collect()
    }

    #[tokio::test]
    async fn a_connection_that_lies_idle_or_is_left_is_no_news() {
        let idle = log_of(async |mut stream: TcpStream| {
            stream.write_all(REQUEST).await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert!(all.ends_with(b"answer"));
        });
        let idle = idle.await;
        assert!(idle.contains("TRACE") && !idle.contains("DEBUG"), "{idle}");
        // With an answer that was not read, the system resets the connection.
        let left = log_of(async |mut stream: TcpStream| {
            stream.write_all(REQUEST).await.unwrap();
            stream.readable().await.unwrap();
        });
        let left = left.await;
        assert!(!left.contains("DEBUG"), "{left}");
        let broken = log_of(async |mut stream: TcpStream| stream.write_all(b"no request\r\n\r\n").await.unwrap());
        let broken = broken.await;
        assert!(broken.contains("DEBUG") && broken.contains("connection broke off"), "{broken}");
    }
}
