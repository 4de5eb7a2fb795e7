//! In which direction a host takes part in a library.

use std::fmt;
use std::str::FromStr;

/// What a host does in a library. Assets and changes of their metadata go the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It sends what it has and takes what others have.
    #[default]
    Mirror,
    /// It sends and takes nothing: a camera, a scanner.
    SendOnly,
    /// It takes and sends nothing: a picture frame, a backup.
    ReceiveOnly,
}

/// What may go between this host and a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Whether anything may be offered and sent to the peer.
    pub send: bool,
    /// Whether anything may be taken from the peer.
    pub take: bool,
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a role is `mirror`, `send-only` or `receive-only`")]
pub struct ParseRoleError;

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Mirror, Self::SendOnly, Self::ReceiveOnly];

    /// Tells whether a host of this role sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::Mirror | Self::SendOnly)
    }

    /// Tells whether a host of this role takes.
    #[must_use]
    pub const fn takes(self) -> bool {
        matches!(self, Self::Mirror | Self::ReceiveOnly)
    }

    /// Returns the name, as it is configured and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::SendOnly => "send-only",
            Self::ReceiveOnly => "receive-only",
        }
    }
}

impl Flow {
    /// Returns what may go when this host has one role and the peer the other. Each host enforces it by itself, so a
    /// peer that breaks its role, or was told another, gets and leaves nothing that it should not.
    #[must_use]
    pub const fn between(own: Role, peer: Role) -> Self {
        Self { send: own.sends() && peer.takes(), take: own.takes() && peer.sends() }
    }

    /// Returns what may go by both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { send: self.send && other.send, take: self.take && other.take }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, ParseRoleError> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(ParseRoleError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_between_two_roles() {
        use Role::Mirror;
        use Role::ReceiveOnly;
        use Role::SendOnly;
        for (own, peer, send, take) in [
            (Mirror, Mirror, true, true),
            (Mirror, SendOnly, false, true),
            (Mirror, ReceiveOnly, true, false),
            (SendOnly, Mirror, true, false),
            (SendOnly, SendOnly, false, false),
            (SendOnly, ReceiveOnly, true, false),
            (ReceiveOnly, Mirror, false, true),
            (ReceiveOnly, SendOnly, false, true),
            (ReceiveOnly, ReceiveOnly, false, false),
        ] {
            assert_eq!(Flow::between(own, peer), Flow { send, take }, "{own} and {peer}");
            let there = Flow::between(peer, own);
            assert_eq!((there.take, there.send), (send, take), "both sides agree on {own} and {peer}");
        }
    }

    #[test]
    fn roles_read_back() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!(format!("{:13}|", Role::Mirror), "mirror       |");
        assert_eq!("Mirror".parse::<Role>(), Err(ParseRoleError));
        assert_eq!(Role::default(), Role::Mirror);
    }
}
