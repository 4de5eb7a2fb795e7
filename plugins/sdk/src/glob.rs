//! Patterns for paths, names and media types.

/// Says whether a text matches a pattern.
///
/// `*` stands for any text without `/`, `?` for one character that is not `/`, `**` for any text, and `**/` also for
/// nothing, so that `**/drafts/*` matches `drafts/a`. Every other character stands for itself: no pattern is wrong.
/// The time is bounded by the product of the two lengths.
#[must_use]
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    // Up to its first wildcard a pattern is compared as it is, byte for byte; most that do not match end here.
    let mut plain = 0;
    while let Some(byte) = pattern.as_bytes().get(plain).filter(|byte| !matches!(byte, b'*' | b'?')) {
        if text.as_bytes().get(plain) != Some(byte) {
            return false;
        }
        plain += 1;
    }
    let text = &text[plain..];
    match &pattern[plain..] {
        "" => text.is_empty(),
        "*" => !text.contains('/'),
        "**" => true,
        rest => matches_rest(rest, text),
    }
}

/// The same by every place of the text that a part of the pattern can reach.
fn matches_rest(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // `reached[i]`: the pattern so far matches the first `i` characters.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**/") {
            rest = after;
            let mut before = false;
            for i in 0..=text.len() {
                let slash_before = i > 0 && text[i - 1] == '/';
                let matched = reached[i];
                reached[i] = matched || (before && slash_before);
                before |= matched;
            }
        } else if let Some(after) = rest.strip_prefix("**") {
            rest = after;
            let mut before = false;
            for matched in &mut reached {
                before |= *matched;
                *matched = before;
            }
        } else if first == '*' {
            rest = &rest[1..];
            for i in 1..=text.len() {
                reached[i] |= reached[i - 1] && text[i - 1] != '/';
            }
        } else {
            rest = &rest[first.len_utf8()..];
            for i in (1..=text.len()).rev() {
                let fits = if first == '?' { text[i - 1] != '/' } else { text[i - 1] == first };
                reached[i] = reached[i - 1] && fits;
            }
            reached[0] = false;
        }
    }
    reached[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("", "a", false),
            ("image/*", "image/png", true),
            ("image/*", "image/", true),
            ("image/*", "imagepng", false),
            ("*", "a/b", false),
            ("**", "a/b", true),
            ("**", "", true),
            ("*.tmp", "notes.tmp", true),
            ("*.tmp", "notes.tmp2", false),
            ("*.t?p", "notes.txp", true),
            ("?", "/", false),
            ("?", "é", true),
            ("**/drafts/*", "drafts/a", true),
            ("**/drafts/*", "work/2024/drafts/a", true),
            ("**/drafts/*", "mydrafts/a", false),
            ("work/**", "work/", true),
            ("work/**", "work", false),
            ("work/**", "work/a/b", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("a**/b/**/c", "ax/y/b/z/c", true),
            ("a**/b/**/c", "ab/b/c", true),
            ("[a]", "[a]", true),
            ("[a]", "a", false),
        ] {
            assert_eq!(matches_glob(pattern, text), matches, "{pattern:?} and {text:?}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let text = "a".repeat(4096);
        let pattern = format!("{}b", "*a".repeat(32));
        assert!(!matches_glob(&pattern, &text));
    }
}
