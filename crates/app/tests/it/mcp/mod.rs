//! The built binary over stdio, driven by rmcp's client in both protocol eras.

mod approvals;
pub(crate) mod client;
mod everything;
mod fleet;
mod hostile;
mod lifetime;
mod listing;
mod logins;
mod programs;
mod shells;
mod surroundings;
