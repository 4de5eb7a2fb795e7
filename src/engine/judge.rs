//! The one place that asks hooks, and asks nobody twice: a verdict that stands is found by everything that was shown.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::LazyLock;

use super::content;
use super::shared::NOBODY;
use super::shared::Shared;
use super::verdicts::Brief;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Document;
use crate::asset::HostId;
use crate::asset::LocalDocument;
use crate::asset::Metadata;
use crate::asset::Value;
use crate::hook::Asked;
use crate::hook::Chain;
use crate::hook::Content;
use crate::hook::Occasion;
use crate::hook::Peer;
use crate::hook::Point;
use crate::hook::Standing;
use crate::hook::Step;
use crate::hook::Verdict;
use crate::state::Answered;
use crate::state::Kept;
use crate::state::VerdictKey;
use crate::state::Wanted;
use crate::store::Spooled;
use crate::task::now_ms;

/// What is asked about one version of one asset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) point: Point,
    pub(super) key: AssetKey,
    pub(super) shown: Shown<'a>,
    /// Who offers it, or from whom it came; `None` before a push, and where that is not known any more.
    pub(super) peer: Option<HostId>,
    pub(super) occasion: Occasion,
    pub(super) content: Source<'a>,
    /// Whether to ask although there is an answer.
    pub(super) fresh: bool,
    /// Whom a person has overruled at this point.
    pub(super) overruled: &'a [String],
}

/// The document that is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown<'a> {
    Shared(&'a Document),
    Local(&'a LocalDocument),
}

/// Where the content can be read meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    Nowhere,
    Store,
    Spooled(&'a Spooled),
}

/// The answer.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) standing: Standing,
    /// The plugin that stopped the asset.
    pub(super) by: String,
    /// Whether it has said so itself, and not its policy for it.
    pub(super) is_said: bool,
    /// Who was asked, and what they were shown.
    pub(super) asked: Option<(Chain, VerdictKey)>,
}

impl Judged {
    /// Names those who were asked, as it is remembered beside what they decided.
    pub(super) fn decider(&self) -> String {
        self.asked.map_or_else(|| NOBODY.to_owned(), |(chain, _)| chain.to_string())
    }

    /// Tells whether those who were asked are named so.
    pub(super) fn is_of(&self, decider: &str) -> bool {
        self.asked.map_or(decider == NOBODY, |(chain, _)| *chain.hex() == *decider)
    }

    fn by_nobody() -> Self {
        Self { verdict: Verdict::Pass, standing: Standing::Firm, by: String::new(), is_said: true, asked: None }
    }

    fn of(brief: Brief, chain: Chain, key: VerdictKey) -> Self {
        let (verdict, by) = match brief {
            Brief::Pass => (Verdict::Pass, String::new()),
            Brief::Said(said) => (*said).clone(),
        };
        Self { verdict, standing: Standing::Firm, by, is_said: true, asked: Some((chain, key)) }
    }
}

impl<'a> Shown<'a> {
    fn metadata(self) -> Metadata {
        match self {
            Self::Shared(document) => document.metadata(),
            Self::Local(document) => document.metadata(),
        }
    }

    fn shared(self) -> &'a Document {
        match self {
            Self::Shared(document) => document,
            Self::Local(document) => document.shared(),
        }
    }

    /// Returns what the host alone sees of it, in the stored form; nothing where there is nothing.
    fn local(self) -> Vec<u8> {
        match self {
            Self::Local(document) if document.values().next().is_some() => document.encode_values(),
            Self::Local(_) | Self::Shared(_) => Vec::new(),
        }
    }

    fn value(self, name: &str) -> Value {
        match self {
            Self::Shared(document) => document.get(name).map_or(Value::Absent, |field| field.value.clone()),
            Self::Local(document) => document.value(name).clone(),
        }
    }
}

/// Asks about one version of one asset, unless a verdict about it stands.
pub(super) async fn ask(shared: &Shared, question: Question<'_>) -> Judged {
    let Some(chain) = chain(shared, question.point) else { return Judged::by_nobody() };
    let (library, peer) = (&shared.library.name, peer_name(shared, &question));
    let key = key(library, &peer, &question, &chain);
    if !question.fresh
        && let Some(brief) = shared.verdicts.get(&key)
    {
        return Judged::of(brief, chain, key);
    }
    let epoch = shared.verdicts.epoch();
    let asked = asked(shared, &question, peer);
    let judgement = shared.hooks.ask(&asked).await;
    // It may have been replaced meanwhile: what is said is remembered as said by those who were asked.
    let Some(answering) = judgement.chain else { return Judged::by_nobody() };
    let key = if answering == chain {
        key
    } else {
        let peer = asked.peer.as_ref().map_or("", |peer| &peer.name);
        self::key(library, peer, &question, &answering)
    };
    let chain = answering;
    let by = judgement.stopped_by().unwrap_or_default().to_owned();
    let judged = Judged {
        verdict: judgement.verdict.clone(),
        standing: judgement.standing,
        by,
        is_said: judgement.is_said(),
        asked: Some((chain, key)),
    };
    let before = before(question.shown, &judgement.steps);
    let kept = Kept {
        asset: question.key.id,
        point: question.point,
        peer: question.peer,
        key,
        chain,
        standing: judgement.standing,
        at_ms: now_ms(),
        answered: Answered { verdict: judgement.verdict, steps: judgement.steps, before },
    };
    shared.verdicts.keep(kept, epoch).await;
    judged
}

/// Has what was answered stand for the version that its own edit has made, too. Nobody is asked about that one then: an
/// edit that is not the same when it is made twice would never come to rest.
pub(super) async fn stands_for(shared: &Shared, judged: &Judged, question: Question<'_>) {
    if let Some((chain, from)) = judged.asked.filter(|_| judged.standing == Standing::Firm) {
        let to = key(&shared.library.name, &peer_name(shared, &question), &question, &chain);
        shared.verdicts.extend(question.key.id, question.point, from, to).await;
    }
}

/// Has what was written about assets read, before they are asked about.
pub(super) async fn read(
    shared: &Shared,
    points: &[Point],
    wanted: impl IntoIterator<Item = (AssetId, Wanted)>,
) -> Vec<Kept> {
    if points.iter().all(|point| chain(shared, *point).is_none()) {
        return Vec::new();
    }
    shared.verdicts.read(shared, wanted.into_iter().collect()).await
}

fn chain(shared: &Shared, point: Point) -> Option<Chain> {
    shared.hooks.chain(point, &shared.library.name)
}

/// Returns what the peer is called here, which is shown too; nothing where there is none.
fn peer_name(shared: &Shared, question: &Question<'_>) -> String {
    question.peer.map(|peer| shared.registry.name(peer)).unwrap_or_default()
}

/// Names everything that is shown, but the occasion, on which a verdict must not depend; `peer` is the name of the peer.
pub(super) fn key(library: &str, peer: &str, question: &Question<'_>, chain: &Chain) -> VerdictKey {
    // What a key is for is hashed once. In one piece, as a hasher would have to be set up for every question.
    static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("can-sync v1 verdict", &[]));
    let local = question.shown.local();
    let mut all = Vec::with_capacity(192 + library.len() + peer.len() + local.len());
    all.push(question.point as u8);
    match question.overruled {
        [] => all.extend_from_slice(chain.as_bytes()),
        // What is said while some are overruled stands for nothing else.
        overruled => all.extend_from_slice(&without(chain, overruled)),
    }
    let AssetKey { id, timestamp, size } = question.key;
    all.extend_from_slice(id.as_bytes());
    // Before the content is here, both are claims of whoever offers it.
    all.extend_from_slice(&timestamp.as_millis().to_le_bytes());
    all.extend_from_slice(&size.to_le_bytes());
    // Both are of the same length, so that nothing can slide from one part into the next.
    all.extend_from_slice(question.peer.as_ref().map_or(&[0; 32], |peer| peer.as_bytes()));
    for text in [library, peer] {
        all.extend_from_slice(&(text.len() as u64).to_le_bytes());
        all.extend_from_slice(text.as_bytes());
    }
    // The digest stands for the shared part, which is not read again: a question is named several times on the way of an
    // asset.
    all.extend_from_slice(question.shown.shared().digest().as_bytes());
    all.extend_from_slice(&local);
    VerdictKey(blake3::keyed_hash(&KEY, &all).into())
}

/// Names a chain of which some are overruled.
fn without(chain: &Chain, overruled: &[String]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("can-sync v1 verdict without");
    hasher.update(chain.as_bytes());
    for plugin in overruled {
        hasher.update(&(plugin.len() as u64).to_le_bytes()).update(plugin.as_bytes());
    }
    hasher.finalize().into()
}

fn asked(shared: &Shared, question: &Question<'_>, peer: String) -> Asked {
    let key = question.key;
    let content: Option<Arc<dyn Content>> = match question.content {
        Source::Nowhere => None,
        Source::Store => Some(content::stored(Arc::clone(&shared.store), key)),
        Source::Spooled(spooled) => Some(match spooled.reader() {
            Ok(reader) => Arc::new(content::Received { reader, key }),
            Err(error) => Arc::new(content::Unreadable(error.to_string())),
        }),
    };
    Asked {
        point: question.point,
        library: Arc::clone(&shared.library.name),
        key,
        metadata: question.shown.metadata(),
        peer: question.peer.map(|id| Peer { id, name: peer }),
        occasion: question.occasion,
        content,
        overruled: question.overruled.to_vec(),
    }
}

/// Returns for each step what the fields of its edit held before it; nothing at all without an edit.
fn before(shown: Shown<'_>, steps: &[Step]) -> Vec<Vec<Value>> {
    if !steps.iter().any(|step| matches!(step.verdict, Verdict::Edit(_))) {
        return Vec::new();
    }
    let mut changed: HashMap<&str, &Value> = HashMap::new();
    let mut all = Vec::with_capacity(steps.len());
    for step in steps {
        let mut values = Vec::new();
        if let Verdict::Edit(changes) = &step.verdict {
            for (name, value) in changes.iter() {
                let before = changed.insert(name, value);
                values.push(before.map_or_else(|| shown.value(name), Clone::clone));
            }
        }
        all.push(values);
    }
    all
}
