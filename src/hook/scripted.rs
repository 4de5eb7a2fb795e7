//! A hook whose answers a test writes down.

use std::fmt;
use std::sync::Mutex;

use super::Answer;
use super::Asked;
use super::Hooks;
use super::Verdict;

/// The rule of a script.
type Rule = Box<dyn Fn(&Asked) -> Verdict + Send + Sync>;

/// Answers by a function, and remembers what it was asked.
pub struct Scripted {
    name: String,
    rule: Rule,
    asked: Mutex<Vec<Asked>>,
}

impl Scripted {
    /// Makes a hook that answers by `rule`; another `name` is another decider.
    pub fn new(name: &str, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) -> Self {
        Self { name: name.to_owned(), rule: Box::new(rule), asked: Mutex::default() }
    }

    /// Returns what was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().map_or_else(|poisoned| poisoned.into_inner().clone(), |asked| asked.clone())
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scripted({})", self.name)
    }
}

impl Hooks for Scripted {
    fn ask<'a>(&'a self, asked: &'a Asked) -> Answer<'a> {
        if let Ok(mut all) = self.asked.lock() {
            all.push(asked.clone());
        }
        Box::pin(std::future::ready((self.rule)(asked)))
    }

    fn decider(&self) -> String {
        self.name.clone()
    }
}
