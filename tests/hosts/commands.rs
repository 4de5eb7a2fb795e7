//! What a user types, against a host that runs: the names in its answers are those the commands look for.

use serde_json::Value;

use super::host::Host;
use super::host::Place;
use super::host::equal;

fn says(at: &Place, host: &Host, arguments: &[&str]) -> Vec<Value> {
    let text = at.does(Some(host), &[&["--json"], arguments].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_asset_goes_through_all_commands() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    let (a, b) = (at_a.start(), at_b.start());
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "hello\n").unwrap();
    let file = file.display().to_string();

    let added = says(&at_a, &a, &["add", &file, "--path", "letters", "--tag", "one", "--user", "ann"]);
    let hash = added[0]["hash"].as_str().unwrap();
    assert_eq!((&added[0]["mime_type"], &added[0]["size"]), (&"text/plain".into(), &6.into()));
    equal(&a, &b, 1).await;

    // On the other machine.
    let listed = says(&at_b, &b, &["ls", "--tag", "one"]);
    assert_eq!(listed[0]["assets"][0]["hash"], hash);
    assert_eq!(listed[0]["assets"][0]["human_readable_path"], "letters");
    assert!(at_b.does(Some(&b), &["ls"]).contains("notes.txt"));
    assert_eq!(at_b.does(Some(&b), &["get", hash]), "hello\n");
    let copy = dir.path().join("copy.txt").display().to_string();
    at_b.does(Some(&b), &["get", hash, "-o", &copy]);
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "hello\n");
    let tagged = says(&at_b, &b, &["tag", hash, "--add", "two", "--remove", "one"]);
    assert_eq!(tagged[0]["tags"], serde_json::json!(["two"]));
    a.meta_is(hash, |meta| meta["tags"] == serde_json::json!(["two"])).await;

    assert_eq!(says(&at_a, &a, &["trash", hash])[0]["trashed"], true);
    b.meta_is(hash, |meta| meta["trashed"] == true).await;
    assert_eq!(says(&at_b, &b, &["ls"])[0]["total"], 0);
    assert_eq!(says(&at_b, &b, &["restore", hash])[0]["trashed"], false);
    a.meta_is(hash, |meta| meta["trashed"] == false).await;

    let status = says(&at_a, &a, &["status"]);
    assert_eq!((&status[0]["store"]["assets"], &status[0]["libraries"][0]["count"]), (&1.into(), &1.into()));
    assert!(at_a.does(Some(&a), &["status"]).contains("in sync"));
    let verified = says(&at_a, &a, &["verify", "--all"]);
    assert_eq!((&verified.last().unwrap()["sound"], &verified.last().unwrap()["bytes"]), (&1.into(), &6.into()));
    let explained = says(&at_b, &b, &["explain", hash]);
    assert_eq!(explained[0]["hash"], hash);

    let purged = at_b.does(Some(&b), &["purge", hash, "--yes"]);
    assert_eq!(purged, format!("{hash}  purged\n"));
    assert!(at_b.does(Some(&b), &["held", "ls", "--declined"]).contains("purged by hand"));
    let last = at_a.command(Some(&a), &["purge", hash, "--yes"]).output().unwrap();
    assert_eq!(last.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&last.stderr).contains("last copy"));
    at_b.does(Some(&b), &["held", "release", hash]);
    equal(&a, &b, 1).await;
    b.meta_is(hash, |meta| meta["tags"] == serde_json::json!(["two"])).await;
}
