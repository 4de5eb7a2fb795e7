//! The stored form of an answer: what became of the asset, and what each plugin said.
//!
//! Version 1, integers little-endian: `u8 version = 1`, the verdict, `u16 steps`, and per step the plugin's name, `u8 0`
//! or `u8 1` and the failure, `u32` microseconds, the verdict, and for an edit the value that each changed field had
//! before. A verdict is `u8` 0 pass, 1 drop, 2 hold, 3 edit, with the reason or with `u16` changes (name and value). A
//! value is `u8 0` for absent, or `u8 1` and a text; a text is `u32 length` and its bytes.

use std::time::Duration;

use crate::asset::Changes;
use crate::asset::Value;
use crate::hook::Step;
use crate::hook::Verdict;

/// The first byte of the encoding.
const VERSION: u8 = 1;

/// Most steps, and most changes of one verdict, that can be counted; what is behind them is not kept.
const MOST: usize = u16::MAX as usize;

/// What was answered about an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What became of the asset.
    pub verdict: Verdict,
    /// What each plugin said, in their order.
    pub steps: Vec<Step>,
    /// For each step, the values that the fields of its edit had before, in the order of their names; nothing behind the
    /// last step with an edit.
    pub before: Vec<Vec<Value>>,
}

/// Bytes that are no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeAnswerError {
    /// The encoding is of a later version.
    #[error("verdict encoding version {0} is not known; a newer can-sync wrote it")]
    Version(u8),
    /// The bytes end early or hold something else.
    #[error("verdict encoding is damaged")]
    Damaged,
}

impl Answered {
    pub(super) fn encode(&self) -> Vec<u8> {
        // Most answers are one plugin's, and short.
        let mut out = Vec::with_capacity(64);
        out.push(VERSION);
        put_verdict(&mut out, &self.verdict);
        put_count(&mut out, self.steps.len());
        for (index, step) in self.steps.iter().enumerate().take(MOST) {
            put_text(&mut out, &step.plugin);
            match &step.failure {
                None => out.push(0),
                Some(failure) => {
                    out.push(1);
                    put_text(&mut out, failure);
                }
            }
            let micros = u32::try_from(step.took.as_micros()).unwrap_or(u32::MAX);
            out.extend_from_slice(&micros.to_le_bytes());
            put_verdict(&mut out, &step.verdict);
            if let Verdict::Edit(changes) = &step.verdict {
                let before = self.before.get(index).map_or(&[][..], Vec::as_slice);
                let before = before.iter().chain(std::iter::repeat(&Value::Absent));
                changes.iter().take(MOST).zip(before).for_each(|(_, value)| put_value(&mut out, value));
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeAnswerError> {
        let mut reader = Reader(bytes);
        match reader.byte()? {
            VERSION => {}
            other => return Err(DecodeAnswerError::Version(other)),
        }
        let (verdict, _) = reader.verdict()?;
        let (mut steps, mut before) = (Vec::new(), Vec::new());
        for _ in 0..reader.count()? {
            let plugin = reader.text()?;
            let failure = match reader.byte()? {
                0 => None,
                _ => Some(reader.text()?),
            };
            let took = Duration::from_micros(u64::from(u32::from_le_bytes(reader.array()?)));
            let (verdict, changes) = reader.verdict()?;
            before.push((0..changes).map(|_| reader.value()).collect::<Result<_, _>>()?);
            steps.push(Step { plugin: plugin.into(), verdict, failure, took });
        }
        if reader.0.is_empty() { Ok(Self { verdict, steps, before }) } else { Err(DecodeAnswerError::Damaged) }
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("a text of a verdict is far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value.text() {
        None => out.push(0),
        Some(text) => {
            out.push(1);
            put_text(out, text);
        }
    }
}

fn put_verdict(out: &mut Vec<u8>, verdict: &Verdict) {
    match verdict {
        Verdict::Pass => out.push(0),
        Verdict::Drop(reason) => {
            out.push(1);
            put_text(out, reason);
        }
        Verdict::Hold(reason) => {
            out.push(2);
            put_text(out, reason);
        }
        Verdict::Edit(changes) => {
            out.push(3);
            put_count(out, changes.iter().count());
            for (name, value) in changes.iter().take(MOST) {
                put_text(out, name);
                put_value(out, value);
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeAnswerError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DecodeAnswerError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeAnswerError> {
        self.take(N)?.try_into().map_err(|_| DecodeAnswerError::Damaged)
    }

    fn byte(&mut self) -> Result<u8, DecodeAnswerError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn count(&mut self) -> Result<u16, DecodeAnswerError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String, DecodeAnswerError> {
        let length = u32::from_le_bytes(self.array()?);
        let text = std::str::from_utf8(self.take(length as usize)?).map_err(|_| DecodeAnswerError::Damaged)?;
        Ok(text.to_owned())
    }

    fn value(&mut self) -> Result<Value, DecodeAnswerError> {
        match self.byte()? {
            0 => Ok(Value::Absent),
            1 => Ok(Value::Text(self.text()?)),
            _ => Err(DecodeAnswerError::Damaged),
        }
    }

    /// Reads a verdict, and tells how many fields it changes.
    fn verdict(&mut self) -> Result<(Verdict, u16), DecodeAnswerError> {
        Ok(match self.byte()? {
            0 => (Verdict::Pass, 0),
            1 => (Verdict::Drop(self.text()?), 0),
            2 => (Verdict::Hold(self.text()?), 0),
            3 => {
                let count = self.count()?;
                let changes = (0..count).map(|_| Ok((self.text()?, self.value()?)));
                (Verdict::Edit(changes.collect::<Result<Changes, DecodeAnswerError>>()?), count)
            }
            _ => return Err(DecodeAnswerError::Damaged),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back_and_half_of_it_does_not() {
        let edit = Verdict::Edit(Changes::new().set("path", "b").clear("user").add_tag("x"));
        let step = |plugin: &str, verdict: &Verdict| Step {
            plugin: plugin.into(),
            verdict: verdict.clone(),
            failure: Some("too slow".to_owned()),
            took: Duration::from_micros(1234),
        };
        let answered = Answered {
            verdict: Verdict::Hold("wait".into()),
            steps: vec![step("a", &edit), step("b", &Verdict::Hold("wait".into()))],
            before: vec![vec![Value::Text("a".into()), Value::Absent, Value::Text(String::new())], vec![]],
        };
        let bytes = answered.encode();
        assert_eq!(Answered::decode(&bytes), Ok(answered));
        for end in 0..bytes.len() {
            assert!(Answered::decode(&bytes[..end]).is_err());
        }
        assert_eq!(Answered::decode(&[9]), Err(DecodeAnswerError::Version(9)));
        let pass = Answered { verdict: Verdict::Pass, steps: vec![], before: vec![] };
        assert_eq!(pass.encode().len(), 4);
        for verdict in [Verdict::Drop("d".into()), edit, Verdict::Pass] {
            let answered = Answered { verdict, ..pass.clone() };
            assert_eq!(Answered::decode(&answered.encode()), Ok(answered));
        }
    }
}
