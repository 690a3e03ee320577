//! The built binary over stdio, driven by rmcp's client in both protocol eras.

mod approvals;
mod bound;
pub(crate) mod client;
mod everything;
mod fan_out;
mod fleet;
mod fleet_hostile;
mod hostile;
mod lifetime;
mod listing;
mod logins;
mod programs;
mod rollouts;
mod shell_ends;
mod shell_hosts;
mod shell_servers;
mod shell_text;
mod shells;
mod surroundings;
mod trouble;
