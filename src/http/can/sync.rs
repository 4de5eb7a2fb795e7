//! The sync API: protobuf at the root, behind the key.

use std::sync::Arc;

use axum::body::Body;
use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::extract::Query as UrlQuery;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Uri;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use prost::Message;
use serde::Deserialize;

use super::Api;
use super::asset::reported;
use super::meta;
use super::meta::Wish;
use super::upload::Upload;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::Document;
use crate::asset::LocalDocument;
use crate::asset::validate_changes;
use crate::asset::validate_document;
use crate::http::Failure;
use crate::http::body;
use crate::http::body::broken;
use crate::http::path::shortened;
use crate::limits;
use crate::proto::can::v1;
use crate::store::Arrival;
use crate::store::ContentStream;
use crate::store::Inventory;
use crate::store::Origin;
use crate::store::ReadError;
use crate::store::Record;
use crate::store::can_service::bundle;
use crate::store::can_service::bundle::BundleError;
use crate::store::can_service::convert;
use crate::store::can_service::convert::InvalidAsset;
use crate::store::can_service::convert::TEXTS;

/// Header that carries the key.
const KEY: &str = "x-sync-key";

const PROTOBUF: &str = "application/x-protobuf";

/// Proof that a request showed the key.
pub(super) struct Member;

impl FromRequestParts<Arc<Api>> for Member {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Failure> {
        let Some(key) = &api.sync_api_key else {
            return Err(Failure::not_found("the sync API is disabled; set sync_api_key in the configuration"));
        };
        match parts.headers.get(KEY) {
            Some(shown) if key.is(shown.as_bytes()) => Ok(Self),
            Some(_) => Err(Failure::forbidden("the X-Sync-Key is wrong; it must be this host's sync_api_key")),
            None => Err(Failure::forbidden("the header X-Sync-Key is missing; it must be this host's sync_api_key")),
        }
    }
}

#[derive(Debug, Deserialize)]
struct HashesQuery {
    #[serde(default)]
    since: u64,
    limit: Option<usize>,
}

/// `POST /sync/hashes`
pub(super) async fn hashes(State(api): State<Arc<Api>>, _: Member, uri: Uri) -> Result<Response, Failure> {
    let query = UrlQuery::<HashesQuery>::try_from_uri(&uri);
    let UrlQuery(query) = query.map_err(|rejection| Failure::bad_request(rejection.body_text()))?;
    let limit = query.limit.unwrap_or(limits::SYNC_HASHES).clamp(1, limits::SYNC_HASHES);
    let latest = api.store.latest().borrow().0;
    let rows = api.store.inventory(Arrival(query.since), limit).await?;
    let cursor = rows.last().map_or(query.since, |row| row.arrival.0);
    let assets = rows.iter().map(listed).collect();
    let more = rows.len() == limit;
    Ok(protobuf(&v1::Hashes { assets, cursor, more, latest: latest.max(rows.last().map_or(0, |row| row.arrival.0)) }))
}

fn listed(row: &Inventory) -> v1::Listed {
    v1::Listed {
        hash: bytes_of(&row.key.id),
        timestamp: row.key.timestamp.as_millis(),
        size: row.key.size,
        version: version(row.arrival, row.document.as_bytes()),
        missing: !row.presence.is_here(),
    }
}

/// Names one state of one asset. The arrival alone would come again when the store is set up anew.
fn version(arrival: Arrival, document: &[u8; 32]) -> Bytes {
    [&arrival.0.to_be_bytes()[..], &document[..16]].concat().into()
}

fn bytes_of(id: &AssetId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

fn head(record: &Record) -> v1::Asset {
    v1::Asset {
        hash: bytes_of(&record.key.id),
        timestamp: record.key.timestamp.as_millis(),
        size: record.key.size,
        metadata: Some(convert::to_wire(&record.document.metadata())),
        version: version(record.arrival, record.document.shared().digest().as_bytes()),
        content: None,
    }
}

fn protobuf(message: &impl Message) -> Response {
    ([(header::CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response()
}

async fn decoded<M: Message + Default>(request: Request) -> Result<M, Failure> {
    let body = body::whole(request.into_body(), limits::SYNC_REQUEST_BYTES).await?;
    M::decode(body).map_err(|error| Failure::bad_request(format!("the body is not the message expected: {error}")))
}

/// `POST /sync/pull`
pub(super) async fn pull(State(api): State<Arc<Api>>, _: Member, request: Request) -> Result<Response, Failure> {
    let wanted: v1::PullRequest = decoded(request).await?;
    let most = limits::SYNC_PULL_ASSETS;
    if wanted.hashes.len() > most {
        return Err(Failure::bad_request(format!("{} hashes, more than the limit of {most}", wanted.hashes.len())));
    }
    let ids: Result<Vec<AssetId>, InvalidAsset> = wanted.hashes.iter().map(|hash| convert::id(hash)).collect();
    let ids = ids.map_err(|invalid| Failure::bad_request(invalid.to_string()))?;
    let pulling = Pulling { api, ids: ids.into_iter(), contents: !wanted.metadata_only, content: None, count: Some(0) };
    Ok(([(header::CONTENT_TYPE, PROTOBUF)], Body::from_stream(pulling.pieces())).into_response())
}

/// A bundle that is written while it is sent.
struct Pulling {
    api: Arc<Api>,
    ids: std::vec::IntoIter<AssetId>,
    contents: bool,
    /// The content that is being sent.
    content: Option<ContentStream>,
    /// Assets so far; `None` behind the end.
    count: Option<u32>,
}

impl Pulling {
    fn pieces(self) -> impl Stream<Item = Result<Bytes, ReadError>> {
        stream::unfold(Some(self), |pulling| async move {
            let mut pulling = pulling?;
            match pulling.next().await {
                Ok(piece) => piece.map(|piece| (Ok(piece), Some(pulling))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let Some(count) = self.count else { return Ok(None) };
        if let Some(content) = &mut self.content {
            if let Some(piece) = content.next().await {
                return piece.map(Some);
            }
            self.content = None;
        }
        for id in self.ids.by_ref() {
            let Some(record) = self.api.store.record(&id).await?.filter(|record| record.presence.is_here()) else {
                continue;
            };
            let mut size = None;
            if self.contents {
                let Some(content) = self.api.store.open(&id, 0).await? else { continue };
                size = Some(content.key.size);
                self.content = Some(reported(content.checked(), Arc::clone(&self.api.store), id));
            }
            self.count = Some(count + 1);
            return Ok(Some(bundle::begin_asset(&head(&record), size)));
        }
        self.count = None;
        Ok(Some(bundle::end(count)))
    }
}

/// `POST /sync/push`: each asset is stored as it comes; one that is refused ends the request, those before it stay.
pub(super) async fn push(State(api): State<Arc<Api>>, _: Member, request: Request) -> Result<Response, Failure> {
    let (pieces, rest) = body::shared(request.into_body());
    let taken = take_bundle(&api, pieces).await;
    if taken.is_err() {
        rest.read().await;
    }
    taken
}

async fn take_bundle(api: &Api, pieces: body::Pieces) -> Result<Response, Failure> {
    let mut reader = bundle::Reader::new(pieces);
    let mut results = Vec::new();
    while let Some(next) = reader.next().await.map_err(|error| unreadable(&error))? {
        let asset = next.asset;
        let size = next.content.ok_or_else(|| Failure::bad_request("an asset of the bundle has no content"))?;
        let key = convert::key(&asset.hash, asset.timestamp, size);
        let key = key.map_err(|invalid| Failure::bad_request(invalid.to_string()))?;
        let seen = convert::wishes(&convert::from_wire(asset.metadata.unwrap_or_default()));
        let refused = |invalid: crate::asset::InvalidMetadata| {
            Failure::bad_request(format!("the metadata of asset {}: {invalid}", key.id))
        };
        validate_changes(&seen).map_err(refused)?;
        let mut document = LocalDocument::from_parts(Document::new(), []);
        document.see(&seen);
        validate_document(document.shared()).map_err(refused)?;
        let known = receive(api, &mut reader, &key, seen).await?;
        results.push(v1::PushResult { hash: asset.hash, known });
    }
    Ok(protobuf(&v1::Pushed { results }))
}

/// Stores the content that follows in a bundle, and tells whether it was here already.
async fn receive<S>(api: &Api, reader: &mut bundle::Reader<S>, key: &AssetKey, seen: Changes) -> Result<bool, Failure>
where
    S: Stream<Item = std::io::Result<Bytes>> + Unpin,
{
    let mut upload = Upload::begin(&*api.store, key.timestamp).await?;
    while let Some(piece) = reader.content().await.map_err(|error| unreadable(&error))? {
        upload.write(&piece).await?;
    }
    let spooled = upload.finish(Some(key.id)).await?;
    let known = api.store.record(&key.id).await?.is_some_and(|record| record.presence.is_here());
    // Somebody else may store it in this moment; then what is there stays.
    let edit = Box::new(move |document: &mut LocalDocument| {
        if document.is_empty() {
            document.see(&seen);
        }
    });
    api.store.put(spooled, Origin::Peer, edit).await?;
    Ok(known)
}

fn unreadable(error: &BundleError) -> Failure {
    broken(error)
}

/// `POST /sync/meta`
pub(super) async fn meta(State(api): State<Arc<Api>>, _: Member, request: Request) -> Result<Response, Failure> {
    let request: v1::MetaRequest = decoded(request).await?;
    let most = limits::SYNC_META_CHANGES;
    if request.changes.len() > most {
        return Err(Failure::bad_request(format!("{} changes, more than the limit of {most}", request.changes.len())));
    }
    let mut results = Vec::new();
    for change in request.changes {
        let id = convert::id(&change.hash).map_err(|invalid| Failure::bad_request(invalid.to_string()))?;
        let changes = wishes(change)?;
        let found = meta::change(&api, &id, Wish { changes, tags: None }).await?.is_some();
        results.push(v1::MetaResult { hash: bytes_of(&id), found });
    }
    Ok(protobuf(&v1::MetaAnswer { results }))
}

fn wishes(change: v1::MetaChange) -> Result<Changes, Failure> {
    let metadata = convert::from_wire(change.metadata.unwrap_or_default());
    let mut changes = Changes::new();
    for name in &change.fields {
        let field = TEXTS.iter().find(|(wire, _)| wire == name).map(|(_, field)| *field);
        changes = match field {
            Some(field) => match convert::text(&metadata, field) {
                Some(text) => changes.set(field, text),
                None => changes.clear(field),
            },
            None if name == convert::TRASHED => changes.trashed(metadata.trashed),
            None => {
                let name = shortened(name);
                return Err(Failure::bad_request(format!("there is no metadata field {name:?} to be set")));
            }
        };
    }
    changes = change.add_tags.iter().fold(changes, |changes, tag| changes.add_tag(tag));
    Ok(change.remove_tags.iter().fold(changes, |changes, tag| changes.remove_tag(tag)))
}
