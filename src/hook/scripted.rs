//! A hook whose answers a test writes down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::task::Waker;

use parking_lot::Mutex;

use super::Asked;
use super::BoxFuture;
use super::Chain;
use super::Course;
use super::Hooks;
use super::Judgement;
use super::Point;
use super::Standing;
use super::Step;
use super::Verdict;

/// The rule of a script.
type Rule = Arc<dyn Fn(&Asked) -> Verdict + Send + Sync>;

/// Answers by functions, in a row as plugins are, and remembers what it was asked.
pub struct Scripted {
    scripts: Mutex<Vec<Script>>,
    generation: AtomicU64,
    asked: Mutex<Vec<Asked>>,
    wakers: Mutex<Vec<Waker>>,
}

#[derive(Clone)]
struct Script {
    name: Arc<str>,
    rule: Rule,
    standing: Standing,
}

impl Scripted {
    /// Makes a hook that answers by `rule`; another `name` is another chain.
    pub fn new(name: &str, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) -> Self {
        Self {
            scripts: Mutex::new(vec![Script::new(Standing::Firm, name, rule)]),
            generation: AtomicU64::new(0),
            asked: Mutex::default(),
            wakers: Mutex::default(),
        }
    }

    /// Has another one asked behind those that there are, about what they have left.
    #[must_use]
    pub fn and(self, name: &str, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) -> Self {
        self.scripts.lock().push(Script::new(Standing::Firm, name, rule));
        self
    }

    /// Has answers of the last one stand as a plugin's that failed, or was absent.
    #[must_use]
    pub fn standing(self, standing: Standing) -> Self {
        if let Some(last) = self.scripts.lock().last_mut() {
            last.standing = standing;
        }
        self
    }

    /// Replaces all by one while a host runs, and lets answers stand.
    pub fn replace(&self, name: &str, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) {
        self.replace_by(Self::new(name, rule));
    }

    /// Replaces all by one while a host runs, and says how long answers stand.
    pub fn replace_as(&self, standing: Standing, name: &str, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) {
        self.replace_by(Self::new(name, rule).standing(standing));
    }

    /// Answers as another from then on, while a host runs.
    pub fn replace_by(&self, other: Self) {
        *self.scripts.lock() = std::mem::take(&mut *other.scripts.lock());
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.wakers.lock().drain(..).for_each(Waker::wake);
    }

    /// Returns what was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

impl Script {
    fn new(standing: Standing, name: &str, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) -> Self {
        Self { name: name.into(), rule: Arc::new(rule), standing }
    }
}

fn chain(scripts: &[Script]) -> Chain {
    let names: Vec<&str> = scripts.iter().map(|script| &*script.name).collect();
    Chain::from_bytes(*blake3::hash(names.join("\n").as_bytes()).as_bytes())
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.scripts.lock().iter().map(|script| &script.name)).finish()
    }
}

impl Hooks for Scripted {
    fn ask<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Judgement> {
        self.asked.lock().push(asked.clone());
        // A rule may replace what it belongs to.
        let scripts = self.scripts.lock().clone();
        let mut course = Course::new(asked, Some(chain(&scripts)));
        for script in scripts {
            let verdict = (script.rule)(&Asked { metadata: course.metadata().clone(), ..asked.clone() });
            let failure = (script.standing != Standing::Firm).then(|| "scripted".to_owned());
            let step = Step { plugin: script.name, verdict, failure, took: std::time::Duration::ZERO };
            if !course.take(step, script.standing) {
                break;
            }
        }
        Box::pin(std::future::ready(course.end()))
    }

    fn chain(&self, _: Point, _: &str) -> Option<Chain> {
        Some(chain(&self.scripts.lock()))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn changed(&self, seen: u64) -> BoxFuture<'_, ()> {
        Box::pin(std::future::poll_fn(move |context| {
            self.wakers.lock().push(context.waker().clone());
            if self.generation() == seen { Poll::Pending } else { Poll::Ready(()) }
        }))
    }
}
