//! The control connection: greetings, then messages in order.

use bytes::Bytes;
use iroh::endpoint::Connection;
use iroh::endpoint::ConnectionError;
use iroh::endpoint::RecvStream;
use iroh::endpoint::SendStream;
use iroh::endpoint::VarInt;
use tokio::io::BufReader;

use super::codec;
use super::codec::CodecError;
use super::codec::fixed;
use super::endpoint::Path;
use super::endpoint::path;
use super::frame;
use super::frame::FrameError;
use super::proof::Link;
use crate::asset::HostId;
use crate::auth::members::Succession;
use crate::library::RelayPolicy;
use crate::library::Role;
use crate::limits;
use crate::proto::peer::v1 as wire;
use crate::sync::Message;

/// Code with which a connection is closed that its host has enough others beside.
const ENOUGH_LINKS: VarInt = VarInt::from_u32(4);

/// Code with which a connection to a member is closed that a person has paused.
pub(super) const PAUSED: VarInt = VarInt::from_u32(5);

/// What a host says of itself first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// What it does in the library.
    pub role: Role,
    /// What it lets the receiver do.
    pub your_role: Role,
    /// Digest of what it knows of the members; `None` when nothing was ever stated.
    pub members: Option<[u8; 32]>,
    /// Kind of device, for people.
    pub kind: String,
    /// What it lets travel over a relay.
    pub relay_policy: RelayPolicy,
    /// Whether it takes in and passes on every asset; `None` when it says nothing of that, and speaks no gossip.
    pub keeps_everything: Option<bool>,
}

/// What a control connection carries after the greetings.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// A message about sets.
    Message(Message),
    /// A message about where members are.
    Gossip(Gossip),
    /// Who belongs to the library.
    Succession(Succession),
}

/// What travels from member to member about where members are. Whoever hears it checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gossip {
    /// A message of the gossip protocol.
    Protocol(Bytes),
    /// A sealed announcement, told directly.
    Announcement(Bytes),
}

impl From<Message> for Word {
    fn from(message: Message) -> Self {
        Self::Message(message)
    }
}

/// A control connection, greeted.
#[derive(Debug)]
pub struct Control {
    /// Who is on the other side.
    pub peer: HostId,
    /// Whether this side dialled.
    pub dialled: bool,
    /// Whether one side has yet to be accepted by the other.
    pub pending: bool,
    /// What the other side says of itself.
    pub greeting: Greeting,
    /// Sends words.
    pub writer: ControlWriter,
    /// Receives words.
    pub reader: ControlReader,
}

impl Control {
    /// Exchanges greetings on a fresh control connection.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or the greeting is malformed.
    pub async fn greet(link: Link, own: &Greeting) -> Result<Self, FrameError> {
        let Link { connection, peer, dialled, pending, mut send, mut recv } = link;
        frame::write(&mut send, &encode_greeting(own), limits::GREETING_FRAME_BYTES).await?;
        let theirs: wire::Greeting = frame::read(&mut recv, limits::GREETING_FRAME_BYTES).await?;
        let greeting = decode_greeting(theirs)?;
        let writer = ControlWriter { connection: connection.clone(), send };
        let reader = ControlReader { recv: BufReader::with_capacity(limits::CONTROL_BUFFERED_BYTES, recv) };
        Ok(Self { peer, dialled, pending, greeting, writer, reader })
    }
}

/// The sending half.
#[derive(Debug)]
pub struct ControlWriter {
    connection: Connection,
    send: SendStream,
}

impl ControlWriter {
    /// Sends a word.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn send(&mut self, word: impl Into<Word>) -> Result<(), FrameError> {
        frame::write(&mut self.send, &codec::encode(word.into()), limits::CONTROL_FRAME_BYTES).await
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
    /// Receives the next word.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or the peer breaks the protocol.
    pub async fn receive(&mut self) -> Result<Word, FrameError> {
        let control = frame::read(&mut self.recv, limits::CONTROL_FRAME_BYTES).await?;
        Ok(codec::decode(control)?)
    }
}

fn encode_greeting(greeting: &Greeting) -> wire::Greeting {
    wire::Greeting {
        name: greeting.name.clone(),
        version: greeting.version.clone(),
        addresses: greeting.addresses.clone(),
        relay: greeting.relay.clone(),
        now_ms: greeting.now_ms,
        keeps_everything: greeting.keeps_everything,
        role: encode_role(greeting.role).into(),
        your_role: encode_role(greeting.your_role).into(),
        members: greeting.members.map_or_else(bytes::Bytes::new, |digest| digest.to_vec().into()),
        kind: greeting.kind.clone(),
        relay_policy: match greeting.relay_policy {
            RelayPolicy::Allow => wire::RelayPolicy::Unspecified,
            RelayPolicy::SmallOnly => wire::RelayPolicy::SmallOnly,
            RelayPolicy::Never => wire::RelayPolicy::Never,
        }
        .into(),
    }
}

fn decode_greeting(greeting: wire::Greeting) -> Result<Greeting, CodecError> {
    let members = (!greeting.members.is_empty()).then(|| fixed(&greeting.members, "digest of the members"));
    Ok(Greeting {
        role: decode_role(greeting.role()),
        your_role: decode_role(greeting.your_role()),
        members: members.transpose()?,
        relay_policy: match greeting.relay_policy() {
            wire::RelayPolicy::Unspecified => RelayPolicy::Allow,
            wire::RelayPolicy::SmallOnly => RelayPolicy::SmallOnly,
            wire::RelayPolicy::Never => RelayPolicy::Never,
        },
        name: greeting.name,
        version: greeting.version,
        addresses: greeting.addresses,
        relay: greeting.relay,
        now_ms: greeting.now_ms,
        kind: greeting.kind,
        keeps_everything: greeting.keeps_everything,
    })
}

const fn encode_role(role: Role) -> wire::Role {
    match role {
        Role::Mirror => wire::Role::Unspecified,
        Role::SendOnly => wire::Role::SendOnly,
        Role::ReceiveOnly => wire::Role::ReceiveOnly,
    }
}

const fn decode_role(role: wire::Role) -> Role {
    match role {
        wire::Role::Unspecified => Role::Mirror,
        wire::Role::SendOnly => Role::SendOnly,
        wire::Role::ReceiveOnly => Role::ReceiveOnly,
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

    /// Waits until nothing has come on the connection for so long that it must be dead: what is alive has its keep-alives
    /// answered.
    pub async fn falls_silent(&self) {
        let (mut before, mut silent) = (self.bytes().0, 0);
        // Looks are counted, and not the time: of that there may be much between two of them on a machine that slept.
        while silent < limits::SILENT_LOOKS {
            tokio::time::sleep(limits::KEEP_ALIVE).await;
            let now = self.bytes().0;
            silent = if now == before { silent + 1 } else { 0 };
            before = now;
        }
    }

    /// Closes the connection with a reason for the other side.
    pub fn close(&self, reason: &str) {
        let reason = reason.as_bytes();
        self.0.close(VarInt::from_u32(0), &reason[..reason.len().min(limits::REASON_BYTES)]);
    }

    /// Closes the connection because this host has enough others, so that the other side leaves it at that.
    pub fn let_go(&self) {
        self.0.close(ENOUGH_LINKS, b"this host has enough links to other members");
    }

    /// Closes the connection because a person has paused the other side, so that it can tell its own people.
    pub fn pause(&self) {
        self.0.close(PAUSED, b"it is paused here");
    }

    /// Tells whether the connection has ended, from whichever side.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.close_reason().is_some()
    }

    /// Tells whether the other side has closed the connection because it has enough others.
    #[must_use]
    pub fn was_let_go(&self) -> bool {
        code_of(&self.0) == Some(ENOUGH_LINKS)
    }

    /// Tells whether the other side has closed the connection because this host is paused there.
    #[must_use]
    pub fn was_paused(&self) -> bool {
        code_of(&self.0) == Some(PAUSED)
    }

    /// Returns why the other side has closed the connection, for people; `None` when it has not. What it says is for
    /// whoever shows it to check.
    #[must_use]
    pub fn closed_there(&self) -> Option<String> {
        let Some(ConnectionError::ApplicationClosed(close)) = self.0.close_reason() else { return None };
        Some(match &*String::from_utf8_lossy(&close.reason) {
            "" => "the other host has stopped, or closed the connection".to_owned(),
            reason => format!("closed there: {reason}"),
        })
    }

    /// Tells whether this is the same connection as another.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.stable_id() == other.0.stable_id()
    }

    /// Waits until the connection has ended; returns why, for people.
    pub async fn closed(&self) -> String {
        self.0.closed().await.to_string()
    }
}

/// Returns the code with which the other side has closed a connection, if it has.
pub(super) fn code_of(connection: &iroh::endpoint::Connection) -> Option<VarInt> {
    match connection.close_reason() {
        Some(ConnectionError::ApplicationClosed(close)) => Some(close.error_code),
        _ => None,
    }
}
