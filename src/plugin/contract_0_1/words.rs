//! The words of the contract and those of `hook`, translated. What comes back is checked like what a peer sends.

use super::super::loaded::Failure;
use super::super::loaded::shortened;
use super::bindings::can_sync::plugin::types;
use crate::asset::AssetKey;
use crate::asset::Changes;
use crate::asset::Metadata;
use crate::asset::Value;
use crate::asset::names;
use crate::asset::validate_changes;
use crate::hook::Asked;
use crate::hook::Occasion;
use crate::hook::Point;
use crate::hook::Verdict;
use crate::limits;

/// Puts together what a plugin is shown of an asset; `id` and `tags` are those of its key and metadata.
pub(super) fn asset<'a>(id: &'a str, key: &AssetKey, metadata: &'a Metadata, tags: &'a [&'a str]) -> types::Asset<'a> {
    types::Asset {
        id,
        timestamp: key.timestamp.as_millis(),
        size: key.size,
        mime_type: metadata.mime_type.as_deref(),
        file_name: metadata.file_name.as_deref(),
        path: metadata.path.as_deref(),
        application: metadata.application.as_deref(),
        user: metadata.user.as_deref(),
        description: metadata.description.as_deref(),
        tags,
        trashed: metadata.trashed,
    }
}

/// Puts together what a plugin is shown of the occasion; `peer` is the id of the peer, where there is one.
pub(super) fn context<'a>(asked: &'a Asked, peer: Option<&'a str>) -> types::Context<'a> {
    types::Context {
        library: &asked.library,
        direction: match asked.point {
            Point::BeforePush => types::Direction::Push,
            Point::BeforePull | Point::AfterReceive => types::Direction::Pull,
        },
        occasion: match asked.occasion {
            Occasion::Live => types::Occasion::Live,
            Occasion::CatchUp => types::Occasion::CatchUp,
        },
        peer: peer.zip(asked.peer.as_ref()).map(|(id, peer)| types::Peer { id, name: &peer.name }),
    }
}

/// Checks and takes over a verdict.
pub(super) fn verdict(verdict: types::Verdict) -> Result<Verdict, Failure> {
    Ok(match verdict {
        types::Verdict::Pass => Verdict::Pass,
        types::Verdict::Drop(reason) => Verdict::Drop(shortened(reason)),
        types::Verdict::Hold(reason) => Verdict::Hold(shortened(reason)),
        types::Verdict::Edit(changes) if changes.is_empty() => Verdict::Pass,
        types::Verdict::Edit(wished) => {
            let (count, limit) = (wished.len(), limits::plugin::CHANGES);
            if count > limit {
                return Err(Failure::Answer(format!("{count} changes, more than the limit of {limit}")));
            }
            let changes = wished.into_iter().fold(Changes::new(), |changes, change| match change {
                types::Change::Set(types::Assignment { field, value }) => changes.set(name(field), value),
                types::Change::Clear(field) => changes.clear(name(field)),
                types::Change::AddTag(tag) => changes.add_tag(&tag),
                types::Change::RemoveTag(tag) => changes.remove_tag(&tag),
            });
            validate_changes(&changes).map_err(|invalid| Failure::Answer(invalid.to_string()))?;
            if let Some(what) = changes.iter().find_map(|(name, value)| with_control(name, value)) {
                return Err(Failure::Answer(format!("{what} with control characters")));
            }
            Verdict::Edit(changes)
        }
    })
}

/// Tells what a change would put control characters into, if it would. Descriptions may have lines and tabs, and nothing
/// may have more. What is removed or cleared may have any: assets come with such tags, and a plugin is to mend that.
fn with_control(name: &str, value: &Value) -> Option<&'static str> {
    let text = value.text()?;
    let is_control = |c: char| c.is_control() && !(name == names::DESCRIPTION && matches!(c, '\n' | '\t'));
    if name.contains(is_control) {
        return Some("a tag");
    }
    text.contains(is_control).then_some("a text")
}

fn name(field: types::Field) -> &'static str {
    match field {
        types::Field::MimeType => names::MIME_TYPE,
        types::Field::FileName => names::FILE_NAME,
        types::Field::Path => names::PATH,
        types::Field::Application => names::APPLICATION,
        types::Field::User => names::USER,
        types::Field::Description => names::DESCRIPTION,
    }
}
