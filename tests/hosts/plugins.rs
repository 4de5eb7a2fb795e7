//! Plugins at work between two hosts, dropped into their folders as a user does it.

use std::path::Path;

use super::fixtures::DROP;
use super::fixtures::Fixture;
use super::fixtures::HOLD;
use super::fixtures::HOLD_PRIVATE;
use super::fixtures::KEEP_PRIVATE;
use super::fixtures::PASS;
use super::fixtures::TRAP;
use super::host::Place;
use super::host::equal;

/// Copies a plugin that comes with the program.
fn install(place: &Place, name: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("plugins/prebuilt/{name}.wasm"));
    drop_in(place, name, &std::fs::read(from).unwrap());
}

fn drop_in(place: &Place, name: &str, component: &[u8]) {
    let folder = place.dir.join("plugins");
    std::fs::create_dir_all(&folder).unwrap();
    // Whole at once, as a copy tool that is careful does it.
    std::fs::write(folder.join("new"), component).unwrap();
    std::fs::rename(folder.join("new"), folder.join(format!("{name}.wasm"))).unwrap();
}

fn take_away(place: &Place, name: &str) {
    std::fs::remove_file(place.dir.join(format!("plugins/{name}.wasm"))).unwrap();
}

/// Tells whether some bytes stand in a file below a folder.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let content = std::fs::read(&path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn raw(hash: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(hash.as_bytes()).unwrap()
}

#[tokio::test]
async fn they_keep_back_redact_and_tag_among_a_thousand_assets() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    install(&at_a, "keep-private");
    install(&at_a, "redact");
    std::fs::write(at_a.dir.join("plugins/redact.yaml"), "configuration: { drop_tags: ['client-*'] }\n").unwrap();
    install(&at_b, "auto-tag");
    let a = at_a.start();
    let (mut open, mut private) = (Vec::new(), Vec::new());
    for n in 0..1000 {
        let (name, tags) = (format!("{n}.png"), if n % 5 == 0 { "private,x" } else { "x,client-of-ann" });
        let fields = [("tags", tags), ("human_readable_path", "home/ann"), ("user", "ann")];
        let hash = a.ingest_with(&name, format!("content {n}").into_bytes(), &fields).await;
        if n % 5 == 0 { private.push(hash) } else { open.push(hash) }
    }
    let b = at_b.start();
    equal(&a, &b, 800).await;
    assert_eq!(b.list().await.into_keys().collect::<Vec<_>>(), {
        open.sort();
        open.clone()
    });
    assert_eq!(a.list().await.len(), 1000);
    assert_eq!((&a.status().await["declined"], &a.status().await["held"]), (&200.into(), &0.into()));
    for hash in open.iter().step_by(100) {
        let (at_a, at_b) = (a.meta(hash).await.unwrap(), b.meta(hash).await.unwrap());
        // What was withheld is still seen where it was made, and nowhere else.
        assert_eq!((&at_a["user"], &at_a["human_readable_path"]), (&"ann".into(), &"home/ann".into()));
        assert!(at_b["user"].is_null() && at_b["human_readable_path"].is_null(), "{at_b}");
        // What was tagged on arrival is seen where it arrived, and nowhere else.
        assert_eq!(at_a["tags"], serde_json::json!(["client-of-ann", "x"]));
        assert!(at_b["tags"].as_array().unwrap().len() > 1, "{at_b}");
    }
    // Removed by hand where it was made, a tag that others do not have is not named to them, either.
    a.patch(&open[1], r#"{"tags":["x","late"]}"#).await;
    b.meta_is(&open[1], |meta| meta["tags"].as_array().unwrap().contains(&"late".into())).await;
    let explained = a.get(&format!("/explain/{}", private[0])).await;
    assert!(explained.to_string().contains("keep-private"), "{explained}");
    assert_eq!(b.terminate().code(), Some(0));
    // B never learned of what is kept back: neither the ids nor the fields lie anywhere.
    for hash in private.iter().step_by(20) {
        assert!(!holds(&at_b.dir, &raw(hash)), "{hash} is known to b");
    }
    assert!(holds(&at_b.dir, &raw(&open[0])));
    assert!(!holds(&at_b.dir, b"home/ann") && !holds(&at_b.dir, b"client-of-ann"));

    // A restart asks nobody twice.
    assert_eq!(a.terminate().code(), Some(0));
    let (a, b) = (at_a.start(), at_b.start());
    equal(&a, &b, 800).await;
    let calls = |status: &serde_json::Value| {
        status["plugins"].as_array().unwrap().iter().map(|p| p["calls"].as_u64().unwrap()).sum::<u64>()
    };
    // Each is tried out on a few assets when it is loaded, which counts as no call.
    assert_eq!((calls(&a.status().await), calls(&b.status().await)), (0, 0));

    // Taken away, it keeps nothing back any more.
    take_away(&at_a, "keep-private");
    equal(&a, &b, 1000).await;
    let late = b.meta(&private[0]).await.unwrap();
    assert!(late["user"].is_null(), "{late}");
}

#[tokio::test]
async fn what_is_held_waits_until_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    drop_in(&at_b, "hold", &Fixture::new().hook("before-pull", HOLD_PRIVATE).build());
    let (a, b) = (at_a.start(), at_b.start());
    let open = a.ingest_with("open", b"open".to_vec(), &[]).await;
    let private = a.ingest_with("private", b"private".to_vec(), &[("tags", "private")]).await;
    b.status_is("one is held", |status| status["held"] == 1).await;
    b.meta_is(&open, |_| true).await;
    assert_eq!(b.meta(&private).await, None);
    let held = b.get("/held").await;
    assert_eq!((&held["assets"][0]["hash"], &held["assets"][0]["by"]), (&private.as_str().into(), &"hold".into()));

    // It waits across a restart, too.
    b.terminate();
    let b = at_b.start();
    b.status_is("it is held still", |status| status["held"] == 1).await;
    b.post(&format!("/held/{private}/release")).await;
    b.meta_is(&private, |_| true).await;
    equal(&a, &b, 2).await;
}

#[tokio::test]
async fn what_was_said_by_the_clock_and_out_of_a_state_stands_until_it_is_asked_again() {
    // Lets the first pass that it is asked about, and drops whatever comes after.
    let body = format!(
        "(call $now (i32.const 640))
         (call $get (i32.const 16) (i32.const 7) (i32.const 512))
         (if (i32.load8_u (i32.const 512)) (then (return {HOLD})))
         (if (i32.load8_u (i32.const 516)) (then (return {DROP})))
         (call $set (i32.const 16) (i32.const 7) (i32.const 16) (i32.const 7) (i32.const 512))
         {PASS}"
    );
    let once = Fixture::new()
        .import("clock", "now", "now", "(param i32)")
        .import("state", "get", "get", "(param i32 i32 i32)")
        .import("state", "set", "set", "(param i32 i32 i32 i32 i32)")
        .hook("before-push", &body);
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a").with("plugins", "{ once: { grants: [clock, state] } }");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    drop_in(&at_a, "once", &once.build());
    let (a, b) = (at_a.start(), at_b.start());
    let first = a.ingest("first", b"first".to_vec()).await;
    b.meta_is(&first, |_| true).await;

    // Asked once more, it would drop what it let pass; so it was not, and what it wrote down is there.
    a.terminate();
    let a = at_a.start();
    let second = a.ingest("second", b"second".to_vec()).await;
    a.status_is("the second is kept back", |status| status["declined"] == 1).await;
    equal(&a, &b, 1).await;

    a.post(&format!("/held/{first}/replay")).await;
    a.status_is("the first is kept back, too", |status| status["declined"] == 2).await;
    assert_eq!(b.meta(&second).await, None);
}

#[tokio::test]
async fn a_plugin_is_set_up_beside_its_file_and_in_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    install(&at_a, "keep-private");
    let sidecar = at_a.dir.join("plugins/keep-private.yaml");
    let (a, b) = (at_a.start(), at_b.start());
    let private = a.ingest_with("private", b"private".to_vec(), &[("tags", "private")]).await;
    a.status_is("it is kept back", |status| status["declined"] == 1).await;

    // While the host runs.
    std::fs::write(&sidecar, "configuration: { answer: hold }\n").unwrap();
    a.status_is("it waits", |status| status["held"] == 1 && status["declined"] == 0).await;
    std::fs::write(&sidecar, "configuration: [\n").unwrap();
    a.status_is("what is wrong is told", |status| !status["plugins"][0]["trouble"].is_null()).await;
    a.ingest_with("private too", b"private too".to_vec(), &[("tags", "private")]).await;
    a.status_is("the one before is asked", |status| status["held"] == 2).await;
    std::fs::write(&sidecar, "configuration: { answer: hold, tags: [family] }\n").unwrap();
    b.meta_is(&private, |_| true).await;
    let family = a.ingest_with("family", b"family".to_vec(), &[("tags", "family")]).await;
    a.status_is("it waits in its place", |status| status["held"] == 1).await;
    assert_eq!(b.meta(&family).await, None);

    // The configuration beats the sidecar, from the next start on.
    assert_eq!(a.terminate().code(), Some(0));
    let at_a = at_a.with("plugins", "{ keep-private: { configuration: { tags: [work] } } }");
    let a = at_a.start();
    equal(&a, &b, 3).await;
    a.ingest_with("work", b"work".to_vec(), &[("tags", "work")]).await;
    a.status_is("it drops, as by default", |status| status["declined"] == 1 && status["held"] == 0).await;

    // Without plugins it exchanges nothing; its store works.
    assert_eq!(a.terminate().code(), Some(0));
    let a = at_a.start_as(&["run", "--safe-mode"]);
    let alone = a.ingest("alone", b"alone".to_vec()).await;
    assert_eq!(a.content(&alone).await.as_deref(), Some(&b"alone"[..]));
    b.status_is("it is not met", |status| status["peers"][0]["connected"] == false).await;
    let peers = a.status().await["peers"].as_array().unwrap().clone();
    assert!(peers.iter().all(|peer| peer["connected"] == false), "{peers:?}");
    assert_eq!(a.terminate().code(), Some(0));
    let a = at_a.start();
    equal(&a, &b, 4).await;
    b.meta_is(&alone, |_| true).await;
    assert_eq!((&a.status().await["declined"], &a.status().await["held"]), (&1.into(), &0.into()));
}

#[tokio::test]
async fn nothing_leaks_because_a_plugin_does_not_come_up() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    drop_in(&at_a, "keep", &Fixture::new().hook("before-push", KEEP_PRIVATE).build());
    let a = at_a.start();
    let private = a.ingest_with("private", b"private".to_vec(), &[("tags", "private")]).await;
    a.status_is("it is kept back", |status| status["declined"] == 1).await;
    a.terminate();

    // Its file is gone when the host starts: it counts as failing, and everything new waits.
    take_away(&at_a, "keep");
    let (a, b) = (at_a.start(), at_b.start());
    let new = a.ingest_with("new", b"new".to_vec(), &[]).await;
    a.status_is("the new one is held", |status| status["held"] == 1).await;
    a.status_is("they are connected", |status| status["peers"][0]["connected"] == true).await;
    equal(&a, &b, 0).await;
    assert_eq!((b.meta(&private).await, b.meta(&new).await), (None, None));

    // One that traps at everything is as good as missing.
    drop_in(&at_a, "keep", &Fixture::new().hook("before-push", TRAP).build());
    a.status_is("its trial has failed", |status| {
        status["plugins"][0]["trouble"].as_str().is_some_and(|trouble| trouble.contains("latest assets"))
    })
    .await;
    equal(&a, &b, 0).await;

    // Back again: what waited goes, what was kept back stays.
    drop_in(&at_a, "keep", &Fixture::new().hook("before-push", KEEP_PRIVATE).build());
    equal(&a, &b, 1).await;
    assert!(b.meta(&new).await.is_some());
    assert_eq!(b.meta(&private).await, None);

    // Switched off, it keeps nothing back.
    a.post("/plugins/keep/disable").await;
    equal(&a, &b, 2).await;
}
