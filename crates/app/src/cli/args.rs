//! The command line's grammar; what others rely on, so changes here are breaking.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Governed SSH for AI agents: runs what the owner's policy allows, and says why it does not run the rest.
#[derive(Debug, Parser)]
#[command(name = "sshepherd", version, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Default, Args)]
pub(crate) struct Global {
    /// Configuration folder [default: $SSHEPHERD_CONFIG_DIR, $MCP_SSH_CONFIG_DIR, ~/.config/sshepherd]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// Keys folder [default: $SSHEPHERD_KEYS_DIR, $MCP_SSH_KEYS_DIR, keys/ in the configuration folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// Secrets folder [default: $SSHEPHERD_SECRETS_DIR, $MCP_SSH_SECRETS_DIR, secrets/ in the configuration folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
    /// State folder [default: $SSHEPHERD_STATE_DIR, ~/.local/state/sshepherd]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Print one JSON document on stdout; what is for people goes to stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the product at work on fake hosts in this process; needs nothing
    Demo {
        /// Keep the fake hosts up and speak MCP on stdio against them
        #[arg(long)]
        serve: bool,
    },
    /// Speak MCP over stdio
    Serve,
    /// Write a commented starter configuration
    Init,
    /// List the configured hosts
    Hosts,
    /// Show what would happen to a command, without running it
    Plan(OnHost),
    /// Run a command on one host, or on every host of a tag
    Run(Run),
    /// Work on the policy
    #[command(subcommand)]
    Policy(Policy),
    /// Check the whole configuration: every problem with file and line
    Check {
        /// Then log in to every host
        #[arg(long)]
        connect: bool,
    },
}

/// A command for one host.
#[derive(Debug, Args)]
pub(crate) struct OnHost {
    /// The host's alias
    pub(crate) alias: String,
    /// The command: one quoted text, or several words that are taken as they are
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) surroundings: Surroundings,
}

/// A command for one host or a tag.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Run on every host that carries this tag
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// ALIAS COMMAND, or with --tag COMMAND alone
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true, value_name = "ALIAS] [COMMAND")]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) surroundings: Surroundings,
}

/// Where and with what a command runs; each part must be granted by the policy.
#[derive(Debug, Args)]
pub(crate) struct Surroundings {
    /// Working folder on the host
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Environment variable, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Give this process's standard input to the command
    #[arg(long)]
    pub(crate) stdin: bool,
}

/// Policy tools.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Judge every case of a JSONL corpus; exit 1 on any mismatch
    Test {
        /// A file of {"command": …, "expect": "allow"|"deny", "why": …}, one a line
        #[arg(long, value_name = "FILE.jsonl")]
        cases: PathBuf,
        /// Judge for this host instead of the first one
        #[arg(long, value_name = "ALIAS")]
        host: Option<String>,
    },
    /// Show how a command is parsed and which rule decides each part; contacts nothing
    Explain(OnHost),
    /// Point at rules that admit more than they seem to
    Lint,
}
