//! The order of the end.

use super::plugins::Present;
use super::start::Node;
use crate::limits;

impl Node {
    /// Stops the host, in this order: faces, background work, replication (peers are told), plugins, state, store (with the tasks
    /// that follow a CAN Service). Whatever hangs is left behind after [`limits::STOP_TIME`]; what was answered is
    /// durable all the same.
    pub async fn stop(&self) {
        let stopping = async {
            self.faces.shut_down().await;
            self.background.shut_down().await;
            self.engine.stop().await;
            self.judging.shut_down().await;
            if let Present::Asleep(asleep) = &self.plugins {
                asleep.close().await;
            }
            self.state.close().await;
            self.store.close().await;
        };
        if tokio::time::timeout(limits::STOP_TIME, stopping).await.is_err() {
            tracing::warn!("stopping took too long; the rest is left behind");
        }
    }
}
