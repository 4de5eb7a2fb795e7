//! The thread that writes.
//!
//! Writers send closures over a bounded channel; the thread runs as many as wait (up to a limit) in one transaction,
//! each in a savepoint, commits once, and then answers them all. After a failed commit the connection is closed and
//! opened again: SQLite may hold pages that are not what is on the disk.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use super::DatabaseError;
use super::OpenError;
use super::connection::connect;
use crate::limits;

/// How the commit of a write has ended.
type Committed = Result<(), Arc<rusqlite::Error>>;

/// Tells the one who asked for a write how its commit has ended.
type Answer = Box<dyn FnOnce(Committed) + Send>;

/// Runs a write, or is told why there is no transaction to run it in.
type Job = Box<dyn FnOnce(Result<&Connection, Arc<rusqlite::Error>>) -> Answer + Send>;

enum Order {
    Write(Job),
    Close(oneshot::Sender<()>),
}

#[derive(Debug, Clone)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
}

impl Writer {
    pub(super) fn start(path: PathBuf, connection: Connection) -> Self {
        let (orders, waiting) = mpsc::channel(limits::WRITES_QUEUED);
        std::thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || run(&path, Some(connection), waiting))
            .expect("the operating system starts a thread");
        Self { orders }
    }

    pub(super) async fn write<T, E, F, G>(&self, write: F, tell: G) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        G: FnOnce(&T) + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection
                .map_err(|error| DatabaseError::Commit(error).into())
                .and_then(|connection| in_savepoint(connection, write));
            Box::new(move |committed| {
                let result = match (result, committed) {
                    (Ok(_), Err(error)) => Err(DatabaseError::Commit(error).into()),
                    (result, _) => result,
                };
                if let Ok(value) = &result {
                    tell(value);
                }
                // Whoever asked may have gone.
                let _ = answer.send(result);
            })
        });
        if self.orders.send(Order::Write(job)).await.is_err() {
            return Err(DatabaseError::Closed.into());
        }
        answered.await.unwrap_or_else(|_| Err(DatabaseError::Closed.into()))
    }

    pub(super) async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.orders.send(Order::Close(answer)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

fn in_savepoint<T, E: From<DatabaseError>>(
    connection: &Connection,
    write: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let savepoint = |statement| connection.execute_batch(statement).map_err(DatabaseError::from);
    if connection.is_autocommit() {
        // On some errors, a full disk among them, SQLite gives the whole transaction up by itself. A savepoint would
        // begin and commit another one, although the commit that is answered can only fail.
        return Err(DatabaseError::Sqlite(rusqlite::Error::InvalidQuery).into());
    }
    savepoint("SAVEPOINT job")?;
    let written = std::panic::catch_unwind(AssertUnwindSafe(|| write(connection)));
    match written.unwrap_or_else(|_| Err(DatabaseError::Panicked.into())) {
        Ok(value) => {
            savepoint("RELEASE job")?;
            Ok(value)
        }
        Err(error) => {
            // Where there is no transaction any more, it is undone already.
            if !connection.is_autocommit() {
                savepoint("ROLLBACK TO job; RELEASE job")?;
            }
            Err(error)
        }
    }
}

fn run(path: &Path, mut connection: Option<Connection>, mut waiting: mpsc::Receiver<Order>) {
    let mut closing = None;
    while closing.is_none() {
        let Some(first) = waiting.blocking_recv() else { break };
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(order) = next.take() {
            match order {
                Order::Write(job) => jobs.push(job),
                Order::Close(answer) => closing = Some(answer),
            }
            if closing.is_none() && jobs.len() < limits::WRITES_PER_COMMIT {
                next = waiting.try_recv().ok();
            }
        }
        if !jobs.is_empty() {
            commit(path, &mut connection, jobs);
        }
    }
    drop(connection);
    waiting.close();
    if let Some(answer) = closing {
        let _ = answer.send(());
    }
}

/// Runs jobs in one transaction and tells each how it ended.
fn commit(path: &Path, connection: &mut Option<Connection>, jobs: Vec<Job>) {
    let refuse_all = |jobs: Vec<Job>, error: rusqlite::Error| {
        let error = Arc::new(error);
        jobs.into_iter().for_each(|job| job(Err(Arc::clone(&error)))(Ok(())));
    };
    if connection.is_none() {
        match connect(path) {
            Ok(opened) => *connection = Some(opened),
            Err(OpenError::Sqlite { source, .. }) => return refuse_all(jobs, source),
            Err(OpenError::Newer { .. }) => return refuse_all(jobs, rusqlite::Error::InvalidQuery),
        }
    }
    let Some(open) = connection.as_ref() else { return };
    if let Err(error) = open.execute_batch("BEGIN IMMEDIATE") {
        *connection = None;
        return refuse_all(jobs, error);
    }
    let answers: Vec<_> = jobs.into_iter().map(|job| job(Ok(open))).collect();
    let committed = open.execute_batch("COMMIT").map_err(Arc::new);
    if let Err(error) = &committed {
        tracing::error!(path = %path.display(), %error, "commit failed");
        *connection = None;
    }
    answers.into_iter().for_each(|answer| answer(committed.clone()));
}
