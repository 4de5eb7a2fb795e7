//! The text format of Prometheus, version 0.0.4, as far as it is written here.
//!
//! What is told is a picture of how the host is, made anew for every request. Crates for it keep metrics of their own, which
//! the program would have to move along; and what they write is OpenMetrics, in which names of counters differ. The format
//! itself is three kinds of lines.

use std::fmt::Display;
use std::fmt::Write as _;

/// What the format calls itself.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What can be done with the values of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, but for restarts; its name ends in `_total`.
    Counter,
    /// Quantiles, and beside them a sum and a count.
    Summary,
}

/// A text that grows family by family.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// One family: samples under one name.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Exposition {
    /// Begins a family; `help` is one line. Every family is begun once.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Summary => "summary",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: &mut self.0, name }
    }

    /// Adds a family with one value.
    pub(super) fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// Returns the text.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Adds a value. The values of labels may hold anything.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.part("", labels, value);
    }

    /// Adds a value whose name has an ending: `_sum` and `_count` of a summary.
    pub(super) fn part(&mut self, ending: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{ending}", self.name);
        for (at, (label, of)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(of));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_line_by_line() {
        let mut text = Exposition::default();
        text.single("a", Kind::Gauge, "An a.", 1.5);
        let mut family = text.family("b", Kind::Summary, "Some b.");
        family.sample(&[("x", "1"), ("y", "a \"b\"\\\nc")], 0.000_001);
        family.part("_count", &[("x", "1")], u64::MAX);
        assert_eq!(
            text.into_text(),
            "# HELP a An a.\n# TYPE a gauge\na 1.5\n# HELP b Some b.\n# TYPE b summary\n\
             b{x=\"1\",y=\"a \\\"b\\\"\\\\\\nc\"} 0.000001\nb_count{x=\"1\"} 18446744073709551615\n"
        );
    }
}
