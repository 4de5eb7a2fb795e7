//! Calls of the sync API, each with its limits in time and size. The key travels in its header and nowhere else.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use prost::Message;
use reqwest::RequestBuilder;
use reqwest::Response;
use reqwest::header::HeaderValue;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::bundle;
use super::bundle::BundleError;
use crate::limits;
use crate::proto::can::v1;

/// A CAN Service could not be spoken to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// It cannot be reached, or broke off.
    #[error("the CAN Service did not answer {call}; is it running at can_service_url?")]
    Unreachable {
        /// Which call.
        call: &'static str,
        /// Why.
        source: reqwest::Error,
    },
    /// It took too long.
    #[error("the CAN Service did not get on with {call} for {} seconds", .time.as_secs())]
    Slow {
        /// Which call.
        call: &'static str,
        /// How long was waited.
        time: Duration,
    },
    /// It refused.
    #[error("the CAN Service answered {call} with {status}: {text}")]
    Refused {
        /// Which call.
        call: &'static str,
        /// The status code.
        status: u16,
        /// What it said, shortened.
        text: String,
    },
    /// Its answer is larger than allowed.
    #[error("the answer of the CAN Service to {call} is longer than {limit} bytes")]
    TooLarge {
        /// Which call.
        call: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// Its answer cannot be understood.
    #[error("the answer of the CAN Service to {call} cannot be understood")]
    Malformed {
        /// Which call.
        call: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ServiceError {
    /// Tells whether the service understood the call and will not do it.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 413 | 422, .. })
    }

    /// Tells whether the service has answered, so that it may be what was asked for that fails, and not the service. A
    /// wrong key and too many calls are of no asset.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Refused { status, .. } => !matches!(status, 401 | 429),
            Self::Malformed { .. } | Self::TooLarge { .. } => true,
            // It broke off behind the head of the answer.
            Self::Unreachable { source, .. } => source.is_body() || source.is_decode(),
            Self::Slow { .. } => false,
        }
    }
}

/// The key of a service, which is not shown.
#[derive(Clone)]
pub struct SyncKey(Zeroizing<String>);

impl SyncKey {
    /// Hides a key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(Zeroizing::new(key.to_owned()))
    }
}

impl fmt::Debug for SyncKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncKey(…)")
    }
}

/// Bytes of an answer as they come.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, ServiceError>> + Send>>;

/// Speaks to one service.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    key: HeaderValue,
    times: Times,
}

/// How long the service is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Time without a byte after which an answer has failed.
    pub(super) stall: Duration,
    /// Time in which a call without content must be over.
    pub(super) call: Duration,
}

impl Client {
    /// Prepares calls to the service at `url`; none is made yet.
    ///
    /// # Errors
    /// What makes the key unfit for a header, or the TLS library unfit for use.
    pub(super) fn new(
        url: &str,
        key: &SyncKey,
        times: Times,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        static PROVIDER: Once = Once::new();
        // Another part of the program may have installed it before, which is as good.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let mut key = HeaderValue::from_str(&key.0)?;
        key.set_sensitive(true);
        let http = reqwest::Client::builder()
            .connect_timeout(limits::SERVICE_CONNECT_TIME)
            // A redirect would carry the key elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), key, times })
    }

    /// Lists what arrived after `since`, as far as one answer goes.
    pub(super) async fn hashes(&self, since: u64) -> Result<v1::Hashes, ServiceError> {
        let request = self.post(&format!("/sync/hashes?since={since}&limit={}", limits::SERVICE_HASHES));
        self.message("/sync/hashes", request).await
    }

    /// Hands over one asset; `content` has as many bytes as its head says. Tells whether it was there already.
    pub(super) async fn push<S, E>(&self, head: &v1::Asset, content: S) -> Result<bool, ServiceError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        const CALL: &str = "/sync/push";
        let moved = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&moved);
        let begin = stream::iter([Ok(bundle::begin_asset(head, Some(head.size)))]);
        let end = stream::iter([Ok(bundle::end(1))]);
        let body = begin.chain(content.map(move |piece| {
            counter.fetch_add(1, Ordering::Relaxed);
            piece
        }));
        let request = self.post(CALL).body(reqwest::Body::wrap_stream(body.chain(end)));
        let time = self.times.call;
        let sending = async {
            let answer = request.send().await.map_err(|source| ServiceError::Unreachable { call: CALL, source })?;
            self.decoded::<v1::Pushed>(CALL, self.accepted(CALL, answer).await?).await
        };
        let stalled = async {
            loop {
                let before = moved.load(Ordering::Relaxed);
                tokio::time::sleep(time).await;
                if moved.load(Ordering::Relaxed) == before {
                    return ServiceError::Slow { call: CALL, time };
                }
            }
        };
        let pushed = tokio::select! {
            pushed = timeout(limits::SERVICE_CONTENT_TIME, sending) => match pushed {
                Ok(pushed) => pushed?,
                Err(_) => return Err(ServiceError::Slow { call: CALL, time: limits::SERVICE_CONTENT_TIME }),
            },
            slow = stalled => return Err(slow),
        };
        match pushed.results.as_slice() {
            [result] if result.hash == head.hash => Ok(result.known),
            _ => Err(ServiceError::Malformed { call: CALL, source: "it names another asset".into() }),
        }
    }

    /// Changes the metadata of one asset; tells whether it is there.
    pub(super) async fn meta(&self, change: v1::MetaChange) -> Result<bool, ServiceError> {
        let request = v1::MetaRequest { changes: vec![change] };
        let request = self.post("/sync/meta").body(request.encode_to_vec());
        let answer: v1::MetaAnswer = self.message("/sync/meta", request).await?;
        match answer.results.as_slice() {
            [result] => Ok(result.found),
            _ => Err(ServiceError::Malformed { call: "/sync/meta", source: "it has not one result".into() }),
        }
    }

    /// Opens the stream of events.
    pub(super) async fn events(&self, last: Option<&str>) -> Result<Pieces, ServiceError> {
        let url = format!("{}/sync/events", self.base);
        let mut request = self.http.get(url).header("x-sync-key", self.key.clone());
        if let Some(last) = last.and_then(|last| HeaderValue::from_str(last).ok()) {
            request = request.header("last-event-id", last);
        }
        Ok(self.pieces("/sync/events", self.send("/sync/events", request).await?))
    }

    /// Sends a request and waits for the head of an answer that says yes.
    pub(super) async fn send(&self, call: &'static str, request: RequestBuilder) -> Result<Response, ServiceError> {
        let sending = async {
            let sent = request.send().await.map_err(|source| ServiceError::Unreachable { call, source })?;
            self.accepted(call, sent).await
        };
        self.in_time(call, sending).await
    }

    /// Ends a call that is not over in the time of one without content.
    pub(super) async fn in_time<T>(
        &self,
        call: &'static str,
        answering: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        let time = self.times.call;
        timeout(time, answering).await.unwrap_or(Err(ServiceError::Slow { call, time }))
    }

    /// Turns the body of an answer into a stream whose pieces come in time.
    pub(super) fn pieces(&self, call: &'static str, response: Response) -> Pieces {
        pieces(call, response, self.times.stall)
    }

    /// Returns how long the service is waited for.
    pub(super) const fn times(&self) -> Times {
        self.times
    }

    async fn accepted(&self, call: &'static str, response: Response) -> Result<Response, ServiceError> {
        if response.status() == reqwest::StatusCode::OK {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let mut text = BytesMut::new();
        let mut pieces = self.pieces(call, response);
        while text.len() < limits::SERVICE_ERROR_BYTES
            && let Some(Ok(piece)) = pieces.next().await
        {
            text.extend_from_slice(&piece[..piece.len().min(limits::SERVICE_ERROR_BYTES - text.len())]);
        }
        Err(ServiceError::Refused { call, status, text: String::from_utf8_lossy(&text).escape_debug().to_string() })
    }

    async fn decoded<M: Message + Default>(&self, call: &'static str, response: Response) -> Result<M, ServiceError> {
        let limit = limits::SERVICE_ANSWER_BYTES;
        let mut whole = BytesMut::new();
        let mut pieces = self.pieces(call, response);
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            if whole.len() + piece.len() > limit {
                return Err(ServiceError::TooLarge { call, limit });
            }
            whole.extend_from_slice(&piece);
        }
        M::decode(whole.freeze()).map_err(|source| ServiceError::Malformed { call, source: source.into() })
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.base));
        request.header("x-sync-key", self.key.clone()).header("content-type", "application/x-protobuf")
    }

    async fn message<M: Message + Default>(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<M, ServiceError> {
        self.in_time(call, async { self.decoded(call, self.send(call, request).await?).await }).await
    }
}

/// Turns the body of an answer into a stream whose pieces come in time.
fn pieces(call: &'static str, response: Response, time: Duration) -> Pieces {
    let body = Box::pin(response.bytes_stream());
    Box::pin(stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match timeout(time, body.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
            Ok(Some(Err(source))) => Some((Err(ServiceError::Unreachable { call, source }), None)),
            Ok(None) => None,
            Err(_) => Some((Err(ServiceError::Slow { call, time }), None)),
        }
    }))
}

impl From<BundleError> for ServiceError {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Source(source) => match source.downcast::<Self>() {
                Ok(error) => *error,
                Err(source) => Self::Malformed { call: "/sync/pull", source },
            },
            error => Self::Malformed { call: "/sync/pull", source: error.into() },
        }
    }
}
