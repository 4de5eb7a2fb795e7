//! Single ranges of bytes.

use std::ops::Range;

/// What a `Range` header asks of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it. Also the answer to what is malformed, of another unit, or more than one range.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes that are not there (416).
    Nothing,
}

/// Reads a `Range` header for a content of `size` bytes.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((unit, ranges)) = header.and_then(|header| header.split_once('=')) else { return Wanted::Whole };
    let Some((first, last)) = ranges.trim().split_once('-') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let range = match (number(first.trim()), number(last.trim())) {
        (Number::Value(first), Number::Value(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Number::Value(first), Number::Missing) => first..size,
        (Number::Missing, Number::Value(length)) => size.saturating_sub(length)..size,
        _ => return Wanted::Whole,
    };
    if range.is_empty() { Wanted::Nothing } else { Wanted::Part(range) }
}

enum Number {
    Value(u64),
    Missing,
    Malformed,
}

/// Reads digits; more than fit are as good as the highest.
fn number(text: &str) -> Number {
    if text.is_empty() {
        return Number::Missing;
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Number::Malformed;
    }
    Number::Value(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (header, wants) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=5-", Wanted::Part(5..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=8-99999999999999999999999", Wanted::Part(8..10)),
            ("Bytes = 1 - 2", Wanted::Part(1..3)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), wants, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }

    proptest! {
        #[test]
        fn a_part_is_what_a_slice_would_give(first in 0_u64..30, last in 0_u64..30, size in 0_u64..20) {
            let content: Vec<u64> = (0..size).collect();
            let plain: Vec<u64> = content.iter().copied().filter(|n| (first..=last).contains(n)).collect();
            match wanted(Some(&format!("bytes={first}-{last}")), size) {
                Wanted::Whole => prop_assert!(first > last),
                Wanted::Nothing => prop_assert!(plain.is_empty()),
                Wanted::Part(part) => prop_assert_eq!(part.collect::<Vec<_>>(), plain),
            }
            let tail: Vec<u64> = content.iter().rev().take(last as usize).rev().copied().collect();
            match wanted(Some(&format!("bytes=-{last}")), size) {
                Wanted::Part(part) => prop_assert_eq!(part.collect::<Vec<_>>(), tail),
                other => prop_assert!(tail.is_empty() && other == Wanted::Nothing),
            }
        }

        #[test]
        fn any_header_is_answered(header in any::<String>(), size in any::<u64>()) {
            if let Wanted::Part(part) = wanted(Some(&header), size) {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }
    }
}
