//! `can-sync ls`: lists and searches assets.

use std::time::UNIX_EPOCH;

use clap::ValueEnum;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::cli::client::Asset;
use crate::cli::client::CanApi;
use crate::cli::client::Page;
use crate::cli::context::Context;
use crate::cli::exit::Misused;
use crate::limits;

/// List assets, newest first
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// How many to list
    #[arg(long, short = 'n', default_value = "100", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// List all of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Leave out so many at the beginning
    #[arg(long, value_name = "N")]
    offset: Option<u64>,
    /// Go on where an earlier listing ended
    #[arg(long, conflicts_with = "offset")]
    cursor: Option<String>,
    /// In which order
    #[arg(long, value_enum, default_value_t = Order::Newest)]
    order: Order,
    /// List what is in the trash
    #[arg(long)]
    trashed: bool,
    /// Only with this tag; several must all be there
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only of this application
    #[arg(long)]
    application: Option<String>,
    /// Only of this user
    #[arg(long)]
    user: Option<String>,
    /// Only of this media type (`image/png`, or `image/` for all images)
    #[arg(long, value_name = "TYPE")]
    mime_type: Option<String>,
    /// Only with this text in name, path, description or a tag
    #[arg(long = "text", short = 'q', value_name = "TEXT")]
    text: Option<String>,
    /// Only from this time on (`2026-11-20`, `2026-11-20T10:00:00Z`, or Unix milliseconds)
    #[arg(long, value_parser = time, value_name = "TIME")]
    from: Option<u64>,
    /// Only up to this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    to: Option<u64>,
}

/// Names and values of a URL's query.
type Parameters = Vec<(&'static str, String)>;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    Newest,
    Oldest,
}

/// Reads a time as Unix milliseconds.
fn time(text: &str) -> Result<u64, String> {
    if let Ok(millis) = text.parse() {
        return Ok(millis);
    }
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time = humantime::parse_rfc3339_weak(&whole).map_err(|error| error.to_string())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| "it is before 1970".to_owned())?;
    u64::try_from(since.as_millis()).map_err(|_| "it is too late".to_owned())
}

impl Args {
    pub(in crate::cli) async fn execute(self, context: &Context) -> anyhow::Result<()> {
        let api = context.can_api()?;
        let (filtered, query) = self.query()?;
        let path = if filtered { "/search" } else { "/list" };
        let mut left = if self.all { u64::MAX } else { self.limit };
        let (mut offset, mut cursor, mut count) = (self.offset, self.cursor, 0);
        let printer = context.printer();
        let page = loop {
            let mut query = query.clone();
            query.push(("limit", left.min(limits::CLIENT_PAGE_ROWS as u64).to_string()));
            query.extend(offset.take().map(|offset| ("offset", offset.to_string())));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page = fetch(&api, path, &query).await?;
            print(context, &page, count == 0)?;
            count += page.assets.len() as u64;
            left = left.saturating_sub(page.assets.len() as u64);
            // A server whose pages are empty and go on would be asked for ever.
            if left == 0 || page.next.is_none() || page.assets.is_empty() {
                break page;
            }
            cursor.clone_from(&page.next);
        };
        if printer.is_json() {
            let (total, next) = (page.total, json!(page.next));
            return Ok(printer.bytes(format!("],\"total\":{total},\"next\":{next}}}\n").as_bytes())?);
        }
        printer.flush()?;
        if let Some(next) = page.next.filter(|_| count < page.total) {
            printer.say(&format!("{count} of {}; go on with --cursor {next}", page.total));
        }
        Ok(())
    }

    /// Returns whether the listing is a search, and its parameters without the paging.
    fn query(&self) -> Result<(bool, Parameters), Misused> {
        if let Some(tag) = self.tags.iter().find(|tag| tag.contains(',')) {
            return Err(Misused(format!("the tag `{tag}` has a comma, and a search separates tags with commas")));
        }
        let tags = (!self.tags.is_empty()).then(|| self.tags.join(","));
        let filters = [
            ("tags", tags),
            ("application", self.application.clone()),
            ("user", self.user.clone()),
            ("mime_type", self.mime_type.clone()),
            ("q", self.text.clone()),
            ("from", self.from.map(|millis| millis.to_string())),
            ("to", self.to.map(|millis| millis.to_string())),
        ];
        let mut query: Vec<_> = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let filtered = !query.is_empty();
        if let Order::Oldest = self.order {
            query.push(("order", "oldest".to_owned()));
        }
        if self.trashed {
            query.push(("trashed", "true".to_owned()));
        }
        Ok((filtered, query))
    }
}

async fn fetch(api: &CanApi, path: &str, query: &[(&str, String)]) -> anyhow::Result<Page> {
    Ok(api.data(api.request(Method::GET, path, query)).await?)
}

/// Prints a page as it comes, so that a long listing needs no memory. As JSON all pages are one object.
fn print(context: &Context, page: &Page, is_first: bool) -> anyhow::Result<()> {
    let printer = context.printer();
    if printer.is_json() {
        let mut separator = if is_first { "{\"assets\":[" } else { "," };
        if page.assets.is_empty() && is_first {
            printer.bytes(separator.as_bytes())?;
        }
        for asset in &page.assets {
            printer.bytes(separator.as_bytes())?;
            printer.json_piece(asset)?;
            separator = ",";
        }
        return Ok(());
    }
    let assets = page.assets.iter().map(Asset::deserialize).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<_> = assets.iter().map(Asset::row).collect();
    if is_first {
        printer.table(&Asset::COLUMNS, &rows)?;
    } else {
        printer.rows(&Asset::COLUMNS, &rows)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_instants_or_milliseconds() {
        for (text, millis) in [
            ("1700000000000", Some(1_700_000_000_000)),
            ("2023-11-14", Some(1_699_920_000_000)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000_000)),
            ("2023-11-14 22:13:20", Some(1_700_000_000_000)),
            ("yesterday", None),
            ("1969-12-31", None),
        ] {
            assert_eq!(time(text).ok(), millis, "{text}");
        }
    }
}
