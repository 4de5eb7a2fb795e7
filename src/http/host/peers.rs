//! `GET /peers`, `GET /peers/{peer}`, `POST /peers/{peer}/rename|pause|resume|limit|role|accept|remove`,
//! `POST /members/list`, `POST /brake/release|drop`.
//!
//! A peer is named by its id, the beginning of it (four characters at least), or its name.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Api;
use crate::asset::HostId;
use crate::engine::Condition;
use crate::engine::Culprit;
use crate::engine::DeviceError;
use crate::engine::HandError;
use crate::engine::MembersError;
use crate::engine::MembersStatus;
use crate::engine::Membership;
use crate::engine::ParseRoleError;
use crate::engine::PeerStatus;
use crate::engine::RateLimit;
use crate::engine::Role;
use crate::engine::Stopped;
use crate::engine::Trust;
use crate::http::Failure;
use crate::http::body::whole;
use crate::http::path::NamePath;
use crate::http::success;
use crate::limits;

/// A device, in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Peer {
    id: String,
    name: String,
    /// Kind of device, or empty.
    kind: String,
    version: String,
    /// `discovered`, `pairing`, `paired`, `pending`, `connected`, `disconnected`, `paused` or `blocked`.
    state: &'static str,
    /// Why its last connection ended, when it is disconnected and that is known.
    reason: Option<String>,
    /// Until when it is paused; null when it is not, or until a person resumes it.
    paused_until_ms: Option<u64>,
    /// `none`, `secret`, `accepted` or `admin`.
    trust: &'static str,
    connected: bool,
    /// What it may do, as is set here.
    allowed_role: &'static str,
    /// What it says it does; null when it is not connected.
    role: Option<&'static str>,
    exchange: Exchange,
    /// Bytes of content a second, or null.
    most_sent: Option<u64>,
    most_taken: Option<u64>,
    addresses: Vec<String>,
    relay: Option<String>,
    /// What is wrong with it, or null.
    trouble: Option<&'static str>,
    /// `direct` or `relay`.
    path: Option<&'static str>,
    rtt_ms: Option<f64>,
    /// How far its clock was ahead of this host's when it connected.
    clock_ahead_ms: Option<i64>,
    in_sync: bool,
    /// Whether it takes in and passes on every asset, or null.
    keeps_everything: Option<bool>,
    /// Assets of `of` that the peer says it has stored.
    kept: u64,
    of: u64,
    bytes_in: u64,
    bytes_out: u64,
    first_seen_ms: u64,
    last_seen_ms: u64,
}

/// What goes between the hosts, in JSON.
#[derive(Debug, Serialize)]
struct Exchange {
    /// Whether anything is sent to the peer.
    sends: bool,
    /// Whether anything is taken from it.
    takes: bool,
}

/// Who belongs to the library, in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Members {
    /// `secret` or `listed`.
    membership: &'static str,
    epoch: u64,
    admins: Vec<String>,
    /// Whether this host may accept and remove.
    may_sign: bool,
    trouble: Option<String>,
}

/// Somebody the brake has stopped, in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Braked {
    /// `author` or `peer`.
    what: &'static str,
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rename {
    // It has to be said, also that there is none.
    #[serde(deserialize_with = "Option::deserialize")]
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    secs: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    #[serde(default, deserialize_with = "rate_limit")]
    sent: RateLimit,
    #[serde(default, deserialize_with = "rate_limit")]
    taken: RateLimit,
}

/// Reads a limit that is given: a number, or null for none.
fn rate_limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<RateLimit, D::Error> {
    Ok(Option::deserialize(deserializer)?.map_or(RateLimit::Unlimited, RateLimit::BytesPerSec))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetRole {
    role: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accept {
    #[serde(default)]
    admin: bool,
}

/// Who stays in the library: ids.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Staying {
    staying: Vec<String>,
}

/// Who leaves with a host that is removed, and who stays: ids.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parting {
    #[serde(default)]
    leaving: Vec<String>,
    staying: Vec<String>,
}

pub(super) async fn peers(State(api): State<Api>) -> Result<Response, Failure> {
    let status = api.node.status().await.map_err(|error| Failure::internal(&error))?;
    let replication = status.replication;
    let peers: Vec<Peer> = replication.peers.into_iter().map(Peer::from).collect();
    let braked: Vec<Braked> = replication.braked.into_iter().map(Braked::from).collect();
    Ok(success(json!({
        "host": { "id": status.id.to_string(), "name": status.name },
        "members": Members::from(replication.members),
        "braked": braked,
        "peers": peers,
    })))
}

pub(super) async fn peer(State(api): State<Api>, NamePath(peer): NamePath) -> Result<Response, Failure> {
    let id = named(&api, &peer)?;
    let status = api.node.status().await.map_err(|error| Failure::internal(&error))?;
    let found = status.replication.peers.into_iter().find(|peer| peer.id == id);
    let found = found.ok_or_else(|| Failure::not_found(format!("nothing is known of {}", id.fmt_short())))?;
    Ok(success(Peer::from(found)))
}

pub(super) async fn rename(State(api): State<Api>, NamePath(peer): NamePath, body: Body) -> Result<Response, Failure> {
    let (id, Rename { name }) = (named(&api, &peer)?, read(body).await?);
    api.node.rename_peer(id, name).await.map_err(device_failure)?;
    Ok(done(id, "renamed"))
}

pub(super) async fn pause(State(api): State<Api>, NamePath(peer): NamePath, body: Body) -> Result<Response, Failure> {
    let (id, Pause { secs }) = (named(&api, &peer)?, read(body).await?);
    if secs.is_some_and(|secs| !(1..=limits::PAUSE_MOST_SECS).contains(&secs)) {
        let most = limits::PAUSE_MOST_SECS;
        return Err(Failure::bad_request(format!("a pause has 1 to {most} seconds, or no end: until it is resumed")));
    }
    api.node.pause_peer(id, secs.map(Duration::from_secs)).await.map_err(device_failure)?;
    Ok(done(id, "paused"))
}

pub(super) async fn resume(State(api): State<Api>, NamePath(peer): NamePath) -> Result<Response, Failure> {
    let id = named(&api, &peer)?;
    api.node.resume_peer(id).await.map_err(device_failure)?;
    Ok(done(id, "resumed"))
}

pub(super) async fn limit(State(api): State<Api>, NamePath(peer): NamePath, body: Body) -> Result<Response, Failure> {
    let (id, Limit { sent, taken }) = (named(&api, &peer)?, read(body).await?);
    api.node.limit_peer(id, sent, taken).await.map_err(device_failure)?;
    Ok(done(id, "limited"))
}

pub(super) async fn role(State(api): State<Api>, NamePath(peer): NamePath, body: Body) -> Result<Response, Failure> {
    let (id, SetRole { role }) = (named(&api, &peer)?, read(body).await?);
    let role: Role = role.parse().map_err(|error: ParseRoleError| Failure::bad_request(error.to_string()))?;
    api.node.set_peer_role(id, role).await.map_err(device_failure)?;
    Ok(done(id, "role set"))
}

pub(super) async fn accept(State(api): State<Api>, NamePath(peer): NamePath, body: Body) -> Result<Response, Failure> {
    let (id, Accept { admin }) = (named(&api, &peer)?, read(body).await?);
    api.node.accept_peer(id, admin).await.map_err(members_failure)?;
    Ok(done(id, if admin { "made an admin" } else { "accepted" }))
}

pub(super) async fn remove(State(api): State<Api>, NamePath(peer): NamePath, body: Body) -> Result<Response, Failure> {
    let (id, Parting { leaving, staying }) = (named(&api, &peer)?, read(body).await?);
    let removing = api.node.remove_peer(id, ids(leaving)?, ids(staying)?);
    let renewed = removing.await.map_err(members_failure)?;
    Ok(success(json!({ "id": id.to_string(), "done": "removed", "renewed": renewed })))
}

pub(super) async fn list(State(api): State<Api>, body: Body) -> Result<Response, Failure> {
    let staying = ids(read::<Staying>(body).await?.staying)?;
    let accepted = staying.len();
    api.node.list_members(staying).await.map_err(members_failure)?;
    Ok(success(json!({ "membership": "listed", "accepted": accepted })))
}

pub(super) async fn release_brake(State(api): State<Api>) -> Result<Response, Failure> {
    let released = api.node.release_brake().await.map_err(hand_failure)?;
    Ok(success(json!({ "released": released })))
}

pub(super) async fn drop_braked(State(api): State<Api>) -> Result<Response, Failure> {
    let dropped = api.node.drop_braked().await.map_err(hand_failure)?;
    Ok(success(json!({ "dropped": dropped })))
}

fn ids(texts: Vec<String>) -> Result<Vec<HostId>, Failure> {
    let id = |text: String| text.parse().map_err(|_| Failure::bad_request(format!("`{text}` is no id of a host")));
    texts.into_iter().map(id).collect()
}

fn named(api: &Api, text: &str) -> Result<HostId, Failure> {
    if text.len() > limits::PEER_NAMED_BYTES {
        return Err(Failure::bad_request("the name of a peer is too long"));
    }
    api.node.named(text).map_err(|error| Failure::not_found(error.to_string()))
}

/// Reads a small JSON body; an empty one is an empty object.
pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Failure> {
    let bytes = whole(body, limits::JSON_BODY_BYTES).await?;
    let bytes = if bytes.is_empty() { b"{}".as_slice() } else { &bytes };
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::bad_request(format!("the body is not as it should be: {error}")))
}

fn done(id: HostId, what: &str) -> Response {
    success(json!({ "id": id.to_string(), "done": what }))
}

fn device_failure(error: DeviceError) -> Failure {
    match error {
        DeviceError::Named(_) => Failure::not_found(error.to_string()),
        DeviceError::Name | DeviceError::Rate => Failure::bad_request(error.to_string()),
        DeviceError::Full => Failure::conflict(error.to_string()),
        _ => Failure::internal(&error),
    }
}

pub(super) fn members_failure(error: MembersError) -> Failure {
    match error {
        MembersError::Keep(_) => Failure::internal(&error),
        _ => Failure::conflict(error.to_string()),
    }
}

fn hand_failure(error: HandError) -> Failure {
    match error {
        HandError::Silent => Failure::conflict(error.to_string()),
        _ => Failure::internal(&error),
    }
}

impl From<MembersStatus> for Members {
    fn from(status: MembersStatus) -> Self {
        Self {
            membership: match status.membership {
                Membership::Secret => "secret",
                Membership::Listed => "listed",
            },
            epoch: status.epoch,
            admins: status.admins.iter().map(ToString::to_string).collect(),
            may_sign: status.may_sign,
            trouble: status.trouble,
        }
    }
}

impl From<Stopped> for Braked {
    fn from(stopped: Stopped) -> Self {
        let (what, id) = match stopped.culprit {
            Culprit::Author(id) => ("author", id),
            Culprit::Peer(id) => ("peer", id),
        };
        Self { what, id: id.to_string(), name: stopped.name }
    }
}

impl From<PeerStatus> for Peer {
    fn from(peer: PeerStatus) -> Self {
        let (state, reason, paused_until_ms) = match peer.condition {
            Condition::Discovered => ("discovered", None, None),
            Condition::Pairing => ("pairing", None, None),
            Condition::Paired => ("paired", None, None),
            Condition::Pending => ("pending", None, None),
            Condition::Connected => ("connected", None, None),
            Condition::Disconnected { why } => ("disconnected", why, None),
            Condition::Paused { until_ms } => ("paused", None, until_ms),
            Condition::Blocked => ("blocked", None, None),
        };
        Self {
            id: peer.id.to_string(),
            name: peer.name,
            kind: peer.kind,
            version: peer.version,
            state,
            reason,
            paused_until_ms,
            trust: match peer.trust {
                Trust::None => "none",
                Trust::Secret => "secret",
                Trust::Accepted => "accepted",
                Trust::Admin => "admin",
            },
            connected: peer.connected,
            allowed_role: peer.settings.role.name(),
            role: peer.role.map(Role::name),
            exchange: Exchange { sends: peer.flow.send, takes: peer.flow.take },
            most_sent: peer.settings.most_sent,
            most_taken: peer.settings.most_taken,
            addresses: peer.addresses,
            relay: peer.relay,
            trouble: peer.trouble,
            path: peer.direct.map(|direct| if direct { "direct" } else { "relay" }),
            rtt_ms: peer.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            clock_ahead_ms: peer.clock_ahead_ms,
            in_sync: peer.in_sync,
            keeps_everything: peer.keeps_everything,
            kept: peer.kept.0,
            of: peer.kept.1,
            bytes_in: peer.bytes_in,
            bytes_out: peer.bytes_out,
            first_seen_ms: peer.first_seen_ms,
            last_seen_ms: peer.last_seen_ms,
        }
    }
}
