//! Taking in new content: a file in a form, or JSON data.

use std::sync::Arc;

use axum::extract::FromRequest;
use axum::extract::Multipart;
use axum::extract::Request;
use axum::extract::State;
use axum::extract::multipart::Field;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Api;
use super::form;
use super::form::Given;
use super::json::JsonAsset;
use super::json::Tags;
use super::upload::Upload;
use super::upload::refused;
use crate::asset::Timestamp;
use crate::http::Failure;
use crate::http::body;
use crate::http::body::Ahead;
use crate::http::success;
use crate::limits;
use crate::store::Origin;
use crate::store::Spooled;
use crate::task::now_ms;

/// `POST /ingest`: a form with one `file` and the metadata before or behind it.
pub(super) async fn form(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Failure> {
    let ahead = Ahead::default();
    let (head, body) = request.into_parts();
    let (body, rest) = body::watched(body, &ahead);
    let taken = take_form(&api, Request::from_parts(head, body), &ahead).await;
    if taken.is_err() {
        rest.read().await;
    }
    taken
}

async fn take_form(api: &Api, request: Request, ahead: &Ahead) -> Result<Response, Failure> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|rejection| {
        let hint = "send the content as a form, as `curl -F file=@photo.jpg` does";
        Failure::bad_request(rejection.body_text()).with_hint(hint)
    })?;
    let mut given = Given::default();
    let mut file = None;
    let mut parts = 0;
    while let Some(mut field) = form.next_field().await.map_err(|error| refused(&error))? {
        ahead.handed_on();
        parts += 1;
        if parts > limits::MULTIPART_PARTS {
            return Err(Failure::bad_request(format!("the form has more than {} parts", limits::MULTIPART_PARTS)));
        }
        let name = field.name().unwrap_or_default().to_owned();
        if name == "file" {
            if file.is_some() {
                return Err(Failure::bad_request("the form has two parts named `file`; send one asset at a time"));
            }
            let file_name = field.file_name().map(str::to_owned).filter(|name| !name.is_empty());
            file = Some((receive(api, &mut field, ahead).await?, file_name));
        } else {
            let text = form::text(&mut field, ahead).await?;
            // A part of another name does not count.
            given.take(&name, &text);
        }
    }
    let missing = || Failure::bad_request("the form has no part named `file`; send the content in it");
    let (spooled, file_name) = file.ok_or_else(missing)?;
    if let (None, Some(name)) = (&given.file_name, &file_name) {
        given.take("human_file_name", name);
    }
    let mime_type = form::mime_type_of(given.file_name.as_deref());
    store(api, spooled, given, &mime_type).await
}

/// Writes the content of a form's file as it comes.
async fn receive(api: &Api, field: &mut Field<'_>, ahead: &Ahead) -> Result<Spooled, Failure> {
    let mut upload = Upload::begin(&*api.store, timestamp()?).await?;
    while let Some(piece) = field.chunk().await.map_err(|error| refused(&error))? {
        ahead.handed_on();
        upload.write(&piece).await?;
    }
    upload.finish(None).await
}

/// The body of `POST /ingest/data`. Fields of other names do not count.
#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, rename = "data")]
    content: &'a RawValue,
    tags: Option<Tags>,
    mime_type: Option<String>,
    human_file_name: Option<String>,
    human_readable_path: Option<String>,
    application: Option<String>,
    user: Option<String>,
    description: Option<String>,
}

/// `POST /ingest/data`: the content is the text of `data` exactly as it was sent.
pub(super) async fn data(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Failure> {
    let body = body::whole(request.into_body(), limits::JSON_BODY_BYTES).await?;
    let parsed: Data<'_> = serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(format!("the body is not the JSON expected: {error}")))?;
    let mut given = Given::default();
    for (name, text) in [
        ("mime_type", &parsed.mime_type),
        ("human_file_name", &parsed.human_file_name),
        ("human_readable_path", &parsed.human_readable_path),
        ("application", &parsed.application),
        ("user", &parsed.user),
        ("description", &parsed.description),
    ] {
        given.take(name, text.as_deref().unwrap_or_default());
    }
    given.take_tags(&parsed.tags.map(Tags::into_vec).unwrap_or_default());
    let mut upload = Upload::begin(&*api.store, timestamp()?).await?;
    upload.write(&body.slice_ref(parsed.content.get().as_bytes())).await?;
    let spooled = upload.finish(None).await?;
    store(&api, spooled, given, "application/json").await
}

async fn store(api: &Api, spooled: Spooled, given: Given, mime_type: &str) -> Result<Response, Failure> {
    let edit = given.into_edit(mime_type, now_ms(), api.host);
    let edit = edit.map_err(|invalid| Failure::bad_request(invalid.to_string()))?;
    let record = api.store.put(spooled, Origin::Here, edit).await?;
    Ok(success(JsonAsset::from(&record)))
}

/// The timestamp of an asset that is ingested now.
fn timestamp() -> Result<Timestamp, Failure> {
    Timestamp::new(now_ms()).map_err(|error| {
        Failure::internal(&error).with_hint("the clock of this machine is wrong; set it and send the asset again")
    })
}
