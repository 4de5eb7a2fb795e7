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
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::Failure;
use crate::limits;
use crate::task::Patience;
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
    let patience = Patience::new(limits::HTTP_STALL, limits::LEAST_RATE);
    let patient = stream::unfold(Some((body.into_data_stream(), patience)), |state| async move {
        let (mut data, mut patience) = state?;
        match patience.wait(data.next()).await {
            Some(Some(Ok(piece))) => {
                patience.earn(piece.len());
                Some((Ok(piece), Some((data, patience))))
            }
            Some(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Some(None) => None,
            None => {
                let (most, rate) = (limits::HTTP_STALL.as_secs(), limits::LEAST_RATE);
                let text = format!("the body stopped for {most} seconds, or came with less than {rate} bytes a second");
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

/// Room for bodies that are gathered in memory, of all requests together.
static ROOM: Semaphore = Semaphore::const_new(limits::HTTP_GATHERED_BYTES);

/// Reads a whole small body. What is behind the limit is read on for a while, see [`Rest`].
///
/// # Errors
/// [`Failure`] with 400 when it is longer than `limit` bytes or broke off, with 500 when there is no [`ROOM`] for it: if
/// it waited for some, holding what it has, all could wait for each other.
pub(super) async fn whole(body: Body, limit: usize) -> Result<Bytes, Failure> {
    whole_within(body, limit, &ROOM).await
}

async fn whole_within(body: Body, limit: usize, room: &Semaphore) -> Result<Bytes, Failure> {
    let (mut pieces, rest) = shared(body);
    let (mut whole, mut taken) = (bytes::BytesMut::new(), None);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| broken(&error))?;
        if whole.len() + piece.len() > limit {
            rest.read().await;
            return Err(Failure::bad_request(format!("the body is longer than the limit of {limit} bytes")));
        }
        whole.extend_from_slice(&piece);
        // What is small always has room, so that a host can be told what to do whatever else comes.
        let held = taken.as_ref().map_or(0, SemaphorePermit::num_permits);
        let wanted = whole.len().saturating_sub(limits::HTTP_SMALL_BODY_BYTES).saturating_sub(held);
        let Ok(more) = room.try_acquire_many(wanted as u32) else {
            rest.read().await;
            return Err(Failure::busy("too many large bodies come at once; send it again in a moment"));
        };
        match &mut taken {
            None => taken = Some(more),
            Some(taken) => taken.merge(more),
        }
    }
    Ok(whole.freeze())
}

/// The answer to a body that broke off.
pub(super) fn broken(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::bad_request(format!("the body could not be read: {}", causes(error)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    /// A body that brings so many bytes again and again, each time after so long.
    fn slow(bytes: usize, every: Duration, times: usize) -> Body {
        Body::from_stream(stream::iter(0..times).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, io::Error>(Bytes::from(vec![b' '; bytes]))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_and_not_come_byte_by_byte() {
        let limit = 1024 * 1024;
        let fair = whole(slow(32 * 1024, Duration::from_secs(20), 20), limit).await;
        assert_eq!(fair.unwrap().len(), 20 * 32 * 1024);
        let began = tokio::time::Instant::now();
        let dribbled = whole(slow(1, Duration::from_secs(15), 1000), limit).await.unwrap_err();
        assert!(began.elapsed() <= 2 * limits::HTTP_STALL, "{:?}", began.elapsed());
        assert!(format!("{dribbled:?}").contains("bytes a second"), "{dribbled:?}");
    }

    #[tokio::test]
    async fn bodies_are_gathered_within_the_room_of_all() {
        let small = limits::HTTP_SMALL_BODY_BYTES;
        let (room, limit, large) = (Semaphore::new(1000), 2 * small, vec![b' '; small + 600]);
        let endless =
            Body::from_stream(stream::iter([Ok::<_, io::Error>(Bytes::from(large.clone()))]).chain(stream::pending()));
        let mut first = Box::pin(whole_within(endless, limit, &room));
        assert!(first.as_mut().now_or_never().is_none());
        let refused = whole_within(Body::from(large.clone()), limit, &room).await.unwrap_err();
        assert!(format!("{refused:?}").contains("too many large bodies"), "{refused:?}");
        assert_eq!(whole_within(Body::from(vec![b' '; small]), limit, &room).await.unwrap().len(), small);
        drop(first);
        assert_eq!(whole_within(Body::from(large.clone()), limit, &room).await.unwrap().len(), large.len());
        assert_eq!(room.available_permits(), 1000);
    }
}
