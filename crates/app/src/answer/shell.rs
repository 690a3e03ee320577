//! Interactive shells: opened, typed into, read, seen, ended.

use serde::Serialize;
use sshepherd_engine::{
    EndedBy, PromptBy, ScreenView, ShellEnded, ShellInfo, ShellLife, ShellOutput, ShellRefusal,
};
use sshepherd_model::Stopped;

use super::{Failure, answer, encoded};

answer! {
    /// What a shell wrote, and where it stands.
    ShellAnswer {
        /// The shell.
        session_id: String,
        /// open, detached, elsewhere or ended
        status: String,
        /// What was written, without control sequences and secrets.
        output: String,
        /// What ended the wait: output, match, prompt, quiet, timeout or closed
        ended_by: String,
        /// What told of a prompt: marks (the shell itself) or look (a guess)
        prompt_by: String,
        /// The shell waits for a command line; known from marks only.
        at_prompt: bool,
        /// Exit status of the last command line; known from marks only.
        exit_status: u8,
        /// Read on from here to see the same again.
        cursor: u64,
        /// Bytes that follow and were not given.
        unread_bytes: u64,
        /// Bytes before the output that are no longer kept.
        missing_before: u64,
        /// What was taken out of the output.
        cleaned: String,
        /// The program that the host started: bash, zsh, fish, sh, none, tmux or screen
        program: String,
        /// Why it ended.
        why: String,
        /// What to do next.
        hint: String,
    }
}

answer! {
    /// What a person would see.
    ScreenAnswer {
        /// The shell.
        session_id: String,
        /// open, detached, elsewhere or ended
        status: String,
        /// The rows from the top, without blanks at their ends.
        rows: Vec<String>,
        /// The cursor's row, from 0.
        cursor_row: u16,
        /// The cursor's column, from 0.
        cursor_col: u16,
        /// The cursor is shown.
        cursor_visible: bool,
        /// The window's title.
        title: String,
        /// A program shows a screen of its own (vim, less, top).
        alternate_screen: bool,
        /// Columns.
        cols: u16,
        /// Rows of the window; blank ones at the end are left out.
        height: u16,
        /// What was taken out.
        cleaned: String,
        /// Rows left out because the answer would be too long.
        missing_rows: u64,
    }
}

/// One shell in a list.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub(crate) struct ShellRow {
    /// The shell.
    pub(crate) session_id: String,
    /// Its host.
    pub(crate) alias: String,
    /// What was opened.
    pub(crate) what: String,
    /// open, detached, elsewhere or ended
    pub(crate) status: &'static str,
    /// Milliseconds since the epoch.
    pub(crate) opened_at: u64,
    /// The host keeps it when nobody is connected.
    pub(crate) persistent: bool,
    /// Bytes of output that were not read yet.
    pub(crate) unread_bytes: u64,
    /// It waits for a command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_prompt: Option<bool>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

answer! {
    /// Shells of this machine.
    ShellListAnswer {
        /// Open ones first, newest first.
        shells: Vec<ShellRow>,
        /// How many did not fit.
        missing_shells: u64,
    }
}

answer! {
    /// A shell that was closed.
    ShellClosedAnswer {
        /// The shell.
        session_id: String,
        /// Always `ended`, or `closing` when its end was not seen.
        status: String,
        /// Why it ended.
        why: String,
        /// Whether everything that was started in it was seen dead: confirmed or unconfirmed
        stopped: String,
        /// The program's exit status, when it ended by itself.
        exit_status: u32,
    }
}

fn life(life: ShellLife) -> &'static str {
    match life {
        ShellLife::Open => "open",
        ShellLife::Detached => "detached",
        ShellLife::Elsewhere => "elsewhere",
        ShellLife::Ended => "ended",
    }
}

fn ended_by(by: EndedBy) -> &'static str {
    match by {
        EndedBy::Output => "output",
        EndedBy::Match => "match",
        EndedBy::Quiet => "quiet",
        EndedBy::Prompt(_) => "prompt",
        EndedBy::Timeout => "timeout",
        EndedBy::Closed => "closed",
    }
}

/// Where a shell stands, without output.
pub(crate) fn shell_state(info: &ShellInfo) -> ShellAnswer {
    ShellAnswer {
        session_id: Some(info.id.to_string()),
        status: Some(life(info.life).to_owned()),
        at_prompt: info.at_prompt,
        exit_status: info.exit_status,
        program: info.kind.clone(),
        why: info.ended.clone(),
        ..ShellAnswer::default()
    }
}

/// What was read.
pub(crate) fn shell_output(read: &ShellOutput) -> ShellAnswer {
    ShellAnswer {
        output: Some(read.view.text()),
        ended_by: Some(ended_by(read.ended_by).to_owned()),
        prompt_by: match read.ended_by {
            EndedBy::Prompt(PromptBy::Marks) => Some("marks".to_owned()),
            EndedBy::Prompt(PromptBy::Look) => Some("look".to_owned()),
            EndedBy::Output
            | EndedBy::Match
            | EndedBy::Quiet
            | EndedBy::Timeout
            | EndedBy::Closed => None,
        },
        cursor: Some(read.next),
        unread_bytes: (read.left > 0).then_some(read.left),
        missing_before: (read.missing_before > 0).then_some(read.missing_before),
        cleaned: read.view.note(),
        program: None,
        ..shell_state(&read.info)
    }
}

/// A screen in at most about `budget` bytes: rows are left out from the top, for what is new stands at the bottom.
pub(crate) fn shell_screen(view: ScreenView, budget: usize) -> ScreenAnswer {
    let mut rows = view.rows;
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    let mut missing = 0;
    while encoded(&rows) > budget && !rows.is_empty() {
        rows.remove(0);
        missing += 1;
    }
    ScreenAnswer {
        session_id: Some(view.info.id.to_string()),
        status: Some(life(view.info.life).to_owned()),
        rows: Some(rows),
        cursor_row: Some(view.cursor.0),
        cursor_col: Some(view.cursor.1),
        cursor_visible: Some(view.cursor_visible),
        title: view.title.filter(|title| !title.is_empty()),
        alternate_screen: Some(view.alternate),
        cols: Some(view.info.size.0),
        height: Some(view.info.size.1),
        cleaned: view.note,
        missing_rows: (missing > 0).then_some(missing),
    }
}

/// The list, as much as fits.
pub(crate) fn shell_list(infos: &[ShellInfo], budget: usize) -> ShellListAnswer {
    let mut rows: Vec<ShellRow> = infos
        .iter()
        .map(|info| ShellRow {
            session_id: info.id.to_string(),
            alias: info.alias.to_string(),
            what: info.what.clone(),
            status: life(info.life),
            opened_at: info.opened_at,
            persistent: info.persistent,
            unread_bytes: info.unread,
            at_prompt: info.at_prompt,
            why: info.ended.clone(),
        })
        .collect();
    let all = rows.len();
    while encoded(&rows) > budget && !rows.is_empty() {
        rows.pop();
    }
    let missing = (all - rows.len()) as u64;
    ShellListAnswer { shells: Some(rows), missing_shells: (missing > 0).then_some(missing) }
}

/// How a shell ended that was closed.
pub(crate) fn shell_closed(id: &sshepherd_model::ShellId, ended: &ShellEnded) -> ShellClosedAnswer {
    let unconfirmed = ended.stopped.is_some_and(|stopped| !stopped.is_confirmed());
    ShellClosedAnswer {
        session_id: Some(id.to_string()),
        status: Some(if unconfirmed { "closing" } else { "ended" }.to_owned()),
        why: Some(match ended.stopped {
            Some(Stopped::Left(survivors)) => {
                format!("{}; {survivors} on the host may be its own and still run", ended.why)
            }
            Some(Stopped::Confirmed | Stopped::Unconfirmed) | None => ended.why.clone(),
        }),
        stopped: ended.stopped.map(|stopped| stopped.as_str().to_owned()),
        exit_status: ended.exit_status,
    }
}

impl From<&ShellRefusal> for Failure {
    /// Every reason but a denial, which has an answer of its own.
    fn from(refusal: &ShellRefusal) -> Self {
        let error = refusal.to_string();
        let about = |field: &str, hint: &str| Self {
            field: Some(field.to_owned()),
            ..Self::new(error.clone(), hint)
        };
        match refusal {
            ShellRefusal::Unknown(_) => {
                about("session_id", "ssh_list_shells gives every shell; ssh_open_shell opens one")
            }
            ShellRefusal::Elsewhere(_) => {
                about("session_id", "use it there, or wait until that server has ended")
            }
            ShellRefusal::Ended { .. } => about(
                "session_id",
                "open another with ssh_open_shell; think before typing the same again",
            ),
            ShellRefusal::Refusal(refusal) => Self::from(refusal),
            ShellRefusal::Invalid(invalid) => Self::from(invalid.clone()),
            ShellRefusal::NotOpened(failure) => Self::new(error, failure.hint.clone()),
            ShellRefusal::InputLimit { .. } => {
                Self::new(error, "nothing was typed; the owner's limit is shell_max_input_bytes")
            }
            ShellRefusal::NotTaken => {
                Self::new(error, "look with ssh_read_screen; ssh_signal_shell can end the program")
            }
            ShellRefusal::NotGreeted => Self::new(
                error,
                "look with ssh_read_screen; start-up files or a forced command may hold it up; close the shell and open it again",
            ),
            ShellRefusal::SecretHeld(..) => {
                Self::new(error, "nothing was typed; a person can answer the prompt")
            }
            ShellRefusal::NotSignalled => {
                Self::new(error, "type Ctrl-C with ssh_send_input, or close the shell")
            }
        }
    }
}
