//! An answer of JSON lines, read as it comes.

use serde::de::DeserializeOwned;

use super::Answer;
use super::ClientError;
use crate::limits;

/// The lines of an answer that were not read yet.
#[derive(Debug)]
pub(in crate::cli) struct Lines {
    answer: Answer,
    buffer: Vec<u8>,
    ended: bool,
}

impl Lines {
    pub(super) const fn new(answer: Answer) -> Self {
        Self { answer, buffer: Vec::new(), ended: false }
    }

    /// Reads the next line; `None` behind the last.
    pub(in crate::cli) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if !line.trim_ascii().is_empty() {
                    return self.read(&line).map(Some);
                }
            } else if self.ended {
                let line = std::mem::take(&mut self.buffer);
                return if line.trim_ascii().is_empty() { Ok(None) } else { self.read(&line).map(Some) };
            } else if self.buffer.len() > limits::CLIENT_LINE_BYTES {
                return Err(ClientError::TooLarge { base: self.answer.base().to_owned() });
            } else {
                match self.answer.piece().await? {
                    Some(piece) => self.buffer.extend_from_slice(&piece),
                    None => self.ended = true,
                }
            }
        }
    }

    fn read<T: DeserializeOwned>(&self, line: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(line).map_err(|source| ClientError::Odd { base: self.answer.base().to_owned(), source })
    }
}
