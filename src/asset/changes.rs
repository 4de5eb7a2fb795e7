//! A wish to change metadata: by a person, or as the edit of a plugin.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Value;
use super::names;

/// Fields to set, clear, add or remove; at most one wish per field, the last one counts. A clone shares them: the edit of
/// a plugin is part of its step, of the answer, of what is remembered and of what is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(
    /// `None` without a wish, as most are that are made: nothing is allocated for those.
    Option<Arc<BTreeMap<String, Value>>>,
);

impl Changes {
    /// Starts without any wish.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a text field.
    #[must_use]
    pub fn set(mut self, field: &str, text: impl Into<String>) -> Self {
        self.wish(field.to_owned(), Value::Text(text.into()));
        self
    }

    /// Sets a text field when there is a text, else leaves it alone.
    #[must_use]
    pub fn set_some(self, field: &str, text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => self.set(field, text),
            None => self,
        }
    }

    /// Clears a text field.
    #[must_use]
    pub fn clear(mut self, field: &str) -> Self {
        self.wish(field.to_owned(), Value::Absent);
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn add_tag(mut self, tag: &str) -> Self {
        self.wish(names::tag(tag), Value::Text(String::new()));
        self
    }

    /// Removes a tag.
    #[must_use]
    pub fn remove_tag(mut self, tag: &str) -> Self {
        self.wish(names::tag(tag), Value::Absent);
        self
    }

    /// Moves the asset to the trash, or back.
    #[must_use]
    pub fn trashed(mut self, trashed: bool) -> Self {
        self.wish(names::TRASHED.to_owned(), Value::flag(trashed));
        self
    }

    /// Takes in later wishes, which count more.
    pub fn extend(&mut self, later: Self) {
        match (&mut self.0, later.0) {
            (_, None) => {}
            (Some(wishes), Some(later)) => Arc::make_mut(wishes).extend(Arc::unwrap_or_clone(later)),
            (none, later) => *none = later,
        }
    }

    /// Counts the fields there is a wish for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |wishes| wishes.len())
    }

    /// Tells whether there is no wish.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Goes through the wishes in the order of field names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().flat_map(|wishes| wishes.iter()).map(|(name, value)| (name.as_str(), value))
    }

    fn wish(&mut self, field: String, value: Value) {
        Arc::make_mut(self.0.get_or_insert_default()).insert(field, value);
    }
}

impl FromIterator<(String, Value)> for Changes {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(wishes: I) -> Self {
        let wishes: BTreeMap<_, _> = wishes.into_iter().collect();
        Self((!wishes.is_empty()).then(|| Arc::new(wishes)))
    }
}
