//! Which relay helps two hosts that do not reach each other directly.

/// Which relays carry what cannot go direct; what may go over one is the [policy](super::RelayPolicy)'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relay {
    /// iroh's public ones, with its public look-up of addresses.
    Public,
    /// None, and no service or look-up outside.
    Off,
    /// One's own, by its URL, and no look-up outside.
    Own(String),
}
