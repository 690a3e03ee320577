//! The `sshepherd` binary: reads its arguments and hands over to a command.

mod answer;
mod cli;
mod mcp;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
