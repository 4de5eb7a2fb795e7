//! A CAN Service written from the description of its API alone, that knows little and can be told to behave badly.
//!
//! It lower-cases tags, has no place for `path`, names no versions, lists everything unless a limit is named, answers pushes of the same asset twice, and counts
//! what is written to it. Faults are set by the test and used up one by one.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use prost::Message;
use tokio::sync::broadcast;

use super::KEY;
use super::group;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::http::Listener;
use crate::proto::can::v1;
use crate::task::Group;

/// What the next call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// 500, and nothing is done.
    Fails,
    /// 403, and nothing is done.
    Refuses,
    /// 500, although it was done.
    DoneAndFails,
    /// The answer is cut in the middle.
    Cuts,
    /// Breaks off behind all that was asked for, before the last byte.
    CutsBehind,
    /// The answer begins and never goes on.
    Stalls,
    /// The bytes of contents are wrong.
    Lies,
    /// The last bytes of the answer come one by one.
    Trickles,
    /// 500, with a text whose last bytes come one by one.
    FailsSlowly,
    /// This asset comes instead of the one that was asked for.
    Swaps(AssetId),
    /// Every asset comes twice.
    Repeats,
    /// The answer takes its time in beginning: 40 MiB of what nobody knows come first.
    Floods,
}

/// What happens to events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    Straight,
    /// Every second one is lost.
    Loses,
    /// Each comes three times, and the one before once more.
    Repeats,
    /// Each second one comes before the one that came first.
    Reorders,
    /// What cannot be understood, and then the stream ends.
    Garbage,
    /// All are lost.
    Mute,
    /// The stream breaks after each.
    Breaks,
}

#[derive(Debug, Clone)]
struct Asset {
    key: AssetKey,
    metadata: v1::Metadata,
    content: Bytes,
    arrival: u64,
}

#[derive(Debug, Default)]
struct Inner {
    assets: BTreeMap<AssetId, Asset>,
    arrival: u64,
    /// Calls of `/sync/meta` that were carried out.
    writes: usize,
    pushes: usize,
    faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// Assets without content that it lists before all others, under long versions.
    empty: u64,
    /// Assets in one page of the listing, at most; 0 for as many as are asked for.
    page: usize,
    /// Pages of the listing that were answered.
    pages: usize,
    /// Assets whose content spoils every answer it is part of, and how.
    spoiled: BTreeMap<AssetId, Fault>,
    /// Assets whose metadata spoils every answer it is part of, and how.
    garbled: BTreeMap<AssetId, Fault>,
    /// How often the content of an asset was asked for.
    asked: BTreeMap<AssetId, usize>,
    /// Behind which event each stream of them began.
    streams: Vec<Option<String>>,
}

pub(super) struct PoorService {
    inner: Arc<Mutex<Inner>>,
    events: broadcast::Sender<AssetId>,
    telling: Mutex<Telling>,
}

/// The description of an asset whose metadata is garbled.
const GARBLED: &str = "a text that is none";

type Shared = State<Arc<PoorService>>;

impl PoorService {
    /// Starts it on a free port; returns it, where it is, and the group it lives in.
    pub(super) async fn start() -> (Arc<Self>, String, Group) {
        let (events, _) = broadcast::channel(64);
        let service = Arc::new(Self { inner: Arc::default(), events, telling: Mutex::new(Telling::Straight) });
        let router = Router::new()
            .route("/sync/hashes", post(hashes))
            .route("/sync/pull", post(pull))
            .route("/sync/push", post(push))
            .route("/sync/meta", post(meta))
            .route("/sync/events", get(events_of))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&service));
        let group = group();
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.address());
        group.spawn("poor service", listener.served(router)(group.child("poor service")));
        (service, url, group)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Returns behind which event each stream of events was asked for.
    pub(super) fn streams(&self) -> Vec<Option<String>> {
        self.lock().streams.clone()
    }

    /// Makes the next calls of a path come to these faults.
    pub(super) fn fail(&self, path: &'static str, faults: &[Fault]) {
        self.lock().faults.entry(path).or_default().extend(faults);
    }

    /// Returns how many faults of a path are not used up.
    pub(super) fn left(&self, path: &'static str) -> usize {
        self.lock().faults.get(path).map_or(0, VecDeque::len)
    }

    /// Takes back the faults of a path that are not used up.
    pub(super) fn forgive(&self, path: &'static str) {
        self.lock().faults.remove(path);
    }

    pub(super) fn tell(&self, telling: Telling) {
        *self.telling.lock() = telling;
    }

    /// Lists so many assets whose content is missing, before there is any other.
    pub(super) fn list_empty(&self, count: u64) {
        let mut inner = self.lock();
        (inner.empty, inner.arrival) = (count, count);
    }

    /// Lists so many assets at once.
    pub(super) fn list_by(&self, page: usize) {
        self.lock().page = page;
    }

    /// Returns how many pages of the listing were answered.
    pub(super) fn pages(&self) -> usize {
        self.lock().pages
    }

    /// Makes every answer with the content of an asset come to a fault; `None` for no more.
    pub(super) fn spoil(&self, id: AssetId, fault: Option<Fault>) {
        let mut inner = self.lock();
        match fault {
            Some(fault) => inner.spoiled.insert(id, fault),
            None => inner.spoiled.remove(&id),
        };
    }

    /// Makes every answer with the metadata of an asset come to a fault; `None` for no more.
    pub(super) fn garble(&self, id: AssetId, fault: Option<Fault>) {
        let mut inner = self.lock();
        match fault {
            Some(fault) => inner.garbled.insert(id, fault),
            None => inner.garbled.remove(&id),
        };
    }

    /// Returns how often the content of an asset was asked for.
    pub(super) fn asked(&self, id: &AssetId) -> usize {
        self.lock().asked.get(id).copied().unwrap_or(0)
    }

    /// Returns how many writes and pushes were carried out.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.writes, inner.pushes)
    }

    pub(super) fn metadata(&self, id: &AssetId) -> Option<v1::Metadata> {
        self.lock().assets.get(id).map(|asset| asset.metadata.clone())
    }

    /// A person puts an asset in, or changes one, at the service.
    pub(super) fn by_hand(&self, key: AssetKey, content: &[u8], metadata: v1::Metadata) {
        let mut inner = self.lock();
        inner.arrival += 1;
        let arrival = inner.arrival;
        let asset = Asset { key, metadata: held(metadata), content: Bytes::copy_from_slice(content), arrival };
        inner.assets.insert(key.id, asset);
        drop(inner);
        let _ = self.events.send(key.id);
    }

    /// A person takes an asset away for good.
    pub(super) fn remove(&self, id: &AssetId) {
        self.lock().assets.remove(id);
    }

    fn fault(&self, path: &'static str, headers: &HeaderMap) -> Result<Option<Fault>, Response> {
        if headers.get("x-sync-key").is_none_or(|key| key != KEY) {
            return Err((StatusCode::FORBIDDEN, "key").into_response());
        }
        match self.lock().faults.get_mut(path).and_then(VecDeque::pop_front) {
            Some(Fault::Fails) => Err(failed()),
            Some(Fault::FailsSlowly) => {
                let mut answer = trickle(vec![b'x'; 100]);
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Err(answer)
            }
            other => Ok(other),
        }
    }
}

fn failed() -> Response {
    let error = r#"{"status":"error","error":"on purpose"}"#;
    (StatusCode::INTERNAL_SERVER_ERROR, error).into_response()
}

/// What this service can hold of metadata.
fn held(mut metadata: v1::Metadata) -> v1::Metadata {
    metadata.human_readable_path = None;
    metadata.tags = metadata.tags.iter().map(|tag| tag.to_lowercase()).collect();
    metadata.tags.sort();
    metadata.tags.dedup();
    metadata
}

/// Answers with bytes, as the fault wants it.
fn answer(bytes: Vec<u8>, fault: Option<Fault>) -> Response {
    let half = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
    let part = stream::iter([Ok::<_, std::io::Error>(half)]);
    match fault {
        Some(Fault::DoneAndFails) => failed(),
        Some(Fault::Cuts) => {
            let cut = stream::iter([Err(std::io::Error::other("cut"))]);
            Body::from_stream(part.chain(cut)).into_response()
        }
        Some(Fault::CutsBehind) => {
            let most = Bytes::copy_from_slice(&bytes[..bytes.len().saturating_sub(1)]);
            let cut = stream::iter([Err(std::io::Error::other("cut"))]);
            Body::from_stream(stream::iter([Ok::<_, std::io::Error>(most)]).chain(cut)).into_response()
        }
        Some(Fault::Stalls) => Body::from_stream(part.chain(stream::pending())).into_response(),
        Some(Fault::Trickles) => trickle(bytes),
        Some(Fault::Floods) => {
            // A field that nobody knows, of a MiB.
            let field = [vec![0x1a, 0x80, 0x80, 0x40], vec![0; 1024 * 1024]].concat();
            let flood = std::iter::repeat_n(Bytes::from(field), 40).map(Ok::<_, std::io::Error>);
            // Before what was asked for: behind it nothing may come.
            Body::from_stream(stream::iter(flood).chain(stream::iter([Ok(bytes.into())]))).into_response()
        }
        _ => bytes.into_response(),
    }
}

/// Answers with bytes, the last of which come one by one.
fn trickle(mut bytes: Vec<u8>) -> Response {
    let last = bytes.split_off(bytes.len() - 12);
    let drops = stream::iter(last).then(async |byte| {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        Ok::<_, std::io::Error>(Bytes::from(vec![byte]))
    });
    Body::from_stream(stream::iter([Ok(bytes.into())]).chain(drops)).into_response()
}

async fn hashes(
    State(service): Shared,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, u64>>,
) -> Result<Response, Response> {
    let fault = service.fault("/sync/hashes", &headers)?;
    let since = query.get("since").copied().unwrap_or(0);
    let mut inner = service.lock();
    inner.pages += 1;
    let mut assets: Vec<&Asset> = inner.assets.values().filter(|asset| asset.arrival > since).collect();
    assets.sort_by_key(|asset| asset.arrival);
    let empty = (since + 1..=inner.empty).map(|arrival| (arrival, empty(arrival)));
    let mut listed: Vec<(u64, v1::Listed)> =
        empty.chain(assets.into_iter().map(|asset| (asset.arrival, listed(asset)))).collect();
    let limits = [inner.page, query.get("limit").map_or(0, |limit| usize::try_from(*limit).unwrap())];
    let page = limits.into_iter().filter(|limit| *limit > 0).min().unwrap_or(usize::MAX);
    let more = listed.len() > page;
    listed.truncate(page);
    let cursor = listed.last().map_or(since, |(arrival, _)| *arrival);
    let assets = listed.into_iter().map(|(_, held)| held).collect();
    let list = v1::Hashes { assets, cursor, more, latest: inner.arrival };
    Ok(answer(list.encode_to_vec(), fault))
}

fn listed(asset: &Asset) -> v1::Listed {
    v1::Listed {
        hash: Bytes::copy_from_slice(asset.key.id.as_bytes()),
        timestamp: asset.key.timestamp.as_millis(),
        size: asset.key.size,
        version: Bytes::new(),
        missing: false,
    }
}

fn empty(arrival: u64) -> v1::Listed {
    v1::Listed {
        hash: Bytes::from([&arrival.to_be_bytes()[..], &[0; 24]].concat()),
        timestamp: 1_700_000_000_000,
        size: 1,
        version: Bytes::from(vec![0; 1000]),
        missing: true,
    }
}

async fn pull(State(service): Shared, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    let fault = service.fault("/sync/pull", &headers)?;
    let wanted = v1::PullRequest::decode(body).unwrap();
    let mut inner = service.lock();
    let mut ids: Vec<AssetId> = wanted.hashes.iter().map(|hash| AssetId::try_from(&hash[..]).unwrap()).collect();
    if let Some(Fault::Swaps(other)) = fault {
        ids = vec![other];
    }
    let mut spoils = ids.iter().find_map(|id| inner.garbled.get(id).map(|fault| (*id, *fault)));
    if !wanted.metadata_only {
        ids.iter().for_each(|id| *inner.asked.entry(*id).or_default() += 1);
        spoils = spoils.or_else(|| ids.iter().find_map(|id| inner.spoiled.get(id).map(|fault| (*id, *fault))));
    }
    match spoils {
        Some((_, Fault::Fails)) => return Err(failed()),
        Some((_, Fault::Refuses)) => return Err(StatusCode::FORBIDDEN.into_response()),
        _ => {}
    }
    // It is the last that comes, and not whole.
    let come = spoils.map_or(ids.len(), |(bad, _)| ids.iter().position(|id| *id == bad).unwrap() + 1);
    let mut assets: Vec<v1::Asset> = ids[..come]
        .iter()
        .filter_map(|id| inner.assets.get(id))
        .map(|asset| {
            let mut content = asset.content.to_vec();
            if fault == Some(Fault::Lies)
                && let Some(first) = content.first_mut()
            {
                *first ^= 1;
            }
            v1::Asset {
                hash: Bytes::copy_from_slice(asset.key.id.as_bytes()),
                timestamp: asset.key.timestamp.as_millis(),
                size: asset.key.size,
                metadata: Some(match inner.garbled.get(&asset.key.id) {
                    Some(_) => v1::Metadata { description: Some(GARBLED.to_owned()), ..asset.metadata.clone() },
                    None => asset.metadata.clone(),
                }),
                version: Bytes::new(),
                content: (!wanted.metadata_only).then(|| content.into()),
            }
        })
        .collect();
    if matches!(spoils, Some((_, Fault::Cuts))) {
        let mut cut = v1::Bundle { assets, count: None }.encode_to_vec();
        cut.pop();
        return Ok(cut.into_response());
    }
    if matches!(spoils, Some((_, Fault::Lies))) {
        // A text that is none stands where the metadata of the asset should be.
        let mut bytes = v1::Bundle { assets, count: u32::try_from(come).ok() }.encode_to_vec();
        let at = bytes.windows(GARBLED.len()).position(|text| text == GARBLED.as_bytes()).unwrap();
        bytes[at] = 0xff;
        return Ok(bytes.into_response());
    }
    if fault == Some(Fault::Repeats) {
        assets.extend(assets.clone());
    }
    let count = u32::try_from(assets.len()).ok();
    if matches!(spoils, Some((_, Fault::Trickles))) {
        return Ok(trickle(v1::Bundle { assets, count }.encode_to_vec()));
    }
    Ok(answer(v1::Bundle { assets, count }.encode_to_vec(), fault))
}

async fn push(State(service): Shared, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    let fault = service.fault("/sync/push", &headers)?;
    let bundle = v1::Bundle::decode(body).unwrap();
    let mut results = Vec::new();
    for asset in bundle.assets {
        let key = super::super::convert::key(&asset.hash, asset.timestamp, asset.size).unwrap();
        let known = service.lock().assets.contains_key(&key.id);
        if !known {
            service.by_hand(key, &asset.content.unwrap(), asset.metadata.unwrap());
            service.lock().pushes += 1;
        }
        results.push(v1::PushResult { hash: asset.hash, known });
    }
    Ok(answer(v1::Pushed { results }.encode_to_vec(), fault))
}

async fn meta(State(service): Shared, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    let fault = service.fault("/sync/meta", &headers)?;
    let mut results = Vec::new();
    for change in v1::MetaRequest::decode(body).unwrap().changes {
        let id = AssetId::try_from(&change.hash[..]).unwrap();
        let known = service.lock().assets.get(&id).cloned();
        if let Some(asset) = &known {
            let wanted = change.metadata.unwrap_or_default();
            let mut metadata = asset.metadata.clone();
            for field in &change.fields {
                match field.as_str() {
                    "mime_type" => metadata.mime_type.clone_from(&wanted.mime_type),
                    "human_file_name" => metadata.human_file_name.clone_from(&wanted.human_file_name),
                    "application" => metadata.application.clone_from(&wanted.application),
                    "user" => metadata.user.clone_from(&wanted.user),
                    "description" => metadata.description.clone_from(&wanted.description),
                    "trashed" => metadata.trashed = wanted.trashed,
                    _ => {}
                }
            }
            metadata.tags.retain(|tag| !change.remove_tags.iter().any(|gone| gone.to_lowercase() == *tag));
            metadata.tags.extend(change.add_tags);
            service.lock().writes += 1;
            service.by_hand(asset.key, &asset.content, metadata);
        }
        results.push(v1::MetaResult { hash: change.hash, found: known.is_some() });
    }
    Ok(answer(v1::MetaAnswer { results }.encode_to_vec(), fault))
}

async fn events_of(State(service): Shared, headers: HeaderMap) -> Result<Response, Response> {
    service.fault("/sync/events", &headers)?;
    let behind = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
    service.lock().streams.push(behind);
    let receiver = service.events.subscribe();
    let start = (receiver, service, 0_u64, String::new());
    let told = stream::unfold(start, |(mut receiver, service, n, mut kept_back)| async move {
        if n == 1 && *service.telling.lock() == Telling::Breaks {
            // Not before the first is on its way.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            return Some((Err(std::io::Error::other("cut")), (receiver, service, n + 1, kept_back)));
        }
        let id = receiver.recv().await.ok()?;
        let event = format!("event: new_asset\nid: {n}\ndata: {{\"hash\":\"{id}\"}}\n\n");
        let telling = *service.telling.lock();
        let text = match telling {
            Telling::Straight | Telling::Breaks => event,
            Telling::Mute => ":\n\n".to_owned(),
            Telling::Loses if n % 2 == 0 => ":\n\n".to_owned(),
            Telling::Loses => event,
            Telling::Repeats => event.repeat(3),
            Telling::Reorders if kept_back.is_empty() => {
                kept_back = event;
                ":\n\n".to_owned()
            }
            Telling::Reorders => event + &std::mem::take(&mut kept_back),
            Telling::Garbage => "event: new_asset\ndata: {\"hash\":12}\n\ndata\n\n\u{0}\n\nid: x\nda".to_owned(),
        };
        let piece: Result<Bytes, std::io::Error> = match telling {
            Telling::Garbage if n % 2 == 1 => Err(std::io::Error::other("cut")),
            _ => Ok(text.into()),
        };
        Some((piece, (receiver, service, n + 1, kept_back)))
    });
    Ok(([("content-type", "text/event-stream")], Body::from_stream(told)).into_response())
}
