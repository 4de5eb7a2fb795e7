//! A hook whose answers a test writes down.

use std::fmt;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::task::Waker;

use super::Asked;
use super::BoxFuture;
use super::Chain;
use super::Hooks;
use super::Judgement;
use super::Point;
use super::Standing;
use super::Step;
use super::Verdict;

/// The rule of a script.
type Rule = Box<dyn Fn(&Asked) -> Verdict + Send + Sync>;

/// Answers by a function, and remembers what it was asked.
pub struct Scripted {
    script: Mutex<Script>,
    generation: AtomicU64,
    asked: Mutex<Vec<Asked>>,
    wakers: Mutex<Vec<Waker>>,
}

struct Script {
    name: String,
    rule: Rule,
    standing: Standing,
}

impl Scripted {
    /// Makes a hook that answers by `rule`; another `name` is another chain.
    pub fn new(name: &str, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) -> Self {
        let script = Script { name: name.to_owned(), rule: Box::new(rule), standing: Standing::Firm };
        Self {
            script: Mutex::new(script),
            generation: AtomicU64::new(0),
            asked: Mutex::default(),
            wakers: Mutex::default(),
        }
    }

    /// Has answers stand as a plugin's that failed, or was absent.
    #[must_use]
    pub fn standing(self, standing: Standing) -> Self {
        lock(&self.script).standing = standing;
        self
    }

    /// Replaces name and rule while a host runs, and lets answers stand.
    pub fn replace(&self, name: &str, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) {
        self.replace_as(Standing::Firm, name, rule);
    }

    /// Replaces name and rule while a host runs, and says how long answers stand.
    pub fn replace_as(&self, standing: Standing, name: &str, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) {
        *lock(&self.script) = Script { name: name.to_owned(), rule: Box::new(rule), standing };
        self.generation.fetch_add(1, Ordering::SeqCst);
        lock(&self.wakers).drain(..).for_each(Waker::wake);
    }

    /// Returns what was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scripted({})", lock(&self.script).name)
    }
}

impl Hooks for Scripted {
    fn ask<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Judgement> {
        lock(&self.asked).push(asked.clone());
        let script = lock(&self.script);
        let verdict = (script.rule)(asked);
        let step = Step {
            plugin: script.name.clone(),
            verdict: verdict.clone(),
            failure: (script.standing != Standing::Firm).then(|| "scripted".to_owned()),
            took: std::time::Duration::ZERO,
        };
        Box::pin(std::future::ready(Judgement { verdict, standing: script.standing, steps: vec![step] }))
    }

    fn chain(&self, _: Point, _: &str) -> Option<Chain> {
        Some(Chain::from_bytes(*blake3::hash(lock(&self.script).name.as_bytes()).as_bytes()))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn changed(&self, seen: u64) -> BoxFuture<'_, ()> {
        Box::pin(std::future::poll_fn(move |context| {
            lock(&self.wakers).push(context.waker().clone());
            if self.generation() == seen { Poll::Pending } else { Poll::Ready(()) }
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
