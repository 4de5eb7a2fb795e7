//! Pages of large documents.

use super::open;
use super::put;
use crate::asset::Changes;
use crate::asset::names;
use crate::limits;
use crate::store::Query;
use crate::store::Store;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_documents_ends_early_and_the_next_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let description = "d".repeat(limits::DESCRIPTION_BYTES);
    let count = limits::PAGE_BYTES / description.len() + 10;
    let mut stored = Vec::new();
    for n in 0..count {
        let changes = Changes::new().set(names::DESCRIPTION, description.clone());
        stored.push(put(&store, &n.to_le_bytes(), n as u64, changes).await.key.id);
    }
    stored.reverse();
    let first = store.page(&Query { limit: limits::PAGE_ROWS, ..Query::default() }).await.unwrap();
    assert!(first.records.len() < count && first.total == count as u64, "{}", first.records.len());
    let rest = Query { limit: limits::PAGE_ROWS, after: first.next, ..Query::default() };
    let rest = store.page(&rest).await.unwrap();
    assert_eq!(rest.next, None);
    let seen: Vec<_> = first.records.iter().chain(&rest.records).map(|record| record.key.id).collect();
    assert_eq!(seen, stored);
    store.close().await;
}
