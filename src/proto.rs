//! The generated wire types, one inner module per protobuf package and version.
//!
//! They are used at the edge only (`net`, `discovery`, `store::can_service`, `http`) and turned into plain words there.

#![allow(missing_docs, clippy::pedantic, unreachable_pub, reason = "the code is generated")]

/// What travels between hosts.
pub mod peer {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/cansync.peer.v1.rs"));
    }
}

/// What two devices say to each other while they pair.
pub mod pairing {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/cansync.pairing.v1.rs"));
    }
}

/// What members announce to each other.
pub mod gossip {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/cansync.gossip.v1.rs"));
    }
}

/// What members leave at rendezvous slots.
pub mod rendezvous {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/cansync.rendezvous.v1.rs"));
    }
}

/// The sync API of the CAN Service.
pub mod can {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/can.v1.rs"));
    }
}
