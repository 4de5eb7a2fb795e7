//! Which version of an asset a host passes on, takes in, and counts in its set.

use crate::asset::Digest;
use crate::asset::Document;

/// What a host takes of an offered document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The fields to merge.
    pub document: Document,
    /// Fields stamped too far ahead of this host's clock, to be taken when their time has come.
    pub early: Document,
}

/// Splits an offered document into what is taken now and what is stamped too far ahead of `now_ms` (Unix milliseconds).
#[must_use]
pub fn receive(offered: &Document, now_ms: u64) -> Received {
    let (document, early) = offered.clone().split_early(now_ms);
    Received { document, early }
}

/// Returns the version that stands in the set towards one peer, where it differs from what is passed on to all.
///
/// The set holds the merge of what this host passes on (`None` when the asset is dropped, held, purged, declined or
/// without content here) and what that peer is known to have. `None` means that the common version stands.
#[must_use]
pub fn exception(passes: Option<&Document>, known: Option<&Document>) -> Option<Digest> {
    match (passes, known) {
        (_, None) => None,
        (None, Some(known)) => Some(known.digest()),
        (Some(passes), Some(known)) => (!passes.includes(known)).then(|| passes.merged(known).digest()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::Field;
    use crate::asset::HostId;
    use crate::asset::Stamp;
    use crate::asset::Value;

    fn document(fields: &[(&str, u64)]) -> Document {
        let host = HostId::from_bytes([1; 32]);
        fields
            .iter()
            .map(|(name, time)| {
                let field = Field { value: Value::Text(time.to_string()), stamp: Stamp::from_parts(*time, host) };
                ((*name).to_owned(), field)
            })
            .collect()
    }

    #[test]
    fn an_exception_stands_only_where_the_peer_has_more() {
        let (old, new) = (document(&[("path", 1)]), document(&[("path", 2), ("user", 1)]));
        assert_eq!(exception(Some(&new), None), None);
        assert_eq!(exception(Some(&new), Some(&old)), None);
        assert_eq!(exception(Some(&old), Some(&new)), Some(new.digest()));
        assert_eq!(exception(None, Some(&old)), Some(old.digest()));
        assert_eq!(exception(None, None), None);
    }

    #[test]
    fn early_fields_wait_and_the_others_go_on() {
        let now = 1_700_000_000_000_u64;
        let late = (now + crate::limits::STAMP_AHEAD_MS + 1) << 16;
        let received = receive(&document(&[("path", 5), ("user", late)]), now);
        assert_eq!(received.document, document(&[("path", 5)]));
        assert_eq!(received.early, document(&[("user", late)]));
    }
}
