//! Rows without files, for benches and tests of an index far larger than one would write files for.

use super::index::Index;
use super::readers;
use super::store::EmbeddedStore;
use super::text;
use crate::asset::AssetKey;
use crate::asset::ContentDigest;
use crate::asset::LocalDocument;
use crate::limits;
use crate::store::Arrival;
use crate::store::Origin;
use crate::store::Presence;
use crate::store::Record;
use crate::store::WriteError;

impl EmbeddedStore {
    /// Takes in assets as if their contents were flat files already, in one commit. Opening one finds it missing.
    ///
    /// # Errors
    /// [`WriteError`] when they could not be made durable.
    #[doc(hidden)]
    pub async fn adopt_rows(&self, rows: Vec<(AssetKey, LocalDocument)>) -> Result<(), WriteError> {
        let write = move |index: &mut Index<'_>| {
            rows.into_iter().try_for_each(|(key, document)| {
                let (content, presence) = (ContentDigest::of(key.id.as_bytes()), Presence::Here);
                let record = Record { key, content, document, origin: Origin::Here, presence, arrival: Arrival(0) };
                index.adopt(record, "")
            })
        };
        self.inner.writer.run(limits::COMMIT_BYTES, write).await
    }

    /// Waits until the index of text knows all rows.
    ///
    /// # Errors
    /// [`WriteError`] when the index cannot be used.
    #[doc(hidden)]
    pub async fn index_all_texts(&self) -> Result<(), WriteError> {
        let is_behind = |connection: &rusqlite::Connection| text::is_behind(connection).map_err(readers::index);
        while self.inner.read(is_behind).await? {
            self.inner.writer.run(0, |index| index.index_texts(limits::WRITE_BACK_ROWS)).await?;
        }
        Ok(())
    }
}
