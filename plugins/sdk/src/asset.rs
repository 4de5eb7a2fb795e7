//! What a plugin is shown.

use serde::Deserialize;

/// One version of the metadata of one asset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asset {
    /// Asset id: SHA-256 over timestamp and content, 64 lower-case hex characters.
    pub id: String,
    /// When it was made, in Unix milliseconds.
    pub timestamp: u64,
    /// Size of the content in bytes.
    pub size: u64,
    /// Media type, such as `image/png`.
    pub mime_type: Option<String>,
    /// File name for people; may hold anything.
    pub file_name: Option<String>,
    /// Logical folder for people; may hold anything.
    pub path: Option<String>,
    /// Program that made the asset.
    pub application: Option<String>,
    /// Person who made the asset.
    pub user: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Tags, sorted bytewise, without duplicates.
    pub tags: Vec<String>,
    /// Whether the asset is in the trash.
    pub trashed: bool,
}

impl Asset {
    /// Returns the text of a field.
    #[must_use]
    pub fn field(&self, field: Field) -> Option<&str> {
        match field {
            Field::MimeType => self.mime_type.as_deref(),
            Field::FileName => self.file_name.as_deref(),
            Field::Path => self.path.as_deref(),
            Field::Application => self.application.as_deref(),
            Field::User => self.user.as_deref(),
            Field::Description => self.description.as_deref(),
        }
    }

    /// Says whether it carries a tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|carried| carried == tag)
    }
}

/// A text field of the metadata; in a configuration, its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Media type.
    MimeType,
    /// File name.
    FileName,
    /// Logical folder.
    Path,
    /// Program that made the asset.
    Application,
    /// Person who made the asset.
    User,
    /// Free text.
    Description,
}

impl Field {
    /// All of them, in the order people read them.
    pub const ALL: [Self; 6] =
        [Self::MimeType, Self::FileName, Self::Path, Self::Application, Self::User, Self::Description];

    /// Returns its name, as in configurations and golden files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MimeType => "mime_type",
            Self::FileName => "file_name",
            Self::Path => "path",
            Self::Application => "application",
            Self::User => "user",
            Self::Description => "description",
        }
    }

    /// Returns the field of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// Which way an asset goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this host to its peers.
    Push,
    /// From a peer to this host.
    Pull,
}

/// Why an asset is asked about now. Verdicts are kept, so none may depend on this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// It has just been made, changed or offered.
    Live,
    /// It was there before: after a start, a reconnect, or a change of plugins.
    CatchUp,
}

/// Another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id, which its key proves.
    pub id: String,
    /// What it calls itself. Not proved: never decide by it alone.
    pub name: String,
}

/// The circumstances in which an asset is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Name of the library.
    pub library: String,
    /// Which way the asset goes.
    pub direction: Direction,
    /// Why it is asked about now.
    pub occasion: Occasion,
    /// From whom it comes; `None` before a push.
    pub peer: Option<Peer>,
}
