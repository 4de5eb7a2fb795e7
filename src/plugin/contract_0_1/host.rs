//! What the host does for a plugin: log, content, state, clock.

use super::super::instance::Guest;
use super::super::settings::Grant;
use super::super::state::StateError;
use super::bindings::can_sync::plugin::clock;
use super::bindings::can_sync::plugin::content;
use super::bindings::can_sync::plugin::log;
use super::bindings::can_sync::plugin::state;
use super::bindings::can_sync::plugin::types;
use super::bindings::can_sync::plugin::types::Refusal;
use crate::limits;
use crate::task::now_ms;

impl types::Host for Guest {}

impl log::Host for Guest {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Trace => tracing::Level::TRACE,
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Error => tracing::Level::ERROR,
        };
        self.about.log.line(level, &message);
    }
}

impl content::Host for Guest {
    async fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        self.granted(Grant::Content)?;
        let Some(content) = self.call.content.clone() else {
            return Err(Refusal::Unavailable("there is no content at this point".to_owned()));
        };
        let length = length as usize;
        if length > limits::plugin::READ_BYTES {
            return Err(Refusal::Limit(format!("at most {} bytes are read at once", limits::plugin::READ_BYTES)));
        }
        let Some(left) = self.call.content_left.checked_sub(length as u64) else {
            return Err(Refusal::Limit(format!(
                "at most {} bytes of content are read in one call",
                self.about.settings.limits.content_bytes
            )));
        };
        self.call.content_left = left;
        self.call.reading = true;
        let read = content.read(offset, length).await;
        self.call.reading = false;
        let mut bytes = read.map_err(|error| {
            self.call.unread = Some(error.clone());
            Refusal::Unavailable(error)
        })?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl state::Host for Guest {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        self.granted(Grant::State)?;
        Ok(self.about.state.get(&key))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        self.granted(Grant::State)?;
        self.about.state.set(key, value).map_err(|StateError(limit)| Refusal::Limit(limit))
    }

    fn delete(&mut self, key: String) -> Result<(), Refusal> {
        self.granted(Grant::State)?;
        self.about.state.delete(&key).map_err(|StateError(limit)| Refusal::Limit(limit))
    }

    fn keys(&mut self, prefix: String) -> Result<Vec<String>, Refusal> {
        self.granted(Grant::State)?;
        Ok(self.about.state.keys(&prefix))
    }
}

impl clock::Host for Guest {
    fn now(&mut self) -> Result<u64, Refusal> {
        self.granted(Grant::Clock)?;
        Ok(now_ms())
    }
}

impl Guest {
    fn granted(&self, grant: Grant) -> Result<(), Refusal> {
        if self.about.settings.grants.contains(&grant) { Ok(()) } else { Err(Refusal::NotGranted) }
    }
}
