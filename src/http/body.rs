//! Request bodies: streamed, never waited for without end, never read without a maximum.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::body::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Failure;
use crate::limits;
use crate::telemetry::causes;

/// Bytes that a parser has taken from a body and not handed on.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead(Arc<AtomicU64>);

impl Ahead {
    /// Notes that the parser came to a new part or piece: all before it is done with.
    pub(super) fn handed_on(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn taken(&self, bytes: usize) -> io::Result<()> {
        let ahead = self.0.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if ahead > limits::MULTIPART_AHEAD_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("more than {} bytes between two parts of the form", limits::MULTIPART_AHEAD_BYTES),
            ));
        }
        Ok(())
    }
}

/// The pieces of a body.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Turns a body into a stream whose pieces come in time.
fn pieces(body: Body) -> Pieces {
    let data = body.into_data_stream();
    let patient = stream::unfold(Some(data), |data| async move {
        let mut data = data?;
        match timeout(limits::HTTP_STALL, data.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(data))),
            Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Ok(None) => None,
            Err(_) => {
                let text = format!("the body stopped for {} seconds", limits::HTTP_STALL.as_secs());
                Some((Err(io::Error::new(io::ErrorKind::TimedOut, text)), None))
            }
        }
    });
    // Whoever reads the rest may find that there is none.
    Box::pin(patient.fuse())
}

/// What a reader has left of a body.
///
/// A client that still sends when the connection is closed loses the answer, so what is refused early is read on for a
/// while.
pub(super) struct Rest(Arc<Mutex<Pieces>>);

impl Rest {
    /// Reads on to the end of the body, as far as [`limits::HTTP_REST_BYTES`] and [`limits::HTTP_REST`] go.
    pub(super) async fn read(self) {
        let reading = async {
            let (mut pieces, mut bytes) = (self.0.lock().await, 0);
            while let Some(Ok(piece)) = pieces.next().await
                && bytes < limits::HTTP_REST_BYTES
            {
                bytes += piece.len();
            }
        };
        // What is left after that is lost to a client that does not listen while it sends.
        let _ = timeout(limits::HTTP_REST, reading).await;
    }
}

/// Turns a body into its pieces, and what their reader leaves of them.
pub(super) fn shared(body: Body) -> (Pieces, Rest) {
    let pieces = Arc::new(Mutex::new(pieces(body)));
    let taken = stream::unfold(Arc::clone(&pieces), |pieces| async move {
        let next = pieces.lock().await.next().await;
        next.map(|piece| (piece, pieces))
    });
    (Box::pin(taken), Rest(pieces))
}

/// Turns a body into one for a parser that may read ahead only so far, and what the parser leaves of it.
pub(super) fn watched(body: Body, ahead: &Ahead) -> (Body, Rest) {
    let (ahead, (pieces, rest)) = (ahead.clone(), shared(body));
    let body = pieces.map(move |piece| piece.and_then(|piece| ahead.taken(piece.len()).map(|()| piece)));
    (Body::from_stream(body), rest)
}

/// Reads a whole small body. What is behind the limit is read on for a while, see [`Rest`].
///
/// # Errors
/// [`Failure`] with 400 when it is longer than `limit` bytes or broke off.
pub(super) async fn whole(body: Body, limit: usize) -> Result<Bytes, Failure> {
    let (mut pieces, rest) = shared(body);
    let mut whole = bytes::BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| broken(&error))?;
        if whole.len() + piece.len() > limit {
            rest.read().await;
            return Err(Failure::bad_request(format!("the body is longer than the limit of {limit} bytes")));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// The answer to a body that broke off.
pub(super) fn broken(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::bad_request(format!("the body could not be read: {}", causes(error)))
}
