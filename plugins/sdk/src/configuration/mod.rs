//! Reads the configuration into the plugin's own type, with errors that name the key, the cause and the next step.
//!
//! JSON is parsed by `serde_json`; this reads its values so that an error carries the path to where it happened, and an
//! unknown key the nearest known one.

mod refused;
mod value;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use refused::Refused;
use value::Node;

/// For plugins without anything to configure: any key is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct None {}

/// Reads a configuration.
///
/// # Errors
/// Says in words what is wrong and where.
pub fn read<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| format!("not JSON: {error}"))?;
    if !value.is_object() {
        return Err("the configuration is not a JSON object".to_owned());
    }
    T::deserialize(Node(&value)).map_err(Refused::into_words)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        tags: Vec<String>,
        largest: Option<u64>,
        mode: Mode,
        rules: Vec<Rule>,
        labels: BTreeMap<String, i8>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        #[default]
        Drop,
        HoldBack,
        Replace(String),
        Both {
            first: u8,
        },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        when: String,
    }

    #[test]
    fn what_is_right_is_read() {
        assert_eq!(read::<Sample>("{}"), Ok(Sample::default()));
        assert_eq!(
            read::<Sample>(
                r#"{"tags": ["a"], "largest": 7, "mode": "hold-back", "rules": [{"when": "x"}], "labels": {"k": -1}}"#
            ),
            Ok(Sample {
                tags: vec!["a".into()],
                largest: Some(7),
                mode: Mode::HoldBack,
                rules: vec![Rule { when: "x".into() }],
                labels: BTreeMap::from([("k".into(), -1)]),
            })
        );
        assert_eq!(read::<Sample>(r#"{"largest": null}"#), Ok(Sample::default()));
        assert_eq!(read::<Sample>(r#"{"mode": {"replace": "x"}}"#).unwrap().mode, Mode::Replace("x".into()));
        assert_eq!(read::<Sample>(r#"{"mode": {"both": {"first": 1}}}"#).unwrap().mode, Mode::Both { first: 1 });
        assert_eq!(read::<None>("{}"), Ok(None {}));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, words) in [
            ("[]", "the configuration is not a JSON object"),
            ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
            (
                r#"{"tgas": []}"#,
                "there is no key `tgas`; did you mean `tags`? Known are `tags`, `largest`, `mode`, `rules` and `labels`",
            ),
            (r#"{"x": []}"#, "there is no key `x`; known are `tags`, `largest`, `mode`, `rules` and `labels`"),
            (r#"{"tags": "a"}"#, "`tags`: expected a list, not a text"),
            (r#"{"tags": ["a", 1]}"#, "`tags[1]`: expected a text, not a number"),
            (r#"{"largest": -1}"#, "`largest`: -1 is out of range (u64)"),
            (r#"{"largest": 1.5}"#, "`largest`: expected a whole number, not a fraction"),
            (
                r#"{"mode": "hold"}"#,
                "`mode`: there is no `hold`; did you mean `hold-back`? Known are `drop`, `hold-back`, `replace` and `both`",
            ),
            (r#"{"mode": {"both": {}}}"#, "`mode.both`: `first` is missing"),
            (r#"{"mode": 1}"#, "`mode`: expected one of several kinds, not a number"),
            (r#"{"rules": [{"when": "x"}, {}]}"#, "`rules[1]`: `when` is missing"),
            (
                r#"{"rules": [{"whem": "x"}]}"#,
                "`rules[0]`: there is no key `whem`; did you mean `when`? Known is `when`",
            ),
            (r#"{"labels": {"k": 300}}"#, "`labels.k`: 300 is out of range (i8)"),
        ] {
            assert_eq!(read::<Sample>(json), Err(words.to_owned()), "{json}");
        }
        assert_eq!(read::<None>(r#"{"a": 1}"#), Err("there is no key `a`; nothing can be set here".to_owned()));
    }
}
