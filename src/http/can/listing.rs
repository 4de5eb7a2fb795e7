//! Listing and searching.

use std::sync::Arc;

use axum::extract::Query as UrlQuery;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;

use super::Api;
use super::json::JsonAsset;
use super::json::split_tags;
use crate::asset::Timestamp;
use crate::http::Failure;
use crate::http::path::shortened;
use crate::http::success;
use crate::limits;
use crate::store::Cursor;
use crate::store::Order;
use crate::store::Query;

/// The parameters of both requests, as text, so that each error names its parameter. Empty ones do not count.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    limit: Option<String>,
    offset: Option<String>,
    cursor: Option<String>,
    order: Option<String>,
    trashed: Option<String>,
    tags: Option<String>,
    application: Option<String>,
    user: Option<String>,
    mime_type: Option<String>,
    q: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Debug, Serialize)]
struct JsonPage {
    assets: Vec<JsonAsset>,
    total: u64,
    next: Option<String>,
}

/// `GET /list`
pub(super) async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Failure> {
    page(&api, paging(&parameters(&uri)?)?).await
}

/// `GET /search`
pub(super) async fn search(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Failure> {
    let parameters = parameters(&uri)?;
    let mut query = paging(&parameters)?;
    query.tags = split_tags(parameters.tags.as_deref().unwrap_or_default());
    query.from = number("from", parameters.from.as_deref())?;
    query.to = number("to", parameters.to.as_deref())?;
    query.application = given(parameters.application);
    query.user = given(parameters.user);
    query.mime_type = given(parameters.mime_type);
    query.text = given(parameters.q);
    page(&api, query).await
}

async fn page(api: &Api, query: Query) -> Result<Response, Failure> {
    let page = api.store.page(&query).await?;
    Ok(success(JsonPage {
        assets: page.records.iter().map(JsonAsset::from).collect(),
        total: page.total,
        next: page.next.map(|cursor| format!("{}_{}", cursor.timestamp, cursor.id)),
    }))
}

fn parameters(uri: &Uri) -> Result<Parameters, Failure> {
    let parsed = UrlQuery::<Parameters>::try_from_uri(uri);
    Ok(parsed.map_err(|rejection| Failure::bad_request(rejection.body_text()))?.0)
}

fn paging(parameters: &Parameters) -> Result<Query, Failure> {
    let most = limits::PAGE_ROWS as u64;
    let limit = number("limit", parameters.limit.as_deref())?.unwrap_or(limits::PAGE_ROWS_DEFAULT as u64);
    if limit == 0 || limit > most {
        return Err(Failure::bad_request(format!("limit is {limit}; it must be 1 to {most}")));
    }
    let order = match parameters.order.as_deref() {
        None | Some("" | "newest") => Order::Newest,
        Some("oldest") => Order::Oldest,
        Some(other) => return Err(wrong("order", other, "`newest` or `oldest`")),
    };
    let trashed = match parameters.trashed.as_deref() {
        None | Some("" | "false") => false,
        Some("true") => true,
        Some(other) => return Err(wrong("trashed", other, "`true` or `false`")),
    };
    let offset = number("offset", parameters.offset.as_deref())?.unwrap_or(0);
    if i64::try_from(offset).is_err() {
        return Err(wrong("offset", &offset.to_string(), "a number below 2^63"));
    }
    let after = match parameters.cursor.as_deref() {
        None | Some("") => None,
        Some(text) => Some(cursor(text).ok_or_else(|| wrong("cursor", text, "the `next` of the page before"))?),
    };
    let limit = usize::try_from(limit).expect("checked to be small");
    Ok(Query { trashed, order, after, offset, limit, ..Query::default() })
}

fn cursor(text: &str) -> Option<Cursor> {
    let (timestamp, id) = text.split_once('_')?;
    Some(Cursor { timestamp: Timestamp::new(timestamp.parse().ok()?).ok()?, id: id.parse().ok()? })
}

fn number(name: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| wrong(name, text, "a number that is not negative")),
    }
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn wrong(name: &str, is: &str, must_be: &str) -> Failure {
    Failure::bad_request(format!("{name} is {:?}; it must be {must_be}", shortened(is)))
}
