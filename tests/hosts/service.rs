//! A host whose store is a CAN Service beside it: another instance of the program, that knows no peer.

use super::host::Host;
use super::host::Place;
use super::host::equal;
use super::host::within;

const KEY: &str = "the-key-of-the-service";

/// Everything that must not change any more once all is equal.
async fn state(a: &Host, c: &Host) -> Vec<String> {
    let (at_a, at_c) = (a.status().await, c.status().await);
    let mut state = Vec::new();
    for status in [&at_a, &at_c] {
        assert_eq!(status["libraries"][0]["in_sync"], true, "{status}");
        assert_eq!(status["store"]["healthy"], true, "{status}");
        state.push(status["libraries"][0]["fingerprint"].to_string());
        state.push(status["store"]["assets"].to_string());
    }
    state.extend(c.list().await.into_iter().map(|(hash, size)| format!("{hash} {size}")));
    state
}

/// Makes an asset's flat file disappear behind the service's back, and lets the service find out.
async fn lose(service: &Place, c: &Host, hash: &str) {
    let gone = async {
        loop {
            let files = std::fs::read_dir(&service.storage_root).unwrap().map(|entry| entry.unwrap());
            for file in files.filter(|file| file.file_name().to_str().unwrap().contains(hash)) {
                std::fs::remove_file(file.path()).unwrap();
            }
            if c.content(hash).await.is_none() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within("the loss of a content", gone).await;
}

#[tokio::test]
async fn a_can_service_is_mirrored_both_ways_and_nothing_flaps() {
    let dir = tempfile::tempdir().unwrap();
    let at_service = Place::new(dir.path(), "service").with("sync_api_key", KEY);
    let at_a = Place::new(dir.path(), "a").with("sync_api_key", "of-a");
    let service = at_service.start();
    let before = service.ingest("before.txt", b"before".to_vec()).await;
    let url = service.can.strip_suffix("/api/v1/can/0").unwrap();
    let at_c = Place::new(dir.path(), "c")
        .with("can_service_url", url)
        .with("sync_api_key", KEY)
        .with("poll_interval_secs", "1")
        .with("sweep_interval_secs", "1")
        .connecting_to(&at_a);
    let (a, c) = (at_a.start(), at_c.start());
    assert_eq!(c.can, service.can, "the service answers for itself");
    assert_eq!(c.status().await["store"]["kind"], "can-service");

    let from_a = a.ingest("a.txt", b"from a".to_vec()).await;
    let large = a.ingest("large.bin", vec![7; 3_000_000]).await;
    let from_service = service.ingest("service.bin", vec![9; 200_000]).await;
    equal(&a, &c, 4).await;
    for (hash, content) in
        [(&before, b"before".to_vec()), (&from_a, b"from a".to_vec()), (&from_service, vec![9; 200_000])]
    {
        assert_eq!(a.content(hash).await.unwrap(), content);
        assert_eq!(service.content(hash).await.unwrap(), content);
        assert_eq!(a.meta(hash).await.unwrap(), service.meta(hash).await.unwrap());
    }
    assert_eq!(service.content(&large).await.unwrap(), vec![7; 3_000_000]);

    // Tags and trash, both ways.
    service.patch(&from_a, r#"{"tags":["test","of the service"]}"#).await;
    a.meta_is(&from_a, |meta| meta["tags"] == serde_json::json!(["of the service", "test"])).await;
    a.patch(&from_service, r#"{"tags":["test","of a"],"description":"by a"}"#).await;
    let tagged = |meta: &serde_json::Value| meta["tags"] == serde_json::json!(["of a", "test"]);
    service.meta_is(&from_service, |meta| tagged(meta) && meta["description"] == "by a").await;
    service.trash(&before).await;
    a.meta_is(&before, |meta| meta["trashed"] == true).await;
    a.trash(&large).await;
    service.meta_is(&large, |meta| meta["trashed"] == true).await;
    service.restore(&large).await;
    a.meta_is(&large, |meta| meta["trashed"] == false).await;

    // Listings and sweeps pass over it, and nothing moves.
    equal(&a, &c, 4).await;
    let settled = state(&a, &c).await;
    for _ in 0..10 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(state(&a, &c).await, settled);
    }

    // What the service loses comes back from A.
    lose(&at_service, &service, &from_service).await;
    let back = async {
        while service.content(&from_service).await.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within("a content that comes back", back).await;
    assert_eq!(service.content(&from_service).await.unwrap(), vec![9; 200_000]);
    assert!(tagged(&service.meta(&from_service).await.unwrap()));
    equal(&a, &c, 4).await;
    assert_eq!((a.verify().await, c.verify().await), (4, 4));

    // After a restart it is as it was.
    assert_eq!(c.terminate().code(), Some(0));
    let c = at_c.start();
    equal(&a, &c, 4).await;
    assert_eq!(state(&a, &c).await, settled);
    for host in [c, a, service] {
        assert_eq!(host.terminate().code(), Some(0));
    }
}

#[tokio::test]
async fn a_service_without_a_key_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), "c");
    let (code, said) = Place::refused(&place.config_with("can_service_url", "http://127.0.0.1:1"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("sync_api_key") && said.contains("can_service_url"), "{said}");
}
