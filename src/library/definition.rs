//! What a library is.

use std::sync::Arc;

use crate::asset::Metadata;

/// Name of the built-in library that mirrors everything.
pub const MIRROR: &str = "mirror";

/// Which assets belong to a library.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter {
    /// All of them.
    Everything,
}

impl Filter {
    /// Tells whether an asset belongs to the library; its metadata is asked for only where that matters.
    #[must_use]
    pub fn takes(&self, _: impl FnOnce() -> Metadata) -> bool {
        match self {
            Self::Everything => true,
        }
    }

    /// Tells whether it takes every asset, whatever its metadata.
    #[must_use]
    pub const fn takes_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }
}

/// The unit of replication: its name, and what belongs to it. Who its members are is `auth`'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// What it is called; part of what its secret is stretched with.
    pub name: Arc<str>,
    /// What belongs to it.
    pub filter: Filter,
}

impl Library {
    /// Returns the built-in library that mirrors everything.
    #[must_use]
    pub fn mirror() -> Self {
        Self { name: MIRROR.into(), filter: Filter::Everything }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_takes_everything_trash_too() {
        let mirror = Library::mirror();
        assert_eq!(&*mirror.name, "mirror");
        assert!(mirror.filter.takes(|| Metadata { trashed: true, ..Metadata::default() }));
    }
}
