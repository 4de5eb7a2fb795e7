//! Bundles of assets as they travel through the sync API, read and written without holding a content.
//!
//! A bundle is the protobuf message `can.v1.Bundle`. Heads (all but the content) are ordinary messages; contents pass
//! piece by piece. Used by the client of a CAN Service and by the face that serves one.

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use futures_util::Stream;
use futures_util::StreamExt;
use prost::Message;
use prost::encoding::WireType;
use prost::encoding::decode_varint;
use prost::encoding::encode_key;
use prost::encoding::encode_varint;
use prost::encoding::encoded_len_varint;
use prost::encoding::key_len;

use crate::limits;
use crate::proto::can::v1::Asset;

const ASSETS: u32 = 1;
const COUNT: u32 = 2;
const CONTENT: u32 = 15;

/// Longest varint.
const VARINT_BYTES: usize = 10;

/// A bundle could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It ended in the middle.
    #[error("the bundle was cut off")]
    Cut,
    /// It is no bundle.
    #[error("the bundle is malformed: {0}")]
    Malformed(&'static str),
    /// The head of an asset is too large.
    #[error("an asset of the bundle has more than {limit} bytes of metadata")]
    TooLarge {
        /// How many it may have.
        limit: usize,
    },
    /// The head of an asset cannot be decoded.
    #[error("an asset of the bundle cannot be decoded")]
    Head(#[from] prost::DecodeError),
    /// The bytes stopped coming.
    #[error("the bundle could not be received")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Writes what comes before the content of an asset, or the whole asset when there is no content.
#[must_use]
pub fn begin_asset(head: &Asset, content: Option<u64>) -> Bytes {
    debug_assert!(head.content.is_none(), "the content follows by itself");
    let head_len = head.encoded_len();
    let tail_len = content.map_or(0, |size| (key_len(CONTENT) + encoded_len_varint(size)) as u64 + size);
    let mut out = BytesMut::with_capacity(head_len + 3 * VARINT_BYTES);
    encode_key(ASSETS, WireType::LengthDelimited, &mut out);
    encode_varint(head_len as u64 + tail_len, &mut out);
    head.encode_raw(&mut out);
    if let Some(size) = content {
        encode_key(CONTENT, WireType::LengthDelimited, &mut out);
        encode_varint(size, &mut out);
    }
    out.freeze()
}

/// Writes the end of a bundle of `count` assets.
#[must_use]
pub fn end(count: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(2 * VARINT_BYTES);
    encode_key(COUNT, WireType::Varint, &mut out);
    encode_varint(u64::from(count), &mut out);
    out.freeze()
}

/// One asset of a bundle: all but its content.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The asset; its content is `None`.
    pub asset: Asset,
    /// Length of the content that follows, when one does.
    pub content: Option<u64>,
}

/// Reads a bundle from a stream of bytes cut anywhere.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    buffer: BytesMut,
    /// Bytes taken from the buffer, contents left aside.
    taken: u64,
    /// Bytes of the present content that were not handed out.
    content_left: u64,
    assets: u32,
    counted: bool,
}

impl<S, E> Reader<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Starts at the beginning of a bundle.
    #[must_use]
    pub fn new(source: S) -> Self {
        Self { source, buffer: BytesMut::new(), taken: 0, content_left: 0, assets: 0, counted: false }
    }

    /// Returns the next asset, after what is left of the content of the one before; `None` at the end.
    ///
    /// # Errors
    /// [`BundleError`] when the bundle is cut, malformed, or an asset has too large a head.
    ///
    /// # Cancel safety
    /// Not safe: a cancelled call loses its place.
    pub async fn next(&mut self) -> Result<Option<Head>, BundleError> {
        while self.content().await?.is_some() {}
        loop {
            if self.buffer.is_empty() && !self.fill().await? {
                return if self.counted { Ok(None) } else { Err(BundleError::Cut) };
            }
            match self.key().await? {
                (COUNT, WireType::Varint) => {
                    if self.varint().await? != u64::from(self.assets) {
                        return Err(BundleError::Malformed("the count is wrong"));
                    }
                    self.counted = true;
                }
                _ if self.counted => return Err(BundleError::Malformed("it goes on behind the count")),
                (ASSETS, WireType::LengthDelimited) => {
                    self.assets = self.assets.checked_add(1).ok_or(BundleError::Malformed("too many assets"))?;
                    let length = self.varint().await?;
                    return self.head(length).await.map(Some);
                }
                (_, wire_type) => {
                    let mut unknown = BytesMut::new();
                    self.take_field(wire_type, u64::MAX, &mut unknown).await?;
                }
            }
        }
    }

    /// Returns the next piece of the present content; `None` when all of it was returned.
    ///
    /// # Errors
    /// [`BundleError::Cut`] when it ends early.
    ///
    /// # Cancel safety
    /// Safe: a piece is either returned or still to come.
    pub async fn content(&mut self) -> Result<Option<Bytes>, BundleError> {
        if self.content_left == 0 {
            return Ok(None);
        }
        if self.buffer.is_empty() && !self.fill().await? {
            return Err(BundleError::Cut);
        }
        let most = self.buffer.len().min(limits::CONTENT_CHUNK_BYTES);
        let length = usize::try_from(self.content_left).map_or(most, |left| left.min(most));
        self.content_left -= length as u64;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Reads an asset of `length` bytes up to its content.
    async fn head(&mut self, length: u64) -> Result<Head, BundleError> {
        let start = self.taken;
        let left = |taken: u64| length.checked_sub(taken - start).ok_or(BundleError::Malformed("a length is wrong"));
        let mut head = BytesMut::new();
        let mut content = None;
        while left(self.taken)? > 0 {
            let (tag, wire_type) = self.key().await?;
            if (tag, wire_type) == (CONTENT, WireType::LengthDelimited) {
                let size = self.varint().await?;
                if left(self.taken)? != size {
                    return Err(BundleError::Malformed("the content is not the last field"));
                }
                content = Some(size);
                self.content_left = size;
                break;
            }
            // Many fields of nothing are much, too.
            if head.len() > limits::BUNDLE_HEAD_BYTES {
                return Err(BundleError::TooLarge { limit: limits::BUNDLE_HEAD_BYTES });
            }
            encode_key(tag, wire_type, &mut head);
            let most = left(self.taken)?;
            self.take_field(wire_type, most, &mut head).await?;
        }
        Ok(Head { asset: Asset::decode(head.freeze())?, content })
    }

    /// Moves the value of a field to `out`, as it is; `most` bytes are left for it.
    async fn take_field(&mut self, wire_type: WireType, most: u64, out: &mut BytesMut) -> Result<(), BundleError> {
        let length = match wire_type {
            WireType::Varint => {
                let value = self.varint().await?;
                encode_varint(value, out);
                return Ok(());
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => {
                let length = self.varint().await?;
                encode_varint(length, out);
                length
            }
            WireType::StartGroup | WireType::EndGroup => return Err(BundleError::Malformed("groups are not used")),
        };
        if length > most {
            return Err(BundleError::Malformed("a length is wrong"));
        }
        let limit = limits::BUNDLE_HEAD_BYTES;
        let room = limit.saturating_sub(out.len());
        let length = usize::try_from(length).ok().filter(|length| *length <= room);
        let length = length.ok_or(BundleError::TooLarge { limit })?;
        while self.buffer.len() < length {
            if !self.fill().await? {
                return Err(BundleError::Cut);
            }
        }
        out.extend_from_slice(&self.buffer.split_to(length));
        self.taken += length as u64;
        Ok(())
    }

    async fn key(&mut self) -> Result<(u32, WireType), BundleError> {
        let key = self.varint().await?;
        let malformed = BundleError::Malformed("a field has no valid number");
        let Ok(key) = u32::try_from(key) else { return Err(malformed) };
        let wire_type = WireType::try_from(u64::from(key & 7))?;
        if key >> 3 == 0 { Err(malformed) } else { Ok((key >> 3, wire_type)) }
    }

    /// Reads a varint in its shortest form, so that its length is known from its value.
    async fn varint(&mut self) -> Result<u64, BundleError> {
        loop {
            let end = self.buffer.iter().take(VARINT_BYTES).position(|byte| *byte < 0x80);
            if let Some(end) = end {
                let mut bytes = &self.buffer[..=end];
                let value = decode_varint(&mut bytes)?;
                if encoded_len_varint(value) != end + 1 {
                    return Err(BundleError::Malformed("a number is longer than it needs to be"));
                }
                self.buffer.advance(end + 1);
                self.taken += end as u64 + 1;
                return Ok(value);
            }
            if self.buffer.len() >= VARINT_BYTES {
                return Err(BundleError::Malformed("a number has no end"));
            }
            if !self.fill().await? {
                return Err(BundleError::Cut);
            }
        }
    }

    /// Adds the next bytes of the source to the buffer; `false` at its end.
    async fn fill(&mut self) -> Result<bool, BundleError> {
        loop {
            match self.source.next().await {
                None => return Ok(false),
                Some(Err(error)) => return Err(BundleError::Source(error.into())),
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    if self.buffer.is_empty() {
                        self.buffer = BytesMut::from(bytes);
                    } else {
                        self.buffer.extend_from_slice(&bytes);
                    }
                    return Ok(true);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
