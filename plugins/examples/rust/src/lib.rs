//! Keeps back what carries a tag.

use can_sync_plugin::{Asset, BeforePush, Context, Description, Plugin, Verdict, log};
use serde::Deserialize;

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

struct KeepTagged {
    tag: String,
}

impl Plugin for KeepTagged {
    type Configuration = Configuration;

    fn describe() -> Description {
        Description::new("example-rust", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION")).configured_by(
            r#"{
                "type": "object",
                "additionalProperties": false,
                "properties": {"tag": {"type": "string", "minLength": 1, "default": "private"}}
            }"#,
        )
    }

    fn configure(configuration: Configuration) -> Result<Self, String> {
        if configuration.tag.is_empty() {
            return Err("`tag` is empty: name the tag that is kept back".to_owned());
        }
        Ok(Self { tag: configuration.tag })
    }
}

impl BeforePush for KeepTagged {
    fn before_push(&self, asset: &Asset, _: &Context) -> Verdict {
        if asset.has_tag(&self.tag) {
            log::info(&format!("keeping back {}", asset.id));
            Verdict::drop(format!("tagged {}", self.tag))
        } else {
            Verdict::Pass
        }
    }
}

can_sync_plugin::export!(KeepTagged: before_push);

#[cfg(test)]
mod tests {
    use can_sync_plugin::{Hook, testing};

    use super::*;

    #[test]
    fn golden() {
        testing::golden::<KeepTagged>(include_str!("../../golden.jsonl"));
    }

    #[test]
    fn a_kept_asset_is_a_line_in_the_log() {
        let plugin: KeepTagged = testing::configured("{}").unwrap();
        let asset = testing::asset(&["private"]);
        let (_, host) =
            testing::Host::default().run(|| plugin.before_push(&asset, &testing::context(Hook::BeforePush)));
        assert_eq!(host.log, [(log::Level::Info, format!("keeping back {}", asset.id))]);
    }
}
