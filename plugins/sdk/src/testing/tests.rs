//! The SDK, used as an author uses it.

use serde::Deserialize;

use super::Grant;
use super::Host;
use super::asset;
use super::configured;
use super::context;
use super::golden;
use crate::AfterReceive;
use crate::Asset;
use crate::BeforePush;
use crate::Change;
use crate::Changes;
use crate::Context;
use crate::Description;
use crate::Exported;
use crate::Field;
use crate::Hook;
use crate::Plugin;
use crate::Refusal;
use crate::Verdict;
use crate::clock;
use crate::content;
use crate::log;
use crate::state;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    tag: String,
}

impl Default for Configuration {
    fn default() -> Self {
        Self { tag: "private".to_owned() }
    }
}

struct Sample(Configuration);

impl Plugin for Sample {
    type Configuration = Configuration;

    fn describe() -> Description {
        Description::new("sample", "0.1.0", "Keeps back, and tags what begins with a zero.").configured_by("{}")
    }

    fn configure(configuration: Configuration) -> Result<Self, String> {
        if configuration.tag.is_empty() { Err("`tag` is empty".to_owned()) } else { Ok(Self(configuration)) }
    }
}

impl BeforePush for Sample {
    fn before_push(&self, asset: &Asset, _: &Context) -> Verdict {
        if asset.has_tag(&self.0.tag) { Verdict::drop("tagged") } else { Verdict::Pass }
    }
}

impl AfterReceive for Sample {
    fn after_receive(&self, asset: &Asset, _: &Context) -> Verdict {
        match content::read(0, 1) {
            Ok(bytes) if bytes == [0] => {
                let mut changes = Changes::of(asset);
                changes.add_tag("zero");
                changes.set(Field::Path, "zeros");
                changes.clear(Field::User);
                changes.remove_tag("one");
                changes.verdict()
            }
            Ok(_) => Verdict::Pass,
            Err(refusal) => Verdict::hold(refusal.to_string()),
        }
    }
}

crate::export!(Sample: before_push, after_receive);

const GOLDEN: &str = r#"
{"hook":"before-push","asset":{"tags":["private"]},"verdict":{"verdict":"drop","reason":"tagged"}}
{"hook":"before-push","configuration":{"tag":"x"},"asset":{"tags":["private"]},"verdict":{"verdict":"pass"}}
{"hook":"after-receive","asset":{"user":"ann","tags":["one"]},"content":"AAEC","grants":["content"],"verdict":{"verdict":"edit","changes":[{"add_tag":"zero"},{"set":"path","value":"zeros"},{"clear":"user"},{"remove_tag":"one"}]}}
{"hook":"after-receive","asset":{"tags":["zero"],"human_readable_path":"zeros"},"content":"AA==","grants":["content"],"verdict":{"verdict":"pass"}}
{"hook":"after-receive","content":"AQI=","grants":["content"],"verdict":{"verdict":"pass"}}
{"hook":"after-receive","content":"AQI=","verdict":{"verdict":"hold","reason":"not granted"}}
{"hook":"after-receive","grants":["content"],"verdict":{"verdict":"hold","reason":"there is no content here"}}
{"configuration":{"tga":"x"},"error":"did you mean `tag`?"}
{"configuration":{"tag":""},"error":"`tag` is empty"}
"#;

#[test]
fn a_golden_file_is_played() {
    golden::<Sample>(GOLDEN);
}

#[test]
fn a_golden_file_names_every_line_that_is_answered_otherwise() {
    let lines = format!(
        "{GOLDEN}{}\n{}\n{}\n{}\n",
        r#"{"hook":"before-push","verdict":{"verdict":"drop","reason":"tagged"}}"#,
        r#"{"configuration":{"tag":"x"},"error":"is empty"}"#,
        r#"{"configuration":{"tag":""},"error":"something else"}"#,
        r#"{"hook":"before-pull","verdict":{"verdict":"pass"}}"#,
    );
    let words = *std::panic::catch_unwind(|| golden::<Sample>(&lines)).unwrap_err().downcast::<String>().unwrap();
    assert_eq!(
        words.lines().collect::<Vec<_>>(),
        [
            r#"line 11: answered {"verdict":"pass"}, expected {"reason":"tagged","verdict":"drop"}"#,
            r#"line 12: was not refused with "is empty""#,
            "line 13: refused: `tag` is empty",
            "line 14: before-pull is not exported",
        ]
    );
}

#[test]
fn a_hook_that_no_line_asks_is_named() {
    let words =
        *std::panic::catch_unwind(|| golden::<Sample>(r#"{"hook":"before-push","verdict":{"verdict":"pass"}}"#))
            .unwrap_err()
            .downcast::<String>()
            .unwrap();
    assert_eq!(words, "no line asks after-receive");
}

#[test]
fn only_exported_hooks_are_asked() {
    let sample: Sample = configured("{}").unwrap();
    let asked = |hook| sample.ask(hook, &asset(&["private"]), &context(hook));
    assert_eq!(Sample::HOOKS, [Hook::BeforePush, Hook::AfterReceive]);
    assert_eq!(asked(Hook::BeforePush), Some(Verdict::drop("tagged")));
    assert_eq!(asked(Hook::BeforePull), None);
}

#[test]
fn a_host_gives_what_it_grants_and_remembers() {
    let asked = || {
        log::warn("asked");
        (content::read(1, 2), state::set("a/1", b"x"), state::get("a/1"), clock::now())
    };
    let (answers, host) = Host::default().run(asked);
    let refused = || Refusal::NotGranted;
    assert_eq!(answers, (Err(refused()), Err(refused()), Err(refused()), Err(refused())));
    assert_eq!(host.log, [(log::Level::Warn, "asked".to_owned())]);

    let grants = vec![Grant::Content, Grant::State, Grant::Clock];
    let host = Host { grants, content: Some(b"abcd".to_vec()), now: 7, ..Host::default() };
    let (answers, host) = host.run(asked);
    assert_eq!(answers, (Ok(b"bc".to_vec()), Ok(()), Ok(Some(b"x".to_vec())), Ok(7)));
    let ((), host) = host.run(|| {
        state::set("b", b"y").unwrap();
        assert_eq!(state::keys("a/"), Ok(vec!["a/1".to_owned()]));
        state::delete("a/1").unwrap();
        state::delete("a/1").unwrap();
        assert_eq!(content::read(3, 9), Ok(b"d".to_vec()));
        assert_eq!(content::read(9, 9), Ok(Vec::new()));
    });
    assert_eq!(host.state.into_keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn changes_leave_out_what_changes_nothing() {
    let asset = Asset { path: Some("p".to_owned()), ..asset(&["a"]) };
    let mut changes = Changes::of(&asset);
    changes.add_tag("a");
    changes.remove_tag("b");
    changes.set(Field::Path, "p");
    changes.clear(Field::User);
    assert_eq!(changes.verdict(), Verdict::Pass);

    let mut changes = Changes::of(&asset);
    changes.add_tag("b");
    changes.add_tag("b");
    assert_eq!(changes.verdict(), Verdict::Edit(vec![Change::AddTag("b".to_owned())]));
}

#[test]
fn the_last_change_of_a_field_or_tag_counts() {
    let asset = Asset { path: Some("p".to_owned()), ..asset(&["a"]) };
    let answer = |wish: fn(&mut Changes<'_>)| {
        let mut changes = Changes::of(&asset);
        wish(&mut changes);
        changes.verdict()
    };
    let edit = |change| Verdict::Edit(vec![change]);
    let passes: [fn(&mut Changes<'_>); 4] = [
        |changes| {
            changes.remove_tag("a");
            changes.add_tag("a");
        },
        |changes| {
            changes.add_tag("x");
            changes.remove_tag("x");
        },
        |changes| {
            changes.set(Field::Path, "q");
            changes.set(Field::Path, "p");
        },
        |changes| {
            changes.set(Field::User, "ann");
            changes.clear(Field::User);
        },
    ];
    for wish in passes {
        assert_eq!(answer(wish), Verdict::Pass);
    }
    let set = answer(|changes| {
        changes.clear(Field::Path);
        changes.set(Field::Path, "q");
    });
    assert_eq!(set, edit(Change::Set(Field::Path, "q".to_owned())));
    let removed = answer(|changes| {
        changes.add_tag("a");
        changes.remove_tag("a");
    });
    assert_eq!(removed, edit(Change::RemoveTag("a".to_owned())));
}

#[test]
fn a_host_has_limits() {
    let limit = |words: &str| Err(Refusal::Limit(words.to_owned()));
    let host = Host { grants: vec![Grant::Content, Grant::State], content: Some(vec![0; 300_000]), ..Host::default() };
    let ((), host) = host.run(|| {
        assert_eq!(content::read(0, 256 * 1024).map(|bytes| bytes.len()), Ok(256 * 1024));
        assert_eq!(
            content::read(0, 256 * 1024 + 1),
            Err(Refusal::Limit("at most 262144 bytes are read at once".into()))
        );
        assert_eq!(state::set("", b"x"), limit("a key has 1 to 256 bytes"));
        assert_eq!(state::set(&"k".repeat(257), b"x"), limit("a key has 1 to 256 bytes"));
        let most = vec![0; 1024 * 1024 - 64 - 256];
        let key = "k".repeat(256);
        assert_eq!(state::set(&key, &most), Ok(()));
        // It takes the place of what was there.
        assert_eq!(state::set(&key, &most), Ok(()));
        let full = "keys and values may have 1048576 bytes together, 64 for each pair included";
        assert_eq!(state::set("b", b""), limit(full));
        state::delete(&key).unwrap();
        assert_eq!(state::set("b", b""), Ok(()));
    });
    assert_eq!(host.state.len(), 1);
    let (answer, _) = Host { state_bytes: 65, ..host }.run(|| state::set("b", b"x"));
    assert!(answer.is_err());
}

struct Shown;

impl Plugin for Shown {
    type Configuration = crate::configuration::None;

    fn describe() -> Description {
        Description::new("shown", "0.1.0", "Says when an asset was made.")
    }

    fn configure(_: Self::Configuration) -> Result<Self, String> {
        Ok(Self)
    }
}

impl BeforePush for Shown {
    fn before_push(&self, asset: &Asset, _: &Context) -> Verdict {
        Verdict::drop(asset.timestamp.to_string())
    }
}

impl Exported for Shown {
    const HOOKS: &'static [Hook] = &[Hook::BeforePush];

    fn ask(&self, _: Hook, asset: &Asset, context: &Context) -> Option<Verdict> {
        Some(self.before_push(asset, context))
    }
}

#[test]
fn a_golden_file_shows_by_default_what_its_page_says() {
    golden::<Shown>(r#"{"hook":"before-push","verdict":{"verdict":"drop","reason":"1000000000000"}}"#);
}
