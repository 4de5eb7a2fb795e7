//! Commands that talk to a host.

use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc;

use parking_lot::Mutex;

use can_sync::asset::AssetId;
use can_sync::asset::Timestamp;
use can_sync::asset::Verifier;
use serde_json::Value;
use serde_json::json;

use super::host::Host;
use super::host::Reply;
use super::host::TOKEN;

const TIME: u64 = 1_700_000_000_000;

fn hash(content: &[u8]) -> String {
    let mut verifier = Verifier::new(Timestamp::new(TIME).unwrap());
    verifier.update(content);
    verifier.id().to_string()
}

fn asset(hash: &str, size: usize, name: &str, tags: &[&str]) -> Value {
    json!({
        "hash": hash, "timestamp": TIME, "size": size, "mime_type": "application/octet-stream",
        "human_file_name": name, "human_readable_path": null, "application": null, "user": null,
        "description": null, "tags": tags, "trashed": false,
    })
}

fn lines(host: &Host) -> Vec<String> {
    host.seen().into_iter().map(|seen| seen.line).collect()
}

#[test]
fn status_is_one_screen_for_people_and_the_whole_answer_for_programs() {
    let status = json!({
        "host_id": "aa".repeat(32), "name": "attic", "version": "0.1.0", "uptime_secs": 3725,
        "notes": ["the clock of cellar\u{1b}[2J is 2h ahead"],
        "store": {"kind": "embedded", "healthy": false, "trouble": "the disk is full", "notes": [],
                  "assets": 51, "bytes": 73_400_320, "missing": 1},
        "libraries": [{"name": "mirror", "count": 51, "fingerprint": "f00d", "equal": true, "in_sync": true,
                       "behind": 0, "peers": 2, "exchange": true, "review": null}],
        "peers": [
            {"id": "bb".repeat(32), "name": "cellar\u{1b}[2J", "connected": true, "path": "direct", "rtt_ms": 0.42,
             "state": "connected", "in_sync": true, "kept": 50, "of": 51, "bytes_in": 2048, "bytes_out": 10},
            {"id": "cc".repeat(32), "name": null, "connected": false, "path": null, "rtt_ms": null,
             "state": "disconnected", "in_sync": false, "kept": 0, "of": 51, "bytes_in": 0, "bytes_out": 0},
        ],
        "discovery": [], "plugins": [],
        "transfers": [], "held": 1, "declined": 2, "refused": 3, "later": "kept for programs",
    });
    let answer = status.clone();
    let host = Host::start(move |_| Reply::data(&answer));
    let done = host.run(&["status"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let (own, near, far) = ("aa".repeat(32), "bb".repeat(32), "cc".repeat(32));
    let expected = format!(
        "attic  {own}\n\
         can-sync 0.1.0, up 1h 2m\n\
         store: embedded, 51 assets, 70.0 MiB\n\
         store: NOT HEALTHY: the disk is full\n\
         store: 1 content missing or moved aside; a peer that has it sends it again\n\
         note: the clock of cellar\\u{{1b}}[2J is 2h ahead\n\
         0 in transfer, 1 held, 2 declined, 3 refused\n\
         \n\
         LIBRARY  ASSETS  STATE    PEERS  FINGERPRINT\n\
         mirror       51  in sync      2  f00d\n\
         \n\
         PEER             STATE    PATH       RTT   KEPT       IN   OUT  ID\n\
         cellar\\u{{1b}}[2J  in sync  direct  0.4 ms  50/51  2.0 KiB  10 B  {near}\n\
         -                away     -            -      -      0 B   0 B  {far}\n"
    );
    assert_eq!(done.stdout, expected);
    let seen = host.seen();
    assert_eq!(seen[0].line, "GET /status");
    assert_eq!(seen[0].authorization, format!("Bearer {TOKEN}"));

    let json = host.run(&["status", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).unwrap(), status);
    assert!(!json.stdout.contains('\u{1b}'));
}

#[test]
fn ls_goes_from_page_to_page() {
    let (first, second) = (hash(b"1"), hash(b"2"));
    let (a, b) = (asset(&first, 1, "a\nb", &["x", "y"]), asset(&second, 5000, "c.bin", &[]));
    let host = Host::start(move |seen| {
        let last = seen.line.contains("cursor=here");
        let next = if last { Value::Null } else { json!("here") };
        Reply::data(&json!({ "assets": [if last { &b } else { &a }], "total": 2, "next": next }))
    });
    let done = host.run(&["ls", "--all"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let pad = " ".repeat(60);
    let expected = format!(
        "HASH{pad}  SIZE  TIME                  NAME  TAGS\n\
         {first}   1 B  2023-11-14T22:13:20Z  a\\nb  x, y\n\
         {second}  4.9 KiB  2023-11-14T22:13:20Z  c.bin\n"
    );
    assert_eq!(done.stdout, expected);
    assert_eq!(lines(&host), ["GET /api/v1/can/0/list?limit=100", "GET /api/v1/can/0/list?limit=100&cursor=here"]);

    let json = host.run(&["ls", "--all", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let hashes: Vec<&str> = json["assets"].as_array().unwrap().iter().map(|of| of["hash"].as_str().unwrap()).collect();
    assert_eq!(hashes, [first.as_str(), second.as_str()]);
    assert_eq!((json["total"].as_u64(), &json["next"]), (Some(2), &Value::Null));

    host.seen();
    let some = host.run(&["ls", "-n", "1", "--tag", "x", "--tag", "y z", "--order", "oldest", "--from", "2023-11-14"]);
    assert_eq!(some.stderr, "1 of 2; go on with --cursor here\n");
    let query = "tags=x%2Cy+z&from=1699920000000&order=oldest&limit=1";
    assert_eq!(lines(&host), [format!("GET /api/v1/can/0/search?{query}")]);
}

#[test]
fn an_empty_listing_is_json_too() {
    let host = Host::start(|_| Reply::data(&json!({ "assets": [], "total": 0, "next": null })));
    let done = host.run(&["ls", "--json", "--trashed"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "{\"assets\":[],\"total\":0,\"next\":null}\n"));
    assert_eq!(lines(&host), ["GET /api/v1/can/0/list?trashed=true&limit=100"]);
}

#[test]
fn add_streams_files_behind_their_fields() {
    let id = hash(b"content");
    let answer = asset(&id, 7, "a b.txt", &["x"]);
    let host = Host::start(move |_| Reply::data(&answer));
    std::fs::write(host.path("a b.txt"), b"content").unwrap();
    std::fs::write(host.path("empty"), b"").unwrap();
    let arguments = ["add", "a b.txt", "--tag", "x", "--tag", "y", "--path", "docs", "--description", "d\u{fc}"];
    let done = host.run(&arguments);
    assert_eq!((done.code, done.stdout), (Some(0), format!("{id}  a b.txt\n")), "{}", done.stderr);
    let seen = host.seen();
    assert_eq!(seen[0].line, "POST /api/v1/can/0/ingest");
    assert!(seen[0].content_type.starts_with("multipart/form-data"), "{:?}", seen[0]);
    let body = String::from_utf8(seen[0].body.clone()).unwrap();
    let at = |text: &str| body.find(text).unwrap_or_else(|| panic!("{text} in {body}"));
    for field in ["\"human_file_name\"\r\n\r\na b.txt", "\"tags\"\r\n\r\nx,y", "\"human_readable_path\"\r\n\r\ndocs"] {
        assert!(at(field) < at("name=\"file\"; filename=\"a b.txt\""));
    }
    assert!(at("\"description\"\r\n\r\nd\u{fc}") < at("\r\n\r\ncontent\r\n"));

    let many = host.run(&["add", "a b.txt", "empty", "--json"]);
    assert_eq!(many.stdout.lines().count(), 2);
    // Its size is told as nothing, and then it is not.
    let changed = host.run(&["add", "/proc/cpuinfo"]);
    assert_eq!((changed.code, changed.stdout.as_str()), (Some(1), ""), "{changed:?}");
    assert!(changed.stderr.contains("it changed while it was read"), "{changed:?}");
    host.seen();
    for (arguments, code, told) in [
        (&["add", "gone"][..], 1, "gone was not added"),
        (&["add", "data"], 1, "it is not a file"),
        (&["add", "a b.txt", "empty", "--name", "n"], 2, "--name is for one file"),
        (&["add", "empty", "--tag", "a,b"], 2, "has a comma"),
    ] {
        let refused = host.run(arguments);
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(refused.stderr.contains(told), "{refused:?}");
    }
    assert!(host.seen().is_empty());
}

#[test]
fn add_goes_on_behind_a_file_that_cannot_be_added_and_takes_any_name() {
    let answer = asset(&hash(b"x"), 1, "f", &[]);
    let host = Host::start(move |_| Reply::data(&answer));
    let odd = "c\u{1b}[31m\n\t.txt";
    std::fs::write(host.path(odd), b"x").unwrap();
    std::fs::write(host.path("last"), b"x").unwrap();
    let done = host.run(&["add", "gone", odd, "last"]);
    assert_eq!((done.code, done.stdout.lines().count()), (Some(1), 2), "{done:?}");
    assert!(done.stderr.contains("gone was not added") && done.stderr.contains("1 of 3 are not done"), "{done:?}");
    let seen = host.seen();
    assert_eq!(seen.len(), 2);
    let body = String::from_utf8(seen[0].body.clone()).unwrap();
    assert!(body.contains(&format!("\"human_file_name\"\r\n\r\n{odd}\r\n")), "{body}");
    assert!(body.contains("filename=\"c_[31m__.txt\""), "{body}");
}

#[test]
fn what_the_host_refuses_is_told_with_its_text_escaped() {
    let host = Host::start(|_| Reply::error(400, "description has 65537 bytes\u{1b}[31m"));
    std::fs::write(host.path("f"), b"x").unwrap();
    let refused = host.run(&["add", "f"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.contains("answers 400 Bad Request: description has 65537 bytes\\u{1b}[31m"), "{refused:?}");
}

#[test]
fn get_hands_out_only_what_matches_the_hash() {
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let id = hash(&content);
    let wrong = hash(b"other");
    let served = content.clone();
    let host = Host::start(move |seen| match seen.line.strip_suffix("/meta") {
        Some(path) => Reply::data(&asset(path.rsplit('/').next().unwrap(), served.len(), "f", &[])),
        None => Reply(200, served.clone()),
    });
    let output = host.command(&["get", &id]).output().unwrap();
    assert!(output.status.success() && output.stdout == content);

    let done = host.run(&["get", &id, "-o", "out"]);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(std::fs::read(host.path("out")).unwrap(), content);

    let long = "n".repeat(250);
    assert_eq!(host.run(&["get", &id, "-o", &long]).code, Some(0), "half a name has no room for more");
    std::fs::remove_file(host.path(&long)).unwrap();

    let damaged = host.run(&["get", &wrong, "-o", "bad"]);
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    assert!(damaged.stderr.contains("does not match its hash"), "{damaged:?}");
    assert_eq!(host.run(&["get", &wrong]).code, Some(1));
    let mut names: Vec<_> = std::fs::read_dir(host.folder.path()).unwrap().map(|of| of.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.yaml", "data", "out"], "nothing half is left");

    std::fs::write(host.path("out"), b"mine").unwrap();
    let there = host.run(&["get", &id, "-o", "out"]);
    assert_eq!(there.code, Some(2), "{there:?}");
    assert_eq!(std::fs::read(host.path("out")).unwrap(), b"mine");
    assert_eq!(host.run(&["get", &id, "-o", "out", "--force"]).code, Some(0));
    assert_eq!(std::fs::read(host.path("out")).unwrap(), content);
}

#[test]
fn changes_are_one_request_each() {
    let id = hash(b"1");
    let answer = asset(&id, 1, "n", &["x"]);
    let host = Host::start(move |_| Reply::data(&answer));
    let tagged = host.run(&["tag", &id, "--add", "x", "--add", "a,b", "--remove", "y"]);
    assert_eq!(tagged.code, Some(0), "{tagged:?}");
    let seen = host.seen();
    assert_eq!(seen[0].line, format!("PATCH /api/v1/can/0/asset/{id}/meta"));
    let body: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(body, json!({ "add_tags": ["x", "a,b"], "remove_tags": ["y"] }));
    assert_eq!(seen[0].content_type, "application/json");

    assert_eq!(host.run(&["trash", &id]).stdout, format!("{id}  trashed\n"));
    assert_eq!(host.run(&["restore", &id]).stdout, format!("{id}  restored\n"));
    let asked = [format!("DELETE /api/v1/can/0/asset/{id}"), format!("POST /api/v1/can/0/asset/{id}/restore")];
    assert_eq!(lines(&host), asked);
}

#[test]
fn nothing_is_purged_by_a_slip() {
    let id = hash(b"1");
    let host = Host::start(move |_| Reply::data(&json!({ "done": "purged" })));
    let asked = host.run(&["purge", &id]);
    assert!(asked.code == Some(2) && asked.stderr.contains("--yes"), "{asked:?}");
    assert!(host.seen().is_empty(), "nobody was at the terminal to agree");
    assert_eq!(host.run(&["purge", &id, "--yes"]).stdout, format!("{id}  purged\n"));
    assert_eq!(host.run(&["purge", &id, "--yes", "--last-copy"]).code, Some(0));
    let seen = host.seen();
    let bodies: Vec<Value> = seen.iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect();
    assert_eq!(seen[0].line, format!("POST /purge/{id}"));
    assert_eq!(bodies, [json!({ "last_copy": false }), json!({ "last_copy": true })]);
}

#[test]
fn a_purge_goes_on_behind_what_is_not_purged() {
    let (kept, gone) = (hash(b"1"), hash(b"2"));
    let told = kept.clone();
    let host = Host::start(move |seen| match seen.line.contains(&told) {
        true => Reply::error(409, "no connected host has it"),
        false => Reply::data(&json!({ "done": "purged" })),
    });
    let done = host.run(&["purge", "--yes", &kept, &gone]);
    assert_eq!((done.code, done.stdout), (Some(1), format!("{gone}  purged\n")));
    for told in ["no connected host has it", &kept, "1 of 2 are not done"] {
        assert!(done.stderr.contains(told), "{told}: {}", done.stderr);
    }
}

#[test]
fn a_plugin_that_is_not_loaded_again_is_a_failure() {
    let host = Host::start(|seen| {
        let broken = seen.line.contains("broken").then_some("the file is empty");
        Reply::data(&json!({ "name": "x", "trouble": broken }))
    });
    let done = host.run(&["plugin", "reload", "broken", "good"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.stderr.contains("good loaded again") && done.stderr.contains("broken is not loaded: the file is empty"),
        "{done:?}"
    );
    assert_eq!(host.run(&["plugin", "reload", "good"]).code, Some(0));
    // It is switched on, whatever comes of it.
    let done = host.run(&["plugin", "enable", "broken"]);
    assert!(done.code == Some(0) && done.stderr.contains("but: the file is empty"), "{done:?}");
    assert_eq!(host.run(&["plugin", "reload", "no name"]).code, Some(2));
}

#[test]
fn one_limit_is_set_without_the_other() {
    let host = Host::start(|_| Reply::data(&json!({ "id": "x", "done": "limited" })));
    for limits in [&["--send", "2M"][..], &["--take", "off"]] {
        assert_eq!(host.run(&[&["peers", "limit", "laptop"], limits].concat()).code, Some(0));
    }
    let bodies: Vec<Value> = host.seen().iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect();
    assert_eq!(bodies, [json!({ "sent": 2 << 20 }), json!({ "taken": null })]);
    assert_eq!(host.run(&["peers", "limit", "laptop"]).code, Some(2));
}

#[test]
fn verify_ends_well_only_when_every_asset_is_sound() {
    let id: AssetId = hash(b"1").parse().unwrap();
    let progress = json!({ "kind": "progress", "done": 1, "total": 2 });
    let damaged = json!({ "kind": "damaged", "hash": id.to_string(), "reason": "2 bytes differ" });
    let end = |damaged, unreadable| {
        let sound = 2 - damaged - unreadable;
        json!({
            "kind": "end", "sound": sound, "damaged": damaged, "missing": 0, "unreadable": unreadable, "bytes": 2048,
        })
    };
    let unreadable = json!({ "kind": "unreadable", "hash": id.to_string(), "reason": "no rights" });
    let answers = [
        format!("{progress}\n{}\n", end(0, 0)),
        format!("{progress}\n{damaged}\n{}", end(1, 0)),
        format!("{progress}\n{unreadable}\n{}", end(0, 1)),
        format!("{progress}\n{damaged}\n"),
        "<html>".to_owned(),
    ];
    let next = Mutex::new(answers.into_iter());
    let host = Host::start(move |_| Reply(200, next.lock().next().unwrap().into_bytes()));

    let sound = host.run(&["verify", "--all"]);
    assert_eq!((sound.code, sound.stdout.as_str()), (Some(0), ""), "{sound:?}");
    assert_eq!(sound.stderr, "2 assets sound, 0 damaged, 0 missing; 2.0 KiB hashed\n");
    let bad = host.run(&["verify", &id.to_string()]);
    assert_eq!((bad.code, bad.stdout), (Some(1), format!("{id}  damaged  2 bytes differ\n")));
    let unread = host.run(&["verify", &id.to_string()]);
    assert_eq!((unread.code, unread.stdout), (Some(1), format!("{id}  unreadable  no rights\n")));
    assert!(unread.stderr.contains("1 asset sound, 0 damaged, 0 missing, 1 unreadable"), "{}", unread.stderr);
    let broken = host.run(&["verify", "--all", "--json"]);
    assert_eq!(broken.code, Some(1), "{broken:?}");
    let printed: Vec<Value> = broken.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(printed, [progress, damaged]);
    assert!(broken.stderr.contains("stopped before it was done"), "{broken:?}");
    let odd = host.run(&["verify", "--all"]);
    assert!(odd.code == Some(1) && odd.stderr.contains("something else than expected"), "{odd:?}");

    let seen = host.seen();
    assert_eq!(seen[0].line, "POST /verify");
    let bodies: Vec<Value> = seen.iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect();
    assert_eq!(bodies[..2], [json!({ "all": true }), json!({ "hashes": [id.to_string()] })]);
}

#[test]
fn a_token_of_another_host_is_told_apart() {
    let host = Host::start(|_| Reply::error(401, "the token is wrong"));
    let refused = host.run(&["status"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("`data_dir` must be the one of that host"), "{refused:?}");
    assert!(!refused.stderr.contains(TOKEN));
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let host = Host::start(move |_| {
        wait.lock().recv().unwrap();
        Reply::data(&json!({ "assets": [], "total": 0, "next": null }))
    });
    let mut child = host.command(&["ls"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    go.send(()).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
