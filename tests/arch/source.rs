//! A source file as the rules see it.
//!
//! The scanner reads Rust well enough for this: it knows comments, strings and what only tests see.

/// A source file as the rules see it.
pub(crate) struct Source {
    /// Below `src/`, with slashes.
    pub(crate) path: String,
    pub(crate) raw: String,
    /// Without comments, the insides of strings, and what only tests see; lines are where they were.
    pub(crate) code: String,
    /// Lines without what only tests see.
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(path: &str, raw: &str) -> Self {
        let mut code: Vec<char> = strip(raw);
        let hidden = hide_tests(&mut code);
        // The simulator is a test that has a room of its own.
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/sim/");
        if is_test {
            code.iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        }
        let lines = if is_test { 0 } else { raw.lines().count() - hidden };
        Self { path: path.to_owned(), raw: raw.to_owned(), code: code.into_iter().collect(), lines }
    }

    /// The module of `src/` it belongs to.
    pub(crate) fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many `super::` reach the root of the crate.
    pub(crate) fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// Where a word or path stands in the code.
    pub(crate) fn find<'a>(&'a self, what: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        self.code.match_indices(what).map(|(at, _)| at).filter(move |at| {
            let before = self.code[..*at].chars().next_back().is_some_and(is_part);
            let after = self.code[at + what.len()..].chars().next().is_some_and(is_part);
            !(before && what.starts_with(is_part) || after && what.ends_with(is_part))
        })
    }

    pub(crate) fn told(&self, at: usize, rule: &str) -> String {
        format!("src/{}:{}: {rule}", self.path, self.code[..at].matches('\n').count() + 1)
    }
}

/// Blanks comments and the insides of strings and characters.
fn strip(raw: &str) -> Vec<char> {
    let mut code: Vec<char> = raw.chars().collect();
    let mut at = 0;
    while at < code.len() {
        let next = code.get(at + 1).copied();
        let end = match code[at] {
            '/' if next == Some('/') => (at..code.len()).find(|i| code[*i] == '\n').unwrap_or(code.len()),
            '/' if next == Some('*') => block_comment_end(&code, at),
            '"' => string_end(&code, at, raw_hashes(&code, at)),
            '\'' if next == Some('\\') => (at + 3..code.len()).find(|i| code[*i] == '\'').map_or(code.len(), |i| i + 1),
            '\'' if code.get(at + 2) == Some(&'\'') => at + 3,
            _ => at + 1,
        };
        if end > at + 1 {
            code[at..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        }
        at = end;
    }
    code
}

fn block_comment_end(code: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < code.len() {
        match (code[at], code[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    code.len()
}

/// How many `#` a raw string has before its quote; `None` for another string.
fn raw_hashes(code: &[char], quote: usize) -> Option<usize> {
    let hashes = code[..quote].iter().rev().take_while(|c| **c == '#').count();
    (code[..quote - hashes].last() == Some(&'r')).then_some(hashes)
}

fn string_end(code: &[char], quote: usize, raw_hashes: Option<usize>) -> usize {
    let mut at = quote + 1;
    while at < code.len() {
        match (code[at], raw_hashes) {
            ('\\', None) => at += 2,
            ('"', None) => return at + 1,
            ('"', Some(hashes)) if code[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes => {
                return at + 1 + hashes;
            }
            _ => at += 1,
        }
    }
    code.len()
}

/// Blanks items under `#[cfg(test)]`, and returns how many lines they have.
fn hide_tests(code: &mut [char]) -> usize {
    let marker: Vec<char> = "#[cfg(test)]".chars().collect();
    let mut hidden = 0;
    let mut at = 0;
    while at + marker.len() <= code.len() {
        if code[at..at + marker.len()] != marker[..] {
            at += 1;
            continue;
        }
        let end = item_end(code, at + marker.len());
        hidden += code[at..end].iter().filter(|c| **c == '\n').count() + 1;
        code[at..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        at = end;
    }
    hidden
}

/// Where an item ends: at its semicolon, or at the brace that closes it.
fn item_end(code: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.iter().enumerate().skip(start) {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' if depth == 1 => return at + 1,
            // A field or variant, which is the last of its item.
            '}' if depth == 0 => return at,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The identifier that begins a text.
pub(crate) fn identifier(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}
