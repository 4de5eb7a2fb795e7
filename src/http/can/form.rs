//! The metadata fields of an ingest, under the names of the API.

use axum::extract::multipart::Field;

use super::json::split_tags;
use super::upload::refused;
use crate::asset::Changes;
use crate::asset::HostId;
use crate::asset::InvalidMetadata;
use crate::asset::LocalDocument;
use crate::asset::names;
use crate::asset::validate_changes;
use crate::asset::validate_document;
use crate::http::Failure;
use crate::http::body::Ahead;
use crate::limits;
use crate::store::Edit;
use crate::store::can_service::convert::TEXTS;

/// What came with an ingest beside the content.
#[derive(Debug, Default)]
pub(super) struct Given {
    changes: Changes,
    has_mime_type: bool,
    /// The file name, once one was given.
    pub(super) file_name: Option<String>,
}

impl Given {
    /// Takes a field by its name in the API; tells whether there is such a field. An empty text is no value.
    pub(super) fn take(&mut self, name: &str, text: &str) -> bool {
        let changes = std::mem::take(&mut self.changes);
        if name == "tags" {
            self.changes = split_tags(text).iter().fold(changes, |changes, tag| changes.add_tag(tag));
            return true;
        }
        let field = TEXTS.iter().find(|(wire, _)| *wire == name).map(|(_, field)| *field);
        self.changes = match field {
            Some(field) if !text.is_empty() => {
                self.has_mime_type |= field == names::MIME_TYPE;
                if field == names::FILE_NAME {
                    self.file_name = Some(text.to_owned());
                }
                changes.set(field, text)
            }
            _ => changes,
        };
        field.is_some()
    }

    /// Adds tags one by one.
    pub(super) fn take_tags(&mut self, tags: &[String]) {
        let changes = std::mem::take(&mut self.changes);
        self.changes = tags.iter().fold(changes, |changes, tag| changes.add_tag(tag));
    }

    /// Returns the edit of an ingest: seen for the first time, or joined with what is there.
    ///
    /// `mime_type` is what the asset gets when none was given and none is there.
    ///
    /// # Errors
    /// [`InvalidMetadata`] names the limit that is broken.
    pub(super) fn into_edit(self, mime_type: &str, now_ms: u64, host: HostId) -> Result<Edit, InvalidMetadata> {
        validate_changes(&self.changes)?;
        let given = self.changes;
        let seen = if self.has_mime_type { given.clone() } else { given.clone().set(names::MIME_TYPE, mime_type) };
        let mut document = LocalDocument::default();
        document.see(&seen);
        validate_document(document.shared())?;
        Ok(Box::new(move |document| {
            if document.is_empty() {
                document.see(&seen);
            } else {
                document.change(&given, now_ms, host);
            }
        }))
    }
}

/// Guesses the media type from a file name.
pub(super) fn mime_type_of(file_name: Option<&str>) -> String {
    let guess = file_name.and_then(|name| mime_guess::from_path(name).first_raw());
    guess.unwrap_or("application/octet-stream").to_owned()
}

/// Reads a text field of a form; one longer than any document is refused before it is read whole.
pub(super) async fn text(field: &mut Field<'_>, ahead: &Ahead) -> Result<String, Failure> {
    let mut text = Vec::new();
    let name = field.name().unwrap_or_default().to_owned();
    while let Some(piece) = field.chunk().await.map_err(|error| refused(&error))? {
        ahead.handed_on();
        let limit = limits::DOCUMENT_BYTES;
        if text.len() + piece.len() > limit {
            return Err(Failure::bad_request(format!("the field {name} has more than the limit of {limit} bytes")));
        }
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).map_err(|_| Failure::bad_request(format!("the field {name} is not UTF-8")))
}
