//! The wire shapes that the command line's `--json` and the MCP server share: flat objects, absent fields left out.
//!
//! One type a tool result: it covers every variant (done, denied, could not connect) with optional fields, because agents
//! and scripts read flat objects best. Rooms: [`run`], [`task`], [`host`], [`shell`], [`plan`], [`reload`], [`failure`] (a request
//! that could not be understood or served), [`build`], [`list`] and [`judged`] (from the engine's and the policy's values to these
//! shapes), [`fit`] (byte budgets), [`fold`] (many hosts as few groups), [`many`] (their entries, or pages of groups).

mod asked;
mod build;
mod failure;
mod fit;
mod fold;
mod host;
mod judged;
mod list;
mod many;
mod plan;
mod reload;
mod run;
mod shell;
mod task;

pub(crate) use asked::asked;
pub(crate) use build::{
    Report, asked_for_all, cancelled, could_not_start, finished, gate_denied, now_ms, ran_raw,
    refused_by_person, status, with_hosts, without_output,
};
pub(crate) use failure::Failure;
pub(crate) use fit::{encoded, more, shorten, shown_lines, visible};
pub(crate) use fold::{Group, Slow, Told, fold, slowest};
pub(crate) use host::{
    HostAnswer, HostListAnswer, PingAnswer, PolicyLimits, UnusableHost, jumps, touch,
};
pub(crate) use judged::{capabilities, echo, planned, shell_programs, shells};
pub(crate) use list::task_list;
pub(crate) use many::{Folded, MAX_SLOW, each, tagged};
pub(crate) use plan::{Limits, PlanAnswer, PlannedCommand};
pub(crate) use reload::ReloadAnswer;
pub(crate) use run::{RunAnswer, TagAnswer, TagSummary, Whole};
pub(crate) use shell::{
    ShellAnswer, shell_closed, shell_list, shell_output, shell_screen, shell_state,
};
pub(crate) use task::{
    CancelledAnswer, HostCounts, OutputAnswer, PausedAnswer, StartedAnswer, StatusAnswer,
    TaskListAnswer, TaskRow,
};

/// A result type whose fields are all optional and left out when absent.
macro_rules! answer {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
        pub(crate) struct $name {
            $(
                $(#[$field_meta])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub(crate) $field: Option<$type>,
            )*
        }
    };
}
pub(crate) use answer;
