//! Cutting pieces out of the examples. The examples are compiled in, so that a piece which is not there is a mistake in
//! this program, and the tests find it.

use super::hook;
use super::hook::Hook;

/// Returns the first lines.
pub(super) fn lines(source: &str, count: usize) -> String {
    source.split_inclusive('\n').take(count).collect()
}

/// Splits a source in what is before a block, the block, and what is behind it. A block begins with one text and ends
/// with another.
pub(super) fn block<'a>(source: &'a str, begin: &str, end: &str) -> [&'a str; 3] {
    let from = source.find(begin).unwrap_or_else(|| panic!("the example has {begin:?}"));
    let to = from + source[from..].find(end).unwrap_or_else(|| panic!("the example has {end:?}")) + end.len();
    [&source[..from], &source[from..to], &source[to..]]
}

/// Returns what stands between two texts.
pub(super) fn between<'a>(source: &'a str, begin: &str, end: &str) -> &'a str {
    let [_, block, _] = block(source, begin, end);
    &block[begin.len()..block.len() - end.len()]
}

/// Returns the first list of a page.
pub(super) fn list(page: &str) -> &str {
    let [_, _, behind] = block(page, "\n", "\n- ");
    let list = &page[page.len() - behind.len() - "- ".len()..];
    list.split("\n\n").next().unwrap_or(list).trim_end()
}

/// Writes a block, which is that of the example's only hook, once per hook.
pub(super) fn per_hook(block: &str, hooks: &[Hook], separator: &str) -> String {
    let blocks: Vec<String> = hooks.iter().map(|hook| hook::renamed(block, Hook::BeforePush, *hook)).collect();
    blocks.join(separator)
}

/// Puts texts in the places of others, each of which must be there.
pub(super) fn replaced(source: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(source.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the example has {from:?}");
        text.replace(from, to)
    })
}
