//! How plugins are set up: the map `plugins` of the configuration, and the sidecar of a plugin, which has the same keys.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;
use serde::Serialize;

use super::key;
use crate::library::MIRROR;
use crate::plugin;
use crate::plugin::Grant;

/// What is said about one plugin; what is not said is as in the sidecar, or the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginEntry {
    enabled: Option<bool>,
    order: Option<i64>,
    configuration: Option<BTreeMap<String, serde_json::Value>>,
    grants: Option<Vec<String>>,
    wasi: Option<Wasi>,
    libraries: Option<BTreeSet<String>>,
    sha256: Option<String>,
    on_failure: Option<OnFailure>,
    limits: Limits,
}

impl fmt::Display for PluginEntry {
    /// Writes what is said, in one line that YAML reads as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        for map in ["/limits", ""] {
            if let Some(serde_json::Value::Object(keys)) = said.pointer_mut(map) {
                keys.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|keys| !keys.is_empty()));
            }
        }
        said.fmt(f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Wasi {
    Empty,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum OnFailure {
    Hold,
    Pass,
    Drop,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    call_ms: Option<u64>,
    start_ms: Option<u64>,
    memory_mib: Option<u64>,
    table_elements: Option<u64>,
    instances: Option<u64>,
    stack_kib: Option<u64>,
    answer_kib: Option<u64>,
    content_mib: Option<u64>,
    state_kib: Option<u64>,
    log_lines_per_sec: Option<u64>,
    component_mib: Option<u64>,
    calls_per_instance: Option<u64>,
}

/// Puts together how a plugin is set up: the configuration beats the sidecar, key by key. Where the configuration switches
/// it off, mistakes in the sidecar do not count.
///
/// # Errors
/// Says in words which key of which of the two is wrong.
pub fn plugin_settings(
    configured: Option<&PluginEntry>,
    sidecar: Option<plugin::Sidecar<'_>>,
) -> Result<plugin::Settings, String> {
    let is_off = configured.is_some_and(|entry| entry.enabled == Some(false));
    let mut settings = match sidecar.map(of_sidecar).transpose() {
        Err(error) if !is_off => return Err(error),
        said => said.ok().flatten().unwrap_or_default(),
    };
    if let Some(entry) = configured {
        entry.apply(&mut settings)?;
    }
    Ok(settings)
}

fn of_sidecar(sidecar: plugin::Sidecar<'_>) -> Result<plugin::Settings, String> {
    let mut settings = plugin::Settings::default();
    if !sidecar.text.trim().is_empty() {
        let wrong = |reason: String| format!("{}: {reason}", sidecar.path.display());
        let entry: PluginEntry = serde_yaml::from_str(sidecar.text).map_err(|error| wrong(error.to_string()))?;
        entry.apply(&mut settings).map_err(wrong)?;
    }
    Ok(settings)
}

impl PluginEntry {
    /// Checks the values that have a range or a form, and the name.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        if !plugin::is_name(name) {
            return Err("no file can have this name; it is the plugin's file without `.wasm`".to_owned());
        }
        self.apply(&mut plugin::Settings::default())
    }

    fn apply(&self, settings: &mut plugin::Settings) -> Result<(), String> {
        settings.enabled = self.enabled.unwrap_or(settings.enabled);
        settings.order = self.order.unwrap_or(settings.order);
        if let Some(configuration) = &self.configuration {
            settings.configuration = serde_json::Value::Object(configuration.clone().into_iter().collect());
        }
        if let Some(grants) = &self.grants {
            settings.grants = grants.iter().map(|name| grant(name)).collect::<Result<_, _>>()?;
        }
        match self.wasi {
            Some(Wasi::Empty) => settings.wasi = plugin::Wasi::Empty,
            Some(Wasi::None) => settings.wasi = plugin::Wasi::None,
            None => {}
        }
        if let Some(libraries) = &self.libraries {
            if libraries.is_empty() {
                let why =
                    "`libraries` is empty, so that the plugin is asked nowhere; leave it out, or set `enabled: false`";
                return Err(why.to_owned());
            }
            // A plugin that is bound to a library that does not exist is asked nowhere, and keeps nothing back.
            if let Some(unknown) = libraries.iter().find(|name| *name != MIRROR) {
                return Err(format!("`libraries` names `{unknown}`; the only library is `{MIRROR}`"));
            }
            settings.libraries = Some(libraries.clone());
        }
        if let Some(sha256) = &self.sha256 {
            let bytes = HEXLOWER_PERMISSIVE.decode(sha256.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
            settings.sha256 = Some(bytes.ok_or_else(|| format!("`sha256` has 64 hex characters, not `{sha256}`"))?);
        }
        match self.on_failure {
            Some(OnFailure::Hold) => settings.on_failure = plugin::OnFailure::Hold,
            Some(OnFailure::Pass) => settings.on_failure = plugin::OnFailure::Pass,
            Some(OnFailure::Drop) => settings.on_failure = plugin::OnFailure::Drop,
            None => {}
        }
        self.limits.apply(&mut settings.limits)
    }
}

impl Limits {
    fn apply(&self, limits: &mut plugin::Limits) -> Result<(), String> {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        set("call_ms", self.call_ms, 1..=60_000, |ms| limits.call = Duration::from_millis(ms))?;
        set("start_ms", self.start_ms, 1..=60_000, |ms| limits.start = Duration::from_millis(ms))?;
        set("memory_mib", self.memory_mib, 1..=4096, |mib| limits.memory_bytes = mib as usize * MIB)?;
        set("table_elements", self.table_elements, 1..=10_000_000, |count| limits.table_elements = count as usize)?;
        set("instances", self.instances, 1..=10_000, |count| limits.instances = count as usize)?;
        set("stack_kib", self.stack_kib, 64..=8192, |kib| limits.stack_bytes = kib as usize * KIB)?;
        set("answer_kib", self.answer_kib, 1..=65_536, |kib| limits.answer_bytes = kib as usize * KIB)?;
        set("content_mib", self.content_mib, 0..=4096, |mib| limits.content_bytes = mib * MIB as u64)?;
        set("state_kib", self.state_kib, 0..=65_536, |kib| limits.state_bytes = kib as usize * KIB)?;
        set("log_lines_per_sec", self.log_lines_per_sec, 0..=10_000, |lines| limits.log_lines_per_sec = lines as u32)?;
        set("component_mib", self.component_mib, 1..=1024, |mib| limits.component_bytes = mib * MIB as u64)?;
        set("calls_per_instance", self.calls_per_instance, 1..=1_000_000_000, |calls| {
            limits.calls_per_instance = calls as u32;
        })
    }
}

fn set(name: &str, value: Option<u64>, range: RangeInclusive<u64>, set: impl FnOnce(u64)) -> Result<(), String> {
    match value {
        Some(value) if !range.contains(&value) => {
            Err(format!("`limits.{name}` is a whole number from {} to {}, not {value}", range.start(), range.end()))
        }
        Some(value) => {
            set(value);
            Ok(())
        }
        None => Ok(()),
    }
}

fn grant(name: &str) -> Result<Grant, String> {
    let names = Grant::ALL.map(|(name, _)| name);
    let found = Grant::ALL.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, grant)| grant).ok_or_else(|| {
        let hint = key::nearest(name, names.into_iter()).map(|near| format!("; did you mean `{near}`?"));
        format!("there is no grant `{name}`; there are {}{}", names.join(", "), hint.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn entry(text: &str) -> Result<PluginEntry, String> {
        serde_yaml::from_str(text).map_err(|error: serde_yaml::Error| error.to_string())
    }

    #[allow(clippy::unnecessary_wraps, reason = "as it is asked for")]
    fn sidecar(text: &str) -> Option<plugin::Sidecar<'_>> {
        Some(plugin::Sidecar { path: Path::new("x.yaml"), text })
    }

    #[test]
    fn one_that_the_configuration_switches_off_is_off_whatever_its_sidecar_says() {
        let configured = entry("{enabled: false}").unwrap();
        let settings = plugin_settings(Some(&configured), sidecar("order: first")).unwrap();
        assert!(!settings.enabled);
        assert!(plugin_settings(None, sidecar("order: first")).is_err());
    }

    #[test]
    fn every_key_changes_something() {
        let text = "
            enabled: false
            order: -3
            configuration: {tags: [private, secret], size: 3}
            grants: [content, state, clock, random]
            wasi: none
            libraries: [mirror]
            sha256: 0000000000000000000000000000000000000000000000000000000000000001
            on_failure: drop
            limits: {call_ms: 1, start_ms: 2, memory_mib: 3, table_elements: 4, instances: 5, stack_kib: 64,
                     answer_kib: 7, content_mib: 9, state_kib: 9, log_lines_per_sec: 10, component_mib: 11,
                     calls_per_instance: 12}";
        let (settings, plain) = (plugin_settings(None, sidecar(text)).unwrap(), plugin::Settings::default());
        assert!(!settings.enabled && settings.order == -3 && settings.grants.len() == 4);
        assert_eq!(settings.configuration.to_string(), r#"{"size":3,"tags":["private","secret"]}"#);
        assert_eq!(settings.sha256.unwrap()[31], 1);
        assert_eq!((settings.wasi, settings.on_failure), (plugin::Wasi::None, plugin::OnFailure::Drop));
        let (of, default) = (settings.limits, plain.limits);
        assert_eq!((of.call.as_millis(), of.start.as_millis(), of.memory_bytes), (1, 2, 3 << 20));
        assert_eq!((of.table_elements, of.instances, of.stack_bytes, of.answer_bytes), (4, 5, 65_536, 7 << 10));
        assert_eq!((of.content_bytes, of.state_bytes, of.log_lines_per_sec), (9 << 20, 9 << 10, 10));
        assert_eq!((of.component_bytes, of.calls_per_instance), (11 << 20, 12));
        assert_ne!(of.content_bytes, default.content_bytes);
    }

    #[test]
    fn the_configuration_beats_the_sidecar_key_by_key() {
        let configured = entry("{order: 5, limits: {call_ms: 7}}").unwrap();
        let text = "{order: 1, on_failure: pass, limits: {call_ms: 1, memory_mib: 8}}";
        let settings = plugin_settings(Some(&configured), sidecar(text)).unwrap();
        assert_eq!((settings.order, settings.on_failure), (5, plugin::OnFailure::Pass));
        assert_eq!((settings.limits.call.as_millis(), settings.limits.memory_bytes), (7, 8 << 20));
        assert_eq!(plugin_settings(None, sidecar("  \n")).unwrap(), plugin::Settings::default());
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        for (text, says) in [
            ("memmory: 3", "unknown field `memmory`"),
            ("limits: {memory: 3}", "limits: unknown field `memory`"),
            ("grants: [contents]", "did you mean `content`?"),
            ("libraries: []", "`libraries` is empty"),
            ("libraries: [miror]", "`libraries` names `miror`; the only library is `mirror`"),
            ("on_failure: explode", "unknown variant `explode`"),
            ("limits: {call_ms: 0}", "`limits.call_ms` is a whole number from 1 to 60000, not 0"),
            ("sha256: abc", "64 hex characters"),
            ("[]", "invalid type: sequence"),
        ] {
            let error = plugin_settings(None, sidecar(text)).unwrap_err();
            assert!(error.starts_with("x.yaml: ") && error.contains(says), "{text}: {error}");
        }
    }
}
