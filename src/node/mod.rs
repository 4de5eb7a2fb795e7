//! A host as a whole: builds everything, stops everything, and answers the plain requests of the faces.
//!
//! It names no face: HTTP services are handed to it boxed, and it starts and stops them with the rest. Called by `cli`
//! and `http`. `start` is the order of construction, `stop` the order of the end; both are meant to be read.

mod data_folder;
mod discovery;
mod doctor;
mod hand;
mod join;
mod members;
mod plugins;
mod start;
mod status;
mod stop;
mod ticket_files;
mod verify;

pub use crate::sync::BrakeLimits;
pub use data_folder::{DataFolder, DataFolderError};
pub use discovery::DiscoveryOptions;
pub use discovery::Pkarr;
pub use doctor::{Finding, Severity};
pub use join::{JoinError, JoinOptions, Joined, join};
pub use members::Invitation;
pub use plugins::PluginOptions;
pub use start::{Node, Options, Service, StartError, StoreOptions};
pub use status::{NodeStatus, SourceStatus, StoreStatus};
pub use verify::{Verified, VerifyStep, Which};
