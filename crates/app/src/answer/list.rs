//! Lists of tasks.

use sshepherd_engine::Engine;
use sshepherd_engine::store::{ListCursor, ListPage, Task};
use sshepherd_model::{Outcome, TaskId};

use super::{TaskListAnswer, TaskRow, encoded, shorten};

/// A page of tasks within `budget` bytes; what does not fit is on the next page.
pub(crate) fn task_list(
    page: &ListPage,
    now_ms: impl Fn(&TaskId) -> u64,
    budget: usize,
) -> TaskListAnswer {
    let row = |task: &Task| task_row(task, now_ms(&task.id));
    let mut tasks: Vec<TaskRow> = page.tasks.iter().map(row).collect();
    let mut next = page.next.clone();
    loop {
        let shown = tasks.len();
        let answer =
            TaskListAnswer { tasks: Some(tasks), next_cursor: next.as_ref().map(list_cursor) };
        if encoded(&answer) <= budget || shown <= 1 {
            return answer;
        }
        tasks = answer.tasks.unwrap_or_default();
        tasks.truncate(shown - shown.div_ceil(8));
        next = page
            .tasks
            .get(tasks.len().saturating_sub(1))
            .map(|task| ListCursor { created_at: task.created_at, id: task.id.clone() });
    }
}

/// A place in the list, as text.
pub(crate) fn list_cursor(place: &ListCursor) -> String {
    format!("{}/{}", place.created_at, place.id)
}

/// One task of a list.
fn task_row(task: &Task, now_ms: u64) -> TaskRow {
    let exit_code = match task.outcome {
        Some(Outcome::Exited { status }) => Some(status),
        Some(
            Outcome::Signalled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::Cancelled { .. }
            | Outcome::NotStarted(_)
            | Outcome::NotSeenToRun(_)
            | Outcome::Denied { .. }
            | Outcome::Interrupted(_),
        )
        | None => None,
    };
    TaskRow {
        task_id: Some(task.id.to_string()),
        alias: Some(task.alias.to_string()),
        status: Some(task.status_word().to_owned()),
        command: Some(shorten(&task.command, 60)),
        age_ms: Some(now_ms.saturating_sub(task.created_at)),
        elapsed_ms: Some(task.elapsed_ms(now_ms)),
        // A fan-out's own log is no output.
        bytes: (!Engine::is_group(task)).then(|| task.output.bytes()),
        durability: task.durability.map(|durability| durability.as_str().to_owned()),
        exit_code,
    }
}
