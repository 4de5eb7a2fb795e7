//! One suite of tests for every store.
//!
//! Each case gets a fresh store from the backend's own test and knows nothing but the trait, so that a store reached
//! over HTTP is held to the same contract as one in memory. The suite damages nothing by itself: a backend that can
//! damage a content offers a hand for it, else the cases about damage are left out.

mod changes;
mod contents;
mod listing;

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::StreamExt;

use super::Content;
use super::Edit;
use super::Origin;
use super::ReadError;
use super::Record;
use super::Store;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::LocalDocument;
use crate::asset::Timestamp;
use crate::asset::Verifier;

/// Time one case may take before it counts as hanging.
const CASE_TIME: Duration = Duration::from_mins(2);

/// Flips a bit of a stored content behind the back of the store.
type Damage = Box<dyn Fn(&Record) + Send + Sync>;

/// A fresh store, and what a test needs beside it.
pub struct Fixture {
    store: Arc<dyn Store>,
    damage: Option<Damage>,
    /// Folders and servers that must live as long as the store.
    kept: Option<Box<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture")
            .field("store", &self.store.kind())
            .field("keeps", &self.kept.is_some())
            .finish_non_exhaustive()
    }
}

impl Fixture {
    /// Takes a fresh, empty store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, damage: None, kept: None }
    }

    /// Adds a hand that flips a bit of a stored content.
    #[must_use]
    pub fn with_damage(mut self, damage: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.damage = Some(Box::new(damage));
        self
    }

    /// Keeps something alive as long as the store: a folder, a server.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept = Some(Box::new(kept));
        self
    }
}

/// What a case comes to.
type Outcome<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A case by name.
type Case = (&'static str, for<'a> fn(&'a Fixture) -> Outcome<'a>);

macro_rules! cases {
    ($($module:ident :: $case:ident),+ $(,)?) => {
        [$((stringify!($case), (|fixture| Box::pin($module::$case(fixture))) as for<'a> fn(&'a Fixture) -> Outcome<'a>)),+]
    };
}

/// Runs every case, each with a fresh store.
///
/// # Panics
/// When a case fails or hangs; the message names the case.
pub async fn run(make: impl AsyncFn() -> Fixture) {
    let cases: &[Case] = &cases![
        contents::sizes_and_offsets,
        contents::ingest_makes_the_same_asset_as_a_known_key,
        contents::unknown_ids,
        contents::several_are_read_at_once_in_the_order_asked,
        contents::wrong_content_is_refused,
        contents::a_part_resumes_after_a_drop,
        contents::verify_finds_sound_content,
        contents::damaged_content_is_never_handed_out,
        contents::damaged_content_is_moved_aside_and_comes_back_by_put,
        contents::concurrent_puts_of_one_asset,
        contents::purge_forgets,
        changes::a_second_put_applies_the_edit_and_keeps_the_content,
        changes::an_edit_that_changes_nothing_makes_no_arrival,
        changes::arrivals_are_ordered_paged_and_unique,
        changes::latest_wakes_after_a_write,
        changes::documents_come_back_whole,
        changes::names_are_data,
        changes::concurrent_edits_of_one_asset_lose_nothing,
        changes::health_counts,
        listing::order_cursor_offset_and_limit,
        listing::filters,
        listing::trash_is_listed_apart,
        listing::lists_follow_edits,
    ];
    for (name, case) in cases {
        let fixture = make().await;
        let run = AssertUnwindSafe(tokio::time::timeout(CASE_TIME, case(&fixture))).catch_unwind().await;
        fixture.store.close().await;
        match run {
            Ok(Ok(())) => {}
            Ok(Err(_)) => panic!("case `{name}` of a {} store hangs", fixture.store.kind()),
            Err(panic) => {
                let message = panic.downcast_ref::<String>().map(String::as_str);
                let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                panic!("case `{name}` of a {} store fails: {message}", fixture.store.kind());
            }
        }
    }
}

/// A timestamp, `n` milliseconds after a fixed moment.
fn timestamp(n: u64) -> Timestamp {
    Timestamp::new(1_700_000_000_000 + n).expect("it has 13 digits")
}

/// Bytes that do not repeat at any piece's length, different for every `salt`.
fn bytes(size: usize, salt: u8) -> Vec<u8> {
    let byte = |n: usize| u8::try_from(n % 256).expect("it is below 256");
    (0..size).map(|n| byte(n % 251) ^ byte(n / 251) ^ salt).collect()
}

/// The key of a content.
fn key_of(content: &[u8], timestamp: Timestamp) -> AssetKey {
    let mut verifier = Verifier::new(timestamp);
    verifier.update(content);
    AssetKey { id: verifier.id(), timestamp, size: content.len() as u64 }
}

/// An edit that takes changes in as first seen.
fn seen(changes: Changes) -> Edit {
    Box::new(move |document: &mut LocalDocument| document.see(&changes))
}

/// An edit that makes changes by hand.
fn changed(changes: Changes, now_ms: u64) -> Edit {
    let host = crate::asset::HostId::from_bytes([1; 32]);
    Box::new(move |document: &mut LocalDocument| document.change(&changes, now_ms, host))
}

/// Ingests a content.
async fn ingest(store: &dyn Store, content: &[u8], timestamp: Timestamp, edit: Edit) -> Record {
    let mut spool = store.spool(timestamp).await.expect("a spool");
    for piece in content.chunks(100_000) {
        spool.write(piece).expect("a written piece");
    }
    let spooled = spool.finish_ingest().expect("a finished spool");
    store.put(spooled, Origin::Here, edit).await.expect("a stored asset")
}

/// Opens a content that must be there.
async fn opened(store: &dyn Store, id: &AssetId, offset: u64) -> Content {
    store.open(id, offset).await.expect("a readable store").expect("a content")
}

/// Reads an opened content to its end.
async fn drain(mut content: Content) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    while let Some(piece) = content.stream.next().await {
        let piece = piece?;
        assert!(!piece.is_empty() && piece.len() <= crate::limits::CONTENT_CHUNK_BYTES, "{} bytes", piece.len());
        all.extend_from_slice(&piece);
    }
    Ok(all)
}
