//! The engine against a real sshd: the seed's defects by number, and what a stop, a loss and a limit look like.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod audit;
mod durable;
mod executed;
mod granted;
mod handed_on;
mod hosts;
mod output;
mod places;
mod reach;
mod record_of_the_host;
mod silences;
mod site;
mod stop;
