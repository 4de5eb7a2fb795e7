//! The proof of membership that every connection begins with, before a byte of set data moves.
//!
//! The dialler sends first; the acceptor checks, and only then answers, else it closes. Whoever is unknown, was removed,
//! has another secret or breaks the form gets the same answer.
//!
//! A library's secret may have been replaced while a member was away. So the dialler also shows tags with the secrets of
//! before; where the latest common secret is not the current one of both sides, they tell each other of the members, and
//! the connection ends.

use iroh::endpoint::Connection;
use iroh::endpoint::RecvStream;
use iroh::endpoint::SendStream;
use iroh::endpoint::VarInt;

use super::control;
use super::frame;
use super::frame::FrameError;
use super::succession;
use super::succession::Moved;
use crate::asset::HostId;
use crate::auth::Keys;
use crate::auth::Proof;
use crate::auth::Role;
use crate::auth::members::Circle;
use crate::auth::members::Standing;
use crate::limits;
use crate::proto::peer::v1 as wire;
use crate::proto::peer::v1::proof::Next;
use crate::task::random;

/// Label of the keying material that binds a proof to its connection.
const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL can-sync proof 1";

/// Code and text with which a connection is closed on which members told each other of a new secret.
const MOVED_ON: (u32, &[u8]) = (2, b"the library has moved on");

/// Code and text with which a connection is closed that has proved nothing; the same whatever was wrong.
const NOT_A_MEMBER: (u32, &[u8]) = (1, b"not a member");

/// The other side has not proved its membership.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It did not in time.
    #[error("no proof of membership within {} s", limits::PROOF_TIME.as_secs())]
    Late,
    /// It sent something else, or closed the connection as a host with another secret does.
    #[error(
        "the other side does not prove the same secret; check that `sync_passphrase` is the same on both hosts; \
             where the library has moved on, this device has to be paired again (`can-sync pair`)"
    )]
    Wrong,
    /// A person has paused this host there.
    #[error(
        "this host is paused there; it goes on after `can-sync peers resume` on that device, or when its time is over"
    )]
    Paused,
    /// It was removed from the library.
    #[error("it was removed from the library, and is left alone")]
    Removed,
    /// One side has yet to accept the other.
    #[error("one of the hosts waits to be accepted by an admin (`can-sync peers accept`)")]
    Pending,
    /// It uses another secret of the library; what it told of the members is to be taken in.
    #[error("it uses another secret of the library")]
    Moved(Box<Moved>),
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
    /// Whether one side has yet to be accepted by the other: they greet each other, and the connection ends.
    pub pending: bool,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
}

/// Proves this host's membership on a connection it dialled, and checks the other side's proof.
pub(super) async fn prove(connection: Connection, own: HostId, circle: &Circle) -> Result<Link, ProofError> {
    let peer = peer(&connection);
    let exchanged = tokio::time::timeout(limits::PROOF_TIME, async {
        if circle.standing(peer) == Standing::Removed {
            return Err(ProofError::Removed);
        }
        let exporter = exporter(&connection)?;
        let proof = |epoch, keys| proof(circle.library(), epoch, keys, &exporter, own, peer);
        let current = proof(circle.epoch(), circle.keys());
        let older: Vec<Proof<'_>> = circle.older().map(|(epoch, keys)| proof(epoch, keys)).collect();
        let (mut send, mut recv) = connection.open_bi().await.map_err(Box::new)?;
        let tag = |proof: &Proof<'_>| proof.tag(Role::Dialler).to_vec().into();
        let shown = wire::Proof { tag: tag(&current), older: older.iter().map(tag).collect(), next: 0 };
        frame::write(&mut send, &shown, limits::PROOF_FRAME_BYTES).await?;
        // An acceptor with another secret closes here; one that has paused this host closes right after its answer, which
        // is gone then. Where the connection ends otherwise, nothing is known of its secret.
        let answer = frame::read(&mut recv, limits::PROOF_FRAME_BYTES).await;
        let answer: wire::Proof = match answer {
            Ok(answer) => answer,
            Err(error) => {
                // The end of the stream may come a moment before that of the connection, which says why.
                let _ = tokio::time::timeout(limits::PENDING_GRACE, connection.closed()).await;
                return Err(match control::code_of(&connection) {
                    Some(control::PAUSED) => ProofError::Paused,
                    Some(code) if code == VarInt::from_u32(NOT_A_MEMBER.0) => ProofError::Wrong,
                    _ => ProofError::Frame(error),
                });
            }
        };
        let next = answer.next();
        let is_shown = |proof: &Proof<'_>| is_proved(proof, Role::Acceptor, &answer.tag);
        let pending = match (is_shown(&current), next) {
            (true, Next::Unspecified) => circle.standing(peer) == Standing::Pending,
            (true, Next::Pending) => true,
            // Of the secrets that both hold it is the latest, so the acceptor has a later one.
            (true, Next::Succession) => return Ok(Outcome::Moved(send, recv, true)),
            (false, Next::Succession) if older.iter().any(is_shown) => return Ok(Outcome::Moved(send, recv, false)),
            (false, _) => return Err(ProofError::Wrong),
        };
        Ok(Outcome::Member(send, recv, pending))
    });
    let outcome = exchanged.await.unwrap_or(Err(ProofError::Late));
    finish(connection, peer, true, circle, outcome).await
}

/// Checks the proof of a connection that came in, and only then proves this host's membership.
pub(super) async fn check_and_prove(connection: Connection, own: HostId, circle: &Circle) -> Result<Link, ProofError> {
    let peer = peer(&connection);
    let exchanged = tokio::time::timeout(limits::PROOF_TIME, async {
        let exporter = exporter(&connection)?;
        let proof = |epoch, keys| proof(circle.library(), epoch, keys, &exporter, peer, own);
        let (mut send, mut recv) = connection.accept_bi().await.map_err(Box::new)?;
        let shown: wire::Proof = frame::read(&mut recv, limits::PROOF_FRAME_BYTES).await?;
        let current = proof(circle.epoch(), circle.keys());
        let older: Vec<Proof<'_>> = circle.older().map(|(epoch, keys)| proof(epoch, keys)).collect();
        let is_first = |proof: &Proof<'_>| is_proved(proof, Role::Dialler, &shown.tag);
        let is_older = |proof: &Proof<'_>| shown.older.iter().any(|tag| is_proved(proof, Role::Dialler, tag));
        // The latest secret that both hold. All are tried, so that the time tells nothing of which one fits.
        let fits: Vec<bool> =
            std::iter::once(&current).chain(&older).map(|proof| is_first(proof) | is_older(proof)).collect();
        let is_behind = fits[0];
        let common = std::iter::once(&current).chain(&older).zip(fits).find(|(_, fits)| *fits);
        let (common, _) = common.ok_or(ProofError::Wrong)?;
        let standing = circle.standing(peer);
        let next = match standing {
            // Whoever was removed gets the answer of a stranger.
            Standing::Removed => return Err(ProofError::Wrong),
            _ if !is_first(&current) => Next::Succession,
            Standing::Pending => Next::Pending,
            Standing::Member { .. } => Next::Unspecified,
        };
        let tag = common.tag(Role::Acceptor).to_vec().into();
        let answer = wire::Proof { tag, older: Vec::new(), next: next.into() };
        frame::write(&mut send, &answer, limits::PROOF_FRAME_BYTES).await?;
        Ok(match next {
            Next::Succession => Outcome::Moved(send, recv, is_behind),
            _ => Outcome::Member(send, recv, next == Next::Pending),
        })
    });
    let outcome = exchanged.await.unwrap_or(Err(ProofError::Late));
    finish(connection, peer, false, circle, outcome).await
}

/// What both proofs came to.
enum Outcome {
    /// Both use the same secret; whether one side waits to be accepted.
    Member(SendStream, RecvStream, bool),
    /// They use different secrets of the library; whether the other side's is the later one.
    Moved(SendStream, RecvStream, bool),
}

async fn finish(
    connection: Connection,
    peer: HostId,
    dialled: bool,
    circle: &Circle,
    outcome: Result<Outcome, ProofError>,
) -> Result<Link, ProofError> {
    match outcome {
        Ok(Outcome::Member(send, recv, pending)) => {
            connection.set_receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW_BYTES));
            connection.set_max_concurrent_bi_streams(VarInt::from_u32(limits::STREAMS));
            Ok(Link { connection, peer, dialled, pending, send, recv })
        }
        Ok(Outcome::Moved(mut send, mut recv, is_behind)) => {
            connection.set_receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW_BYTES));
            let own = circle.succession_for(peer, random);
            let exchanged = succession::exchange(&mut send, &mut recv, &own, dialled);
            let theirs = tokio::time::timeout(limits::PROOF_TIME, exchanged).await.map_err(|_| ProofError::Late);
            if !dialled {
                // The dialler closes once it has read what was sent.
                let _ = tokio::time::timeout(limits::PROOF_TIME, connection.closed()).await;
            }
            connection.close(VarInt::from_u32(MOVED_ON.0), MOVED_ON.1);
            Err(ProofError::Moved(Box::new(Moved { peer, is_behind, succession: theirs?? })))
        }
        Err(error) => {
            connection.close(VarInt::from_u32(NOT_A_MEMBER.0), NOT_A_MEMBER.1);
            Err(error)
        }
    }
}

fn peer(connection: &Connection) -> HostId {
    HostId::from_bytes(*connection.remote_id().as_bytes())
}

fn exporter(connection: &Connection) -> Result<[u8; 32], ProofError> {
    let mut material = [0; 32];
    connection.export_keying_material(&mut material, EXPORTER_LABEL, &[]).map_err(|_| ProofError::Wrong)?;
    Ok(material)
}

fn proof<'a>(
    library: &'a str,
    epoch: u64,
    keys: &'a Keys,
    exporter: &'a [u8; 32],
    dialler: HostId,
    acceptor: HostId,
) -> Proof<'a> {
    Proof { key: &keys.proof, library, epoch, exporter, dialler, acceptor }
}

fn is_proved(proof: &Proof<'_>, role: Role, tag: &[u8]) -> bool {
    <&[u8; 32]>::try_from(tag).is_ok_and(|tag| proof.is_proved_by(role, tag))
}
