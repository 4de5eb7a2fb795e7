//! The list of cases, and how they are run.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;

use super::Fixture;
use super::changes;
use super::contents;
use super::listing;

/// Time one case may take before it counts as hanging.
const CASE_TIME: Duration = Duration::from_mins(2);

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
