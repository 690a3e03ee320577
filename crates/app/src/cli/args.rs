//! The command line's grammar; what others rely on, so changes here are breaking.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sshepherd_model::Share;

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
    /// List the configured hosts, or trust the key of one
    Hosts {
        /// Only those that this selector takes
        #[arg(long, value_name = "SELECTOR")]
        on: Option<String>,
        #[command(subcommand)]
        what: Option<Hosts>,
    },
    /// Show what would happen to a command, without running it
    Plan(OnHost),
    /// Run a command on one host, or on every host of a tag
    Run(Run),
    /// See, follow and stop tasks, whether or not a server runs
    #[command(subcommand)]
    Tasks(Tasks),
    /// Look at interactive shells: which there are, one's screen as it changes, one's recording
    #[command(subcommand)]
    Shells(Shells),
    /// See and answer what the policy wants a person's yes for
    #[command(subcommand)]
    Approvals(Approvals),
    /// Look at the audit record, and whether it is whole
    #[command(subcommand)]
    Audit(Audit),
    /// Make an inventory from what another tool knows
    #[command(subcommand)]
    Import(Import),
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
    /// Run on every host that this selector takes: '@web and @prod', 'web[01-20]', 'db* minus db3'
    #[arg(long, value_name = "SELECTOR", conflicts_with = "tag")]
    pub(crate) on: Option<String>,
    /// ALIAS COMMAND, or with --tag or --on COMMAND alone
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true, value_name = "ALIAS] [COMMAND")]
    pub(crate) words: Vec<String>,
    /// Print output as it came: escape sequences, invisible characters, secrets and all
    #[arg(long, conflicts_with_all = ["tag", "on"])]
    pub(crate) raw: bool,
    /// With --tag or --on: print each line behind its host's name, in the order of the inventory, in place of hosts with the same
    /// result together
    #[arg(long)]
    pub(crate) per_host: bool,
    #[command(flatten)]
    pub(crate) rollout: RolloutArgs,
    #[command(flatten)]
    pub(crate) surroundings: Surroundings,
}

/// How a run goes over many hosts.
#[derive(Debug, Args)]
pub(crate) struct RolloutArgs {
    /// With --tag or --on: one host alone first
    #[arg(long)]
    pub(crate) canary: bool,
    /// With --tag or --on: hosts at a time, as 10 or 20%; the next batch begins when all of one have answered
    #[arg(long, value_name = "N|N%")]
    pub(crate) batch: Option<Share>,
    /// With --tag or --on: begin no more hosts once so many have failed
    #[arg(long, value_name = "N|N%")]
    pub(crate) stop_after: Option<Share>,
    /// With --tag or --on: after so many seconds stop what runs and begin no more
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) deadline: Option<u64>,
    /// With --tag or --on: a command that must end well on each host of a batch before the next one
    #[arg(long, value_name = "COMMAND")]
    pub(crate) gate: Option<String>,
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

/// What to do about tasks. An ID may be cut short as long as only one task begins like it.
#[derive(Debug, Subcommand)]
pub(crate) enum Tasks {
    /// List tasks, newest first
    List(Listed),
    /// Show where a task is
    Status {
        /// The task
        id: String,
    },
    /// Print a task's output, each stream to its own
    Output(Wanted),
    /// Print the output of a task that has ended, or of the hosts of a fan-out that have, and exit as `run` would have
    Result {
        /// The task
        id: String,
        /// Print it as it came: escape sequences, invisible characters, secrets and all
        #[arg(long)]
        raw: bool,
        /// Of a fan-out: print each line behind its host's name, in the order of the inventory, in place of hosts with the same
        /// result together
        #[arg(long)]
        per_host: bool,
    },
    /// Stop a task and its remote command
    Cancel {
        /// The task
        id: String,
        /// Of a fan-out, only this host: stopped, or never begun
        #[arg(long, value_name = "ALIAS")]
        host: Option<String>,
    },
    /// Begin no more hosts of a fan-out; those at work go on, and so does its deadline
    Pause {
        /// The task
        id: String,
    },
    /// Go on with a fan-out that was paused
    Resume {
        /// The task
        id: String,
    },
}

/// Which tasks to list.
#[derive(Debug, Args)]
pub(crate) struct Listed {
    /// Only tasks in this state; may be repeated
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Vec<String>,
    /// Only tasks of this host
    #[arg(long, value_name = "ALIAS")]
    pub(crate) host: Option<String>,
    /// Most tasks to show
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// Which output to print.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// The task
    pub(crate) id: String,
    /// Go on until the task has ended, and exit as `run` would have
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only this stream
    #[arg(long, value_name = "STREAM", default_value = "both", value_parser = ["both", "stdout", "stderr"])]
    pub(crate) stream: String,
    /// Begin at this byte
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) cursor: u64,
    /// Print it as it came: escape sequences, invisible characters, secrets and all
    #[arg(long)]
    pub(crate) raw: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES", conflicts_with_all = ["follow", "cursor", "stream"])]
    pub(crate) tail: Option<usize>,
}

/// What to look at. An ID may be cut short as long as only one shell begins like it.
#[derive(Debug, Subcommand)]
pub(crate) enum Shells {
    /// List interactive shells, newest first
    List,
    /// Show the screen of a shell and follow it until it ends, without typing into it; Ctrl-C leaves
    Watch {
        /// The shell
        id: String,
    },
    /// Show the recording of a shell
    Replay(Replayed),
}

/// Which recording to show, and how.
#[derive(Debug, Args)]
pub(crate) struct Replayed {
    /// The shell
    pub(crate) id: String,
    /// So many times as fast as it happened
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    pub(crate) speed: f64,
    /// Wait no longer than this where nothing happened
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) idle_limit: Option<f64>,
    /// Print the last screen as plain text instead
    #[arg(long, conflicts_with_all = ["speed", "idle_limit"])]
    pub(crate) text: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    seconds(text)
        .ok()
        .filter(|speed| *speed > 0.0)
        .ok_or_else(|| "must be a number above 0".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "must be a number from 0 on".to_owned())
}

/// What to do about questions. An ID may be cut short to its first 8 characters or more, as long as only one question begins like it.
#[derive(Debug, Subcommand)]
pub(crate) enum Approvals {
    /// List questions, newest first: the open ones, or all of the last day
    List {
        /// Answered and expired ones too
        #[arg(long)]
        all: bool,
    },
    /// Show all of one question
    Show {
        /// The question
        id: String,
    },
    /// Show it, ask, and say yes to exactly that
    Approve {
        /// The question
        id: String,
        /// Do not ask: for scripts that have shown it to somebody
        #[arg(long)]
        yes: bool,
    },
    /// Say no
    Deny {
        /// The question
        id: String,
    },
}

/// What to do about a host.
#[derive(Debug, Subcommand)]
pub(crate) enum Hosts {
    /// Show the fingerprints of a host's keys, and store what you confirm
    Trust(Trust),
}

/// Whose key to trust.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// The host
    pub(crate) alias: String,
    /// Trust the key with this fingerprint without asking, if the host shows it
    #[arg(long, value_name = "SHA256:…")]
    pub(crate) fingerprint: Option<String>,
}

/// What to do with the audit record.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check the chain of records: whole, or the first that is not right; exit 1 when it is not
    Verify {
        /// The file [default: audit.path of sshepherd.yml]; those that were put aside for it belong to it
        file: Option<PathBuf>,
        /// Number of the first record, where older files were taken away on purpose
        #[arg(long, value_name = "N", default_value_t = 1)]
        from: u64,
        /// Compare with these checkpoints [default: audit.checkpoints.file, if FILE is not given]
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
    },
    /// Print records, oldest first
    Show(Shown),
}

/// Which records to print.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// The file [default: audit.path of sshepherd.yml]
    pub(crate) file: Option<PathBuf>,
    /// Only of this host
    #[arg(long, value_name = "ALIAS")]
    pub(crate) host: Option<String>,
    /// Only of this task; an id may be cut short
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// Only decisions of this kind
    #[arg(long, value_name = "DECISION", value_parser = ["allow", "ask", "deny"])]
    pub(crate) decision: Option<String>,
    /// Only records of this kind
    #[arg(long, value_name = "KIND", value_parser = ["decision", "execution_start", "execution_end", "cancel_request", "pause_request", "resume_request", "approval", "reload", "host_trusted", "shell_opened", "shell_input", "shell_secret", "shell_ended", "audit_tampered"])]
    pub(crate) event: Option<String>,
    /// Only from this time on, as 2026-11-20 or 2026-11-20T10:00:00.000Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only the last so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// The record that the chain begins with, where older files were put elsewhere
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) from: u64,
    /// Then go on with new records as they are written; with --json one record a line
    #[arg(long)]
    pub(crate) follow: bool,
}

/// What to make an inventory from.
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// An OpenSSH client configuration: prints servers.yml and credentials.yml to look over
    SshConfig {
        /// The file [default: ~/.ssh/config]
        file: Option<PathBuf>,
        /// Write them into the configuration folder, which must not have them yet
        #[arg(long)]
        write: bool,
        /// Let ssh read the file even if it is not yours alone: it runs the commands of its Match exec lines
        #[arg(long)]
        yes: bool,
    },
    /// An Ansible inventory in INI or YAML, with group_vars and host_vars, or what ansible-inventory --list prints: prints servers.yml and credentials.yml to look over
    Ansible {
        /// The file, or a folder of such files
        path: PathBuf,
        /// Write them into the configuration folder, which must not have them yet
        #[arg(long)]
        write: bool,
    },
}

/// Policy tools.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Judge every case of a JSONL corpus; exit 1 on any mismatch
    Test {
        /// A file of {"command": …, "expect": "allow"|"ask"|"deny", "why": …}, one a line
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
    /// Propose rules for what was denied, from the audit record or a list, for a person to review
    Suggest {
        /// A file of commands, one a line, instead of the audit record (which holds them with `audit: {commands: true}`)
        #[arg(long, value_name = "FILE")]
        commands: Option<PathBuf>,
        /// Only what was denied on this host
        #[arg(long, value_name = "ALIAS")]
        host: Option<String>,
    },
    /// List the ready-made rule packs, or print one
    Packs {
        /// The pack to print
        name: Option<String>,
    },
}
