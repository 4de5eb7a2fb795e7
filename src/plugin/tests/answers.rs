//! What plugins are shown and answer, and what the chain makes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::BreakerState;
use super::super::Grant;
use super::super::Limits;
use super::super::OnFailure;
use super::super::Settings;
use super::fixtures::DROP;
use super::fixtures::Fixture;
use super::fixtures::HOLD;
use super::fixtures::HOLD_PRIVATE;
use super::fixtures::KEEP_PRIVATE;
use super::fixtures::PASS;
use super::fixtures::TRAP;
use super::fixtures::edit;
use super::host::Place;
use super::host::asked;
use super::host::asked_at;
use crate::asset::Changes;
use crate::asset::names;
use crate::hook::Asked;
use crate::hook::BoxFuture;
use crate::hook::Content;
use crate::hook::Hooks;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::limits;

#[tokio::test]
async fn every_verdict_arrives() {
    let cases = [
        (PASS.to_owned(), Verdict::Pass),
        (DROP.to_owned(), Verdict::Drop("private".to_owned())),
        (HOLD.to_owned(), Verdict::Hold("private".to_owned())),
        (edit(0, 2, 16, 7), Verdict::Edit(Changes::new().set(names::PATH, "private"))),
        (edit(1, 4, 0, 0), Verdict::Edit(Changes::new().clear(names::USER))),
        (edit(2, 0, 16, 7), Verdict::Edit(Changes::new().add_tag("private"))),
        (edit(3, 0, 16, 7), Verdict::Edit(Changes::new().remove_tag("private"))),
    ];
    for (body, verdict) in cases {
        let place = Place::new();
        place.drop_in("one.wasm", &Fixture::new().hook("before-push", &body).build());
        let host = place.start().await;
        let judgement = host.ask(&asked(&[])).await;
        assert_eq!((&judgement.verdict, judgement.standing), (&verdict, Standing::Firm));
        assert_eq!(judgement.steps.len(), 1);
        host.stop().await;
    }
}

#[tokio::test]
async fn it_is_shown_the_asset_and_asked_only_at_its_hooks() {
    let place = Place::new();
    place.drop_in("keep-private.wasm", &Fixture::new().hook("before-push", KEEP_PRIVATE).build());
    let host = place.start().await;
    assert_eq!(host.ask(&asked(&["beach", "private"])).await.verdict, Verdict::Drop("private".to_owned()));
    assert_eq!(host.ask(&asked(&["beach", "privates"])).await.verdict, Verdict::Pass);
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    place.drop_in("hold-private.wasm", &Fixture::new().hook("before-pull", HOLD_PRIVATE).build());
    host.until("the second is loaded", |host| host.status("hold-private").is_some()).await;
    let pulled = host.ask(&asked_at(Point::BeforePull, &["private"])).await;
    assert_eq!((pulled.verdict, pulled.steps.len()), (Verdict::Hold("private".to_owned()), 1));
    assert_eq!(host.plugins.chain(Point::AfterReceive, "mirror"), None);
    assert!(host.ask(&asked_at(Point::AfterReceive, &["private"])).await.steps.is_empty());
    let status = host.status("keep-private").unwrap();
    assert_eq!((status.figures.calls, status.figures.dropped, status.figures.passed), (3, 1, 2));
    assert_eq!((status.description.name.as_str(), status.description.version.as_str()), ("fixture", "1.2.3"));
    host.stop().await;
}

#[tokio::test]
async fn later_plugins_see_what_earlier_ones_changed_and_the_order_decides() {
    let place = Place::new();
    // By name the one that keeps back would be asked first.
    place.drop_in("a-keep.wasm", &Fixture::new().hook("before-push", KEEP_PRIVATE).build());
    place.drop_in("b-tag.wasm", &Fixture::new().hook("before-push", &edit(2, 0, 16, 7)).build());
    let host = place.start().await;
    let judgement = host.ask(&asked(&[])).await;
    assert_eq!(judgement.verdict, Verdict::Edit(Changes::new().add_tag("private")));
    let first = host.plugins.chain(Point::BeforePush, "mirror");
    host.stop().await;

    place.set("a-keep", Settings { order: 1, ..Settings::default() });
    let host = place.start().await;
    let judgement = host.ask(&asked(&[])).await;
    assert_eq!(judgement.verdict, Verdict::Drop("private".to_owned()));
    assert_eq!(judgement.stopped_by(), Some("a-keep"));
    let names: Vec<_> = judgement.steps.iter().map(|step| &*step.plugin).collect();
    assert_eq!(names, ["b-tag", "a-keep"]);
    assert_ne!(host.plugins.chain(Point::BeforePush, "mirror"), first);
    host.stop().await;
}

#[tokio::test]
async fn past_one_that_is_overruled_the_next_is_asked_and_what_it_said_is_seen() {
    let place = Place::new();
    place.drop_in("a-keep.wasm", &Fixture::new().hook("before-push", KEEP_PRIVATE).build());
    place.drop_in("b-bad.wasm", &Fixture::new().hook("before-push", TRAP).build());
    place.drop_in("c-tag.wasm", &Fixture::new().hook("before-push", &edit(2, 0, 16, 7)).build());
    let host = place.start().await;
    let overruling = |names: &[&str]| Asked {
        overruled: names.iter().map(|name| (*name).to_owned()).collect(),
        ..asked(&["private"])
    };
    assert_eq!(host.ask(&overruling(&[])).await.stopped_by(), Some("a-keep"));
    let judgement = host.ask(&overruling(&["a-keep"])).await;
    assert_eq!((judgement.stopped_by(), judgement.standing), (Some("b-bad"), Standing::Failed));
    let judgement = host.ask(&overruling(&["a-keep", "b-bad"])).await;
    assert_eq!(judgement.verdict, Verdict::Edit(Changes::new().add_tag("private")));
    assert_eq!((judgement.stopped_by(), judgement.standing), (None, Standing::Firm));
    assert_eq!(judgement.steps[0].verdict, Verdict::Drop("private".to_owned()));
    host.stop().await;
}

#[tokio::test]
async fn a_failure_is_answered_by_the_policy() {
    for (on_failure, verdict) in [
        (OnFailure::Hold, Some(Verdict::Hold(String::new()))),
        (OnFailure::Drop, Some(Verdict::Drop(String::new()))),
        (OnFailure::Pass, None),
    ] {
        let place = Place::new();
        place.drop_in("a-bad.wasm", &Fixture::new().hook("before-push", TRAP).build());
        place.drop_in("b-good.wasm", &Fixture::new().hook("before-push", PASS).build());
        place.set("a-bad", Settings { on_failure, ..Settings::default() });
        let host = place.start().await;
        let judgement = host.ask(&asked(&[])).await;
        let kind = std::mem::discriminant;
        assert_eq!(kind(&judgement.verdict), kind(&verdict.clone().unwrap_or(Verdict::Pass)), "{judgement:?}");
        assert_eq!(judgement.standing, Standing::Failed);
        assert_eq!(judgement.steps.len(), if verdict.is_some() { 1 } else { 2 });
        assert!(judgement.steps[0].failure.as_ref().unwrap().contains("trapped"), "{judgement:?}");
        host.stop().await;
    }
}

#[tokio::test]
async fn a_library_binding_decides_where_it_is_asked() {
    let place = Place::new();
    place.drop_in("one.wasm", &Fixture::new().hook("before-push", DROP).build());
    let libraries = Some(BTreeSet::from(["photos".to_owned()]));
    place.set("one", Settings { libraries, ..Settings::default() });
    let host = place.start().await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    assert_eq!(host.plugins.chain(Point::BeforePush, "mirror"), None);
    assert!(host.plugins.chain(Point::BeforePush, "photos").is_some());
    host.stop().await;
}

/// A content that a test knows.
#[derive(Debug)]
struct Text(&'static [u8]);

impl Content for Text {
    fn read(&self, offset: u64, length: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let from = self.0.get(offset as usize..).unwrap_or_default();
        Box::pin(std::future::ready(Ok(from[..length.min(from.len())].to_vec())))
    }
}

/// Drops when the first byte of the content is `x`; holds when the content is refused.
fn sniffing(length: u32) -> Vec<u8> {
    let body = format!(
        "(call $read (i64.const 0) (i32.const {length}) (i32.const 512))
         (if (i32.load8_u (i32.const 512)) (then (return {HOLD})))
         (if (i32.eq (i32.load8_u (i32.load (i32.const 516))) (i32.const 120)) (then (return {DROP})))
         {PASS}"
    );
    Fixture::new().import("content", "read", "read", "(param i64 i32 i32)").hook("before-push", &body).build()
}

#[tokio::test]
async fn content_is_read_with_the_grant_and_within_limits() {
    let granted = Settings { grants: BTreeSet::from([Grant::Content]), ..Settings::default() };
    let small = Settings { limits: Limits { content_bytes: 3, ..Limits::default() }, ..granted.clone() };
    let drops = Verdict::Drop("private".to_owned());
    let holds = Verdict::Hold("private".to_owned());
    for (settings, length, content, verdict) in [
        (granted.clone(), 4, Some(&b"x is there"[..]), drops),
        (granted.clone(), 4, Some(b"nothing"), Verdict::Pass),
        (granted.clone(), 4, None, holds.clone()),
        (granted, 1 << 20, Some(b"x is there"), holds.clone()),
        (small, 4, Some(b"x is there"), holds.clone()),
        (Settings::default(), 4, Some(b"x is there"), holds),
    ] {
        let place = Place::new();
        place.drop_in("sniff.wasm", &sniffing(length));
        place.set("sniff", settings);
        let host = place.start().await;
        let content = content.map(|text| Arc::new(Text(text)) as Arc<dyn Content>);
        let judgement = host.ask(&Asked { content, ..asked(&[]) }).await;
        assert_eq!(judgement.verdict, verdict);
        host.stop().await;
    }
}

/// A content that cannot be read.
#[derive(Debug)]
struct Broken;

impl Content for Broken {
    fn read(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(std::future::ready(Err("the disk says no".to_owned())))
    }
}

#[tokio::test]
async fn what_is_said_about_a_content_that_could_not_be_read_is_no_answer() {
    let place = Place::new();
    place.drop_in("sniff.wasm", &sniffing(4));
    place.set("sniff", Settings { grants: BTreeSet::from([Grant::Content]), ..Settings::default() });
    let host = place.start().await;
    let with = |content: Arc<dyn Content>| Asked { content: Some(content), ..asked(&[]) };
    for _ in 0..5 {
        let judgement = host.ask(&with(Arc::new(Broken))).await;
        assert_eq!(judgement.standing, Standing::Failed);
        let said = format!("{:?}", judgement.verdict);
        assert!(said.contains("could not be read") && said.contains("the disk says no"), "{said}");
    }
    // It is no fault of the plugin, which is asked on.
    assert_eq!(host.status("sniff").unwrap().breaker, BreakerState::Closed);
    let judgement = host.ask(&with(Arc::new(Text(b"nothing")))).await;
    assert_eq!((judgement.verdict, judgement.standing), (Verdict::Pass, Standing::Firm));
    let used = host.status("sniff").unwrap().used;
    assert!(used.content_bytes == 4 && used.component_bytes > 0 && used.memory_bytes > 0, "{used:?}");
    host.stop().await;
}

#[tokio::test]
async fn its_state_outlives_a_restart() {
    // Drops what it is asked about once it has written something down before.
    let body = format!(
        "(call $get (i32.const 16) (i32.const 7) (i32.const 512))
         (if (i32.load8_u (i32.const 512)) (then (return {HOLD})))
         (if (i32.load8_u (i32.const 516)) (then (return {DROP})))
         (call $set (i32.const 16) (i32.const 7) (i32.const 16) (i32.const 7) (i32.const 512))
         {PASS}"
    );
    let place = Place::new();
    let bytes = Fixture::new()
        .import("state", "get", "get", "(param i32 i32 i32)")
        .import("state", "set", "set", "(param i32 i32 i32 i32 i32)")
        .hook("before-push", &body)
        .build();
    place.drop_in("once.wasm", &bytes);
    place.set("once", Settings { grants: BTreeSet::from([Grant::State]), ..Settings::default() });
    let host = place.start().await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    host.stop().await;
    let host = place.start().await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Drop("private".to_owned()));
    assert_eq!(host.status("once").unwrap().used.state_bytes, 14 + limits::plugin::STATE_ENTRY_BYTES);
    host.stop().await;
}

#[tokio::test]
async fn of_two_that_edit_the_same_field_the_later_one_wins() {
    // One sets the path to `private`, the other to `fixture`; one adds a tag, the other removes it.
    let place = Place::new();
    for (name, at) in [("a-path", 16), ("b-path", 32)] {
        place.drop_in(&format!("{name}.wasm"), &Fixture::new().hook("before-push", &edit(0, 2, at, 7)).build());
    }
    for (name, kind) in [("a-tag", 2), ("b-tag", 3)] {
        place.drop_in(&format!("{name}.wasm"), &Fixture::new().hook("before-push", &edit(kind, 0, 16, 7)).build());
    }
    let (path, tag) = (|path: &str| Changes::new().set(names::PATH, path), Changes::new().add_tag("private"));
    let no_tag = Changes::new().remove_tag("private");
    let host = place.start().await;
    let judgement = host.ask(&asked(&[])).await;
    assert_eq!(judgement.verdict, Verdict::Edit(path("fixture").remove_tag("private")));
    let said: Vec<_> = judgement.steps.iter().map(|step| (&*step.plugin, step.verdict.clone())).collect();
    let [a_path, b_path] = ["private", "fixture"].map(|text| Verdict::Edit(path(text)));
    let [a_tag, b_tag] = [tag, no_tag].map(Verdict::Edit);
    let steps = [("a-path", a_path), ("a-tag", a_tag), ("b-path", b_path), ("b-tag", b_tag)];
    assert_eq!(said, steps);
    let before = host.plugins.chain(Point::BeforePush, "mirror");
    host.stop().await;

    for (order, name) in (0..).zip(["b-tag", "b-path", "a-tag", "a-path"]) {
        place.set(name, Settings { order, ..Settings::default() });
    }
    let host = place.start().await;
    let judgement = host.ask(&asked(&[])).await;
    assert_eq!(judgement.verdict, Verdict::Edit(path("private").add_tag("private")));
    let said: Vec<_> = judgement.steps.iter().rev().map(|step| (&*step.plugin, step.verdict.clone())).collect();
    assert_eq!(said, steps);
    assert_ne!(host.plugins.chain(Point::BeforePush, "mirror"), before);
    host.stop().await;
}
