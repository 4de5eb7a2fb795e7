//! Frames: a 4-byte big-endian length and one protobuf message. The length is checked before anything is allocated.

use std::io;

use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use iroh::endpoint::ConnectionError;
use iroh::endpoint::SendStream;
use iroh::endpoint::WriteError;
use prost::Message;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;

use super::codec::CodecError;

/// A frame could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The peer ended the stream between two frames.
    #[error("the other host has ended the stream")]
    Ended,
    /// The connection broke.
    #[error("the connection broke")]
    Read(#[source] io::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Write(#[source] Box<WriteError>),
    /// The connection has ended.
    #[error("the connection has ended")]
    Lost(#[source] Box<ConnectionError>),
    /// The peer grants no further stream.
    #[error("the peer lets no further stream be opened")]
    NoStream,
    /// The message makes no sense.
    #[error(transparent)]
    Nonsense(#[from] CodecError),
    /// The frame is longer than allowed.
    #[error("a frame of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// How long it says it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The bytes are no such message.
    #[error("a frame cannot be read")]
    Malformed(#[from] prost::DecodeError),
}

/// Reads one frame of at most `limit` bytes.
pub(super) async fn read<M: Message + Default>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<M, FrameError> {
    let length = read_length(stream).await? as usize;
    let frame = read_bytes(stream, length, limit).await?;
    Ok(M::decode(frame)?)
}

/// Reads the four bytes of a length.
pub(super) async fn read_length(stream: &mut (impl AsyncRead + Unpin)) -> Result<u32, FrameError> {
    let mut length = [0; 4];
    match stream.read(&mut length).await.map_err(FrameError::Read)? {
        0 => return Err(FrameError::Ended),
        read => stream.read_exact(&mut length[read..]).await.map_err(FrameError::Read)?,
    };
    Ok(u32::from_be_bytes(length))
}

/// Reads so many bytes, if they are not more than `limit`.
async fn read_bytes(stream: &mut (impl AsyncRead + Unpin), length: usize, limit: usize) -> Result<Bytes, FrameError> {
    let mut bytes = room(length, limit)?;
    while bytes.len() < length {
        let missing = length - bytes.len();
        read_some(stream, &mut bytes, missing).await?;
    }
    Ok(bytes.freeze())
}

/// Makes room for so many bytes, if they are not more than `limit`. It is not zeroed first: every byte of it is read.
pub(super) fn room(length: usize, limit: usize) -> Result<BytesMut, FrameError> {
    if length > limit { Err(FrameError::TooLong { length, limit }) } else { Ok(BytesMut::with_capacity(length)) }
}

/// Reads at least one and at most so many bytes; returns how many.
///
/// # Cancel safety
/// Nothing is read then.
pub(super) async fn read_some(
    stream: &mut (impl AsyncRead + Unpin),
    into: &mut BytesMut,
    most: usize,
) -> Result<usize, FrameError> {
    match stream.read_buf(&mut into.limit(most)).await.map_err(FrameError::Read)? {
        0 => Err(FrameError::Read(io::ErrorKind::UnexpectedEof.into())),
        read => Ok(read),
    }
}

/// Writes one frame of at most `limit` bytes.
pub(super) async fn write<M: Message>(stream: &mut SendStream, message: &M, limit: usize) -> Result<(), FrameError> {
    let length = message.encoded_len();
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    let mut frame = BytesMut::with_capacity(4 + length);
    frame.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    message.encode(&mut frame).expect("the buffer grows as needed");
    stream.write_chunk(frame.freeze()).await.map_err(|error| FrameError::Write(Box::new(error)))
}
