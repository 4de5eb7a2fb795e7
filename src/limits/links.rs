//! What bounds how many other members a host is linked to.

use std::time::Duration;

/// Hosts of a library up to which every one is linked to every other. From one more on each has a few links only.
pub const FULL_MESH_HOSTS: usize = 16;

/// Rings through all hosts of a larger library, each in an order of its own; a host is linked to its two neighbours in
/// each. With three, the library stays in one piece when a good part of its hosts is away, and no two hosts are more
/// than a few hops apart.
pub const LINK_RINGS: u8 = 3;

/// Rings through those that keep and pass on everything, so that these alone hang together.
pub const KEEPER_RINGS: u8 = 2;

/// Hosts that do not keep everything and that one which does serves on each side of it in the first ring of these. A
/// further one reaches it over several hops.
pub const SERVED_PER_SIDE: usize = 10;

/// Links that a host has to others because of the rules above, at most: two for each ring, and those it serves. With the
/// hosts that a person names it may have more.
pub const LINKS_WANTED_MOST: usize = 2 * (LINK_RINGS as usize + KEEPER_RINGS as usize) + 2 * SERVED_PER_SIDE;

/// Links to hosts that keep everything below which none of these is let go.
pub const KEEPER_LINKS: usize = 2;

/// Links that stand at a time and that nothing asks for, together with those that something does. Beyond
/// [`FULL_MESH_HOSTS`] they are let go once they are older than [`LINK_GRACE`], beyond this at once.
pub const LINKS_MOST: usize = 64;

/// Age below which a link that nothing asks for is left alone: by then both ends have heard of the others.
pub const LINK_GRACE: Duration = Duration::from_secs(30);

/// How often it is looked which links are missing and which are too many.
pub const LINKS_LOOKED_AT_EVERY: Duration = Duration::from_secs(5);

/// How long a host is not dialled that has let go of a link because it has enough of them.
pub const LET_GO_PAUSE: Duration = Duration::from_mins(10);

/// Members of a library that are taken into account for links. Further ones are left out until others were not heard of
/// for [`GOSSIP_LIFE_MS`](super::GOSSIP_LIFE_MS).
pub const MEMBERS_KNOWN: usize = 4096;
