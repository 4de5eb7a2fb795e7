//! Content that is checked while it is handed on.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;

use super::Content;
use super::ContentStream;
use super::ReadError;

impl Content {
    /// Returns the stream of a content opened at its beginning, which never ends well with wrong bytes.
    ///
    /// The last piece is held back until BLAKE3 over the whole is known to be right. Otherwise
    /// [`ReadError::Damaged`] comes in its place. A content opened at another offset cannot be checked and comes as it
    /// is.
    #[must_use]
    pub fn checked(self) -> ContentStream {
        if self.offset != 0 {
            return self.stream;
        }
        let start = Checking { content: Some(self), hasher: blake3::Hasher::new(), seen: 0, held: None };
        stream::unfold(start, |mut checking| async move {
            let piece = checking.next().await?;
            Some((piece, checking))
        })
        .boxed()
    }
}

/// A content on its way, with the piece that is not handed on yet.
struct Checking {
    /// `None` after the end.
    content: Option<Content>,
    hasher: blake3::Hasher,
    seen: u64,
    held: Option<Bytes>,
}

impl Checking {
    async fn next(&mut self) -> Option<Result<Bytes, ReadError>> {
        loop {
            match self.content.as_mut()?.stream.next().await {
                Some(Ok(piece)) => {
                    self.hasher.update(&piece);
                    self.seen += piece.len() as u64;
                    if self.seen > self.content.as_ref()?.key.size {
                        return self.content.take().map(|content| Err(ReadError::Damaged(content.key.id)));
                    }
                    if let Some(ready) = self.held.replace(piece) {
                        return Some(Ok(ready));
                    }
                }
                Some(Err(error)) => {
                    self.content = None;
                    return Some(Err(error));
                }
                None => {
                    let content = self.content.take()?;
                    let sound =
                        self.seen == content.key.size && self.hasher.finalize().as_bytes() == content.digest.as_bytes();
                    return if sound {
                        self.held.take().map(Ok)
                    } else {
                        Some(Err(ReadError::Damaged(content.key.id)))
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::AssetId;
    use crate::asset::AssetKey;
    use crate::asset::ContentDigest;
    use crate::asset::Timestamp;

    fn content(promised: &[u8], pieces: &[&'static [u8]]) -> Content {
        let timestamp = Timestamp::new(1_700_000_000_000).unwrap();
        let key = AssetKey { id: AssetId::from_bytes([7; 32]), timestamp, size: promised.len() as u64 };
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        Content { key, digest: ContentDigest::of(promised), offset: 0, stream: stream::iter(pieces).boxed() }
    }

    #[tokio::test]
    async fn only_the_right_content_ends_well() {
        for (pieces, good) in [
            (vec![&b"hello "[..], b"world"], true),
            (vec![b"hello "], false),
            (vec![b"hello ", b"World"], false),
            (vec![b"hello ", b"world", b"!"], false),
            (vec![], false),
        ] {
            let came: Vec<_> = content(b"hello world", &pieces).checked().collect().await;
            assert_eq!(came.iter().all(Result::is_ok), good, "{pieces:?}");
            let bytes: Vec<u8> = came.into_iter().flatten().flatten().collect();
            assert_eq!(bytes == b"hello world", good, "{pieces:?}");
        }
        assert!(content(b"", &[]).checked().next().await.is_none());
    }
}
