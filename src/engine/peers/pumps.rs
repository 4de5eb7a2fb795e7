//! What goes in and out of a connection: messages to the hub, and words of the hub and of gossip to the peer.

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::super::hub::Told;
use super::super::load::Load;
use super::super::members;
use super::super::shared::Shared;
use crate::asset::HostId;
use crate::discovery::Allowance;
use crate::limits;
use crate::net::ControlReader;
use crate::net::ControlWriter;
use crate::net::Word;
use crate::task::random;
use crate::telemetry::causes;

/// Hands messages of a connection to the hub until it ends; returns why it did.
pub(super) async fn read(shared: &Shared, peer: HostId, number: u64, mut reader: ControlReader) -> String {
    let (most, every) = (limits::GOSSIP_NEIGHBOUR_BURST, limits::GOSSIP_NEIGHBOUR_EVERY);
    let mut allowance = Allowance::new(most, every, tokio::time::Instant::now());
    let (most, every) = (limits::membership::SUCCESSIONS_AT_ONCE, limits::membership::SUCCESSION_EVERY);
    let mut successions = Allowance::new(most, every, tokio::time::Instant::now());
    // Told too soon; each tells all that is known, so the latest is enough.
    let mut untold = None;
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let received = {
            let mut receiving = std::pin::pin!(reader.receive());
            loop {
                tokio::select! {
                    received = &mut receiving => break received,
                    _ = looks.tick(), if untold.is_some() => {
                        if successions.take(tokio::time::Instant::now())
                            && let Some(told) = untold.take()
                        {
                            members::hear(shared, peer, told).await;
                        }
                    }
                }
            }
        };
        match received {
            Ok(Word::Message(message)) => shared.tell(Told::Received(peer, number, message)).await,
            Ok(Word::Gossip(what)) => {
                if allowance.take(tokio::time::Instant::now()) {
                    shared.gossip.hear(peer, what);
                }
            }
            Ok(Word::Succession(told)) => {
                if successions.take(tokio::time::Instant::now()) {
                    untold = None;
                    members::hear(shared, peer, told).await;
                } else {
                    untold = Some(told);
                }
            }
            Err(error) => {
                // It may say who is removed, and the peer does not say that again.
                if let Some(told) = untold {
                    members::hear(shared, peer, told).await;
                }
                return causes(&error);
            }
        }
    }
}

/// Sends the words of the hub and of gossip until the connection ends, and tells of the members whenever that is called
/// for.
pub(super) async fn write(
    shared: &Shared,
    peer: HostId,
    (mut writer, waiting): (ControlWriter, &Load),
    mut words: mpsc::Receiver<Word>,
    mut told: mpsc::Receiver<()>,
) {
    loop {
        let word = tokio::select! {
            biased;
            told = told.recv() => {
                if told.is_none() {
                    return;
                }
                let succession = shared.members.circle().succession_for(peer, random);
                // To whom nothing is told the connection ends; where nothing was stated there is nothing to tell.
                if succession.statements.is_empty() {
                    continue;
                }
                Some(Word::Succession(succession))
            }
            word = words.recv() => word,
        };
        let Some(word) = word else { return };
        if let Word::Message(message) = &word {
            waiting.give_back(message.bytes_asked_for());
        }
        if let Err(error) = writer.send(word).await {
            writer.connection().close("sending failed");
            tracing::debug!(error = %causes(&error), "a message could not be sent");
            return;
        }
    }
}
