//! Starts that are refused, each with its exit code and a message that names thing, cause and next step.

use super::host::Place;

#[tokio::test]
async fn what_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = Place::new(dir.path(), "a");
    let running = at.start();
    let port = running.can.trim_start_matches("http://").split('/').next().unwrap().to_owned();

    let other = Place::new(dir.path(), "b");
    let file = dir.path().join("file");
    std::fs::write(&file, b"not a folder").unwrap();
    let path = |path: &std::path::Path| path.display().to_string();
    for (place, key, value, code, word) in [
        (&at, "storage_root", path(&other.storage_root), 3, "data_dir"),
        (&at, "can_listen_addr", port.clone(), 3, "data_dir"),
        (&other, "can_listen_addr", port.clone(), 4, "stop what uses it"),
        (&other, "storage_root", path(&at.storage_root), 3, "storage_root"),
        (&other, "data_dir", path(&file.join("below")), 1, "data_dir"),
        (&other, "sync_passphrase", "\"\"".to_owned(), 2, "can-sync init"),
        (&other, "sync_passphrase", "password".to_owned(), 2, "guess"),
        (&other, "poll_intervall_secs", "5".to_owned(), 2, "poll_interval_secs"),
        (&other, "listen_addr", "nowhere".to_owned(), 2, "listen_addr"),
    ] {
        let (ended, said) = Place::refused(&place.config_with(key, &value));
        assert_eq!(ended, Some(code), "{key}: {value}: {said}");
        assert!(said.contains(word), "{key}: {value}: {said}");
    }
    assert_eq!(running.terminate().code(), Some(0));
}
