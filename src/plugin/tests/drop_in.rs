//! The life of a plugin: dropped in, replaced, broken, taken away, missing, switched off.

use std::fs;
use std::time::Duration;

use super::super::BreakerState;
use super::super::Plugin;
use super::super::PluginState;
use super::super::Settings;
use super::super::UnknownPlugin;
use super::fixtures::DROP;
use super::fixtures::Fixture;
use super::fixtures::HOLD;
use super::fixtures::KEEP_PRIVATE;
use super::fixtures::LOOP;
use super::fixtures::PASS;
use super::fixtures::TRAP;
use super::host::Host;
use super::host::Place;
use super::host::asked;
use super::host::granting;
use crate::hook::Hooks;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Verdict;
use crate::limits;

fn push(body: &str) -> Vec<u8> {
    Fixture::new().hook("before-push", body).build()
}

#[tokio::test]
async fn it_is_picked_up_replaced_and_taken_away_while_the_host_runs() {
    let place = Place::new();
    let host = place.start().await;
    assert_eq!(host.plugins.chain(Point::BeforePush, "mirror"), None);
    let none = host.plugins.generation();

    place.drop_in("one.wasm", &push(DROP));
    host.plugins.changed(none).await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Drop("private".to_owned()));
    let (first, generation) = (host.plugins.chain(Point::BeforePush, "mirror"), host.plugins.generation());
    assert!(first.is_some());

    place.drop_in("one.wasm", &push(HOLD));
    host.plugins.changed(generation).await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Hold("private".to_owned()));
    assert_ne!(host.plugins.chain(Point::BeforePush, "mirror"), first);

    // What cannot be loaded leaves the one before running, and says why.
    place.drop_in("one.wasm", b"this is no component");
    host.until("the trouble is told", |host| host.status("one").unwrap().trouble.is_some()).await;
    let status = host.status("one").unwrap();
    let trouble = status.trouble.as_ref().unwrap();
    assert!(trouble.contains("no WebAssembly") && trouble.contains("what was loaded before goes on"), "{status:#?}");
    assert!(status.loaded);
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Hold("private".to_owned()));

    // The same component again is the same chain again.
    place.drop_in("one.wasm", &push(DROP));
    host.until("it is loaded again", |host| host.plugins.chain(Point::BeforePush, "mirror") == first).await;
    assert_eq!(host.status("one").unwrap().trouble, None);

    fs::remove_file(place.file("one.wasm")).unwrap();
    host.until("it is gone", |host| host.plugins.status().is_empty()).await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    host.stop().await;

    // What was taken away while the host ran is not missed.
    let host = place.start().await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    host.stop().await;
}

#[tokio::test]
async fn one_whose_file_cannot_be_looked_at_goes_on_and_is_missed_at_a_start() {
    let place = Place::new();
    place.drop_in("elsewhere", &push(KEEP_PRIVATE));
    std::os::unix::fs::symlink(place.file("elsewhere"), place.file("one.wasm")).unwrap();
    let host = place.start().await;
    let chain = host.plugins.chain(Point::BeforePush, "mirror");
    fs::rename(place.file("elsewhere"), place.file("away")).unwrap();
    let is_told = |host: &Host| {
        let trouble = host.status("one").and_then(|status| status.trouble);
        trouble.is_some_and(|trouble| trouble.contains("cannot be looked at"))
    };
    host.until("it is told", is_told).await;
    // More looks than make a file count as gone: another plugin came in between.
    for name in ["two", "three", "four"] {
        place.drop_in(&format!("{name}.wasm"), &Fixture::new().hook("before-pull", PASS).build());
        host.until("it is loaded", |host| host.status(name).is_some_and(|status| status.loaded)).await;
    }
    assert_eq!(host.ask(&asked(&["private"])).await.verdict, Verdict::Drop("private".to_owned()));
    assert_eq!(host.plugins.chain(Point::BeforePush, "mirror"), chain);
    host.stop().await;

    let host = place.start().await;
    assert_eq!(host.ask(&asked(&[])).await.standing, Standing::Absent);
    assert!(is_told(&host));
    fs::rename(place.file("away"), place.file("elsewhere")).unwrap();
    host.until("it is back", |host| host.status("one").is_some_and(|status| status.loaded)).await;
    host.until("nothing is told of it", |host| host.status("one").unwrap().trouble.is_none()).await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    host.stop().await;
}

#[tokio::test]
async fn one_that_was_active_and_does_not_come_up_counts_as_failing_until_it_is_switched_off() {
    for broken in [None, Some(&b"\0asm broken"[..])] {
        let place = Place::new();
        place.drop_in("keep-private.wasm", &push(KEEP_PRIVATE));
        let host = place.start().await;
        let chain = host.plugins.chain(Point::BeforePush, "mirror");
        host.stop().await;
        match broken {
            None => fs::remove_file(place.file("keep-private.wasm")).unwrap(),
            Some(bytes) => place.drop_in("keep-private.wasm", bytes),
        }

        let host = place.start().await;
        let judgement = host.ask(&asked(&[])).await;
        assert!(matches!(&judgement.verdict, Verdict::Hold(why) if why.contains("keep-private")), "{judgement:?}");
        assert_eq!(judgement.standing, Standing::Absent);
        // What it decided before stands, since the chain is the same.
        assert_eq!(host.plugins.chain(Point::BeforePush, "mirror"), chain);
        assert!(!host.status("keep-private").unwrap().loaded);

        host.plugins.disable("keep-private").await.unwrap();
        assert_eq!(host.ask(&asked(&["private"])).await.verdict, Verdict::Pass);
        host.stop().await;
        let host = place.start().await;
        assert_eq!(host.ask(&asked(&["private"])).await.verdict, Verdict::Pass);
        assert!(!host.status("keep-private").unwrap().enabled);

        // Back, and switched on again.
        place.drop_in("keep-private.wasm", &push(KEEP_PRIVATE));
        host.plugins.enable("keep-private").await.unwrap();
        host.until("it is loaded", |host| host.status("keep-private").is_some_and(|status| status.loaded)).await;
        assert_eq!(host.ask(&asked(&["private"])).await.verdict, Verdict::Drop("private".to_owned()));
        host.stop().await;
    }
}

#[tokio::test]
async fn one_that_refuses_its_configuration_at_length_is_told_of_in_short() {
    // A text of a million bytes, which lies in memory as zeros.
    let refuses = "
        (i32.store8 (i32.const 200) (i32.const 1))
        (i32.store (i32.const 204) (i32.const 2097152))
        (i32.store (i32.const 208) (i32.const 1000000))
        (i32.const 200)";
    let place = Place::new();
    place.drop_in("one.wasm", &push(PASS));
    place.start().await.stop().await;
    place.drop_in("one.wasm", &Fixture::new().hook("before-push", PASS).configure(refuses).pages(64).build());
    let host = place.start().await;
    let trouble = host.status("one").unwrap().trouble.unwrap();
    assert!(trouble.contains("does not take its configuration"), "{trouble:.100}");
    let judgement = host.ask(&asked(&[])).await;
    assert_eq!(judgement.standing, Standing::Absent);
    let Verdict::Hold(reason) = judgement.verdict else { panic!("{:?}", judgement.verdict) };
    let failure = judgement.steps[0].failure.clone().unwrap();
    let most = limits::plugin::REASON_BYTES;
    assert!([&trouble, &failure].iter().all(|text| text.len() == most), "{} {}", trouble.len(), failure.len());
    assert!(reason.len() < most + 100, "{}", reason.len());
    host.stop().await;
}

#[tokio::test]
async fn one_that_the_configuration_names_is_missed_from_the_first_start() {
    let mut place = Place::new();
    place.named.insert("keep-private".to_owned());
    let host = place.start().await;
    assert_eq!(host.ask(&asked(&[])).await.standing, Standing::Absent);
    let generation = host.plugins.generation();
    place.drop_in("keep-private.wasm", &push(KEEP_PRIVATE));
    host.plugins.changed(generation).await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    assert_eq!(host.status("keep-private").unwrap().trouble, None);
    host.stop().await;
}

#[tokio::test]
async fn one_that_cannot_be_remembered_is_not_let_in_until_it_can() {
    let place = Place::new();
    let host = place.start().await;
    let memory = rusqlite::Connection::open(place.file("../data/plugins.db")).unwrap();
    memory.execute_batch("ALTER TABLE plugin RENAME TO lost").unwrap();
    place.drop_in("keep-private.wasm", &push(KEEP_PRIVATE));
    let told = |words: &'static str| {
        move |host: &Host| {
            let trouble = host.status("keep-private").and_then(|status| status.trouble);
            trouble.is_some_and(|trouble| trouble.contains(words))
        }
    };
    host.until("it is refused", told("it cannot be remembered")).await;
    assert!(host.ask(&asked(&["private"])).await.steps.is_empty());
    memory.execute_batch("ALTER TABLE lost RENAME TO plugin").unwrap();
    // By itself: what kept it out has passed.
    host.until("it is loaded", |host| host.status("keep-private").is_some_and(|status| status.loaded)).await;
    assert_eq!(host.ask(&asked(&["private"])).await.verdict, Verdict::Drop("private".to_owned()));
    host.stop().await;
}

#[tokio::test]
async fn one_that_could_not_be_loaded_at_a_start_is_tried_again_where_that_may_pass() {
    let place = Place::new();
    place.drop_in("keep-private.wasm", &push(KEEP_PRIVATE));
    place.start().await.stop().await;
    let memory = rusqlite::Connection::open(place.file("../data/plugins.db")).unwrap();
    memory.execute_batch("ALTER TABLE value RENAME TO lost").unwrap();
    let host = place.start().await;
    assert_eq!(host.ask(&asked(&[])).await.standing, Standing::Absent);
    let generation = host.plugins.generation();
    memory.execute_batch("ALTER TABLE lost RENAME TO value").unwrap();
    host.until("it is loaded", |host| host.status("keep-private").unwrap().loaded).await;
    assert_eq!(host.ask(&asked(&["private"])).await.verdict, Verdict::Drop("private".to_owned()));
    assert_eq!(host.status("keep-private").unwrap().trouble, None);
    // Those in vain are no change, and loading it is one.
    assert_eq!(host.plugins.generation(), generation + 1);
    host.stop().await;
}

#[tokio::test]
async fn one_that_was_never_active_and_cannot_be_loaded_stops_nothing() {
    let place = Place::new();
    place.drop_in("one.wasm", b"");
    place.drop_in("two.wasm", &push(PASS));
    fs::write(place.file("two.yaml"), "nonsense").unwrap();
    let host = place.start().await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    assert_eq!(host.status("one").unwrap().trouble.unwrap(), "the file is empty");
    assert_eq!(host.status("two").unwrap().trouble.unwrap(), "the sidecar says nonsense");
    // Nor when it was switched off and on.
    for name in ["one", "two"] {
        host.plugins.disable(name).await.unwrap();
        host.plugins.enable(name).await.unwrap();
        assert_eq!(host.plugins.status().iter().filter(|status| status.name == name).count(), 1);
    }
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    assert!(host.plugins.disable("three").await.is_err());
    host.stop().await;
}

#[tokio::test]
async fn one_that_its_sidecar_has_switched_off_stays_off_when_that_is_broken() {
    let place = Place::new();
    place.drop_in("one.wasm", &push(DROP));
    let host = place.start().await;
    assert!(host.status("one").unwrap().enabled);
    place.drop_in("one.yaml", b"off");
    host.until("it is off", |host| !host.status("one").unwrap().enabled).await;
    place.drop_in("one.yaml", b"offf");
    host.until("the trouble is told", |host| host.status("one").unwrap().trouble.is_some()).await;
    let all = host.plugins.status();
    assert!(all.len() == 1 && !all[0].enabled, "{all:#?}");
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    host.stop().await;
    // Nor is it missed at the next start, since it was not active.
    let host = place.start().await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    assert_eq!(host.status("one").unwrap().trouble.unwrap(), "the sidecar says offf");
    place.drop_in("one.yaml", b"");
    host.until("it is loaded", |host| host.status("one").unwrap().loaded).await;
    host.stop().await;
}

/// What kept something back before it was switched off must not let it out because it does not come up again.
#[tokio::test]
async fn one_that_is_switched_on_again_and_does_not_come_up_counts_as_failing() {
    for by_hand in [false, true] {
        let place = Place::new();
        place.drop_in("one.wasm", &push(DROP));
        let host = place.start().await;
        place.drop_in("one.yaml", b"off");
        host.until("it is off", |host| !host.status("one").unwrap().enabled).await;
        if by_hand {
            // Its settings cannot be read any more, and a person says that it is on.
            place.drop_in("one.yaml", b"offf");
            host.until("the trouble is told", |host| host.status("one").unwrap().trouble.is_some()).await;
            host.plugins.enable("one").await.unwrap();
        } else {
            place.drop_in("one.wasm", b"this is no component");
            place.drop_in("one.yaml", b"");
        }
        let fails = |host: &Host| host.status("one").unwrap().state() == PluginState::Failing;
        host.until("it counts as failing", fails).await;
        assert_eq!(host.plugins.status().len(), 1);
        assert!(matches!(host.ask(&asked(&[])).await.verdict, Verdict::Hold(_)));
        host.stop().await;
        let host = place.start().await;
        assert!(fails(&host), "{:#?}", host.plugins.status());
        host.stop().await;
    }
}

/// Nor because its file is away, or cannot be looked at, when it is switched on again.
#[tokio::test]
async fn one_that_is_switched_on_again_while_its_file_is_away_is_missed() {
    for (named, dangling) in [(true, false), (true, true), (false, true)] {
        let mut place = Place::new();
        place.drop_in("one.wasm", &push(DROP));
        let host = place.start().await;
        place.drop_in("one.yaml", b"off");
        host.until("it is off", |host| !host.status("one").unwrap().enabled).await;
        host.stop().await;
        fs::remove_file(place.file("one.wasm")).unwrap();
        place.drop_in("one.yaml", b"");
        if dangling {
            std::os::unix::fs::symlink(place.file("nowhere"), place.file("one.wasm")).unwrap();
        }
        if named {
            place.named.insert("one".to_owned());
        }
        let host = place.start().await;
        assert_eq!(host.status("one").unwrap().state(), PluginState::Failing, "named {named}, link {dangling}");
        host.stop().await;
    }
    // With nothing left of it and nothing that names it, nothing is missed.
    let place = Place::new();
    place.drop_in("one.wasm", &push(DROP));
    let host = place.start().await;
    place.drop_in("one.yaml", b"off");
    host.until("it is off", |host| !host.status("one").unwrap().enabled).await;
    host.stop().await;
    for file in ["one.wasm", "one.yaml"] {
        fs::remove_file(place.file(file)).unwrap();
    }
    let host = place.start().await;
    assert!(host.plugins.status().is_empty(), "{:#?}", host.plugins.status());
    host.stop().await;
}

#[tokio::test]
async fn one_that_is_named_and_off_stays_off_while_its_sidecar_is_broken() {
    let mut place = Place::new();
    place.named.insert("one".to_owned());
    place.drop_in("one.wasm", &push(DROP));
    place.drop_in("one.yaml", b"off");
    let host = place.start().await;
    assert_eq!(host.status("one").unwrap().state(), PluginState::Disabled);
    place.drop_in("one.yaml", b"offf");
    host.until("the trouble is told", |host| host.status("one").unwrap().trouble.is_some()).await;
    assert_eq!(host.status("one").unwrap().state(), PluginState::Disabled);
    place.drop_in("one.yaml", b"");
    host.until("it is loaded", |host| host.status("one").unwrap().loaded).await;
    host.stop().await;
}

#[tokio::test]
async fn one_that_was_away_for_a_moment_when_it_was_to_be_loaded_again_is_back() {
    let place = Place::new();
    place.drop_in("one.wasm", &push(DROP));
    let host = place.start().await;
    for _ in 0..3 {
        fs::rename(place.file("one.wasm"), place.file("away")).unwrap();
        // At whatever moment the folder is looked at.
        let _ = host.plugins.reload("one").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let _ = host.plugins.reload("one").await;
        fs::rename(place.file("away"), place.file("one.wasm")).unwrap();
        host.until("it is back", |host| host.status("one").is_some_and(|status| status.loaded)).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn nothing_is_missed_of_one_that_never_was_there() {
    let mut place = Place::new();
    place.named.insert("ghost".to_owned());
    let host = place.start().await;
    host.plugins.disable("ghost").await.unwrap();
    host.stop().await;
    place.named.clear();
    let host = place.start().await;
    assert_eq!(host.status("ghost").unwrap().state(), PluginState::Disabled);
    assert!(matches!(host.plugins.enable("ghost").await, Err(UnknownPlugin::Unknown(_))));
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    assert!(host.plugins.status().is_empty(), "{:#?}", host.plugins.status());
    host.stop().await;
}

#[tokio::test]
async fn one_that_is_taken_away_right_after_it_was_loaded_again_is_gone() {
    let place = Place::new();
    place.drop_in("one.wasm", &push(DROP));
    place.drop_in("junk.wasm", b"junk");
    let host = place.start().await;
    for name in ["one", "junk"] {
        host.plugins.reload(name).await.unwrap();
        fs::remove_file(place.file(&format!("{name}.wasm"))).unwrap();
    }
    host.until("both are gone", |host| host.plugins.status().is_empty()).await;
    host.stop().await;
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_a_plugin_that_can_be_switched_off() {
    let place = Place::new();
    std::os::unix::fs::symlink(place.file("nowhere"), place.file("one.wasm")).unwrap();
    let host = place.start().await;
    assert_eq!(host.status("one").unwrap().state(), PluginState::Refused);
    host.plugins.reload("one").await.unwrap();
    host.plugins.disable("one").await.unwrap();
    assert_eq!(host.status("one").unwrap().state(), PluginState::Disabled);
    host.stop().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_is_told() {
    let place = Place::new();
    place.drop_in("one.wasm", &push(DROP));
    let host = place.start().await;
    assert_eq!(host.plugins.trouble(), None);
    let [folder, away] = ["plugins", "away"].map(|name| place.root.path().join(name));
    fs::rename(&folder, &away).unwrap();
    host.until("it is told", |host| host.plugins.trouble().is_some_and(|why| why.contains("cannot be read"))).await;
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Drop("private".to_owned()));
    fs::rename(&away, &folder).unwrap();
    host.until("it is over", |host| host.plugins.trouble().is_none()).await;
    host.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_plugin_by_its_name_is_listed() {
    let place = Place::new();
    place.drop_in("one (1).wasm", &push(DROP));
    let host = place.start().await;
    place.drop_in("ONE.WASM", &push(DROP));
    host.until("both are listed", |host| host.plugins.status().len() == 2).await;
    let told = |name| host.status(name).unwrap().trouble.unwrap();
    assert!(told("one (1).wasm").contains("up to 64 letters"), "{}", told("one (1).wasm"));
    assert!(told("ONE.WASM").contains("in small letters"), "{}", told("ONE.WASM"));
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    fs::rename(place.file("ONE.WASM"), place.file("one.wasm")).unwrap();
    host.until("it is loaded", |host| host.status("one").is_some_and(|status| status.loaded)).await;
    assert!(host.status("ONE.WASM").is_none());
    host.stop().await;
}

#[tokio::test]
async fn a_pin_lets_nothing_else_in() {
    let place = Place::new();
    let bytes = push(PASS);
    place.drop_in("one.wasm", &bytes);
    place.set("one", Settings { sha256: Some([1; 32]), ..Settings::default() });
    let host = place.start().await;
    assert!(host.status("one").unwrap().trouble.unwrap().contains("SHA-256"));
    host.stop().await;
    let pin = super::super::loaded::sha256(&bytes);
    place.set("one", Settings { sha256: Some(pin), ..Settings::default() });
    let host = place.start().await;
    assert!(host.status("one").unwrap().loaded);
    host.stop().await;
}

#[tokio::test]
async fn a_new_one_is_tried_on_recent_assets_first() {
    let mut place = Place::new();
    place.samples = vec![asked(&["beach"]), asked(&["private"])];
    place.drop_in("one.wasm", &push(PASS));
    let host = place.start().await;
    place.drop_in("one.wasm", &push(TRAP));
    host.until("the trial has failed", |host| host.status("one").unwrap().trouble.is_some()).await;
    let trouble = host.status("one").unwrap().trouble.unwrap();
    assert!(trouble.contains("failed at 2 of the 2 latest assets"), "{trouble}");
    assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Pass);
    host.stop().await;
}

#[tokio::test]
async fn a_trial_ends_when_its_outcome_is_sure_and_when_its_time_is_over() {
    let place = Place::new();
    let samples = vec![asked(&[]); 20];
    let load = async |body: &str, settings| {
        place.drop_in("one.wasm", &push(body));
        Plugin::load(&place.file("one.wasm"), "one", settings, None).await.unwrap()
    };
    let time = Duration::from_secs(60);
    let failed = load(TRAP, Settings::default()).await.try_on(&samples, time).await.unwrap_err().to_string();
    assert!(failed.starts_with("it failed at 11 of the 11 latest assets"), "{failed}");
    load(PASS, Settings::default()).await.try_on(&samples, time).await.unwrap();
    // A call that would go on for twenty times twenty seconds.
    let loops = load(LOOP, granting(&[])).await;
    loops.try_on(&samples, Duration::from_millis(50)).await.unwrap();
    assert!(load(TRAP, Settings::default()).await.try_on(&samples[..1], time).await.is_err());
}

#[tokio::test]
async fn one_that_keeps_failing_is_left_alone_and_recovers_by_itself() {
    // Traps at assets with the tag `private`, and lets others pass.
    let body = format!("(if (call $is_private (local.get $a)) (then unreachable)) {PASS}");
    let place = Place::new();
    place.drop_in("one.wasm", &push(&body));
    let host = place.start().await;
    for _ in 0..3 {
        assert_eq!(host.ask(&asked(&["private"])).await.standing, Standing::Failed);
    }
    let shut = host.ask(&asked(&[])).await;
    assert_eq!(shut.standing, Standing::Absent);
    assert!(matches!(host.status("one").unwrap().breaker, BreakerState::Open { .. }));
    assert_eq!(host.status("one").unwrap().figures.calls, 3);

    // After the pause others are told to ask again, and the first call that goes well ends it.
    let generation = host.plugins.generation();
    host.plugins.changed(generation).await;
    assert_eq!(host.ask(&asked(&[])).await.standing, Standing::Firm);
    assert_eq!(host.status("one").unwrap().breaker, BreakerState::Closed);
    assert!(host.plugins.generation() > generation + 1);
    host.stop().await;
}

#[tokio::test]
async fn one_that_nobody_asks_after_its_rest_is_announced_no_more() {
    let place = Place::new();
    place.drop_in("one.wasm", &push(TRAP));
    let host = place.start().await;
    for _ in 0..3 {
        assert_eq!(host.ask(&asked(&[])).await.standing, Standing::Failed);
    }
    let before = host.plugins.generation();
    host.plugins.changed(before).await;
    assert_eq!(host.status("one").unwrap().breaker, BreakerState::Trying);
    // Each of them takes two looks at the folder, and is one change.
    for name in ["two", "three", "four", "five"] {
        place.drop_in(&format!("{name}.wasm"), &push(PASS));
        host.until("it is loaded", |host| host.status(name).is_some_and(|status| status.loaded)).await;
    }
    // The end of the rest is told, and told once more for what was not written down yet.
    assert_eq!(host.plugins.generation(), before + 2 + 4);
    host.stop().await;
}

#[tokio::test]
async fn compiled_code_is_kept_and_what_others_wrote_is_not_taken() {
    let place = Place::new();
    place.drop_in("one.wasm", &push(DROP));
    place.start().await.stop().await;
    let compiled = || {
        let entries = fs::read_dir(place.root.path().join("data/compiled")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| path.extension().is_some_and(|extension| extension == "cwasm")).unwrap()
    };
    let kept = fs::read(compiled()).unwrap();
    place.start().await.stop().await;
    assert_eq!(fs::read(compiled()).unwrap(), kept);

    for at in [0, kept.len() / 2, kept.len() - 1] {
        let mut forged = kept.clone();
        forged[at] ^= 1;
        fs::write(compiled(), &forged).unwrap();
        let host = place.start().await;
        assert_eq!(host.ask(&asked(&[])).await.verdict, Verdict::Drop("private".to_owned()));
        host.stop().await;
        assert_ne!(fs::read(compiled()).unwrap(), forged);
    }
}
