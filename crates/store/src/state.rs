//! The life of a task: every legal step is in one match, and nothing leaves a final state.

use std::fmt;

use serde::{Deserialize, Serialize};
use sshepherd_model::Outcome;

/// Where a task is in its life. The serialised names are the seed's statuses, and `interrupted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Accepted and recorded; the command has not been sent.
    Pending,
    /// The command has been sent.
    Running,
    /// It exited with status 0.
    Completed,
    /// Another exit status, a signal, or never started.
    Failed,
    /// A caller stopped it.
    Cancelled,
    /// It ran over its time limit.
    #[serde(rename = "timeout")]
    TimedOut,
    /// It was lost from sight while it ran: what became of it is not known, or is known not to have been its end.
    Interrupted,
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The command was sent to the host.
    Start,
    /// It exited with status 0.
    Complete,
    /// It ended any other way by itself, or never started.
    Fail,
    /// It was stopped because a caller asked.
    Cancel,
    /// It was stopped because its time was up.
    TimeOut,
    /// It was lost from sight.
    Interrupt,
}

/// An event that cannot happen in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {state} task cannot {event}")]
pub struct Illegal {
    /// Where the task is.
    pub state: State,
    /// What was tried.
    pub event: Event,
}

impl State {
    /// Every state, for lists and tests.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
        Self::Interrupted,
    ];

    /// The state after `event`. Final states accept nothing: a cancelled task stays cancelled.
    pub fn next(self, event: Event) -> Result<Self, Illegal> {
        use Event::{Cancel, Complete, Fail, Interrupt, Start, TimeOut};
        use State::{Cancelled, Completed, Failed, Interrupted, Pending, Running, TimedOut};
        match (self, event) {
            (Pending, Start) => Ok(Running),
            (Running, Complete) => Ok(Completed),
            (Pending | Running, Fail) => Ok(Failed),
            (Pending | Running, Cancel) => Ok(Cancelled),
            (Pending | Running, TimeOut) => Ok(TimedOut),
            (Running, Interrupt) => Ok(Interrupted),
            // What was never sent cannot have exited or been lost; what was sent is not sent again.
            (Pending, Complete | Interrupt)
            | (Running, Start)
            | (
                Completed | Failed | Cancelled | TimedOut | Interrupted,
                Start | Complete | Fail | Cancel | TimeOut | Interrupt,
            ) => Err(Illegal { state: self, event }),
        }
    }

    /// Whether nothing more can happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Completed
            | Self::Failed
            | Self::Cancelled
            | Self::TimedOut
            | Self::Interrupted => true,
        }
    }

    /// The seed's name of the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timeout",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Event {
    /// The event by which a task with this outcome ends.
    #[must_use]
    pub fn ending(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Exited { status: 0 } => Self::Complete,
            Outcome::Exited { .. }
            | Outcome::Signalled { .. }
            | Outcome::NotStarted(_)
            | Outcome::NotSeenToRun(_)
            | Outcome::Denied { .. } => Self::Fail,
            Outcome::Interrupted(_) => Self::Interrupt,
            Outcome::Cancelled { .. } => Self::Cancel,
            Outcome::TimedOut { .. } => Self::TimeOut,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Cancel => "be cancelled",
            Self::TimeOut => "time out",
            Self::Interrupt => "be interrupted",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 6] = [
        Event::Start,
        Event::Complete,
        Event::Fail,
        Event::Cancel,
        Event::TimeOut,
        Event::Interrupt,
    ];

    /// Seed defect 2: a cancelled or timed-out task was later reported as failed.
    #[test]
    fn a_final_state_accepts_nothing() {
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            for event in EVENTS {
                assert_eq!(state.next(event), Err(Illegal { state, event }));
            }
        }
    }

    #[test]
    fn the_legal_steps_are_these_and_no_others() {
        let legal: Vec<(State, Event, State)> = State::ALL
            .into_iter()
            .flat_map(|state| EVENTS.map(|event| (state, event)))
            .filter_map(|(state, event)| state.next(event).ok().map(|next| (state, event, next)))
            .collect();
        assert_eq!(
            legal,
            [
                (State::Pending, Event::Start, State::Running),
                (State::Pending, Event::Fail, State::Failed),
                (State::Pending, Event::Cancel, State::Cancelled),
                (State::Pending, Event::TimeOut, State::TimedOut),
                (State::Running, Event::Complete, State::Completed),
                (State::Running, Event::Fail, State::Failed),
                (State::Running, Event::Cancel, State::Cancelled),
                (State::Running, Event::TimeOut, State::TimedOut),
                (State::Running, Event::Interrupt, State::Interrupted),
            ]
        );
    }
}
