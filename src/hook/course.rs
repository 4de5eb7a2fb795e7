//! The course of one question: several are asked, one after the other.

use std::borrow::Cow;

use super::Asked;
use super::Chain;
use super::Judgement;
use super::Standing;
use super::Step;
use super::Verdict;
use crate::asset::Changes;
use crate::asset::Metadata;

/// What those who were asked have left of an asset, and what comes of what they said.
#[derive(Debug)]
pub struct Course<'a> {
    overruled: &'a [String],
    metadata: Cow<'a, Metadata>,
    edits: Changes,
    judgement: Judgement,
}

impl<'a> Course<'a> {
    /// Begins with nobody asked; `chain` names those who will be.
    #[must_use]
    pub fn new(asked: &'a Asked, chain: Option<Chain>) -> Self {
        let judgement = Judgement { verdict: Verdict::Pass, standing: Standing::Firm, steps: Vec::new(), chain };
        Self {
            overruled: asked.overruled.as_slice(),
            metadata: Cow::Borrowed(&asked.metadata),
            edits: Changes::new(),
            judgement,
        }
    }

    /// Returns the metadata as those before have left it.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Takes in what the next one said; tells whether the one behind it is asked.
    pub fn take(&mut self, step: Step, standing: Standing) -> bool {
        let verdict = step.verdict.clone();
        let is_overruled = self.overruled.iter().any(|name| **name == *step.plugin);
        self.judgement.steps.push(step);
        match verdict {
            // How long that would stand says nothing any more, either.
            Verdict::Drop(_) | Verdict::Hold(_) if is_overruled => return true,
            Verdict::Pass => {}
            Verdict::Edit(changes) => {
                self.metadata.to_mut().change(&changes);
                self.edits.extend(changes);
            }
            Verdict::Drop(_) | Verdict::Hold(_) => self.judgement.verdict = verdict,
        }
        self.judgement.standing = shorter(self.judgement.standing, standing);
        self.judgement.verdict == Verdict::Pass
    }

    /// Returns what comes of it.
    #[must_use]
    pub fn end(mut self) -> Judgement {
        if self.judgement.verdict == Verdict::Pass && !self.edits.is_empty() {
            self.judgement.verdict = Verdict::Edit(self.edits);
        }
        self.judgement
    }
}

/// What was said by somebody who was not there stands the shortest.
const fn shorter(one: Standing, other: Standing) -> Standing {
    match (one, other) {
        (Standing::Absent, _) | (_, Standing::Absent) => Standing::Absent,
        (Standing::Failed, _) | (_, Standing::Failed) => Standing::Failed,
        _ => Standing::Firm,
    }
}
