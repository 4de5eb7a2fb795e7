//! Devices that join, are limited, and are locked out, as a person does it: by the program's commands.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;

use super::host::Host;
use super::host::Place;
use super::host::equal;
use super::loopback_relay::LoopbackRelay;

/// Shows a pairing code on a running host and has another device join with it, which must be able to.
fn pair(inviting: (&Place, &Host), joining: &Place) -> Value {
    let mut showing = inviting.0.command(Some(inviting.1), &["--json", "pair"]);
    let mut showing = showing.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(showing.stdout.take().unwrap()).lines();
    let shown: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let code = shown["code"].as_str().unwrap().to_owned();
    assert_eq!(code.split('-').count(), 4, "{shown}");
    // What the QR code says is enough: no discovery is on.
    let joined = joining.does(None, &["--json", "pair", shown["link"].as_str().unwrap()]);
    let paired: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(showing.wait().unwrap().success());
    let ended = joining.command(None, &["pair", &code, "--ticket", inviting.0.ticket().trim()]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("did not let this one in"), "a code is good once: {said}");
    let joined: Value = serde_json::from_str(&joined).unwrap();
    assert_eq!(joined["library"], "mirror");
    paired
}

impl Place {
    fn ticket(&self) -> String {
        std::fs::read_to_string(self.ticket_file()).unwrap()
    }
}

fn peers(place: &Place, host: &Host) -> Value {
    serde_json::from_str(&place.does(Some(host), &["--json", "peers"])).unwrap()
}

/// Returns what a host knows of the only other device.
fn other(place: &Place, host: &Host) -> Value {
    let peers = peers(place, host);
    assert_eq!(peers["peers"].as_array().unwrap().len(), 1, "{peers}");
    peers["peers"][0].clone()
}

#[tokio::test]
async fn a_device_joins_with_four_words_and_is_locked_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let desk_at = Place::new(dir.path(), "desk").with("device_name", "desk");
    let desk = desk_at.start();
    let laptop_at =
        Place::new(dir.path(), "laptop").without_phrase().with("device_name", "laptop").connecting_to(&desk_at);
    let (ended, said) = Place::refused(&laptop_at.config_with("device_name", "laptop"));
    assert!(ended == Some(2) && said.contains("can-sync pair"), "{said}");

    let paired = pair((&desk_at, &desk), &laptop_at);
    assert_eq!((&paired["state"], &paired["name"]), (&Value::from("paired"), &Value::from("laptop")));
    assert_eq!(other(&desk_at, &desk)["state"], "paired");
    let first = desk.ingest("first.txt", b"first".to_vec()).await;
    let laptop = laptop_at.start();
    equal(&desk, &laptop, 1).await;
    assert!(laptop.content(&first).await.is_some());
    assert_eq!(other(&laptop_at, &laptop)["trust"], "admin");
    assert_eq!(other(&desk_at, &desk)["trust"], "accepted");

    // What people say of it.
    desk_at.does(Some(&desk), &["peers", "rename", "laptop", "old laptop"]);
    desk_at.does(Some(&desk), &["peers", "limit", "old laptop", "--send", "1M"]);
    let shown = desk_at.does(Some(&desk), &["peers", "show", "old laptop"]);
    assert!(shown.contains("old laptop") && shown.contains("1.0 MiB/s"), "{shown}");
    desk_at.does(Some(&desk), &["peers", "pause", "old laptop", "--for", "2h"]);
    desk.status_is("it is paused", |status| status["peers"][0]["state"] == "paused").await;
    let second = desk.ingest("second.txt", b"second".to_vec()).await;
    desk_at.does(Some(&desk), &["peers", "resume", "old laptop"]);
    equal(&desk, &laptop, 2).await;
    let unknown = desk_at.command(Some(&desk), &["peers", "pause", "nobody"]).output().unwrap();
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no device is called `nobody`"));

    // Locked out, although it keeps everything it had and knows.
    let asked = desk_at.command(Some(&desk), &["peers", "remove", "old laptop"]).output().unwrap();
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(!asked.status.success() && said.contains("--yes") && said.contains("(this one)"), "{said}");
    desk_at.does(Some(&desk), &["peers", "remove", "old laptop", "--yes"]);
    desk.status_is("it is blocked", |status| status["peers"][0]["state"] == "blocked").await;
    laptop.status_is("it is out", |status| status["peers"][0]["connected"] == false).await;
    let third = desk.ingest("third.txt", b"third".to_vec()).await;
    assert_eq!(laptop.terminate().code(), Some(0));
    let laptop = laptop_at.start();
    let refused = desk.status().await["refused"].as_u64().unwrap();
    desk.status_is("it tried again", |status| status["refused"].as_u64() > Some(refused)).await;
    assert!(laptop.content(&second).await.is_some() && laptop.meta(&third).await.is_none());

    // With the dead phrase of the library nobody comes in either; it is told what to do.
    let phone_at = Place::new(dir.path(), "phone").connecting_to(&desk_at);
    let phone = phone_at.start();
    let moved_on = |note: &Value| note.as_str().is_some_and(|note| note.contains("moved on"));
    phone.status_is("it is told to pair", |status| status["notes"].as_array().unwrap().iter().any(moved_on)).await;
    assert_eq!(phone.terminate().code(), Some(0));
    pair((&desk_at, &desk), &phone_at);
    let phone = phone_at.start();
    equal(&desk, &phone, 3).await;
    assert_eq!(desk.terminate().code(), Some(0));
    // Nothing of this is forgotten.
    let desk = desk_at.start();
    equal(&desk, &phone, 3).await;
    let members = peers(&desk_at, &desk)["members"].clone();
    assert_eq!((&members["membership"], &members["epoch"]), (&Value::from("listed"), &Value::from(1)));
    drop(laptop);

    // Two at once: the one that is named, and one that does not stay either.
    let tablet_at = Place::new(dir.path(), "tablet").without_phrase().with("device_name", "tablet");
    pair((&desk_at, &desk), &tablet_at);
    let phone_name = peers(&desk_at, &desk)["peers"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|peer| (peer["connected"] == true).then(|| peer["name"].as_str().unwrap().to_owned()));
    desk_at.does(Some(&desk), &["peers", "remove", "tablet", "--except", &phone_name.unwrap(), "--yes"]);
    let alone = |status: &Value| status["peers"].as_array().unwrap().iter().all(|peer| peer["connected"] == false);
    phone.status_is("it is out as well", alone).await;
    let listed = peers(&desk_at, &desk);
    let states: Vec<&str> =
        listed["peers"].as_array().unwrap().iter().map(|peer| peer["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["blocked"; 3], "{listed}");
    assert_eq!(listed["members"]["epoch"], 2);
}

#[tokio::test]
async fn a_host_that_trashes_everything_is_stopped_and_undone() {
    let dir = tempfile::tempdir().unwrap();
    let desk_at = Place::new(dir.path(), "desk");
    let desk = desk_at.start();
    let laptop_at = Place::new(dir.path(), "laptop").with("device_name", "laptop").connecting_to(&desk_at);
    let laptop = laptop_at.start();
    let mut hashes = Vec::new();
    for number in 0..15 {
        hashes.push(laptop.ingest("photo.jpg", format!("photo {number}").into_bytes()).await);
    }
    equal(&desk, &laptop, 15).await;
    for hash in &hashes {
        laptop.trash(hash).await;
    }
    desk.status_is("the brake holds", |status| status["held"] == 5).await;
    let status = desk_at.does(Some(&desk), &["status"]);
    assert!(status.contains("laptop trashed too much") && status.contains("held drop --braked"), "{status}");
    let dropped = desk_at.does(Some(&desk), &["held", "drop", "--braked"]);
    assert!(dropped.contains("5 assets undone"), "{dropped}");
    let mut back = 0;
    for hash in &hashes {
        if desk.meta(hash).await.unwrap()["trashed"] == false {
            laptop.meta_is(hash, |meta| meta["trashed"] == false).await;
            back += 1;
        }
    }
    assert_eq!(back, 5);
    equal(&desk, &laptop, 15).await;
}

/// Nothing but the words: the place where the two meet follows from the first of them.
#[tokio::test]
async fn two_devices_that_pair_meet_at_a_pkarr_relay() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let relay = LoopbackRelay::start().await.unwrap();
    pair_and_meet("pkarr_relays", &relay.url()).await;
}

/// The same without any server: in the DHT, here one on loopback.
#[tokio::test]
async fn two_devices_that_pair_meet_in_the_dht() {
    let testnet = tokio::task::spawn_blocking(|| mainline::Testnet::builder(5).build().unwrap()).await.unwrap();
    pair_and_meet("pkarr_dht", &testnet.bootstrap.join(", ")).await;
}

async fn pair_and_meet(key: &str, servers: &str) {
    let dir = tempfile::tempdir().unwrap();
    let meeting = |name: &str| Place::new(dir.path(), name).with(key, &format!("[{servers}]"));
    let desk_at = meeting("desk");
    let desk = desk_at.start();
    let laptop_at = meeting("laptop").without_phrase();
    tokio::task::spawn_blocking({
        let (showing, joining) =
            (desk_at.command(Some(&desk), &["--json", "pair"]), laptop_at.command(None, &["pair"]));
        move || pair_by_words(showing, joining)
    })
    .await
    .unwrap();
    let hash = desk.ingest("a.txt", b"a".to_vec()).await;
    // They find each other by the secret that was handed over.
    let laptop = tokio::task::spawn_blocking(move || laptop_at.start()).await.unwrap();
    equal(&desk, &laptop, 1).await;
    assert!(laptop.content(&hash).await.is_some());
}

/// Shows a code by one command and joins by another that is told the words alone.
pub(crate) fn pair_by_words(mut showing: Command, mut joining: Command) {
    let mut showing = showing.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(showing.stdout.take().unwrap()).lines();
    let shown: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let joined = joining.args(shown["code"].as_str().unwrap().split('-')).output().unwrap();
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    assert!(showing.wait().unwrap().success());
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_ends_with_a_failure_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let at = Place::new(dir.path(), "desk");
    let host = at.start();
    let text = at.does(Some(&host), &["doctor"]);
    for word in ["ok    configuration", "ok    host", "ok    store", "ok    disk", "finding by rendezvous"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let findings: Value = serde_json::from_str(&at.does(Some(&host), &["--json", "doctor"])).unwrap();
    let severities =
        findings["findings"].as_array().unwrap().iter().map(|finding| finding["severity"].as_str().unwrap());
    assert!(severities.clone().all(|severity| severity != "error") && severities.count() > 6, "{findings}");
    let command = |host: Option<&Host>| at.command(host, &["doctor"]).output().unwrap();
    assert!(command(Some(&host)).status.success());
    assert_eq!(host.terminate().code(), Some(0));
    let ended = command(None);
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(text.contains("FAIL  host") && text.contains("can-sync run"), "{text}");
}
