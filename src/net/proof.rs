//! The proof of membership that every connection begins with, before a byte of set data moves.
//!
//! The dialler sends first; the acceptor checks, and only then answers, else it closes. Whoever is unknown, has another
//! secret or breaks the form gets the same answer.

use iroh::endpoint::Connection;
use iroh::endpoint::RecvStream;
use iroh::endpoint::SendStream;
use iroh::endpoint::VarInt;

use super::frame;
use super::frame::FrameError;
use crate::asset::HostId;
use crate::auth::Proof;
use crate::auth::ProofKey;
use crate::auth::Role;
use crate::limits;
use crate::proto::peer::v1 as wire;

/// Label of the keying material that binds a proof to its connection.
const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL can-sync proof 1";

/// Code and text with which a connection is closed that has proved nothing; the same whatever was wrong.
const NOT_A_MEMBER: (u32, &[u8]) = (1, b"not a member");

/// What members of a library can prove.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The key derived for proofs.
    pub key: ProofKey,
    /// Name of the library.
    pub library: String,
    /// Epoch of the library's secret.
    pub epoch: u64,
}

/// The other side has not proved its membership.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It did not in time.
    #[error("no proof of membership within {} s", limits::PROOF_TIME.as_secs())]
    Late,
    /// It sent something else, or closed the connection, as a host with another secret does.
    #[error("the other side does not prove the same secret; check that `sync_passphrase` is the same on both hosts")]
    Wrong,
    /// A frame could not be exchanged.
    #[error("no proof of membership")]
    Frame(#[from] FrameError),
    /// The connection broke.
    #[error("the connection broke before the proof")]
    Connection(#[from] Box<iroh::endpoint::ConnectionError>),
}

/// A connection whose other side is a member, and its first stream.
#[derive(Debug)]
pub struct Link {
    /// The connection.
    pub connection: Connection,
    /// Who is on the other side.
    pub peer: HostId,
    /// Whether this side dialled.
    pub dialled: bool,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
}

/// Proves this host's membership on a connection it dialled, and checks the other side's proof.
pub(super) async fn prove(connection: Connection, own: HostId, membership: &Membership) -> Result<Link, ProofError> {
    let exchanged = tokio::time::timeout(limits::PROOF_TIME, async {
        let peer = HostId::from_bytes(*connection.remote_id().as_bytes());
        let exporter = exporter(&connection)?;
        let proof = proof(membership, &exporter, own, peer);
        let (mut send, mut recv) = connection.open_bi().await.map_err(Box::new)?;
        let tag = proof.tag(Role::Dialler).to_vec().into();
        frame::write(&mut send, &wire::Proof { tag }, limits::PROOF_FRAME_BYTES).await?;
        // An acceptor with another secret closes here.
        let answer: wire::Proof =
            frame::read(&mut recv, limits::PROOF_FRAME_BYTES).await.map_err(|_| ProofError::Wrong)?;
        check(&proof, Role::Acceptor, &answer)?;
        Ok((peer, send, recv))
    });
    finish(connection.clone(), true, exchanged.await.unwrap_or(Err(ProofError::Late)))
}

/// Checks the proof of a connection that came in, and only then proves this host's membership.
pub(super) async fn check_and_prove(
    connection: Connection,
    own: HostId,
    membership: &Membership,
) -> Result<Link, ProofError> {
    let exchanged = tokio::time::timeout(limits::PROOF_TIME, async {
        let peer = HostId::from_bytes(*connection.remote_id().as_bytes());
        let exporter = exporter(&connection)?;
        let proof = proof(membership, &exporter, peer, own);
        let (mut send, mut recv) = connection.accept_bi().await.map_err(Box::new)?;
        let shown: wire::Proof = frame::read(&mut recv, limits::PROOF_FRAME_BYTES).await?;
        check(&proof, Role::Dialler, &shown)?;
        let tag = proof.tag(Role::Acceptor).to_vec().into();
        frame::write(&mut send, &wire::Proof { tag }, limits::PROOF_FRAME_BYTES).await?;
        Ok((peer, send, recv))
    });
    finish(connection.clone(), false, exchanged.await.unwrap_or(Err(ProofError::Late)))
}

fn finish(
    connection: Connection,
    dialled: bool,
    exchanged: Result<(HostId, SendStream, RecvStream), ProofError>,
) -> Result<Link, ProofError> {
    match exchanged {
        Ok((peer, send, recv)) => {
            connection.set_receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW_BYTES));
            connection.set_max_concurrent_bi_streams(VarInt::from_u32(limits::STREAMS));
            Ok(Link { connection, peer, dialled, send, recv })
        }
        Err(error) => {
            connection.close(VarInt::from_u32(NOT_A_MEMBER.0), NOT_A_MEMBER.1);
            Err(error)
        }
    }
}

fn exporter(connection: &Connection) -> Result<[u8; 32], ProofError> {
    let mut material = [0; 32];
    connection.export_keying_material(&mut material, EXPORTER_LABEL, &[]).map_err(|_| ProofError::Wrong)?;
    Ok(material)
}

fn proof<'a>(membership: &'a Membership, exporter: &'a [u8; 32], dialler: HostId, acceptor: HostId) -> Proof<'a> {
    let Membership { key, library, epoch } = membership;
    Proof { key, library, epoch: *epoch, exporter, dialler, acceptor }
}

fn check(proof: &Proof<'_>, role: Role, shown: &wire::Proof) -> Result<(), ProofError> {
    let tag: Result<&[u8; 32], _> = shown.tag.as_ref().try_into();
    if tag.is_ok_and(|tag| proof.is_proved_by(role, tag)) { Ok(()) } else { Err(ProofError::Wrong) }
}
