//! The control connection: greetings, then messages in order.

use iroh::endpoint::Connection;
use iroh::endpoint::RecvStream;
use iroh::endpoint::SendStream;
use iroh::endpoint::VarInt;
use tokio::io::BufReader;

use super::codec;
use super::endpoint::Path;
use super::endpoint::path;
use super::frame;
use super::frame::FrameError;
use super::proof::Link;
use crate::asset::HostId;
use crate::limits;
use crate::proto::peer::v1 as wire;
use crate::sync::Message;

/// What a host says of itself first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Name of the device, for people.
    pub name: String,
    /// Version of the program, for people.
    pub version: String,
    /// Socket addresses at which it can be dialled, as text.
    pub addresses: Vec<String>,
    /// Its relay.
    pub relay: Option<String>,
    /// Its clock, in Unix milliseconds.
    pub now_ms: u64,
}

/// A control connection, greeted.
#[derive(Debug)]
pub struct Control {
    /// Who is on the other side.
    pub peer: HostId,
    /// Whether this side dialled.
    pub dialled: bool,
    /// What the other side says of itself.
    pub greeting: Greeting,
    /// Sends messages.
    pub writer: ControlWriter,
    /// Receives messages.
    pub reader: ControlReader,
}

impl Control {
    /// Exchanges greetings on a fresh control connection.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or the greeting is malformed.
    pub async fn greet(link: Link, own: &Greeting) -> Result<Self, FrameError> {
        let Link { connection, peer, dialled, mut send, mut recv } = link;
        let greeting = wire::Greeting {
            name: own.name.clone(),
            version: own.version.clone(),
            addresses: own.addresses.clone(),
            relay: own.relay.clone(),
            now_ms: own.now_ms,
        };
        frame::write(&mut send, &greeting, limits::GREETING_FRAME_BYTES).await?;
        let theirs: wire::Greeting = frame::read(&mut recv, limits::GREETING_FRAME_BYTES).await?;
        let greeting = Greeting {
            name: theirs.name,
            version: theirs.version,
            addresses: theirs.addresses,
            relay: theirs.relay,
            now_ms: theirs.now_ms,
        };
        let writer = ControlWriter { connection: connection.clone(), send };
        let reader = ControlReader { recv: BufReader::with_capacity(limits::CONTROL_BUFFERED_BYTES, recv) };
        Ok(Self { peer, dialled, greeting, writer, reader })
    }
}

/// The sending half.
#[derive(Debug)]
pub struct ControlWriter {
    connection: Connection,
    send: SendStream,
}

impl ControlWriter {
    /// Sends a message.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn send(&mut self, message: Message) -> Result<(), FrameError> {
        frame::write(&mut self.send, &codec::encode(message), limits::CONTROL_FRAME_BYTES).await
    }

    /// Returns the connection, to look at its path, count its bytes, or close it.
    #[must_use]
    pub fn connection(&self) -> Line {
        Line(self.connection.clone())
    }
}

/// The receiving half.
#[derive(Debug)]
pub struct ControlReader {
    recv: BufReader<RecvStream>,
}

impl ControlReader {
    /// Receives the next message.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or the peer breaks the protocol.
    pub async fn receive(&mut self) -> Result<Message, FrameError> {
        let control = frame::read(&mut self.recv, limits::CONTROL_FRAME_BYTES).await?;
        Ok(codec::decode(control)?)
    }
}

/// A connection, seen from outside its streams.
#[derive(Debug, Clone)]
pub struct Line(pub(super) Connection);

impl Line {
    /// Returns how its packets travel.
    #[must_use]
    pub fn path(&self) -> Option<Path> {
        path(&self.0)
    }

    /// Returns the bytes received and sent, packets' headers included.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let stats = self.0.stats();
        (stats.udp_rx.bytes, stats.udp_tx.bytes)
    }

    /// Closes the connection with a reason for the other side.
    pub fn close(&self, reason: &str) {
        let reason = reason.as_bytes();
        self.0.close(VarInt::from_u32(0), &reason[..reason.len().min(limits::REASON_BYTES)]);
    }

    /// Waits until the connection has ended; returns why, for people.
    pub async fn closed(&self) -> String {
        self.0.closed().await.to_string()
    }
}
