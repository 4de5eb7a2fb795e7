//! `can-sync` mirrors a content-addressed asset store between machines, peer to peer, encrypted and verified.
//!
//! ```text
//!  6  FACES    cli  config  http         people and programs touch these
//!  5  NODE     node                      builds everything, stops everything, in one readable order
//!  4  ENGINE   engine                    drives replication between store, peers and plugins
//!  3  PORTS    store  state  net  discovery  plugin   each talks to one outside thing
//!  2  RULES    sync  library  auth  hook pure: no runtime, no files, no sockets, no clock
//!  1  WORDS    asset  limits  event  proto  task  telemetry  database
//! ```
//!
//! An arrow may only point down; `tests/arch/` holds the list of those that exist. `docs/architecture.md` is the map.

pub mod asset;
pub mod auth;
pub mod cli;
pub mod config;
pub mod database;
pub mod discovery;
pub mod engine;
pub mod event;
pub mod hook;
pub mod http;
pub mod library;
pub mod limits;
pub mod net;
pub mod node;
pub mod plugin;
pub mod proto;
pub mod state;
pub mod store;
pub mod sync;
pub mod task;
pub mod telemetry;
