//! Whole folders: the seed's as it is, a broken one with every problem in its place, files that others may write.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod admitted;
mod adversary;
mod ansible;
mod broken;
mod connection;
mod dynamic;
mod examples;
mod folder;
mod gaps;
mod jumps;
mod keyring;
mod logins;
mod packs;
mod safety;
mod seed;
mod shapes;
mod slips;
mod starter;
mod terminals;
mod traced;
mod unusable;
mod wiped;
