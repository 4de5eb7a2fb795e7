//! The index of text, which is behind for a moment.

use std::time::Duration;

use super::open;
use super::put;
use super::seen;
use crate::asset::Changes;
use crate::asset::names;
use crate::store::Query;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::embedded::readers;
use crate::store::embedded::text;

#[tokio::test(flavor = "multi_thread")]
async fn text_is_indexed_in_the_background_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let behind = async |store: &EmbeddedStore| {
        store.inner.read(|connection| text::is_behind(connection).map_err(readers::index)).await.unwrap()
    };
    let caught_up = async |store: &EmbeddedStore| {
        let wait = async {
            while behind(store).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap();
    };
    let total = async |store: &EmbeddedStore, text: &str| {
        store.page(&Query { text: Some(text.into()), ..Query::default() }).await.unwrap().total
    };
    let store = open(dir.path()).await;
    let record = put(&store, b"a", 1, Changes::new().set(names::FILE_NAME, "Holiday in Rome")).await;
    assert_eq!(total(&store, "y in r").await, 1);
    caught_up(&store).await;
    assert_eq!(total(&store, "y in r").await, 1);
    store.edit(&record.key.id, seen(Changes::new().set(names::DESCRIPTION, "with ann"))).await.unwrap();
    let other = put(&store, b"b", 2, Changes::new().set(names::FILE_NAME, "with nobody")).await;
    assert_eq!(total(&store, "with").await, 2);
    store.close().await;
    let store = open(dir.path()).await;
    caught_up(&store).await;
    assert_eq!(total(&store, "with").await, 2);
    assert!(store.purge(&other.key.id).await.unwrap());
    assert_eq!(total(&store, "with").await, 1, "a remembered total is not used after a purge");
    caught_up(&store).await;
    assert_eq!(total(&store, "with").await, 1);
    store.close().await;
}
