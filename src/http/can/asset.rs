//! The content of an asset: GET and HEAD, whole or one range.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream;

use super::Api;
use super::absent;
use super::disposition;
use super::range::Wanted;
use super::range::wanted;
use crate::asset::AssetId;
use crate::http::Failure;
use crate::http::path::AssetPath;
use crate::store::ContentStream;
use crate::store::ReadError;
use crate::store::Store;

/// Answers with the content. What is known to be damaged before anything is sent is an error; a whole one that turns out
/// damaged on the way is broken off before its end.
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    AssetPath(id): AssetPath,
    method: Method,
    request: HeaderMap,
) -> Result<Response, Failure> {
    let record = api.store.record(&id).await?.filter(|record| record.presence.is_here());
    let Some(record) = record else { return Err(absent(&*api.store, &id).await) };
    let size = record.key.size;
    let metadata = record.document.metadata();
    let tag = format!("\"{id}\"");

    let mut headers = HeaderMap::new();
    let mime_type = metadata.mime_type.and_then(|mime_type| HeaderValue::try_from(mime_type).ok());
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::ETAG, HeaderValue::try_from(&tag).expect("hex is a header value"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, mime_type.filter(|value| !value.is_empty()).unwrap_or(octets));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // An HTML asset must not act as a page of this listener.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(header::CONTENT_DISPOSITION, disposition::inline(metadata.file_name.as_deref()));
    // The content under an id never changes, but it may be trashed or purged.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));

    if request.get_all(header::IF_NONE_MATCH).iter().any(|value| names(value, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let same = request.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    let range = request.get(header::RANGE).and_then(|value| value.to_str().ok());
    let wanted = if same && method == Method::GET { wanted(range, size) } else { Wanted::Whole };
    if wanted == Wanted::Nothing {
        headers.insert(header::CONTENT_RANGE, number(format!("bytes */{size}")));
        headers.remove(header::CONTENT_TYPE);
        let failure = Failure::range(format!("asset {id} has {size} bytes and none in the range asked for"));
        return Ok((headers, failure).into_response());
    }
    let offset = if let Wanted::Part(part) = &wanted { part.start } else { 0 };
    let Some(content) = api.store.open(&id, offset).await? else { return Err(absent(&*api.store, &id).await) };
    let (status, length, stream) = match wanted {
        Wanted::Part(part) => {
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            headers.insert(header::CONTENT_RANGE, number(range));
            let length = part.end - part.start;
            (StatusCode::PARTIAL_CONTENT, length, first(content.stream, length))
        }
        _ => (StatusCode::OK, size, content.checked()),
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let mut stream = reported(stream, Arc::clone(&api.store), id);
    let first = stream.next().await.transpose()?;
    let body = match first {
        Some(piece) if method == Method::GET => Body::from_stream(stream::iter([Ok(piece)]).chain(stream)),
        _ => Body::empty(),
    };
    Ok((status, headers, body).into_response())
}

/// Tells whether an `If-None-Match` names this tag.
fn names(value: &HeaderValue, tag: &str) -> bool {
    let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.map(|other| other.strip_prefix("W/").unwrap_or(other)).any(|other| other == "*" || other == tag)
}

fn number(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits are a header value")
}

/// Ends a stream after `length` bytes.
fn first(stream: ContentStream, length: u64) -> ContentStream {
    stream::unfold((stream, length), |(mut stream, left)| async move {
        if left == 0 {
            return None;
        }
        match stream.next().await? {
            Ok(mut piece) => {
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - piece.len() as u64;
                Some((Ok(piece), (stream, left)))
            }
            Err(error) => Some((Err(error), (stream, 0))),
        }
    })
    .boxed()
}

/// Has the store look again at a content that turned out damaged, so that it is not handed out once more.
pub(super) fn reported(stream: ContentStream, store: Arc<dyn Store>, id: AssetId) -> ContentStream {
    stream
        .then(move |piece| {
            let store = Arc::clone(&store);
            async move {
                if let Err(error) = &piece {
                    tracing::error!(asset = %id, error = %crate::telemetry::causes(error), "content broke off");
                }
                if let Err(ReadError::Damaged(_)) = &piece
                    && let Err(error) = store.verify(&id).await
                {
                    tracing::error!(asset = %id, %error, "damaged content could not be moved aside");
                }
                piece
            }
        })
        .boxed()
}
