//! What a component exports and imports, before anything of it runs.

use wasmtime::Config;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::contract_0_1::PACKAGE;
use super::contract_0_1::VERSION;
use super::loaded::LoadError;
use super::settings::Grant;
use super::settings::Settings;
use super::settings::Wasi;
use super::wasi;
use crate::hook::Point;

/// What a component is made of, seen from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Interfaces it exports, with their versions.
    pub exports: Vec<String>,
    /// Interfaces it imports, with their versions.
    pub imports: Vec<String>,
    /// The hooks among its exports that this host calls.
    pub hooks: Vec<Point>,
    /// Grants that belong to what it imports.
    pub wants: Vec<Grant>,
    /// Whether it imports WASI.
    pub wasi: bool,
}

/// Where an imported interface comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Imports {
    /// The contract of this host.
    Contract,
    /// WASI.
    Wasi,
    /// Neither.
    Unknown,
}

/// Looks at a file and says what it is. Blocks while it compiles.
///
/// # Errors
/// [`LoadError`] when it is no component.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    kind(bytes)?;
    let mut config = Config::new();
    config.epoch_interruption(true);
    let invalid = |error: wasmtime::Error| LoadError::Invalid(super::instance::one_line(&error));
    let engine = Engine::new(&config).map_err(invalid)?;
    let component = Component::from_binary(&engine, bytes).map_err(invalid)?;
    Ok(of(&component))
}

/// Refuses what is no component at all.
pub(super) fn kind(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes {
        [] => Err(LoadError::Empty),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(LoadError::CoreModule),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        _ => Err(LoadError::NotWasm),
    }
}

pub(super) fn of(component: &Component) -> Inspection {
    let (engine, shape) = (component.engine(), component.component_type());
    let mut inspection = Inspection {
        exports: shape.exports(engine).map(|(name, _)| name.to_owned()).collect(),
        imports: shape.imports(engine).map(|(name, _)| name.to_owned()).collect(),
        ..Inspection::default()
    };
    let exported = |hook: &str| inspection.exports.iter().any(|name| *name == format!("{PACKAGE}/{hook}@{VERSION}"));
    let hooks = [
        ("before-push", Point::BeforePush),
        ("before-pull", Point::BeforePull),
        ("after-receive", Point::AfterReceive),
    ];
    inspection.hooks = hooks.into_iter().filter(|(name, _)| exported(name)).map(|(_, point)| point).collect();
    let imported = |grant: &Grant| {
        let interface = format!("{PACKAGE}/{grant}@");
        inspection.imports.iter().any(|name| name.starts_with(&interface))
    };
    inspection.wants = Grant::ALL.into_iter().map(|(_, grant)| grant).filter(imported).collect();
    inspection.wasi = inspection.imports.iter().any(|name| source(name) == Imports::Wasi);
    inspection
}

/// Tells where an imported interface comes from.
fn source(import: &str) -> Imports {
    let ours = ["types", "log", "content", "state", "clock"];
    if import.starts_with(wasi::PREFIX) {
        Imports::Wasi
    } else if ours.iter().any(|interface| import == format!("{PACKAGE}/{interface}@{VERSION}")) {
        Imports::Contract
    } else {
        Imports::Unknown
    }
}

impl Inspection {
    /// Checks that this host can run the component with these settings.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), LoadError> {
        let ours = format!("{PACKAGE}/");
        let version = |name: &&String| name.starts_with(&ours) && !name.ends_with(&format!("@{VERSION}"));
        if let Some(other) = self.exports.iter().chain(&self.imports).find(version) {
            return Err(LoadError::Version { interface: other.clone(), host: format!("{PACKAGE}@{VERSION}") });
        }
        if let Some(unknown) = self.imports.iter().find(|name| source(name) == Imports::Unknown) {
            return Err(LoadError::Import { interface: unknown.clone() });
        }
        if let Some(wasi) = self.imports.iter().find(|name| source(name) == Imports::Wasi)
            && settings.wasi == Wasi::None
        {
            return Err(LoadError::Wasi { interface: wasi.clone() });
        }
        if !self.exports.iter().any(|name| *name == format!("{PACKAGE}/lifecycle@{VERSION}")) {
            return Err(LoadError::NoLifecycle { host: format!("{PACKAGE}/lifecycle@{VERSION}") });
        }
        if self.hooks.is_empty() {
            return Err(LoadError::NoHook);
        }
        Ok(())
    }
}
