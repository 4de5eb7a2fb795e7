//! A host for the calls of one thread.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Refusal;
use crate::log::Level;

/// The most bytes that a host reads at once.
const READ_BYTES: u32 = 256 * 1024;
/// The longest key of the state, in bytes.
const KEY_BYTES: usize = 256;
/// What a host counts for each pair of the state beside key and value, in bytes.
const PAIR_BYTES: usize = 64;

/// What a configuration may grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Reads contents.
    Content,
    /// Keeps values.
    State,
    /// Tells the time.
    Clock,
}

impl Grant {
    /// Returns the grant of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "content" => Some(Self::Content),
            "state" => Some(Self::State),
            "clock" => Some(Self::Clock),
            _ => None,
        }
    }
}

/// A host for one test: what it grants, has and remembers. It has the limits of a host that nobody has configured.
#[derive(Debug, Clone)]
pub struct Host {
    /// What it grants.
    pub grants: Vec<Grant>,
    /// The content of the asset; `None` where there is none, such as before a pull.
    pub content: Option<Vec<u8>>,
    /// What the plugin keeps.
    pub state: BTreeMap<String, Vec<u8>>,
    /// How many bytes it may keep, with 64 for each pair.
    pub state_bytes: usize,
    /// What time it is, in Unix milliseconds.
    pub now: u64,
    /// What the plugin wrote.
    pub log: Vec<(Level, String)>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            grants: Vec::new(),
            content: None,
            state: BTreeMap::new(),
            state_bytes: 1024 * 1024,
            now: 0,
            log: Vec::new(),
        }
    }
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

impl Host {
    /// Does something while this is the host of the thread, and returns it as it is then.
    pub fn run<T>(self, what: impl FnOnce() -> T) -> (T, Self) {
        let before = HOST.replace(self);
        let done = what();
        (done, HOST.replace(before))
    }
}

fn granted<T>(grant: Grant, what: impl FnOnce(&mut Host) -> Result<T, Refusal>) -> Result<T, Refusal> {
    HOST.with_borrow_mut(|host| if host.grants.contains(&grant) { what(host) } else { Err(Refusal::NotGranted) })
}

pub(crate) fn log(level: Level, message: &str) {
    HOST.with_borrow_mut(|host| host.log.push((level, message.to_owned())));
}

pub(crate) fn read(offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
    granted(Grant::Content, |host| {
        let Some(content) = &host.content else {
            return Err(Refusal::Unavailable("there is no content here".to_owned()));
        };
        if length > READ_BYTES {
            return Err(Refusal::Limit(format!("at most {READ_BYTES} bytes are read at once")));
        }
        let rest = usize::try_from(offset).ok().and_then(|from| content.get(from..)).unwrap_or_default();
        Ok(rest[..rest.len().min(length as usize)].to_vec())
    })
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Refusal> {
    granted(Grant::State, |host| Ok(host.state.get(key).cloned()))
}

pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Refusal> {
    granted(Grant::State, |host| {
        if !(1..=KEY_BYTES).contains(&key.len()) {
            return Err(Refusal::Limit(format!("a key has 1 to {KEY_BYTES} bytes")));
        }
        let others = host.state.iter().filter(|(other, _)| *other != key);
        let kept = others.map(|(key, value)| (key.as_str(), value.as_slice())).chain([(key, value)]);
        let bytes: usize = kept.map(|(key, value)| PAIR_BYTES + key.len() + value.len()).sum();
        if bytes > host.state_bytes {
            let most = host.state_bytes;
            return Err(Refusal::Limit(format!(
                "keys and values may have {most} bytes together, {PAIR_BYTES} for each pair included"
            )));
        }
        host.state.insert(key.to_owned(), value.to_vec());
        Ok(())
    })
}

pub(crate) fn delete(key: &str) -> Result<(), Refusal> {
    granted(Grant::State, |host| {
        host.state.remove(key);
        Ok(())
    })
}

pub(crate) fn keys(prefix: &str) -> Result<Vec<String>, Refusal> {
    granted(Grant::State, |host| Ok(host.state.keys().filter(|key| key.starts_with(prefix)).cloned().collect()))
}

pub(crate) fn now() -> Result<u64, Refusal> {
    granted(Grant::Clock, |host| Ok(host.now))
}
