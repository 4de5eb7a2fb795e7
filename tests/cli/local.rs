//! Commands that need no host.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;

use can_sync::asset::Timestamp;
use can_sync::store::Origin;
use can_sync::store::Store;
use can_sync::store::embedded::EmbeddedStore;
use can_sync::store::embedded::Options;
use serde_json::Value;

use super::host::finish;
use super::host::program;

#[test]
fn init_makes_a_configuration_that_a_host_can_start_with() {
    let folder = tempfile::tempdir().unwrap();
    let refused = finish(program(&folder, &["config", "check"]));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("error: there is no `sync_passphrase`"), "{refused:?}");
    assert!(refused.stderr.contains("can-sync init"), "{refused:?}");

    let made = finish(program(&folder, &["init"]));
    assert_eq!((made.code, made.stdout.as_str()), (Some(0), "config.yaml\n"), "{made:?}");
    assert!(made.stderr.contains("For every further machine:"), "{made:?}");
    let text = std::fs::read_to_string(folder.path().join("config.yaml")).unwrap();
    let secret = text.lines().find_map(|line| line.strip_prefix("sync_passphrase: ")).unwrap();
    assert_eq!(secret.trim_matches('"').split(' ').count(), 12);
    assert!(!format!("{made:?}").contains(secret.trim_matches('"')), "the secret is shown");
    assert!(made.stderr.contains("This machine may say who belongs to the library"), "{made:?}");

    let right = finish(program(&folder, &["config", "check"]));
    assert_eq!((right.code, right.stderr.as_str()), (Some(0), "The configuration is right.\n"), "{right:?}");

    let other = finish(program(&folder, &["--config", "other.yaml", "init", "--json"]));
    assert_eq!(other.code, Some(0), "{other:?}");
    let json: Value = serde_json::from_str(&other.stdout).unwrap();
    // The data folder is that of the first library.
    assert_eq!(json, serde_json::json!({ "file": "other.yaml", "admin": false }));
    assert!(folder.path().join("other.yaml").exists());

    let again = finish(program(&folder, &["init"]));
    assert_eq!((again.code, again.stdout.as_str()), (Some(2), ""), "{again:?}");
    assert!(again.stderr.contains("config.yaml is there already"), "{again:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("config.yaml")).unwrap(), text);
}

#[test]
fn config_show_names_every_source_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("c.yaml"),
        "sync_passphrase: tell nobody\ndata_dir: there\nplugins: {keep: {order: 3}}\n",
    )
    .unwrap();
    let mut command = program(&folder, &["--poll-interval-secs", "7", "config", "show", "c.yaml"]);
    command.env("CAN_SYNC_RELAY_URL", "off").env("CAN_SYNC_RELAY", "x");
    let shown = finish(command);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let rows: Vec<Vec<&str>> = shown.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [
        ["KEY", "VALUE", "FROM"],
        ["sync_passphrase", "(hidden)", "c.yaml"],
        ["data_dir", "there", "c.yaml"],
        ["relay_url", "off", "CAN_SYNC_RELAY_URL"],
        ["poll_interval_secs", "7", "--poll-interval-secs"],
        ["listen_addr", "127.0.0.1:3213", "default"],
        ["ticket_file", "null", "default"],
        ["plugins.keep", r#"{"order":3}"#, "c.yaml"],
    ] {
        assert!(rows.iter().any(|found| found == &row), "{row:?} in {shown:?}");
    }
    assert!(shown.stderr.contains("the variable CAN_SYNC_RELAY names no key"), "{shown:?}");
    assert!(!format!("{shown:?}").contains("tell nobody"));

    let json = finish(program(&folder, &["config", "show", "--config", "c.yaml", "--json"]));
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let of = |key: &str| json.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
    assert_eq!(of("sync_passphrase")["value"], "(hidden)");
    assert_eq!(of("data_dir")["source"], "c.yaml");
    assert_eq!(of("ticket_file")["value"], Value::Null);
}

#[test]
fn what_is_refused_ends_with_two_and_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yaml"), "# first line\nlisten_adr: 127.0.0.1:1\n").unwrap();
    for (arguments, told) in [
        (&["config", "check"][..], "config.yaml, line 2: there is no key `listen_adr`; did you mean `listen_addr`?"),
        (&["ls"], "line 2"),
        (&["status", "--config", "gone.yaml"], "cannot read the configuration gone.yaml"),
        (&["init", "--listen-addr"], "a value is required"),
        (&["frobnicate"], "unrecognized subcommand"),
    ] {
        let refused = finish(program(&folder, arguments));
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(told), "{arguments:?}: {refused:?}");
    }
    let mut command = program(&folder, &["init", "new.yaml"]);
    command.env("CAN_SYNC_LOG", "can_sync=loud");
    let refused = finish(command);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("can_sync=loud"), "{refused:?}");
}

#[test]
fn help_version_and_completions_are_data() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, told) in [
        (&["--help"][..], "--data-dir"),
        (&["--version"], concat!("can-sync ", env!("CARGO_PKG_VERSION"))),
        (&["completions", "bash"], "complete -F _can__sync"),
        (&["completions", "fish"], "complete -c can-sync"),
    ] {
        let done = finish(program(&folder, arguments));
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(done.stdout.contains(told), "{arguments:?}");
    }
    let short = finish(program(&folder, &["-h"])).stdout;
    assert!(!short.contains("--data-dir"), "{short}");
}

#[test]
fn a_host_that_does_not_run_is_named_with_the_way_to_start_it() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago: bound, and closed again.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = finish(program(&folder, &["ls", "--can-listen-addr", &address.to_string()]));
    assert_eq!((away.code, away.stdout.as_str()), (Some(1), ""), "{away:?}");
    let told = format!("error: no host answers at http://{address}; start it with `can-sync run`");
    assert!(away.stderr.starts_with(&told), "{away:?}");

    let no_token = finish(program(&folder, &["status", "--listen-addr", &address.to_string()]));
    assert_eq!(no_token.code, Some(1), "{no_token:?}");
    let told = "no host has been started with this `data_dir` yet (`can-sync run`), so there is no token: ";
    assert!(no_token.stderr.contains(told), "{no_token:?}");
    assert!(no_token.stderr.contains("because: "), "{no_token:?}");
}

#[test]
fn a_rebuild_tells_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("can_data");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(Options::new(&root)).await.unwrap();
        for (n, content) in [(0, b"kept".as_slice()), (1, b"lost")] {
            let mut spool = store.spool(Timestamp::new(1_700_000_000_000 + n).unwrap()).await.unwrap();
            spool.write(content).unwrap();
            store.put(spool.finish_ingest().unwrap(), Origin::Here, Box::new(|_| {})).await.unwrap();
        }
        store.close().await;
    });
    let lost = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let lost = lost.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("1700000000001_"));
    lost.for_each(|path| std::fs::remove_file(path).unwrap());

    let elsewhere = tempfile::tempdir().unwrap();
    let nothing = finish(program(&elsewhere, &["store", "rebuild"]));
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("there is no store in ./can_data"), "{nothing:?}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);

    let done = finish(program(&folder, &["store", "rebuild"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    let told = "1 asset, 4 B in the new index\n1 asset without content; peers that have them send them again\n";
    assert_eq!(done.stdout, told);
    let done = finish(program(&folder, &["store", "rebuild", "--json"]));
    let json: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&json["kind"], &json["assets"], &json["missing"]), (&"end".into(), &1.into(), &1.into()));
}

#[test]
fn the_demonstration_ends_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"content").unwrap();
    let done = finish(program(&folder, &["demo", "--exit", "-v"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("sound"), "{done:?}");
    let told =
        "diary.txt stays on A: keep-private says \"the tag private is kept back\". B does not know that it exists.";
    assert!(done.stdout.lines().any(|line| line == told), "{done:?}");
    // The set holds the file and the program; A has the diary beside them.
    let rows: Vec<Vec<&str>> = done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = |host: &str| rows.iter().find(|row| row.first() == Some(&host)).unwrap();
    let (a, b) = (row("A"), row("B"));
    assert_eq!((a[1], a[2], a[3]), ("2", b[2], "3"), "{done:?}");
    assert_eq!((b[1], b[3]), ("2", "2"), "{done:?}");
    assert!(!done.stderr.contains("WARN") && !done.stderr.contains("ERROR"), "{}", done.stderr);
    // B has dialled A; one that loses A before it stops dials again, and warns when it comes to an answer in time.
    let id = done.stderr.lines().find_map(|line| line.strip_prefix("A: ")?.split(',').next()).unwrap();
    let loses_a = |line: &str| line.contains("disconnected") && line.contains(id);
    assert!(!done.stderr.lines().any(loses_a), "{}", done.stderr);
}

/// Whoever logs goes on, the threads that write databases among them.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"content").unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut demo = program(&folder, &["demo", "--exit", "-vv"]);
    demo.stderr(full);
    let done = finish(demo);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("sound"), "{done:?}");
}

/// Interrupted in the middle of its work, it removes its folder all the same.
#[test]
fn the_demonstration_leaves_nothing_behind_when_it_is_interrupted() {
    let (folder, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut demo = program(&folder, &["demo"]);
    let mut demo = demo.env("TMPDIR", temporary.path()).spawn().unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(demo.stderr.take().unwrap());
    while !said.contains("CAN API") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    let id = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0), "{said}");
    assert!(said.contains("stopping") && !said.contains("error"), "{said}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "{said}");
}

#[test]
fn a_plugin_is_checked_as_the_configuration_here_sets_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let prebuilt = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/prebuilt/keep-private.wasm");
    std::fs::copy(prebuilt, folder.path().join("keep-private.wasm")).unwrap();
    let check =
        |arguments: &[&str]| finish(program(&folder, &[&["plugin", "check", "keep-private.wasm"], arguments].concat()));
    let right = check(&[]);
    assert_eq!(right.code, Some(0), "{right:?}");
    let pin = "0".repeat(64);
    for (entry, code, told) in [
        (format!("{{ sha256: \"{pin}\" }}"), 1, "the configuration wants 0000"),
        ("{ configuration: { tags: 7 } }".to_owned(), 1, "does not take its configuration"),
        ("{ limits: { component_mib: 0 } }".to_owned(), 2, "component_mib"),
    ] {
        std::fs::write(folder.path().join("config.yaml"), format!("plugins: {{ keep-private: {entry} }}\n")).unwrap();
        let refused = check(&[]);
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(format!("{}{}", refused.stdout, refused.stderr).contains(told), "{refused:?}");
        // Another setting in place of all of that.
        std::fs::write(folder.path().join("other.yaml"), "configuration: { tags: [work] }\n").unwrap();
        let right = check(&["--settings", "other.yaml"]);
        assert_eq!(right.code, Some(0), "{right:?}");
    }
}

#[test]
fn a_new_plugin_is_a_folder_that_was_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let made = finish(program(&folder, &["plugin", "new", "mine", "--hook", "after-receive", "--into", "a/b"]));
    assert_eq!((made.code, made.stdout.as_str()), (Some(0), "a/b/mine\n"), "{made:?}");
    assert_eq!(made.stderr, "a/b/mine/README.md has the command that builds it.\n");
    let manifest = std::fs::read_to_string(folder.path().join("a/b/mine/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"mine\""), "{manifest}");

    let again = finish(program(&folder, &["plugin", "new", "mine", "--language", "python", "--into", "a/b"]));
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""), "{again:?}");
    assert!(again.stderr.contains("a/b/mine is there already; choose another name"), "{again:?}");
    assert!(!folder.path().join("a/b/mine/plugin.py").exists());
    for (arguments, code, told) in [
        (&["Mine"][..], 2, "it begins with 'M'"),
        (&["mine", "--language", "c", "--sdk", "x"], 2, "`--sdk` is for Rust"),
        (&["mine", "--sdk", "nowhere"], 1, "cannot find the SDK nowhere"),
        (&["mine", "--sdk", "a"], 1, "a is not the SDK"),
    ] {
        let refused = finish(program(&folder, &[&["plugin", "new"], arguments].concat()));
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(refused.stderr.contains(told), "{refused:?}");
        assert!(!folder.path().join("mine").exists() && !folder.path().join("Mine").exists());
    }

    let made = finish(program(&folder, &["plugin", "new", "c2", "--language", "c", "--json"]));
    let json: Value = serde_json::from_str(&made.stdout).unwrap();
    for path in json["files"].as_array().unwrap() {
        assert!(folder.path().join("c2").join(path.as_str().unwrap()).is_file(), "{path}");
    }
    assert!(json["files"].as_array().unwrap().contains(&"bindings/push_filter.h".into()), "{json}");
}

#[test]
fn settings_that_are_wrong_are_named_by_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let component = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/prebuilt/keep-private.wasm");
    std::fs::copy(component, folder.path().join("keep.wasm")).unwrap();
    std::fs::write(folder.path().join("other.yaml"), "grants: [contents]\n").unwrap();
    std::fs::write(folder.path().join("keep.yaml"), "memmory: 3\n").unwrap();
    for (arguments, code, told) in [
        (
            &["plugin", "check", "keep.wasm", "--settings", "other.yaml"][..],
            2,
            "other.yaml: there is no grant `contents`",
        ),
        (&["plugin", "run", "keep.wasm", "--settings", "other.yaml"], 2, "other.yaml: there is no grant `contents`"),
        (&["plugin", "check", "keep.wasm"], 2, "keep.yaml: unknown field `memmory`"),
        (&["plugin", "check", "keep.wasm", "--settings", "gone.yaml"], 1, "cannot read gone.yaml"),
    ] {
        let refused = finish(program(&folder, arguments));
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(refused.stderr.contains(told) && !refused.stderr.contains("sidecar"), "{refused:?}");
    }
}

#[test]
fn assets_for_a_plugin_are_read_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let component = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/prebuilt/keep-private.wasm");
    std::fs::copy(component, folder.path().join("keep.wasm")).unwrap();
    let refusal = r#"{"configuration":{"tagz":1},"error":"tagz"}"#;
    let slip = r#"{"hook":"before-push","asset":{"tags":[]},"verdict":"pass"}"#;
    let hook = r#"{"hook":"bfore-push","asset":{"tags":[]},"verdict":{"verdict":"pass"}}"#;
    for (arguments, line, code, told) in [
        (&[][..], r#"{"tags":["private"]}"#, 0, "1 drop"),
        (&[], r#"{"tag":["private"]}"#, 1, "there is no key `tag`"),
        (&[], "", 1, "there is no asset to ask about"),
        (&[], "[]", 1, "a line is a JSON object"),
        // One that is refused as it should be asks something.
        (&["--golden"], refusal, 0, "0 wrong"),
        (&["--golden"], slip, 1, "one of pass, drop, hold, edit"),
        (&["--golden"], hook, 1, "it has before-push"),
    ] {
        std::fs::write(folder.path().join("lines"), line).unwrap();
        let run = [&["plugin", "run", "keep.wasm", "--assets", "lines"][..], arguments].concat();
        let done = finish(program(&folder, &run));
        assert_eq!(done.code, Some(code), "{line}: {done:?}");
        assert!(done.stderr.contains(told), "{line}: {done:?}");
    }
    std::fs::rename(folder.path().join("keep.wasm"), folder.path().join("keep (1).wasm")).unwrap();
    let done = finish(program(&folder, &["plugin", "check", "keep (1).wasm"]));
    assert!(done.code == Some(1) && done.stderr.contains("rename it"), "{done:?}");
}
