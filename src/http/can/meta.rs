//! The metadata of one asset: read, change, trash, restore.

use std::sync::Arc;

use axum::extract::Request;
use axum::extract::State;
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::Map;
use serde_json::Value as Json;

use super::Api;
use super::absent;
use super::json::JsonAsset;
use super::json::Tags;
use crate::asset::AssetId;
use crate::asset::Changes;
use crate::asset::InvalidMetadata;
use crate::asset::LocalDocument;
use crate::asset::Value;
use crate::asset::names;
use crate::asset::validate_changes;
use crate::asset::validate_document;
use crate::http::Failure;
use crate::http::body;
use crate::http::path::AssetPath;
use crate::http::path::shortened;
use crate::http::success;
use crate::limits;
use crate::store::Record;
use crate::store::can_service::convert::TEXTS;
use crate::task::now_ms;

/// `GET /asset/{hash}/meta`
pub(super) async fn get(State(api): State<Arc<Api>>, AssetPath(id): AssetPath) -> Result<Response, Failure> {
    let record = api.store.record(&id).await?.filter(|record| record.presence.is_here());
    answer(&api, &id, record).await
}

/// `PATCH /asset/{hash}/meta`
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    AssetPath(id): AssetPath,
    request: Request,
) -> Result<Response, Failure> {
    let body = body::whole(request.into_body(), limits::JSON_BODY_BYTES).await?;
    let wish: Map<String, Json> = serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(format!("the body is not a JSON object: {error}")))?;
    let wish = Wish::read(wish)?;
    answer(&api, &id, change(&api, &id, wish).await?).await
}

/// `DELETE /asset/{hash}`: to the trash, from which it can be restored.
pub(super) async fn trash(State(api): State<Arc<Api>>, AssetPath(id): AssetPath) -> Result<Response, Failure> {
    let wish = Wish { changes: Changes::new().trashed(true), ..Wish::default() };
    answer(&api, &id, change(&api, &id, wish).await?).await
}

/// `POST /asset/{hash}/restore`
pub(super) async fn restore(State(api): State<Arc<Api>>, AssetPath(id): AssetPath) -> Result<Response, Failure> {
    let wish = Wish { changes: Changes::new().trashed(false), ..Wish::default() };
    answer(&api, &id, change(&api, &id, wish).await?).await
}

async fn answer(api: &Api, id: &AssetId, record: Option<Record>) -> Result<Response, Failure> {
    match record {
        Some(record) => Ok(success(JsonAsset::from(&record))),
        None => Err(absent(&*api.store, id).await),
    }
}

/// What somebody wants changed by hand.
#[derive(Debug, Default)]
pub(super) struct Wish {
    pub(super) changes: Changes,
    /// The whole set of tags, instead of the one that is there.
    pub(super) tags: Option<Vec<String>>,
}

impl Wish {
    /// Reads the object of a PATCH. Null clears a text; tags are replaced by `tags`, or changed by the other two.
    fn read(object: Map<String, Json>) -> Result<Self, Failure> {
        let mut wish = Self::default();
        for (name, value) in object {
            let changes = std::mem::take(&mut wish.changes);
            let field = TEXTS.iter().find(|(wire, _)| *wire == name).map(|(_, field)| *field);
            wish.changes = match (field, name.as_str(), value) {
                (Some(field), _, Json::Null) => changes.clear(field),
                (Some(field), _, Json::String(text)) => changes.set(field, text),
                (None, "tags", Json::Null) => {
                    wish.tags = Some(Vec::new());
                    changes
                }
                (None, "tags", value) => {
                    wish.tags = Some(tags(&name, value)?);
                    changes
                }
                (None, "add_tags", value) => {
                    tags(&name, value)?.iter().fold(changes, |changes, tag| changes.add_tag(tag))
                }
                (None, "remove_tags", value) => {
                    tags(&name, value)?.iter().fold(changes, |changes, tag| changes.remove_tag(tag))
                }
                (Some(_), ..) => return Err(Failure::bad_request(format!("{name} must be a text or null"))),
                _ => {
                    return Err(Failure::bad_request(format!(
                        "{:?} cannot be changed; the fields are {}, tags, add_tags and remove_tags",
                        shortened(&name),
                        TEXTS.map(|(wire, _)| wire).join(", ")
                    )));
                }
            };
        }
        Ok(wish)
    }

    /// Returns the changes this means for a document.
    fn changes_to(&self, document: &LocalDocument) -> Changes {
        let Some(tags) = &self.tags else { return self.changes.clone() };
        let present = document.metadata().tags;
        let gone = present.iter().filter(|tag| !tags.contains(tag));
        let removed = gone.fold(Changes::new(), |changes, tag| changes.remove_tag(tag));
        let replaced = tags.iter().fold(removed, |changes, tag| changes.add_tag(tag));
        let all = replaced.iter().chain(self.changes.iter());
        all.map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }
}

fn tags(name: &str, value: Json) -> Result<Vec<String>, Failure> {
    let tags: Result<Tags, _> = serde_json::from_value(value);
    let wrong = |_| Failure::bad_request(format!("{name} must be an array of texts, or one text with commas"));
    Ok(tags.map_err(wrong)?.into_vec())
}

/// Checks that every wish came true: a document drops the oldest of too many tags, and a hand should be told.
fn whole(document: &LocalDocument, changes: &Changes) -> Result<(), InvalidMetadata> {
    let came_true = |(name, value): (&str, &Value)| document.value(name) == value;
    let (limit, kept) = (limits::TAG_FIELDS, document.metadata().tags.len());
    let lost = changes.iter().filter(|wish| !came_true(*wish)).count();
    if lost == 0 { Ok(()) } else { Err(InvalidMetadata::TooMany { kind: "tags", count: kept + lost, limit }) }
}

/// Tells whether changes have added nothing to a document that now has so many bytes. What several hosts wrote can be too
/// large together, and then must be possible to be made smaller, and to be trashed.
fn is_no_larger(changes: &Changes, before: &LocalDocument, bytes: usize) -> bool {
    let takes_away = |(name, value): (&str, &Value)| *value == Value::Absent || name == names::TRASHED;
    bytes <= before.shared().encode().len() || changes.iter().all(takes_away)
}

/// Makes changes by hand; `None` when there is no such asset. What breaks a limit changes nothing.
pub(super) async fn change(api: &Api, id: &AssetId, wish: Wish) -> Result<Option<Record>, Failure> {
    // What the change means is known only inside the store's transaction, so its refusal comes out of there.
    let refusal: Arc<Mutex<Option<InvalidMetadata>>> = Arc::default();
    let (told, host, now_ms) = (Arc::clone(&refusal), api.host, now_ms());
    let edit = Box::new(move |document: &mut LocalDocument| {
        let before = document.clone();
        let changes = wish.changes_to(document);
        let checked = validate_changes(&changes).and_then(|()| {
            document.change(&changes, now_ms, host);
            if *document == before {
                return Ok(());
            }
            match validate_document(document.shared()) {
                Err(InvalidMetadata::TooLarge { bytes, .. }) if is_no_larger(&changes, &before, bytes) => Ok(()),
                checked => checked,
            }?;
            whole(document, &changes)
        });
        if let Err(invalid) = checked {
            *document = before;
            *told.lock() = Some(invalid);
        }
    });
    // The content may be missing; then the asset is not here for programs, and stays unchanged.
    if api.store.record(id).await?.is_none_or(|record| !record.presence.is_here()) {
        return Ok(None);
    }
    let record = api.store.edit(id, edit).await?;
    match refusal.lock().take() {
        Some(invalid) => Err(Failure::bad_request(invalid.to_string())),
        None => Ok(record),
    }
}
