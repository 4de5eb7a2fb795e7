//! What a case is given.

use std::any::Any;
use std::sync::Arc;

use crate::store::Record;
use crate::store::Store;

/// Flips a bit of a stored content behind the back of the store.
type Damage = Box<dyn Fn(&Record) + Send + Sync>;

/// A fresh store, and what a test needs beside it.
pub struct Fixture {
    pub(super) store: Arc<dyn Store>,
    pub(super) damage: Option<Damage>,
    /// Folders and servers that must live as long as the store.
    kept: Option<Box<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture")
            .field("store", &self.store.kind())
            .field("keeps", &self.kept.is_some())
            .finish_non_exhaustive()
    }
}

impl Fixture {
    /// Takes a fresh, empty store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, damage: None, kept: None }
    }

    /// Adds a hand that flips a bit of a stored content.
    #[must_use]
    pub fn with_damage(mut self, damage: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.damage = Some(Box::new(damage));
        self
    }

    /// Keeps something alive as long as the store: a folder, a server.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept = Some(Box::new(kept));
        self
    }
}
