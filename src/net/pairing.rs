//! The connection on which two devices pair: four messages on one stream, of which none is trusted.
//!
//! What the messages say and whether they are right is `auth::pairing`'s; here they only become bytes and back.

use iroh::endpoint::Connection;
use iroh::endpoint::ConnectionError;
use iroh::endpoint::RecvStream;
use iroh::endpoint::SendStream;
use iroh::endpoint::VarInt;

use super::codec::fixed;
use super::frame;
use super::frame::FrameError;
use crate::asset::HostId;
use crate::auth::pairing::Answer;
use crate::auth::pairing::Binding;
use crate::auth::pairing::Confirm;
use crate::auth::pairing::Hello;
use crate::auth::pairing::Welcome;
use crate::limits::PROOF_TIME;
use crate::limits::membership as limits;
use crate::proto::pairing::v1 as wire;

/// What a connection on which devices pair is dialled with.
pub(super) const ALPN: &[u8] = b"/can-sync/pair/1";

/// Label of the keying material that binds a pairing to its connection.
const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL can-sync pairing 1";

/// Code and text with which a pairing ends that came to nothing; the same whatever was wrong.
const REFUSED: (u32, &[u8]) = (3, b"pairing refused");

/// Code and text with which a pairing ends that is done.
const DONE: (u32, &[u8]) = (0, b"paired");

/// A connection on which two devices pair.
#[derive(Debug)]
pub struct PairingStream {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    own: HostId,
    is_joiner: bool,
}

impl PairingStream {
    /// Opens the stream of a connection that the joiner has dialled.
    pub(super) async fn open(connection: Connection, own: HostId) -> Result<Self, FrameError> {
        let (send, recv) = connection.open_bi().await.map_err(|error| FrameError::Lost(Box::new(error)))?;
        Ok(Self { connection, send, recv, own, is_joiner: true })
    }

    /// Waits for the joiner's stream.
    pub(super) async fn accept(connection: Connection, own: HostId) -> Result<Self, FrameError> {
        // A stranger has as long as for a proof.
        let accepting = tokio::time::timeout(PROOF_TIME, connection.accept_bi()).await;
        let (send, recv) = match accepting {
            Ok(opened) => opened.map_err(|error| FrameError::Lost(Box::new(error)))?,
            Err(_) => {
                connection.close(VarInt::from_u32(REFUSED.0), REFUSED.1);
                return Err(FrameError::Ended);
            }
        };
        Ok(Self { connection, send, recv, own, is_joiner: false })
    }

    /// Returns what both ends know of the connection.
    ///
    /// # Errors
    /// [`FrameError::Ended`] when the connection has ended.
    pub fn binding(&self) -> Result<Binding, FrameError> {
        let mut exporter = [0; 32];
        self.connection.export_keying_material(&mut exporter, EXPORTER_LABEL, &[]).map_err(|_| FrameError::Ended)?;
        let other = self.other();
        let (inviter, joiner) = if self.is_joiner { (other, self.own) } else { (self.own, other) };
        Ok(Binding { inviter, joiner, exporter })
    }

    /// Returns who is on the other side.
    #[must_use]
    pub fn other(&self) -> HostId {
        HostId::from_bytes(*self.connection.remote_id().as_bytes())
    }

    /// Sends the first message.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn send_hello(&mut self, hello: &Hello) -> Result<(), FrameError> {
        let hello = wire::Hello { pake: hello.pake.to_vec().into() };
        frame::write(&mut self.send, &hello, limits::PAIRING_MESSAGE_BYTES).await
    }

    /// Receives the first message.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or carries something else.
    pub async fn hello(&mut self) -> Result<Hello, FrameError> {
        let hello: wire::Hello = frame::read(&mut self.recv, limits::PAIRING_MESSAGE_BYTES).await?;
        Ok(Hello { pake: fixed(&hello.pake, "pairing message")? })
    }

    /// Sends the second message.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn send_answer(&mut self, answer: &Answer) -> Result<(), FrameError> {
        let answer = wire::Answer { pake: answer.pake.to_vec().into() };
        frame::write(&mut self.send, &answer, limits::PAIRING_MESSAGE_BYTES).await
    }

    /// Receives the second message.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or carries something else.
    pub async fn answer(&mut self) -> Result<Answer, FrameError> {
        let answer: wire::Answer = frame::read(&mut self.recv, limits::PAIRING_MESSAGE_BYTES).await?;
        Ok(Answer { pake: fixed(&answer.pake, "pairing message")? })
    }

    /// Sends the third message.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks.
    pub async fn send_confirm(&mut self, confirm: &Confirm) -> Result<(), FrameError> {
        let confirm = wire::Confirm { tag: confirm.tag.to_vec().into(), sealed: confirm.sealed.clone().into() };
        frame::write(&mut self.send, &confirm, limits::PAIRING_MESSAGE_BYTES).await
    }

    /// Receives the third message.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or carries something else.
    pub async fn confirm(&mut self) -> Result<Confirm, FrameError> {
        let confirm: wire::Confirm = frame::read(&mut self.recv, limits::PAIRING_MESSAGE_BYTES).await?;
        Ok(Confirm { tag: fixed(&confirm.tag, "pairing tag")?, sealed: confirm.sealed.into() })
    }

    /// Sends the last message, and waits until the joiner has kept what it says.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks, or the joiner does not say that it has.
    pub async fn send_welcome(mut self, welcome: &Welcome) -> Result<(), FrameError> {
        let welcome = wire::Welcome { tag: welcome.tag.to_vec().into(), sealed: welcome.sealed.clone().into() };
        frame::write(&mut self.send, &welcome, limits::WELCOME_BYTES + 128).await?;
        let _ = self.send.finish();
        // The joiner closes once it has read and kept it, or could not.
        match tokio::time::timeout(limits::PAIRING_TIME, self.connection.closed()).await {
            // A process that goes closes with the same number, and without the word.
            Ok(ConnectionError::ApplicationClosed(close))
                if (close.error_code, &*close.reason) == (VarInt::from_u32(DONE.0), DONE.1) =>
            {
                Ok(())
            }
            Ok(ended) => Err(FrameError::Lost(Box::new(ended))),
            Err(_) => {
                self.connection.close(VarInt::from_u32(REFUSED.0), REFUSED.1);
                Err(FrameError::Ended)
            }
        }
    }

    /// Receives the last message.
    ///
    /// # Errors
    /// [`FrameError`] when the connection breaks or carries something else.
    pub async fn welcome(&mut self) -> Result<Welcome, FrameError> {
        let welcome: wire::Welcome = frame::read(&mut self.recv, limits::WELCOME_BYTES + 128).await?;
        Ok(Welcome { tag: fixed(&welcome.tag, "pairing tag")?, sealed: welcome.sealed.into() })
    }

    /// Ends a pairing that is done.
    pub fn finish(self) {
        self.connection.close(VarInt::from_u32(DONE.0), DONE.1);
    }

    /// Ends a pairing that came to nothing.
    pub fn refuse(self) {
        self.connection.close(VarInt::from_u32(REFUSED.0), REFUSED.1);
    }
}
