//! What members tell each other of the members, as it travels; and the exchange of it on a connection that ends then.

use iroh::endpoint::RecvStream;
use iroh::endpoint::SendStream;

use super::codec::CodecError;
use super::codec::fixed;
use super::frame;
use super::frame::FrameError;
use crate::asset::HostId;
use crate::auth::members::SealedSecret;
use crate::auth::members::Statement;
use crate::auth::members::Succession;
use crate::limits::membership as limits;
use crate::proto::peer::v1 as wire;

/// What the other side of a connection told of the members, because it uses another secret of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Who is on the other side.
    pub peer: HostId,
    /// Whether this host is behind: the other holds the secret that is used here, and uses a later one.
    pub is_behind: bool,
    /// What it told; empty when it does not take this host for a member, or nothing was stated that it knows of.
    pub succession: Succession,
}

pub(super) fn encode(succession: &Succession) -> wire::Succession {
    let secret = |(epoch, sealed): &(u64, SealedSecret)| wire::SealedSecret {
        epoch: *epoch,
        sealed: sealed.as_bytes().to_vec().into(),
    };
    wire::Succession {
        statements: succession.statements.iter().map(|statement| statement.as_bytes().to_vec().into()).collect(),
        secrets: succession.secrets.iter().map(secret).collect(),
    }
}

pub(super) fn decode(succession: wire::Succession) -> Result<Succession, CodecError> {
    let wire::Succession { statements, secrets } = succession;
    if statements.len() > crate::limits::membership::STATEMENTS || secrets.len() > limits::SECRETS_HANDED {
        return Err(CodecError::Field("number of statements"));
    }
    let statement = |bytes: bytes::Bytes| Statement::decode(&bytes).map_err(|_| CodecError::Field("statement"));
    let secret = |secret: wire::SealedSecret| {
        let sealed = SealedSecret::from_bytes(fixed(&secret.sealed, "sealed secret")?);
        Ok((secret.epoch, sealed))
    };
    Ok(Succession {
        statements: statements.into_iter().map(statement).collect::<Result<_, _>>()?,
        secrets: secrets.into_iter().map(secret).collect::<Result<_, CodecError>>()?,
    })
}

/// Tells the other side, and hears what it tells; the dialler speaks first, so that neither waits on a full window.
pub(super) async fn exchange(
    send: &mut SendStream,
    recv: &mut RecvStream,
    own: &Succession,
    dialled: bool,
) -> Result<Succession, FrameError> {
    if dialled {
        frame::write(send, &encode(own), limits::SUCCESSION_BYTES).await?;
    }
    let theirs: wire::Succession = frame::read(recv, limits::SUCCESSION_BYTES).await?;
    if !dialled {
        frame::write(send, &encode(own), limits::SUCCESSION_BYTES).await?;
    }
    Ok(decode(theirs)?)
}
