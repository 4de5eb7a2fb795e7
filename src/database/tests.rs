//! Groups of writes, failures among them, versions.

use rusqlite::Connection;

use super::*;

const LAYOUT: Migrations = &["CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT;", "ALTER TABLE t ADD COLUMN m TEXT;"];

fn insert(n: i64) -> impl FnOnce(&Connection) -> Result<(), DatabaseError> + Send {
    move |connection| {
        connection.execute("INSERT INTO t (n) VALUES (?1)", [n])?;
        Ok(())
    }
}

async fn count(database: &Database) -> i64 {
    database
        .read(|connection| {
            Ok::<_, DatabaseError>(connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_failed_write_does_not_fail_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("a.db"), LAYOUT).unwrap();
    let writes = (0..100).map(|n| database.write(insert(n / 2)));
    let results = futures_util::future::join_all(writes).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 50);
    assert_eq!(count(&database).await, 50);
    database.close().await;
    assert!(matches!(database.write(insert(1000)).await, Err(DatabaseError::Closed)));
    let read = database.read(|_| Ok::<_, DatabaseError>(()));
    assert!(matches!(read.await, Err(DatabaseError::Closed)));
}

#[tokio::test]
async fn a_write_that_panics_is_undone_alone_and_the_next_ones_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("a.db"), LAYOUT).unwrap();
    let panicking = database.write::<(), DatabaseError, _>(|connection| {
        connection.execute("INSERT INTO t (n) VALUES (7)", [])?;
        panic!("on purpose");
    });
    let (first, panicked, last) = tokio::join!(database.write(insert(1)), panicking, database.write(insert(2)));
    assert!(first.is_ok() && last.is_ok() && matches!(panicked, Err(DatabaseError::Panicked)), "{panicked:?}");
    assert_eq!(count(&database).await, 2);
}

#[tokio::test]
async fn what_was_written_is_told_although_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("a.db"), LAYOUT).unwrap();
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let write = |connection: &Connection| insert(1)(connection).map(|()| 5);
    let writing = database.write_and_tell(write, move |n| tell.try_send(*n).unwrap());
    // Asked once, it is on its way; then whoever asked goes.
    assert!(futures_util::FutureExt::now_or_never(writing).is_none_or(|done| done.is_ok()));
    assert_eq!(told.recv().await, Some(5));
    assert_eq!(count(&database).await, 1);
    let refused = database.write_and_tell(insert(1), |()| panic!("nothing was written"));
    assert!(matches!(refused.await, Err(DatabaseError::Sqlite(_))));
}

#[tokio::test]
async fn a_transaction_that_sqlite_gave_up_takes_no_later_write_in() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("a.db"), LAYOUT).unwrap();
    // SQLite does this by itself when the disk is full.
    let given_up = database.write::<(), DatabaseError, _>(|connection| {
        connection.execute_batch("ROLLBACK")?;
        Err(DatabaseError::Closed)
    });
    let (before, given_up, after) = tokio::join!(database.write(insert(1)), given_up, database.write(insert(2)));
    assert!(given_up.is_err());
    let stored = [&before, &after].into_iter().filter(|done| done.is_ok()).count();
    assert_eq!(count(&database).await, i64::try_from(stored).unwrap(), "{before:?} {after:?}");
    database.write(insert(3)).await.unwrap();
}

#[tokio::test]
async fn a_later_version_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    Database::open(&path, LAYOUT).unwrap().close().await;
    let message = Database::open(&path, &LAYOUT[..1]).unwrap_err().to_string();
    assert!(message.contains("version 2") && message.contains("knows 1"), "{message}");
}
