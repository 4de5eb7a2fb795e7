//! Groups of tasks.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Told when a task of a group panics: the name of the group and of the task, and the panic's message.
pub type OnPanic = Arc<dyn Fn(&'static str, &'static str, &str) + Send + Sync>;

/// Tasks that belong together: they are cancelled together and waited for together.
#[derive(Clone)]
pub struct Group {
    name: &'static str,
    tracker: TaskTracker,
    token: CancellationToken,
    on_panic: OnPanic,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("name", &self.name).field("tasks", &self.tracker.len()).finish()
    }
}

impl Group {
    /// Starts a group; `on_panic` is told of every panic in it and in its children.
    #[must_use]
    pub fn new(name: &'static str, on_panic: OnPanic) -> Self {
        Self { name, tracker: TaskTracker::new(), token: CancellationToken::new(), on_panic }
    }

    /// Starts a group that ends when this one is cancelled, and can end before.
    #[must_use]
    pub fn child(&self, name: &'static str) -> Self {
        let on_panic = Arc::clone(&self.on_panic);
        Self { name, tracker: TaskTracker::new(), token: self.token.child_token(), on_panic }
    }

    /// Returns the token that is cancelled when the group ends; a task that waits listens to it.
    #[must_use]
    pub const fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Runs a task. It is not aborted when the group is cancelled: it listens to [`token`](Self::token).
    pub fn spawn<F>(&self, task: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_with_amends(task, future, std::future::ready(()))
    }

    /// Runs a task for which somebody waits, and the amends when it has panicked, so that nobody waits for ever.
    fn spawn_with_amends<F, A>(&self, task: &'static str, future: F, amends: A) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let (group, on_panic) = (self.name, Arc::clone(&self.on_panic));
        let watched = std::panic::AssertUnwindSafe(future).catch_unwind();
        self.tracker.spawn(async move {
            if let Err(panic) = watched.await {
                amends.await;
                let message = panic.downcast_ref::<String>().map(String::as_str);
                let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                on_panic(group, task, message);
            }
        })
    }

    /// Runs a task that is dropped at its next await when the group is cancelled.
    pub fn spawn_until_cancelled<F>(&self, task: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_until_cancelled_or(task, future, std::future::ready(()))
    }

    /// The same for a task for which somebody waits: when it has panicked, the amends are run, so that nobody waits for
    /// ever.
    pub fn spawn_until_cancelled_or<F, A>(&self, task: &'static str, future: F, amends: A) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        let run = async move {
            token.run_until_cancelled(future).await;
        };
        let token = self.token.clone();
        self.spawn_with_amends(task, run, async move {
            token.run_until_cancelled(amends).await;
        })
    }

    /// Cancels the group and waits for its tasks.
    pub async fn shut_down(&self) {
        self.token.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_the_others_go_on() {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let tell = Arc::clone(&told);
        let group = Group::new(
            "test",
            Arc::new(move |group, task, message| tell.lock().push(format!("{group}/{task}: {message}"))),
        );
        group.spawn("bad", async { panic!("on purpose") });
        let token = group.token().clone();
        group.spawn("good", async move { token.cancelled().await });
        group.shut_down().await;
        assert_eq!(*told.lock(), ["test/bad: on purpose"]);
    }
}
