//! Two hosts, one secret, every asset on both.

use reqwest::StatusCode;

use super::host::Place;
use super::host::equal;

#[tokio::test]
async fn assets_changes_and_trash_travel_and_both_end_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    // B starts first: a ticket that is not there yet is no mistake.
    let b = at_b.start();
    let a = at_a.start();
    let from_a = a.ingest("a.txt", b"from a".to_vec()).await;
    let from_b = b.ingest("b.bin", vec![7; 3_000_000]).await;
    equal(&a, &b, 2).await;
    assert_eq!(b.content(&from_a).await.unwrap(), b"from a");
    assert_eq!(a.content(&from_b).await.unwrap(), vec![7; 3_000_000]);
    assert_eq!(a.meta(&from_b).await.unwrap(), b.meta(&from_b).await.unwrap());
    assert_eq!(a.meta(&from_b).await.unwrap()["human_file_name"], "b.bin");

    // Names are data, whatever is in them.
    let odd = "../\0\u{1b}[31mevil";
    b.patch(&from_a, &serde_json::json!({ "description": odd, "tags": ["one", "two"] }).to_string()).await;
    a.meta_is(&from_a, |meta| meta["description"] == odd && meta["tags"] == serde_json::json!(["one", "two"])).await;
    a.trash(&from_a).await;
    b.meta_is(&from_a, |meta| meta["trashed"] == true).await;
    b.restore(&from_a).await;
    a.meta_is(&from_a, |meta| meta["trashed"] == false).await;

    equal(&a, &b, 2).await;
    let status = a.status().await;
    assert_eq!((&status["peers"][0]["kept"], &status["peers"][0]["path"]), (&2.into(), &"direct".into()));
    assert_eq!(a.health_without_token().await, (StatusCode::OK, StatusCode::UNAUTHORIZED));
    assert_eq!((a.verify().await, b.verify().await), (2, 2));
    assert_eq!(a.terminate().code(), Some(0));
    assert_eq!(b.terminate().code(), Some(0));
}

#[tokio::test]
async fn what_is_purged_on_one_machine_stays_on_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    let (a, b) = (at_a.start(), at_b.start());
    let (small, large) = (a.ingest("small", b"x".to_vec()).await, a.ingest("large", vec![7; 3_000_000]).await);
    equal(&a, &b, 2).await;
    for hash in [&small, &large] {
        a.post(&format!("/purge/{hash}")).await;
        assert!(a.meta(hash).await.is_none());
    }
    b.patch(&small, r#"{"description": "later"}"#).await;
    b.meta_is(&small, |meta| meta["description"] == "later").await;
    assert_eq!(a.terminate().code(), Some(0));
    let a = at_a.start();
    a.post(&format!("/held/{small}/release")).await;
    a.meta_is(&small, |meta| meta["description"] == "later").await;
    assert!(a.meta(&large).await.is_none());
    assert_eq!((a.verify().await, b.verify().await), (1, 2));
}

#[tokio::test]
async fn what_was_damaged_or_lost_on_one_machine_comes_back_from_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let at_a = Place::new(dir.path(), "a");
    let at_b = Place::new(dir.path(), "b").connecting_to(&at_a);
    let (a, b) = (at_a.start(), at_b.start());
    let (damaged, lost) = (a.ingest("damaged", vec![1; 3_000_000]).await, a.ingest("lost", vec![2; 3_000_000]).await);
    a.ingest("sound", vec![3; 3_000_000]).await;
    equal(&a, &b, 3).await;
    let file_of = |hash: &str| {
        let files = std::fs::read_dir(&at_b.storage_root).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|path| path.display().to_string().contains(hash))
    };
    let files = async {
        loop {
            if let (Some(damaged), Some(lost)) = (file_of(&damaged), file_of(&lost)) {
                return (damaged, lost);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let (damaged_file, lost_file) = super::host::within("the flat files", files).await;
    let file = std::fs::File::options().write(true).open(damaged_file).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"x", 1_500_000).unwrap();
    std::fs::remove_file(lost_file).unwrap();
    assert_eq!(b.find_damage().await, (1, 1, 1));
    equal(&a, &b, 3).await;
    assert_eq!((a.verify().await, b.verify().await), (3, 3));
    assert_eq!(b.content(&damaged).await, a.content(&damaged).await);
    assert_eq!(b.content(&lost).await, a.content(&lost).await);
}

#[tokio::test]
async fn metadata_above_the_limits_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let a = Place::new(dir.path(), "a").start();
    let hash = a.ingest("a.txt", b"x".to_vec()).await;
    let client = super::host::client();
    let patch = async |body: serde_json::Value| {
        let url = format!("{}/asset/{hash}/meta", a.can);
        let request = client.patch(url).header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (status, text) = patch(serde_json::json!({ "description": "x".repeat(65_537) })).await;
    assert!(status == StatusCode::BAD_REQUEST && text.contains("65536"), "{text}");
    let tags: Vec<String> = (0..1024).map(|n| format!("{n:0>250}")).collect();
    let (status, text) = patch(serde_json::json!({ "tags": tags })).await;
    assert!(status == StatusCode::BAD_REQUEST && text.contains("262144"), "{text}");
}

#[tokio::test]
async fn a_host_that_sleeps_for_a_while_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let a_at = Place::new(dir.path(), "a");
    let b_at = Place::new(dir.path(), "b").connecting_to(&a_at);
    let (a, b) = (a_at.start(), b_at.start());
    equal(&a, &b, 0).await;
    let pid = rustix::process::Pid::from_raw(b.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let began = std::time::Instant::now();
    a.status_is("it is away", |status| status["peers"][0]["connected"] == false).await;
    println!("MEASURED a host that sleeps: noticed after {:.1} s", began.elapsed().as_secs_f64());
    let hash = a.ingest("a.txt", b"while it sleeps".to_vec()).await;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    equal(&a, &b, 1).await;
    assert!(b.content(&hash).await.is_some());
}
