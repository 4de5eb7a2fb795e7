//! The store that is a CAN Service beside this program, spoken to over HTTP.

pub mod bundle;
pub mod convert;
