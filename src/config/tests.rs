//! Tests of the configuration as a whole.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::auth::Phrase;
use crate::library::Relay;

fn parse(text: &str) -> Result<Settings, String> {
    let file::Parsed { values, plugins } = file::parse(Path::new("c.yaml"), text).map_err(|error| error.to_string())?;
    let file = ConfigFile { path: "c.yaml".into(), values, plugins, open_to_others: false };
    Ok(resolve(Some(&file), [], &[]).map_err(|error| error.to_string())?.settings)
}

/// Else a host that is started elsewhere shares what its plugins keep back.
#[test]
fn plugins_lie_beside_the_file_that_says_so() {
    let dir = |path: &str, text: &str, variables: Vec<(String, String)>| {
        let file::Parsed { values, plugins } = file::parse(Path::new(path), text).unwrap();
        let file = ConfigFile { path: path.into(), values, plugins, open_to_others: false };
        resolve(Some(&file), variables, &[]).unwrap().settings.plugins_dir
    };
    assert_eq!(dir("c.yaml", "", vec![]), Path::new("./plugins"));
    assert_eq!(dir("/etc/can/c.yaml", "", vec![]), Path::new("/etc/can/plugins"));
    assert_eq!(dir("../c.yaml", "plugins_dir: p", vec![]), Path::new("../p"));
    assert_eq!(dir("/etc/can/c.yaml", "plugins_dir: /opt/p", vec![]), Path::new("/opt/p"));
    let given = vec![variable(&Key::PluginsDir.variable(), "p")];
    assert_eq!(dir("/etc/can/c.yaml", "plugins_dir: q", given), Path::new("p"));
    assert_eq!(resolve(None, [], &[]).unwrap().settings.plugins_dir, Path::new("./plugins"));
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A ticket as another host has written it.
const TICKET: &str = concat!(
    "cansync1agv2xk5lvov2xk5lvov2xk5lvov2xk5lvov2xk5lvov2xk5lvov2wgtior2ha4z2f4xxezlmmf4s4zlymfwxa3dffzxx",
    "ezzpaicmaaaca4ivcbraaeg3qaaaaaaaaaaaaaaaaaabcfiutmduea"
);

#[test]
fn a_list_is_a_list_or_a_text_with_commas_and_public_relays_go_with_the_public_relay() {
    let two = ["https://a.example.org", "http://127.0.0.1:1"].map(str::to_owned).to_vec();
    for text in [
        "pkarr_relays: [https://a.example.org, http://127.0.0.1:1/]",
        "pkarr_relays: https://a.example.org,http://127.0.0.1:1",
    ] {
        assert_eq!(parse(text).unwrap().rendezvous_relays(), two);
    }
    assert_eq!(parse(&format!("peers:\n  - {TICKET}\n  - {TICKET}\n")).unwrap().peers.len(), 2);
    assert_eq!(parse("peers: []").unwrap().peers, []);
    assert_eq!(parse("plugins: {keep: null, other: {order: 1}}").unwrap().plugins.len(), 2);
    assert_eq!(parse("plugins:\n  keep:\n").unwrap().plugins.len(), 1);
    assert_eq!(parse("plugins: null").unwrap().plugins.len(), 0);
    for (text, count) in [
        ("", 2),
        ("relay_url: off", 0),
        ("relay_url: https://relay.example.org", 0),
        ("pkarr_relays: off", 0),
        ("pkarr_relays: []", 0),
        ("relay_url: off\npkarr_relays: [http://127.0.0.1:1]", 1),
    ] {
        assert_eq!(parse(text).unwrap().rendezvous_relays().len(), count, "{text}");
    }
    for (text, told) in [
        ("pkarr_relays: [ftp://a]", "http or https"),
        ("pkarr_relays: [a, [b]]", "is a list of texts"),
        ("pkarr_relays: {a: b}", "is a list of texts"),
        ("pkarr_dht: [router.example.org:6881]", "192.0.2.1:6881"),
        ("pkarr_dht: maybe", "`off`, `on`, or a list"),
        ("peers: [abc]", "holds tickets"),
        ("mdns: maybe", "`true` or `false`"),
        ("role: boss", "`receive-only`"),
        ("relay_policy: small", "`small_only`"),
        ("brake_assets: 1001", "from 0 to 1000"),
        ("brake_percent: 101", "from 0 to 100"),
        ("brake_percent: 0.25", "from 0 to 100"),
        ("brake_percent: +1", "from 0 to 100"),
        ("gossip: 2", "`true` or `false`"),
    ] {
        let refused = parse(text).unwrap_err();
        assert!(refused.contains(told) && refused.contains("c.yaml"), "{refused}");
    }
}

#[test]
fn the_template_is_complete_and_equals_the_defaults() {
    assert_eq!(parse(TEMPLATE).unwrap(), Settings::default());
    let defaults = Settings::default();
    let lines: Vec<&str> = TEMPLATE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (plugins, lines): (Vec<&str>, Vec<&str>) = lines.into_iter().partition(|line| line.starts_with("plugins:"));
    assert_eq!((lines.len(), plugins), (Key::ALL.len(), vec!["plugins: {}"]));
    for (line, key) in lines.into_iter().zip(Key::ALL) {
        let shown = if key == Key::DeviceName { None } else { value::show(&defaults, key) };
        assert_eq!(line, format!("{}: {}", key.name(), shown.as_deref().unwrap_or("null")));
    }
}

#[test]
fn the_list_of_keys_is_whole() {
    let names: BTreeSet<&str> = Key::ALL.into_iter().map(Key::name).collect();
    assert_eq!(names.len(), Key::ALL.len());
    // A new variant of the enum that is not in the list shows here: the last one is the last of the list.
    assert_eq!(Key::ALL[Key::ALL.len() - 1] as usize, Key::ALL.len() - 1);
    for key in Key::ALL {
        assert_eq!(Key::by_name(key.name()), Some(key));
    }
}

#[test]
fn every_key_changes_a_setting_and_is_shown() {
    for (key, text) in [
        (Key::SyncPassphrase, "some phrase"),
        (Key::AllowWeakPassphrase, "true"),
        (Key::DeviceName, "attic"),
        (Key::Role, "send-only"),
        (Key::BrakeAssets, "7"),
        (Key::BrakePercent, "2.5"),
        (Key::DataDir, "/d"),
        (Key::TicketFile, "t"),
        (Key::ConnectTicketFile, "ct"),
        (Key::RelayUrl, "https://relay.example.org"),
        (Key::RelayPolicy, "never"),
        (Key::PkarrRelays, "https://a.example.org, http://127.0.0.1:1"),
        (Key::PkarrDht, "192.0.2.1:6881, 192.0.2.2:1"),
        (Key::PkarrDht, "on"),
        (Key::Mdns, "false"),
        (Key::Gossip, "false"),
        (Key::Peers, TICKET),
        (Key::BindAddr, "127.0.0.1:0"),
        (Key::PollIntervalSecs, "5"),
        (Key::ListenAddr, "127.0.0.1:1"),
        (Key::StorageRoot, "s"),
        (Key::CanListenAddr, "127.0.0.1:2"),
        (Key::VerifyIntervalHours, "24"),
        (Key::CanServiceUrl, "http://127.0.0.1:9"),
        (Key::SyncApiKey, "k3y"),
        (Key::SweepIntervalSecs, "60"),
        (Key::PluginsDir, "p"),
    ] {
        let shown = if key.is_secret() { value::REDACTED } else { text };
        let from_file = parse(&format!("{}: {text}\n", key.name())).unwrap();
        assert_ne!(from_file, Settings::default(), "{key:?}");
        assert_eq!(value::show(&from_file, key).as_deref(), Some(shown));
        let from_variable = resolve(None, [variable(&key.variable(), text)], &[]).unwrap();
        assert_eq!(from_variable.settings, from_file);
        let of_key = from_variable.shown.iter().find(|of| of.key == key.name()).unwrap();
        assert_eq!(of_key.source, Source::Variable(key.variable()));
        assert!(key.is_secret() || resolve(None, [], &[(key, text.to_owned())]).unwrap().settings == from_file);
        assert!(!format!("{from_variable:?}").contains("some phrase"));
        assert!(!format!("{from_variable:?}").contains("k3y"));
    }
}

#[test]
fn a_wrong_file_is_refused_with_line_and_reason() {
    for (text, message) in [
        (
            "data_dir: a\nstorage_rot: b\n",
            "c.yaml, line 2: there is no key `storage_rot`; did you mean `storage_root`?",
        ),
        ("# x\n\nlisten-addr: x\n", "c.yaml, line 3: there is no key `listen-addr`; did you mean `listen_addr`?"),
        ("colour: red\n", "c.yaml, line 1: there is no key `colour`; `can-sync config show` lists all of them"),
        ("data_dir: |\n  unknown: x\nunknown: y\n", "c.yaml, line 3: there is no key `unknown`; "),
        ("{data_dir: a,\n  unknown: x}\n", "c.yaml, line 2: there is no key `unknown`; "),
        ("data_dir: a\nticket_file: b\n\ndata_dir: c\n", "c.yaml, line 4: `data_dir` is set a second time"),
        ("data_dir: a\ndata_dir: null\n", "c.yaml, line 2: `data_dir` is set a second time"),
        ("data_dir:\n  storage_rot: b\n", "c.yaml, line 2: `data_dir` is one value, not a list or a map"),
        (
            "listen_addr: [::1]:1\n",
            "c.yaml, line 1: `listen_addr` is one value, not a list or a map; a text that begins",
        ),
        ("data_dir: [a]\n", "c.yaml, line 1: `data_dir` is one value, not a list or a map"),
        ("x: 1\n5: 2\n", "c.yaml, line 1: there is no key `x`"),
        (
            "poll_interval_secs: 0\n",
            "line 1: `poll_interval_secs` is a whole number of seconds from 1 to 86400, not `0`",
        ),
        ("\npoll_interval_secs: often\n", "line 2: `poll_interval_secs` is a whole number"),
        ("poll_interval_secs: 1.5\n", "not `1.5`"),
        ("listen_addr: localhost\n", "`listen_addr` is an IP address and a port"),
        ("relay_url: relay\n", "or `off`"),
        ("can_service_url: ftp://x\n", "the scheme is `ftp`"),
        ("can_service_url: http://u:p@x\n", "does not belong into a URL"),
        ("allow_weak_passphrase: maybe\n", "is `true` or `false`, not `maybe`"),
        ("device_name: \"\"\n", "a name of 1 to 64 bytes, and this has 0"),
        ("device_name: \"two\\nlines\"\n", "is a line"),
        ("sync_api_key: \"a b\"\n", "ASCII without blanks"),
        ("just words\n", "c.yaml is no configuration: it has no keys"),
        ("- a\n- b\n", "c.yaml is no configuration: it has no keys"),
        ("5\n", "c.yaml is no configuration: it has no keys"),
        ("plugins:\n  a:\n    enabledd: true\n", "c.yaml says something that is not expected; did you mean `enabled`?"),
        ("plugins: [a]\n", "c.yaml says something that is not expected"),
        ("data_dir: 'a\n", "c.yaml is not written as YAML"),
        ("listen_addr: 127.0.0.1:3210\n", "both 127.0.0.1:3210"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(message), "{text:?}: {error}");
    }
}

#[test]
fn a_refusal_never_repeats_a_secret() {
    for text in ["sync_api_key: \"pass word\"\n", "sync_passphrase: [pass word]\n", "pass word\n"] {
        let error = file::parse(Path::new("c.yaml"), text).unwrap_err();
        let told = format!("{error} {:?}", std::error::Error::source(&error));
        assert!(!told.contains("pass word"), "{text:?}: {told}");
    }
    let long = format!("sync_passphrase: {}\n", "x".repeat(2000));
    assert!(!parse(&long).unwrap_err().contains("xx"));
}

#[test]
fn texts_are_taken_as_they_are_written() {
    assert_eq!(parse("").unwrap(), Settings::default());
    assert_eq!(parse("# nothing\n---\n").unwrap(), Settings::default());
    assert_eq!(parse("data_dir: null\nticket_file:\n").unwrap(), Settings::default());
    for off in ["off", "false", "OFF", "\"off\"", "no"] {
        assert_eq!(parse(&format!("relay_url: {off}\n")).unwrap().relay, Relay::Off, "{off}");
    }
    let digits = parse("sync_passphrase: 007\ndevice_name: 1e3\n").unwrap();
    assert_eq!(digits.sync_passphrase, Some(Phrase::parse("007").unwrap()));
    assert_eq!(digits.device_name, "1e3");
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let file::Parsed { values, plugins } =
        file::parse(Path::new("c.yaml"), "poll_interval_secs: 1\ndata_dir: file\nticket_file: t\n").unwrap();
    let file = ConfigFile { path: "c.yaml".into(), values, plugins, open_to_others: false };
    let variables = [
        variable("CAN_SYNC_POLL_INTERVAL_SECS", "2"),
        variable("CAN_SYNC_DATA_DIR", "variable"),
        variable("CAN_SYNC_TICKET_FILE", ""),
    ];
    let resolved = resolve(Some(&file), variables, &[(Key::PollIntervalSecs, "3".to_owned())]).unwrap();
    assert_eq!(resolved.settings.poll_interval, Duration::from_secs(3));
    assert_eq!(resolved.settings.data_dir, Path::new("variable"));
    assert_eq!(resolved.settings.ticket_file.as_deref(), Some(Path::new("t")));
    let source = |key: Key| resolved.shown.iter().find(|of| of.key == key.name()).unwrap().source.to_string();
    assert_eq!(source(Key::PollIntervalSecs), "--poll-interval-secs");
    assert_eq!(source(Key::DataDir), "CAN_SYNC_DATA_DIR");
    assert_eq!(source(Key::TicketFile), "c.yaml");
    assert_eq!(source(Key::StorageRoot), "default");
}

#[test]
fn can_port_is_the_port_of_the_can_api() {
    let port = |variables: &[(&str, &str)]| {
        let variables: Vec<_> = variables.iter().map(|(name, value)| variable(name, value)).collect();
        resolve(None, variables, &[]).map(|resolved| resolved.settings.can_listen_addr.to_string())
    };
    assert_eq!(port(&[("CAN_PORT", "4000")]).unwrap(), "127.0.0.1:4000");
    let both = [("CAN_PORT", "4000"), ("CAN_SYNC_CAN_LISTEN_ADDR", "127.0.0.1:5000")];
    assert_eq!(port(&both).unwrap(), "127.0.0.1:5000");
    let error = port(&[("CAN_PORT", "high")]).unwrap_err().to_string();
    assert!(error.contains("variable CAN_PORT") && error.contains("`high`"), "{error}");
    let error = resolve(None, [variable("CAN_SYNC_LISTEN_ADDR", "x")], &[]).unwrap_err().to_string();
    assert!(error.starts_with("variable CAN_SYNC_LISTEN_ADDR: `listen_addr` is an IP"), "{error}");
    let error = resolve(None, [], &[(Key::BindAddr, "x".to_owned())]).unwrap_err().to_string();
    assert!(error.starts_with("flag --bind-addr: "), "{error}");
}

#[test]
fn a_missing_secret_names_the_command_that_makes_one() {
    let error = Settings::default().secret(false).unwrap_err().to_string();
    assert!(error.contains("can-sync init") && error.contains("can-sync pair"), "{error}");
    assert_eq!(Settings::default().secret(true).unwrap(), None, "a device that was paired needs none");
    let weak = parse("sync_passphrase: password\n").unwrap();
    assert!(matches!(weak.secret(true), Err(ConfigError::WeakPhrase(_))));
    let allowed = parse("sync_passphrase: password\nallow_weak_passphrase: true\n").unwrap();
    assert_eq!(allowed.secret(false).unwrap().unwrap().expose(), "password");
}

#[test]
fn what_is_most_likely_not_meant_is_noted() {
    let variables = [variable("CAN_SYNC_DATADIR", "x"), variable("CAN_SYNC_LOG", "info")];
    let notes = resolve(None, variables, &[(Key::CanListenAddr, "0.0.0.0:3210".to_owned())]).unwrap().notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("CAN_SYNC_DATADIR") && notes[1].contains("0.0.0.0:3210"), "{notes:?}");
}

#[test]
fn a_new_file_is_private_whole_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let phrase = Phrase::generate([3; 16]);
    write_new(&path, &template_with(&phrase)).unwrap();
    let file = read(&path).unwrap();
    assert!(!file.open_to_others);
    let settings = resolve(Some(&file), [], &[]).unwrap().settings;
    assert_eq!(settings.secret(false).unwrap(), Some(&phrase));
    let plugins_dir = folder.path().join("plugins");
    assert_eq!(Settings { sync_passphrase: None, ..settings }, Settings { plugins_dir, ..Settings::default() });
    let error = write_new(&path, "other").unwrap_err();
    assert!(matches!(error, InitError::Exists { .. }), "{error}");
    assert!(std::fs::read_to_string(&path).unwrap().contains(phrase.expose()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let notes = resolve(Some(&read(&path).unwrap()), [], &[]).unwrap().notes;
        assert!(notes[0].contains("chmod 600"), "{notes:?}");
    }
    let error = write_new(&folder.path().join("no/such/folder.yaml"), "x").unwrap_err().to_string();
    assert!(error.contains("no/such/folder.yaml"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = read(&folder.path().join("gone.yaml")).unwrap_err().to_string();
    assert!(error.contains("gone.yaml") && error.contains("can-sync init"), "{error}");
    let path = folder.path().join("c.yaml");
    std::fs::write(&path, vec![b'#'; 300_000]).unwrap();
    assert!(matches!(read(&path), Err(ConfigError::TooLarge { .. })));
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(matches!(read(&path), Err(ConfigError::NotAConfiguration { .. })));
}
