//! The one road from a request to a host.
//!
//! [`Engine`] is the handle that every face (MCP, command line) holds. Its product is one function,
//! [`pipeline`]: judge → (ask) → plan → audit → record → run. Rooms: [`approval`] (asking a person first), [`clearance`] (what a fan-out needs before anything starts), [`seal`] (digests of what was asked), [`gate`] (how much at once), [`config`] (what the owner allowed, swapped whole),
//! [`plan`] (the only value that can be run; made from a permit), [`resolve`] (names to judged addresses),
//! [`runner`] (one command from connect to outcome), [`job`] (the same for one that outlives this server), [`start`] and [`places`] (where its start may be sent),
//! [`watch`] (following a command that was sent), [`recover`] (tasks of servers that are gone), [`take_up`] (those that a command line asks about), [`live`] (the commands under way), [`fan_out`] (many hosts), [`roll`] (batch after batch), [`group`] (the
//! same as one task), [`roster`] (what it has written down), [`rosters`] (what has been read of it), [`wish`] (pausing it, leaving hosts out), [`turns`] (who is next), [`warm`] (connections made beforehand),
//! [`task`] (asking about tasks), [`shell`](mod@shell) (interactive shells), [`screened`] (their output as it may be read), [`trust`] (a person stores a host's key), [`event`] (what happened, for those who listen), [`refusal`] (why nothing ran).
//!
//! This is the only crate that sees policy, transport, store and audit at once. It knows no YAML, no MCP, no
//! terminal.

mod approval;
mod clearance;
mod config;
mod engine;
mod errand;
mod event;
mod fan_out;
mod gate;
mod group;
mod hole;
mod host_keys;
mod job;
mod live;
mod pipeline;
mod places;
mod plan;
mod pursuit;
mod record;
mod recover;
mod refusal;
mod resolve;
mod roll;
mod roster;
mod rosters;
mod runner;
mod screened;
mod seal;
mod shell;
mod start;
mod take_up;
mod task;
mod trust;
mod turns;
mod usable;
mod warm;
mod watch;
mod wish;

pub use approval::{About, Asked, Channel, RolloutShown, StdinShown, Variant, Why};
pub use clearance::DeniedGate;
pub use config::{Config, KnownHostsFiles};
pub use engine::{Adopt, Engine, Services};
pub use event::{TaskEvent, TaskEventKind};
pub use fan_out::{FanOut, HostReport};
pub use gate::{Circuit, GateSettings, Throttled};
pub use hole::lost_on_host;
pub use pipeline::{Origin, Ticket};
pub use plan::Preview;
pub use refusal::{Refusal, chain};
pub use roster::{Counts, HostEnd, Piece, Roster};
pub use screened::OwnScreen;
pub use shell::{
    EndedBy, Input, OpenShell, PromptBy, ReadShell, ScreenView, ShellEnded, ShellInfo, ShellLife,
    ShellOutput, ShellRefusal, ShellSettings, Until,
};
/// Size of a terminal.
pub use sshepherd_ssh::Size;
/// What the known_hosts files say about a key.
pub use sshepherd_ssh::Verdict;
pub use task::{CancelAnswer, Finished};
pub use trust::{Shown, ShownKey};
pub use usable::unusable;
pub use wish::{HostCancel, PauseAnswer};

/// What a host asks while logging in, and who answers: for [`Engine::prompt_with`].
pub use sshepherd_ssh::prompt;

/// The audit sink that an engine is started with.
pub use sshepherd_audit as audit;
/// The policy: judging, explaining and linting are pure and open to every face.
pub use sshepherd_policy as policy;
/// Making output readable.
pub use sshepherd_sanitise as sanitise;
/// The task store that an engine is started with.
pub use sshepherd_store as store;
