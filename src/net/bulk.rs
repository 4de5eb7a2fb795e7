//! Bulk connections: the side that dialled sends wants, the other sends content, many back to back.

use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use iroh::endpoint::Connection;
use iroh::endpoint::RecvStream;
use iroh::endpoint::SendStream;
use prost::Message;
use tokio::io::BufReader;

use super::codec;
use super::codec::CodecError;
use super::control::Line;
use super::frame;
use super::frame::FrameError;
use super::proof::Link;
use crate::asset::AssetId;
use crate::limits;
use crate::proto::peer::v1 as wire;

/// Length that says that the sender cannot go on with a content.
const BROKEN_OFF: u32 = u32::MAX;

impl Link {
    /// Turns the link's own stream into the first lane of a bulk connection that this side dialled.
    #[must_use]
    pub fn into_lane(self) -> (Line, WantWriter, WantReader) {
        (Line(self.connection), WantWriter::new(self.send), WantReader::new(self.recv))
    }

    /// Serves a bulk connection that the other side dialled.
    #[must_use]
    pub fn into_server(self) -> BulkServer {
        BulkServer { connection: self.connection, first: Some((self.send, self.recv)) }
    }
}

impl Line {
    /// Opens a further lane.
    ///
    /// # Errors
    /// [`FrameError::Lost`] when the connection has ended, [`FrameError::NoStream`] when the peer grants none within
    /// [`limits::DIAL_TIME`].
    pub async fn open_lane(&self) -> Result<(WantWriter, WantReader), FrameError> {
        let opened = tokio::time::timeout(limits::DIAL_TIME, self.0.open_bi()).await;
        let opened = opened.map_err(|_| FrameError::NoStream)?;
        let (send, recv) = opened.map_err(|error| FrameError::Lost(Box::new(error)))?;
        Ok((WantWriter::new(send), WantReader::new(recv)))
    }

    /// Serves the lanes that the other side opens on this connection.
    #[must_use]
    pub fn server(&self) -> BulkServer {
        BulkServer { connection: self.0.clone(), first: None }
    }
}

/// Sends wants. They are gathered until [`flush`](Self::flush).
#[derive(Debug)]
pub struct WantWriter {
    out: Gathered,
}

impl WantWriter {
    fn new(send: SendStream) -> Self {
        Self { out: Gathered::new(send) }
    }

    /// Asks for the content of an asset from an offset on. Replies come in the order of the wants.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn want(&mut self, id: &AssetId, offset: u64) -> Result<(), FrameError> {
        self.out.frame(&wire::Want { id: id.as_bytes().to_vec().into(), offset }).await
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        self.out.flush().await
    }
}

/// Small writes to a stream, which share packets.
#[derive(Debug)]
struct Gathered {
    send: SendStream,
    waiting: BytesMut,
}

impl Gathered {
    fn new(send: SendStream) -> Self {
        Self { send, waiting: BytesMut::new() }
    }

    async fn frame(&mut self, message: &impl Message) -> Result<(), FrameError> {
        self.waiting.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
        message.encode(&mut self.waiting).expect("the buffer grows as needed");
        self.flush_if_full().await
    }

    async fn flush(&mut self) -> Result<(), FrameError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = self.waiting.split().freeze();
        self.send.write_chunk(waiting).await.map_err(|error| FrameError::Write(Box::new(error)))
    }

    async fn flush_if_full(&mut self) -> Result<(), FrameError> {
        if self.waiting.len() < limits::GATHERED_BYTES { Ok(()) } else { self.flush().await }
    }
}

/// How the reply to a want begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Pieces of this asset follow, from this offset.
    Content(AssetId, u64),
    /// The peer does not pass it on, or does not know it. Nothing follows.
    NotHere(AssetId),
}

/// What follows a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// The content is whole.
    End,
    /// The peer cannot go on with this content.
    BrokenOff,
}

/// Receives content.
#[derive(Debug)]
pub struct WantReader {
    recv: BufReader<RecvStream>,
    /// What has come of the present piece, and how many bytes of it have not.
    part: BytesMut,
    missing: usize,
}

impl WantReader {
    fn new(recv: RecvStream) -> Self {
        let recv = BufReader::with_capacity(limits::GATHERED_BYTES, recv);
        Self { recv, part: BytesMut::new(), missing: 0 }
    }

    /// Tells whether more has come already.
    #[must_use]
    pub fn is_buffered(&self) -> bool {
        !self.recv.buffer().is_empty()
    }

    /// Receives the head of the next reply.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or the peer breaks the protocol.
    pub async fn head(&mut self) -> Result<Head, FrameError> {
        use wire::record::Kind;
        let record: wire::Record = frame::read(&mut self.recv, limits::WANT_FRAME_BYTES).await?;
        let id = AssetId::from_bytes(codec::fixed(&record.id, "asset id")?);
        match record.kind() {
            Kind::Content => Ok(Head::Content(id, record.offset)),
            Kind::NotHere => Ok(Head::NotHere(id)),
            Kind::Unspecified => Err(CodecError::Field("kind of record").into()),
        }
    }

    /// Receives the next piece of the present content, at most [`limits::CONTENT_CHUNK_BYTES`] long, or what
    /// [`part`](Self::part) has left of it.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or a piece is too long.
    ///
    /// # Cancel safety
    /// Once its length is known, what has come of a piece stays. Before that the reader is not to be used again.
    pub async fn piece(&mut self) -> Result<Piece, FrameError> {
        if self.missing == 0 {
            let length = match frame::read_length(&mut self.recv).await? {
                0 => return Ok(Piece::End),
                BROKEN_OFF => return Ok(Piece::BrokenOff),
                length => length as usize,
            };
            self.part = frame::room(length, limits::CONTENT_CHUNK_BYTES)?;
            self.missing = length;
        }
        while self.missing > 0 {
            self.missing -= frame::read_some(&mut self.recv, &mut self.part, self.missing).await?;
        }
        Ok(Piece::Bytes(self.part.split().freeze()))
    }

    /// Takes what has come of the present piece; `None` when nothing has.
    pub fn part(&mut self) -> Option<Bytes> {
        (!self.part.is_empty()).then(|| self.part.split().freeze())
    }
}

/// The side of a bulk connection that has the content.
#[derive(Debug)]
pub struct BulkServer {
    connection: Connection,
    first: Option<(SendStream, RecvStream)>,
}

impl BulkServer {
    /// Returns the connection, seen from outside its streams.
    #[must_use]
    pub fn line(&self) -> Line {
        Line(self.connection.clone())
    }

    /// Waits for the next lane the other side opens; `None` when the connection has ended.
    pub async fn next_lane(&mut self) -> Option<ServedLane> {
        let (send, recv) = match self.first.take() {
            Some(first) => first,
            None => self.connection.accept_bi().await.ok()?,
        };
        let recv = BufReader::with_capacity(limits::WANTS_BUFFERED_BYTES, recv);
        Some(ServedLane { wants: Wants { recv }, records: Records { out: Gathered::new(send) } })
    }
}

/// One lane, seen from the side that has the content.
#[derive(Debug)]
pub struct ServedLane {
    /// What is asked for.
    pub wants: Wants,
    /// What is answered.
    pub records: Records,
}

/// The wants of a lane.
#[derive(Debug)]
pub struct Wants {
    recv: BufReader<RecvStream>,
}

impl Wants {
    /// Receives the next want: an asset, and the offset from which its content is wanted.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or the peer breaks the protocol.
    pub async fn next(&mut self) -> Result<(AssetId, u64), FrameError> {
        let want: wire::Want = frame::read(&mut self.recv, limits::WANT_FRAME_BYTES).await?;
        Ok((AssetId::from_bytes(codec::fixed(&want.id, "asset id")?), want.offset))
    }
}

/// The answers of a lane. Small writes are gathered until [`flush`](Self::flush).
#[derive(Debug)]
pub struct Records {
    out: Gathered,
}

impl Records {
    /// Begins a reply.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn head(&mut self, head: Head) -> Result<(), FrameError> {
        use wire::record::Kind;
        let (id, kind, offset) = match head {
            Head::Content(id, offset) => (id, Kind::Content, offset),
            Head::NotHere(id) => (id, Kind::NotHere, 0),
        };
        self.out.frame(&wire::Record { id: id.as_bytes().to_vec().into(), kind: kind.into(), offset }).await
    }

    /// Goes on with a content, at most [`limits::CONTENT_CHUNK_BYTES`] at a time.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn piece(&mut self, piece: Bytes) -> Result<(), FrameError> {
        if piece.is_empty() {
            return Ok(());
        }
        let out = &mut self.out;
        out.waiting.put_u32(u32::try_from(piece.len()).expect("a piece is below 4 GiB"));
        if piece.len() < limits::GATHERED_BYTES {
            out.waiting.extend_from_slice(&piece);
            return out.flush_if_full().await;
        }
        out.flush().await?;
        out.send.write_chunk(piece).await.map_err(|error| FrameError::Write(Box::new(error)))
    }

    /// Ends a content: whole, or broken off.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn end(&mut self, whole: bool) -> Result<(), FrameError> {
        self.out.waiting.put_u32(if whole { 0 } else { BROKEN_OFF });
        self.out.flush_if_full().await
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        self.out.flush().await
    }
}
