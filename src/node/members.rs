//! What people ask of the devices and the members: the plain requests of the faces.

use std::time::Duration;

use super::start::Node;
use crate::asset::HostId;
use crate::auth::pairing::PairingCode;
use crate::engine::DeviceError;
use crate::engine::HandError;
use crate::engine::MembersError;
use crate::engine::NamedError;
use crate::engine::PairingStatus;
use crate::engine::RateLimit;
use crate::library::Role;
use crate::library::Ticket;

/// A pairing code, and where the device is that shows it.
#[derive(Debug)]
pub struct Invitation {
    /// The words.
    pub code: PairingCode,
    /// Where this host is.
    pub ticket: Ticket,
}

impl Node {
    /// Finds a device by its id, the beginning of it, or its name.
    ///
    /// # Errors
    /// [`NamedError`] when there is none, or more than one.
    pub fn named(&self, text: &str) -> Result<HostId, NamedError> {
        self.engine.named(text)
    }

    /// Gives a device another name on this host, or its own again.
    ///
    /// # Errors
    /// [`DeviceError`] when the name cannot be shown, or not be kept.
    pub async fn rename_peer(&self, id: HostId, name: Option<String>) -> Result<(), DeviceError> {
        self.engine.rename(id, name).await
    }

    /// Leaves a device alone for a time, or until it is resumed.
    ///
    /// # Errors
    /// [`DeviceError`] when it cannot be kept.
    pub async fn pause_peer(&self, id: HostId, time: Option<Duration>) -> Result<(), DeviceError> {
        self.engine.pause(id, time).await
    }

    /// Takes up a device again that is paused.
    ///
    /// # Errors
    /// [`DeviceError`] when it cannot be kept.
    pub async fn resume_peer(&self, id: HostId) -> Result<(), DeviceError> {
        self.engine.resume(id).await
    }

    /// Limits the bytes of content a second that may go to a device and come from it.
    ///
    /// # Errors
    /// [`DeviceError`] when a rate is too low, or it cannot be kept.
    pub async fn limit_peer(&self, id: HostId, sent: RateLimit, taken: RateLimit) -> Result<(), DeviceError> {
        self.engine.limit(id, sent, taken).await
    }

    /// Says what a device may do in the library.
    ///
    /// # Errors
    /// [`DeviceError`] when it cannot be kept.
    pub async fn set_peer_role(&self, id: HostId, role: Role) -> Result<(), DeviceError> {
        self.engine.set_role(id, role).await
    }

    /// Makes a host a member, and an admin if so asked.
    ///
    /// # Errors
    /// [`MembersError`] when this host may not sign that, or it cannot be kept.
    pub async fn accept_peer(&self, id: HostId, admin: bool) -> Result<(), MembersError> {
        self.engine.accept_member(id, admin).await
    }

    /// From now on only accepted hosts are members; those that stay are accepted.
    ///
    /// # Errors
    /// [`MembersError`] when this host may not sign that, or it cannot be kept.
    pub async fn list_members(&self, staying: Vec<HostId>) -> Result<(), MembersError> {
        self.engine.list_members(staying).await
    }

    /// Removes a host for good, with it those of the leaving that were accepted, and gives the library a new secret. Tells
    /// whether it has that: its history may have no room for the statement.
    ///
    /// # Errors
    /// [`MembersError`] when this host may not sign that, or it cannot be kept.
    pub async fn remove_peer(
        &self,
        id: HostId,
        leaving: Vec<HostId>,
        staying: Vec<HostId>,
    ) -> Result<bool, MembersError> {
        self.engine.remove_member(id, leaving, staying).await
    }

    /// Makes a pairing code in place of the one before.
    ///
    /// # Errors
    /// [`MembersError`] when this host could let nobody in.
    pub fn open_pairing(&self) -> Result<Invitation, MembersError> {
        Ok(Invitation { code: self.engine.open_pairing()?, ticket: self.ticket() })
    }

    /// Closes the pairing code that is open.
    pub fn close_pairing(&self) {
        self.engine.close_pairing();
    }

    /// Returns what became of the pairing code that was made last.
    #[must_use]
    pub fn pairing(&self) -> PairingStatus {
        self.engine.pairing()
    }

    /// Lets everybody go on whom the brake has stopped, and makes the changes that it holds; returns how many.
    ///
    /// # Errors
    /// [`HandError`] when store or state cannot be used.
    pub async fn release_brake(&self) -> Result<u64, HandError> {
        self.engine.release_brake().await
    }

    /// Lets everybody go on whom the brake has stopped, and undoes the changes that it holds; returns how many.
    ///
    /// # Errors
    /// [`HandError`] when store or state cannot be used.
    pub async fn drop_braked(&self) -> Result<u64, HandError> {
        self.engine.drop_braked().await
    }
}
